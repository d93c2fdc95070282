//! Where definitions are kept, and how a plan becomes true there: in the catalog of this machine, or on a server.

use super::plan::{Action, ApplyPlan, Existing, Held, Object, Step};
use crate::{
    api::{Api, Call, encoded},
    clock::SystemClock,
    config::Definitions,
    error::{CliError, CliResult},
    session::Session,
};
use pgkeep_catalog::{Catalog, ManagedBy, Stored, blocking::Blocking};
use pgkeep_model::{
    Clock,
    job::{JobSpec, RepositorySpec, Trigger},
    notice::NotificationTarget,
};
use pgkeep_server::{auth::audit::Act, jobs::draft, settings::JobLimits};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub enum Keeper {
    Catalog(Blocking),
    Server(Api),
}

impl Keeper {
    /// What is there. A server gives no literal secret away; of those that `wanted` holds it tells whether they are the same.
    pub fn held(&self, wanted: &Definitions) -> CliResult<Held> {
        match self {
            Keeper::Catalog(catalog) => Ok(catalog.block_on(|catalog| async move {
                Ok::<_, pgkeep_catalog::CatalogError>(Held {
                    apps: stored(catalog.apps().await?),
                    repositories: stored(catalog.repositories().await?),
                    policies: stored(catalog.policies().await?),
                    targets: stored(catalog.targets().await?),
                })
            })?),
            Keeper::Server(api) => Ok(Held {
                apps: told(api, Object::App, &wanted.apps, body)?,
                repositories: told(api, Object::Repository, &wanted.repositories, body)?,
                policies: served(api, Object::Policy)?,
                targets: told(api, Object::Notify, &wanted.targets, channel_apart)?,
            }),
        }
    }

    /// Does the steps in their order. A failure leaves what was done before it, and applying again goes on from there.
    pub fn execute(
        &self,
        plan: &ApplyPlan,
        wanted: &Definitions,
        session: &Session,
    ) -> CliResult<()> {
        for step in &plan.steps {
            let done = match self {
                Keeper::Catalog(catalog) => in_catalog(catalog, step, wanted, session),
                Keeper::Server(api) => on_server(api, step, wanted),
            };
            done.map_err(|mut error| {
                error.message = format!("{} {}: {}", step.object.word(), step.name, error.message);
                error
            })?;
        }
        Ok(())
    }
}

fn stored<T>(all: Vec<Stored<T>>) -> BTreeMap<String, Existing<T>> {
    let one = |stored: Stored<T>| {
        let existing = Existing {
            value: stored.value,
            from_file: stored.managed_by == ManagedBy::File,
            revision: stored.revision,
        };
        (stored.name, existing)
    };
    all.into_iter().map(one).collect()
}

fn in_catalog(
    catalog: &Blocking,
    step: &Step,
    wanted: &Definitions,
    session: &Session,
) -> CliResult<()> {
    let name = step.name.as_str();
    let expected = Some(step.revision.unwrap_or(0));
    let by = ManagedBy::File;
    catalog.block_on(|catalog| async move {
        match (step.action, step.object) {
            (Action::Delete, Object::App) => catalog.delete_app(name, expected).await?,
            (Action::Delete, Object::Repository) => {
                catalog.delete_repository(name, expected).await?;
            }
            (Action::Delete, Object::Policy) => catalog.delete_policy(name, expected).await?,
            (Action::Delete, Object::Notify) => catalog.delete_target(name, expected).await?,
            (_, Object::App) => {
                catalog
                    .put_app(name, &wanted.apps[name], by, expected)
                    .await?;
            }
            (_, Object::Repository) => {
                let value = &wanted.repositories[name];
                catalog.put_repository(name, value, by, expected).await?;
                look_into(&catalog, name, session).await?;
            }
            (_, Object::Policy) => {
                let value = &wanted.policies[name];
                catalog.put_policy(name, value, by, expected).await?;
            }
            (_, Object::Notify) => {
                let value = &wanted.targets[name];
                catalog.put_target(name, value, by, expected).await?;
            }
        }
        note(&catalog, step, session).await
    })
}

/// Has the server list what the repository holds already.
async fn look_into(catalog: &Catalog, repository: &str, session: &Session) -> CliResult<()> {
    let spec = JobSpec::Sync(RepositorySpec {
        repository: repository.into(),
    });
    let by = session.who();
    let job = draft(
        spec,
        Trigger::Internal,
        &by,
        SystemClock.now(),
        &JobLimits::default(),
    );
    catalog.enqueue(job).await?;
    Ok(())
}

/// In the words of the API, so that a search finds a change whoever made it.
async fn note(catalog: &Catalog, step: &Step, session: &Session) -> CliResult<()> {
    let mut act = Act::done(act_of(step), format!("{}/{}", noun_of(step), step.name))
        .app(step.app.as_deref())
        .reason(Some("pgkeep apply".into()));
    if !step.changes.is_empty() {
        act = act.after(&step.changes);
    }
    act.by_cli(catalog, &session.who()).await?;
    Ok(())
}

fn act_of(step: &Step) -> &'static str {
    match (step.object, step.action) {
        (Object::App, Action::Delete) => "app.delete",
        (Object::App, _) => "app.put",
        (Object::Repository, Action::Delete) => "repository.delete",
        (Object::Repository, _) => "repository.put",
        (Object::Policy, Action::Delete) => "policy.delete",
        (Object::Policy, _) => "policy.put",
        (Object::Notify, Action::Delete) => "target.delete",
        (Object::Notify, _) => "target.put",
    }
}

fn noun_of(step: &Step) -> &'static str {
    match step.object {
        // The file's word is a section's name.
        Object::Notify => "target",
        other => other.word(),
    }
}

fn path_of(object: Object) -> &'static str {
    match object {
        Object::App => "/apps",
        Object::Repository => "/repositories",
        Object::Policy => "/policies",
        Object::Notify => "/notifications/targets",
    }
}

/// What a server holds, with the wanted secrets in the place of their masks where the server says that they are the same.
fn told<T: Serialize + DeserializeOwned>(
    api: &Api,
    object: Object,
    wanted: &BTreeMap<String, T>,
    body: impl Fn(&T) -> Value,
) -> CliResult<BTreeMap<String, Existing<T>>> {
    let value = |value: &T| serde_json::to_value(value).expect("definitions are plain values");
    let mut all = served::<T>(api, object)?;
    for (name, existing) in &mut all {
        let Some(wanted) = wanted.get(name) else {
            continue;
        };
        let (masked, whole) = (value(&existing.value), value(wanted));
        if masked == whole {
            continue;
        }
        let path = format!("{}/{}/changes", path_of(object), encoded(name));
        let changes = api.document(&Call::post(path).body(body(wanted)))?;
        let changed = changes["fields"].as_array().into_iter().flatten();
        let changed: BTreeSet<&str> = changed.filter_map(Value::as_str).collect();
        let known = unmasked(masked, &whole, "", &changed);
        existing.value = serde_json::from_value(known).map_err(|e| {
            let what = object.word();
            CliError::strange_answer(format!("the server's {what} {name} cannot be read: {e}"))
        })?;
    }
    Ok(all)
}

/// Texts that the server shows otherwise but does not count as changed are the same.
fn unmasked(held: Value, wanted: &Value, path: &str, changed: &BTreeSet<&str>) -> Value {
    match (held, wanted) {
        (Value::Object(held), Value::Object(wanted)) => held
            .into_iter()
            .map(|(name, value)| {
                let path = match path {
                    "" => name.clone(),
                    above => format!("{above}.{name}"),
                };
                let other = wanted.get(&name).unwrap_or(&Value::Null);
                let value = unmasked(value, other, &path, changed);
                (name, value)
            })
            .collect(),
        (Value::Array(held), Value::Array(wanted)) => held
            .into_iter()
            .enumerate()
            .map(|(at, value)| {
                let other = wanted.get(at).unwrap_or(&Value::Null);
                unmasked(value, other, &format!("{path}[{at}]"), changed)
            })
            .collect(),
        (Value::String(_), Value::String(wanted)) if !changed.contains(path) => {
            wanted.clone().into()
        }
        (held, _) => held,
    }
}

/// A definition as a request holds it: its name stands in the path.
fn body<T: Serialize>(value: &T) -> Value {
    let mut value = serde_json::to_value(value).expect("definitions are plain values");
    if let Value::Object(fields) = &mut value {
        fields.remove("name");
    }
    value
}

fn served<T: DeserializeOwned>(
    api: &Api,
    object: Object,
) -> CliResult<BTreeMap<String, Existing<T>>> {
    let mut all = BTreeMap::new();
    for mut item in api.all(&Call::get(path_of(object)))? {
        let unreadable = |why: &dyn std::fmt::Display| {
            let what = object.word();
            CliError::strange_answer(format!("the server's {what} cannot be read: {why}"))
        };
        let Some(name) = item["name"].as_str().map(str::to_owned) else {
            return Err(unreadable(&"it has no name"));
        };
        let revision = item["revision"].as_i64().unwrap_or_default();
        let from_file = item["managed_by"] == "file";
        let mut definition = item["definition"].take();
        if let Value::Object(fields) = &mut definition {
            match object {
                Object::Policy => drop(fields.insert("name".into(), name.clone().into())),
                Object::Notify => channel_inside(fields, &name),
                Object::App | Object::Repository => {}
            }
        }
        let value = serde_json::from_value(definition).map_err(|e| unreadable(&e))?;
        let existing = Existing {
            value,
            from_file,
            revision,
        };
        all.insert(name, existing);
    }
    Ok(all)
}

/// The API writes a target's channel as an object of its own, the file among the target's fields.
fn channel_inside(fields: &mut Map<String, Value>, name: &str) {
    if let Some(Value::Object(mut channel)) = fields.remove("channel") {
        let kind = channel.remove("type").unwrap_or_default();
        fields.extend(channel);
        fields.insert("channel".into(), kind);
    }
    fields.insert("name".into(), name.into());
}

/// The other way round.
fn channel_apart(target: &NotificationTarget) -> Value {
    let mut channel = serde_json::to_value(&target.channel).expect("definitions are plain values");
    if let Value::Object(fields) = &mut channel
        && let Some(kind) = fields.remove("channel")
    {
        fields.insert("type".into(), kind);
    }
    json!({
        "channel": channel,
        "on": target.on,
        "default": target.default,
        "enabled": target.enabled,
        "repeat_secs": target.repeat_secs,
    })
}

fn on_server(api: &Api, step: &Step, wanted: &Definitions) -> CliResult<()> {
    let path = format!("{}/{}", path_of(step.object), encoded(&step.name));
    let etag = step.revision.map(|revision| format!("\"{revision}\""));
    let call = match step.action {
        Action::Delete => Call::delete(path),
        Action::Create | Action::Update => Call::put(path)
            .body(match step.object {
                Object::App => body(&wanted.apps[&step.name]),
                Object::Repository => body(&wanted.repositories[&step.name]),
                Object::Policy => body(&wanted.policies[&step.name]),
                Object::Notify => channel_apart(&wanted.targets[&step.name]),
            })
            .query("managedBy", "file"),
    };
    let call = match step.action {
        Action::Create => call.if_absent(),
        Action::Update | Action::Delete => call.if_match(etag),
    };
    api.send(&call).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_gives_way_only_to_what_the_server_knows_to_be_the_same() {
        let held = json!({ "databases": ["postgres://u:***@h/a", "postgres://u:***@h/b"], "key": "***", "jobs": 2 });
        let wanted = json!({ "databases": ["postgres://u:p@h/a", "postgres://u:q@h/b"], "key": "k", "jobs": 3 });
        let changed = ["databases[1]", "jobs"].into();
        let expected = json!({ "databases": ["postgres://u:p@h/a", "postgres://u:***@h/b"], "key": "k", "jobs": 2 });
        assert_eq!(unmasked(held, &wanted, "", &changed), expected);
    }
}
