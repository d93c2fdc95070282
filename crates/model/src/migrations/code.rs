//! How a database stands to the code: what would run now, and what the code does not know.

use super::{
    AppliedMigration, MigrationState, Relation,
    compare::{Side, compare_heads},
    order::{Order, by_version, is_repeatable, key},
    qualified,
};
use crate::app::Framework;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The migrations that the app's code holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeMigrations {
    pub framework: Framework,
    /// In the order in which the tool would run them, as far as names tell.
    pub migrations: Vec<CodeMigration>,
}

/// A migration in the code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CodeMigration {
    /// App label, or empty.
    pub label: String,
    /// As the tool would write it down.
    pub name: String,
    /// As people know it: its file's name.
    pub title: String,
    /// `label.name` of those that it stands for.
    pub replaces: Vec<String>,
    /// Those before it, where the tool writes down heads only.
    pub parents: Vec<String>,
    /// As the tool computes it, where that is known; several where it depends on how the tool was built or configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checksums: Vec<String>,
    /// Run only where the tool is told to, so it is not missing where it was not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

impl CodeMigrations {
    /// In the order in which the tool would run them, as far as names and parents tell.
    pub fn new(framework: Framework, mut migrations: Vec<CodeMigration>) -> Self {
        // A list for statements of the user's is in order already.
        if framework != Framework::Query {
            migrations.sort_by(|a, b| {
                (a.label.cmp(&b.label))
                    .then_with(|| by_version(&key(framework, &a.name), &key(framework, &b.name)))
            });
        }
        if framework.order() == Order::Heads {
            parents_first(&mut migrations);
        }
        Self {
            framework,
            migrations,
        }
    }
}

fn parents_first(migrations: &mut Vec<CodeMigration>) {
    let mut waiting = std::mem::take(migrations);
    while !waiting.is_empty() {
        let open: BTreeSet<String> = waiting.iter().map(|m| m.name.clone()).collect();
        let free = |m: &CodeMigration| !m.parents.iter().any(|p| open.contains(p));
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(free);
        if ready.is_empty() {
            // A circle, which the tool itself would refuse.
            migrations.extend(rest);
            return;
        }
        migrations.extend(ready);
        waiting = rest;
    }
}

impl CodeMigration {
    fn shown(&self) -> String {
        match self.title.as_str() {
            "" => qualified(&self.label, &self.name),
            title => qualified(&self.label, title),
        }
    }
}

/// How a database stands to the code: older where the code would run something, newer where the database holds what the
/// code does not know. Labels that the code's folder does not hold belong to libraries and are left out.
pub fn against_code(state: &MigrationState, code: &CodeMigrations) -> Relation {
    if state.framework != code.framework {
        return Relation::Unknown {
            why: format!(
                "the database keeps its version by {}, the code by {}",
                state.framework.title(),
                code.framework.title()
            ),
        };
    }
    match state.framework.order() {
        Order::Heads => heads_against_code(state, code),
        Order::Newest => newest_against_code(state, code),
        order => lists_against_code(state, code, order),
    }
}

/// The state with the ancestors of its heads, for tools that write down heads only; `None` where the code does not know
/// a head. Two such states can be compared like lists.
pub fn with_ancestors(state: &MigrationState, code: &CodeMigrations) -> Option<BTreeSet<String>> {
    let parents: BTreeMap<&str, &[String]> = code
        .migrations
        .iter()
        .map(|m| (m.name.as_str(), m.parents.as_slice()))
        .collect();
    let mut found = BTreeSet::new();
    let mut open = state.names();
    while let Some(name) = open.pop() {
        let before = parents.get(name.as_str())?;
        if found.insert(name) {
            open.extend(before.iter().cloned());
        }
    }
    Some(found)
}

/// As [`super::compare()`], with what the code knows of the order, and what it knew when a backup was made: two revisions of
/// a graph can be told apart by it.
pub fn compare_knowing(
    have: &MigrationState,
    other: &MigrationState,
    code: Option<&CodeMigrations>,
) -> Relation {
    if have.framework != other.framework || have.framework.order() != Order::Heads {
        return super::compare(have, other);
    }
    let code = known_of_both(have, other, code.filter(|c| c.framework == have.framework));
    let ancestors = with_ancestors(have, &code).zip(with_ancestors(other, &code));
    let Some((mine, theirs)) = ancestors else {
        return compare_heads(have, other);
    };
    let only = |side: &BTreeSet<String>, not: &BTreeSet<String>| {
        code.migrations
            .iter()
            .filter(|m| side.contains(&m.name) && !not.contains(&m.name))
            .map(CodeMigration::shown)
            .collect()
    };
    Relation::of(only(&theirs, &mine), only(&mine, &theirs), false)
}

/// All revisions that anybody knows, under the titles that the code gives them.
fn known_of_both(
    have: &MigrationState,
    other: &MigrationState,
    code: Option<&CodeMigrations>,
) -> CodeMigrations {
    let mut all: BTreeMap<String, CodeMigration> = BTreeMap::new();
    for (name, parents) in have.revisions.iter().chain(&other.revisions) {
        let migration = CodeMigration {
            name: name.clone(),
            parents: parents.clone(),
            ..CodeMigration::default()
        };
        all.insert(name.clone(), migration);
    }
    for migration in code.iter().flat_map(|code| &code.migrations) {
        all.insert(migration.name.clone(), migration.clone());
    }
    CodeMigrations::new(have.framework, all.into_values().collect())
}

fn heads_against_code(state: &MigrationState, code: &CodeMigrations) -> Relation {
    let known = |name: &String| code.migrations.iter().any(|m| m.name == *name);
    let unknown: Vec<String> = state.names().into_iter().filter(|n| !known(n)).collect();
    let all = known_of_both(state, state, Some(code));
    match with_ancestors(state, &all) {
        // What lies before an unknown head is unknown, too.
        None if !unknown.is_empty() => Relation::Newer { surplus: unknown },
        None => Relation::Unknown {
            why: "a revision names one before it that is not in the code".into(),
        },
        Some(applied) => {
            let missing = code
                .migrations
                .iter()
                .filter(|m| !applied.contains(&m.name))
                .map(CodeMigration::shown)
                .collect();
            let surplus = applied.into_iter().filter(|name| !known(name)).collect();
            Relation::of(missing, surplus, false)
        }
    }
}

fn newest_against_code(state: &MigrationState, code: &CodeMigrations) -> Relation {
    let at = state.names().into_iter().max_by(|a, b| by_version(a, b));
    let after = |m: &&CodeMigration| at.as_ref().is_none_or(|at| by_version(&m.name, at).is_gt());
    let missing: Vec<String> = code
        .migrations
        .iter()
        .filter(after)
        .map(CodeMigration::shown)
        .collect();
    let known = |at: &String| {
        code.migrations
            .iter()
            .any(|m| by_version(&m.name, at).is_eq())
    };
    let surplus: Vec<String> = at.iter().filter(|at| !known(at)).cloned().collect();
    Relation::of(missing, surplus, false)
}

fn lists_against_code(state: &MigrationState, code: &CodeMigrations, order: Order) -> Relation {
    let framework = state.framework;
    let mut by_label: BTreeMap<&str, Vec<&CodeMigration>> = BTreeMap::new();
    for migration in &code.migrations {
        by_label
            .entry(&migration.label)
            .or_default()
            .push(migration);
    }
    if !framework.has_labels() {
        by_label.entry("").or_default();
    }
    let recorded: BTreeSet<String> = state.names().into_iter().collect();
    let settled = settled_by_replacement(&code.migrations, &recorded);
    let (mut missing, mut surplus, mut fault) = (Vec::new(), Vec::new(), false);
    for (label, migrations) in by_label {
        let side = Side::new(state, label);
        let newest = newest_version(&side_names(state, label), framework);
        let last = migrations.iter().rposition(|m| side.has(&m.name));
        for (at, migration) in migrations.iter().enumerate() {
            let name = qualified(label, &migration.name);
            if settled.contains(&name) {
                continue;
            }
            if !side.has(&migration.name) {
                if migration.optional {
                    continue;
                }
                let late = match framework {
                    Framework::Query => last > Some(at),
                    _ => newest.as_ref().is_some_and(|newest| {
                        by_version(&key(framework, &migration.name), newest).is_lt()
                    }),
                };
                fault |=
                    order == Order::Linear && late && !is_repeatable(framework, &migration.name);
                missing.push(migration.shown());
            } else if differs(side.get(&migration.name), migration) {
                match is_repeatable(framework, &migration.name) {
                    true => missing.push(migration.shown()),
                    false => {
                        fault = true;
                        missing.push(format!("{} (other text)", migration.shown()));
                        surplus.push(format!("{} (other text)", migration.shown()));
                    }
                }
            }
        }
        let known: BTreeSet<String> = migrations.iter().map(|m| key(framework, &m.name)).collect();
        for applied in state.applied.get(label).into_iter().flatten() {
            let name = qualified(label, &applied.name);
            if !known.contains(&key(framework, &applied.name))
                && !settled.contains(&name)
                && !is_repeatable(framework, &applied.name)
            {
                surplus.push(name);
            }
        }
    }
    Relation::of(missing, surplus, fault)
}

fn differs(applied: Option<&AppliedMigration>, migration: &CodeMigration) -> bool {
    let recorded = applied.and_then(|m| m.checksum.as_ref());
    recorded
        .is_some_and(|sum| !migration.checksums.is_empty() && !migration.checksums.contains(sum))
}

fn side_names<'a>(state: &'a MigrationState, label: &str) -> Vec<&'a str> {
    let list = state.applied.get(label);
    list.into_iter()
        .flatten()
        .map(|m| m.name.as_str())
        .collect()
}

fn newest_version(names: &[&str], framework: Framework) -> Option<String> {
    names
        .iter()
        .filter(|name| !is_repeatable(framework, name))
        .map(|name| key(framework, name))
        .max_by(|a, b| by_version(a, b))
}

/// Squashed migrations and those that they stand for, as far as they need not be looked at one by one: where all were
/// applied, the squashed one counts as applied; where none was, it alone will run; where some were, the others will run
/// and it will not.
fn settled_by_replacement(
    migrations: &[CodeMigration],
    recorded: &BTreeSet<String>,
) -> BTreeSet<String> {
    let mut settled = BTreeSet::new();
    for squashed in migrations.iter().filter(|m| !m.replaces.is_empty()) {
        let own = qualified(&squashed.label, &squashed.name);
        let applied = squashed
            .replaces
            .iter()
            .filter(|name| recorded.contains(*name))
            .count();
        if recorded.contains(&own) || applied == squashed.replaces.len() {
            settled.insert(own);
            settled.extend(squashed.replaces.iter().cloned());
        } else if applied == 0 {
            settled.extend(squashed.replaces.iter().cloned());
        } else {
            settled.insert(own);
        }
    }
    settled
}
