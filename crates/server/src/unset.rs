//! Environment variables that definitions name and that are not set: known at the start, and not first at night when the
//! backup fails for it.

use crate::state::AppState;
use pgkeep_catalog::CatalogError;
use pgkeep_model::{app::AppDefinition, policy::Policy};
use serde_json::Value;
use std::collections::BTreeSet;

/// What definitions name, each by itself.
#[derive(Debug, Default)]
struct Named {
    apps: Vec<(String, AppDefinition)>,
    repositories: Vec<(String, Value)>,
    targets: Vec<(String, Value)>,
    policies: Vec<Policy>,
}

/// A sentence for each variable and whatever names it.
pub(crate) async fn warnings(state: &AppState) -> Result<Vec<String>, CatalogError> {
    let catalog = &state.catalog;
    let is_set = |name: &str| state.machine.environment.get(name).is_some();
    let mut named = Named::default();
    for stored in catalog.targets().await? {
        if stored.value.enabled {
            named.targets.push((stored.name, plain(&stored.value)));
        }
    }
    // Where no job runs, only messages need their secrets.
    if state.settings.work.slots > 0 {
        let apps = catalog.apps().await?.into_iter();
        named.apps = apps.map(|stored| (stored.name, stored.value)).collect();
        let repositories = catalog.repositories().await?.into_iter();
        named.repositories = repositories
            .map(|stored| (stored.name, plain(&stored.value)))
            .collect();
        let policies = catalog.policies().await?.into_iter();
        named.policies = policies.map(|stored| stored.value).collect();
    }
    Ok(told(&named, is_set))
}

fn plain(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn told(named: &Named, is_set: impl Fn(&str) -> bool) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |owner: String, value: &Value, fails: &dyn Fn(&str) -> String| {
        for (field, variable) in unset(value, &is_set) {
            told.push(format!(
                "the environment variable {variable} is not set, and {owner} names it in {field}: {}; set it where the \
                 server is started",
                fails(&field)
            ));
        }
    };
    let enabled = || named.policies.iter().filter(|policy| policy.enabled);
    for (name, app) in &named.apps {
        let own = enabled().filter(|policy| policy.app == *name);
        let runs = fail(own, "its backups fail");
        tell(format!("app {name}"), &plain(app), &|field| match field {
            "databases" => runs.clone(),
            _ => "what needs that fails".to_owned(),
        });
    }
    for (name, repository) in &named.repositories {
        let goes_there = |policy: &&Policy| match policy.repositories.is_empty() {
            false => policy.repositories.contains(name),
            true => named
                .apps
                .iter()
                .any(|(app, of)| *app == policy.app && of.repository.as_ref() == Some(name)),
        };
        let runs = fail(enabled().filter(goes_there), "nothing can be stored there");
        tell(format!("repository {name}"), repository, &|_| runs.clone());
    }
    for (name, target) in &named.targets {
        tell(format!("target {name}"), target, &|_| {
            "no message reaches it".to_owned()
        });
    }
    told
}

fn fail<'a>(policies: impl Iterator<Item = &'a Policy>, otherwise: &str) -> String {
    let names: Vec<&str> = policies.map(|policy| policy.name.as_str()).collect();
    match names.as_slice() {
        [] => otherwise.to_owned(),
        [one] => format!("policy {one} fails"),
        _ => format!("policies {} fail", names.join(", ")),
    }
}

/// Field and variable, of all references of a definition that lead nowhere.
fn unset(definition: &Value, is_set: impl Fn(&str) -> bool) -> BTreeSet<(String, String)> {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => found.extend(text.strip_prefix("env:").map(str::to_owned)),
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            Value::Object(fields) => fields.values().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    for (field, value) in definition.as_object().into_iter().flatten() {
        let mut variables = BTreeSet::new();
        collect(value, &mut variables);
        variables.retain(|variable| !is_set(variable));
        all.extend(
            variables
                .into_iter()
                .map(|variable| (field.clone(), variable)),
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_variable_that_is_not_set_is_told_with_what_fails_for_it() {
        let app = |url: &str, repository: &str| AppDefinition {
            databases: vec![url.into()],
            admin_url: Some("env:ADMIN_URL".into()),
            repository: Some(repository.into()),
            ..AppDefinition::default()
        };
        let mut off = Policy::new("hourly", "shop");
        off.enabled = false;
        let named = Named {
            apps: vec![
                ("shop".into(), app("env:SHOP_URL", "main")),
                ("blog".into(), app("env:BLOG_URL", "main")),
            ],
            repositories: vec![
                ("main".into(), json!({ "address": "/b", "key": "env:KEY" })),
                (
                    "spare".into(),
                    json!({ "key": "file:/k", "access_key_id": "env:SET" }),
                ),
            ],
            targets: vec![("ops".into(), json!({ "channel": { "url": "env:HOOK" } }))],
            policies: vec![
                Policy::new("nightly", "shop"),
                Policy::new("weekly", "shop"),
                off,
            ],
        };
        let set = ["SET", "ADMIN_URL"];
        let told = told(&named, |name| set.contains(&name));
        let begin: Vec<&str> = told
            .iter()
            .filter_map(|line| line.strip_prefix("the environment variable "))
            .filter_map(|line| line.strip_suffix("; set it where the server is started"))
            .collect();
        assert_eq!(
            begin,
            [
                "SHOP_URL is not set, and app shop names it in databases: policies nightly, weekly fail",
                "BLOG_URL is not set, and app blog names it in databases: its backups fail",
                "KEY is not set, and repository main names it in key: policies nightly, weekly fail",
                "HOOK is not set, and target ops names it in channel: no message reaches it",
            ]
        );
    }

    #[test]
    fn nothing_is_told_where_all_is_set() {
        let named = Named {
            repositories: vec![("main".into(), json!({ "key": "env:KEY" }))],
            ..Named::default()
        };
        assert_eq!(told(&named, |_| true), Vec::<String>::new());
    }
}
