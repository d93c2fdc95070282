//! What it takes to make a catalog match a file: a pure function of both.
//!
//! Steps stand in the order in which they can be done: what others refer to is made first and removed last. Secrets are
//! compared, never shown; a reference such as `env:NAME` is none.

use crate::config::Definitions;
use pgkeep_model::{
    app::{AppDefinition, RepositoryDefinition},
    notice::NotificationTarget,
    policy::Policy,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the catalog holds.
#[derive(Debug, Clone, Default)]
pub struct Held {
    pub apps: BTreeMap<String, Existing<AppDefinition>>,
    pub repositories: BTreeMap<String, Existing<RepositoryDefinition>>,
    pub policies: BTreeMap<String, Existing<Policy>>,
    pub targets: BTreeMap<String, Existing<NotificationTarget>>,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty()
            && self.repositories.is_empty()
            && self.policies.is_empty()
            && self.targets.is_empty()
    }
}

#[derive(Debug, Clone)]
pub struct Existing<T> {
    pub value: T,
    /// Made from a file, not through the API or by a command.
    pub from_file: bool,
    pub revision: i64,
}

/// Everything that an apply would do.
#[derive(Debug, Clone, Serialize)]
pub struct ApplyPlan {
    pub steps: Vec<Step>,
    pub unchanged: usize,
    /// In the catalog, not in the file, and not the file's to remove.
    pub left_alone: Vec<String>,
}

impl ApplyPlan {
    pub fn count(&self, action: Action) -> usize {
        self.steps
            .iter()
            .filter(|step| step.action == action)
            .count()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    pub action: Action,
    pub object: Object,
    pub name: String,
    /// What changes, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Of the object as it was when the plan was made.
    #[serde(skip)]
    pub revision: Option<i64>,
    /// The app that it is about, where it is about one.
    #[serde(skip)]
    pub app: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Create,
    Update,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    Repository,
    Notify,
    App,
    Policy,
}

impl Object {
    pub fn word(self) -> &'static str {
        match self {
            Object::Repository => "repository",
            Object::Notify => "notify",
            Object::App => "app",
            Object::Policy => "policy",
        }
    }
}

/// A secret that a server does not give away looks so.
pub const MASKED: &str = "****";

/// Compares the file's definitions with the catalog's. With `prune`, what the file does not hold goes, whoever made it.
pub fn plan(wanted: &Definitions, held: &Held, prune: bool) -> ApplyPlan {
    let mut plan = ApplyPlan {
        steps: Vec::new(),
        unchanged: 0,
        left_alone: Vec::new(),
    };
    let mut removals = Vec::new();
    let mut add = |kind: Kind| {
        removals.push(kind.removals);
        plan.steps.extend(kind.steps);
        plan.unchanged += kind.unchanged;
        plan.left_alone.extend(kind.left_alone);
    };
    add(compare(
        Object::Repository,
        &wanted.repositories,
        &held.repositories,
        prune,
    ));
    add(compare(
        Object::Notify,
        &wanted.targets,
        &held.targets,
        prune,
    ));
    add(compare(Object::App, &wanted.apps, &held.apps, prune));
    add(compare(
        Object::Policy,
        &wanted.policies,
        &held.policies,
        prune,
    ));
    plan.steps.extend(removals.into_iter().rev().flatten());
    for step in &mut plan.steps {
        step.app = match step.object {
            Object::App => Some(step.name.clone()),
            Object::Policy => {
                let wanted = wanted.policies.get(&step.name);
                let held = held.policies.get(&step.name).map(|held| &held.value);
                wanted.or(held).map(|policy| policy.app.clone())
            }
            Object::Repository | Object::Notify => None,
        };
    }
    plan
}

struct Kind {
    steps: Vec<Step>,
    removals: Vec<Step>,
    unchanged: usize,
    left_alone: Vec<String>,
}

fn compare<T: Serialize>(
    object: Object,
    wanted: &BTreeMap<String, T>,
    held: &BTreeMap<String, Existing<T>>,
    prune: bool,
) -> Kind {
    let mut kind = Kind {
        steps: Vec::new(),
        removals: Vec::new(),
        unchanged: 0,
        left_alone: Vec::new(),
    };
    let step = |action, name: &String, changes, revision| Step {
        action,
        object,
        name: name.clone(),
        changes,
        revision,
        app: None,
    };
    for (name, value) in wanted {
        let Some(existing) = held.get(name) else {
            kind.steps
                .push(step(Action::Create, name, Vec::new(), None));
            continue;
        };
        let mut changes = changes(&existing.value, value);
        if !existing.from_file {
            changes.push("belongs to the file from now on".into());
        }
        if changes.is_empty() {
            kind.unchanged += 1;
        } else {
            let revision = Some(existing.revision);
            kind.steps
                .push(step(Action::Update, name, changes, revision));
        }
    }
    for (name, existing) in held.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
        if existing.from_file || prune {
            let revision = Some(existing.revision);
            kind.removals
                .push(step(Action::Delete, name, Vec::new(), revision));
        } else {
            kind.left_alone.push(format!("{} {name}", object.word()));
        }
    }
    kind
}

/// What differs between two values of one kind, field by field.
fn changes<T: Serialize>(before: &T, after: &T) -> Vec<String> {
    let (before, after) = (fields(before), fields(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let (before, after) = (before.get(name), after.get(name));
        if before == after {
            continue;
        }
        let secret = is_secret(name);
        let text = |value: Option<&Value>| match value {
            None | Some(Value::Null) => "none".to_owned(),
            Some(Value::String(text)) if secret => shown_secret(text).to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let (before, after) = (text(before), text(after));
        changes.push(if secret && before == MASKED && after == MASKED {
            format!("{name}: written anew")
        } else if secret && before == after {
            format!("{name}: changed")
        } else {
            format!("{name}: {before} → {after}")
        });
    }
    changes
}

/// The value as leaves by dotted path; empty lists and nulls count as absent, for both mean the default.
fn fields<T: Serialize>(value: &T) -> BTreeMap<String, Value> {
    fn walk(value: Value, path: String, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Null => {}
            Value::Object(map) => {
                for (key, value) in map {
                    let path = match path.as_str() {
                        "" => key,
                        above => format!("{above}.{key}"),
                    };
                    walk(value, path, into);
                }
            }
            Value::Array(items) => {
                for (at, item) in items.into_iter().enumerate() {
                    walk(item, format!("{path}[{at}]"), into);
                }
            }
            leaf => {
                into.insert(path, leaf);
            }
        }
    }
    let mut leaves = BTreeMap::new();
    let value = serde_json::to_value(value).expect("definitions are plain values");
    walk(value, String::new(), &mut leaves);
    leaves
}

fn is_secret(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    let name = name.split('[').next().unwrap_or(name);
    [
        "databases",
        "admin_url",
        "key",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "url",
        "secret",
        "password",
        "pgbouncer",
    ]
    .contains(&name)
}

/// A reference is no secret; anything else may be one.
pub fn shown_secret(text: &str) -> &str {
    match text.starts_with("env:") || text.starts_with("file:") {
        true => text,
        false => MASKED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(database: &str, jobs: Option<u16>) -> AppDefinition {
        AppDefinition {
            databases: vec![database.into()],
            jobs,
            repository: Some("main".into()),
            ..AppDefinition::default()
        }
    }

    fn file(apps: &[(&str, AppDefinition)]) -> Definitions {
        Definitions {
            apps: apps
                .iter()
                .map(|(name, app)| ((*name).to_owned(), app.clone()))
                .collect(),
            repositories: [("main".to_owned(), RepositoryDefinition::default())].into(),
            ..Definitions::default()
        }
    }

    fn held(definitions: &Definitions, from_file: bool) -> Held {
        fn all<T: Clone>(
            map: &BTreeMap<String, T>,
            from_file: bool,
        ) -> BTreeMap<String, Existing<T>> {
            let one = |value: &T| Existing {
                value: value.clone(),
                from_file,
                revision: 3,
            };
            map.iter()
                .map(|(name, value)| (name.clone(), one(value)))
                .collect()
        }
        Held {
            apps: all(&definitions.apps, from_file),
            repositories: all(&definitions.repositories, from_file),
            policies: all(&definitions.policies, from_file),
            targets: all(&definitions.targets, from_file),
        }
    }

    fn words(plan: &ApplyPlan) -> Vec<String> {
        plan.steps
            .iter()
            .map(|step| {
                let changes = step.changes.join("; ");
                format!(
                    "{:?} {} {} {changes}",
                    step.action,
                    step.object.word(),
                    step.name
                )
                .trim_end()
                .to_lowercase()
            })
            .collect()
    }

    #[test]
    fn what_is_missing_is_made_in_the_order_of_its_references() {
        let plan = plan(
            &file(&[("shop", app("env:URL", None))]),
            &Held::default(),
            false,
        );
        assert_eq!(words(&plan), ["create repository main", "create app shop"]);
    }

    #[test]
    fn the_same_again_is_nothing_to_do() {
        let wanted = file(&[("shop", app("postgres://u:p@h/db", Some(2)))]);
        let plan = plan(&wanted, &held(&wanted, true), false);
        assert!(plan.steps.is_empty());
        assert_eq!(plan.unchanged, 2);
    }

    #[test]
    fn changes_are_told_by_field_and_secrets_never() {
        let before = file(&[("shop", app("postgres://u:geheim@h/db", Some(2)))]);
        let after = file(&[("shop", app("postgres://u:anders@h/db", Some(4)))]);
        let change = plan(&after, &held(&before, true), false);
        assert_eq!(
            words(&change),
            ["update app shop databases[0]: written anew; jobs: 2 → 4"]
        );
        assert_eq!(change.steps[0].revision, Some(3));
        let after = file(&[("shop", app("env:URL", None))]);
        let change = plan(&after, &held(&before, true), false);
        assert_eq!(
            words(&change),
            ["update app shop databases[0]: **** → env:url; jobs: 2 → none"]
        );
    }

    #[test]
    fn what_others_made_stays_unless_pruned_and_goes_in_reverse_order() {
        let others = held(&file(&[("shop", app("env:URL", None))]), false);
        let nothing = Definitions::default();
        let kept = plan(&nothing, &others, false);
        assert!(kept.steps.is_empty());
        assert_eq!(kept.left_alone, ["repository main", "app shop"]);
        let pruned = plan(&nothing, &others, true);
        assert_eq!(
            words(&pruned),
            ["delete app shop", "delete repository main"]
        );
        let own = held(&file(&[("shop", app("env:URL", None))]), true);
        assert_eq!(plan(&nothing, &own, false).count(Action::Delete), 2);
    }

    #[test]
    fn what_a_file_names_becomes_the_files() {
        let wanted = file(&[]);
        let plan = plan(&wanted, &held(&wanted, false), false);
        assert_eq!(
            words(&plan),
            ["update repository main belongs to the file from now on"]
        );
    }
}
