//! How the versions of two databases stand to each other.

use super::{
    AppliedMigration, CodeMigrations, MigrationState,
    code::compare_knowing,
    order::{Order, by_version, is_repeatable, key},
    qualified,
};
use crate::app::Framework;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How one version stands to another. Names are `label.name`, or the name alone where the tool has no labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "relation", rename_all = "snake_case")]
pub enum Relation {
    Same,
    /// The other has these besides.
    Older {
        missing: Vec<String>,
    },
    /// It has these besides.
    Newer {
        surplus: Vec<String>,
    },
    /// Neither leads to the other by running what is missing.
    Diverged {
        missing: Vec<String>,
        surplus: Vec<String>,
    },
    Unknown {
        why: String,
    },
}

impl Relation {
    /// One word for a table.
    pub fn word(&self) -> &'static str {
        match self {
            Relation::Same => "same",
            Relation::Older { .. } => "older",
            Relation::Newer { .. } => "newer",
            Relation::Diverged { .. } => "diverged",
            Relation::Unknown { .. } => "unknown",
        }
    }

    /// What the other has besides.
    pub fn missing(&self) -> &[String] {
        match self {
            Relation::Older { missing } | Relation::Diverged { missing, .. } => missing,
            _ => &[],
        }
    }

    /// What it has besides the other.
    pub fn surplus(&self) -> &[String] {
        match self {
            Relation::Newer { surplus } | Relation::Diverged { surplus, .. } => surplus,
            _ => &[],
        }
    }

    /// By what each side lacks; `fault` where running what is missing does not lead from one to the other.
    pub(super) fn of(missing: Vec<String>, surplus: Vec<String>, fault: bool) -> Self {
        match (missing.is_empty(), surplus.is_empty()) {
            (true, true) => Relation::Same,
            (false, true) if !fault => Relation::Older { missing },
            (true, false) if !fault => Relation::Newer { surplus },
            _ => Relation::Diverged { missing, surplus },
        }
    }
}

/// A tool's two sides, compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    pub framework: Framework,
    /// Table that the tool keeps, on the side that has one.
    pub table: String,
    #[serde(flatten)]
    pub relation: Relation,
}

/// How `have` stands to `other`.
pub fn compare(have: &MigrationState, other: &MigrationState) -> Relation {
    if have.framework != other.framework {
        return Relation::Unknown {
            why: format!(
                "one keeps its version by {}, the other by {}",
                have.framework.title(),
                other.framework.title()
            ),
        };
    }
    match have.framework.order() {
        Order::Newest => compare_newest(have, other),
        Order::Heads => compare_knowing(have, other, None),
        order => compare_lists(have, other, order),
    }
}

fn compare_newest(have: &MigrationState, other: &MigrationState) -> Relation {
    let newest = |state: &MigrationState| state.names().into_iter().max_by(|a, b| by_version(a, b));
    match (newest(have), newest(other)) {
        (None, None) => Relation::Same,
        (None, Some(b)) => Relation::Older { missing: vec![b] },
        (Some(a), None) => Relation::Newer { surplus: vec![a] },
        (Some(a), Some(b)) => match by_version(&a, &b) {
            std::cmp::Ordering::Less => Relation::Older { missing: vec![b] },
            std::cmp::Ordering::Equal => Relation::Same,
            std::cmp::Ordering::Greater => Relation::Newer { surplus: vec![a] },
        },
    }
}

/// By the heads alone, where nobody knows what lies before them.
pub(super) fn compare_heads(have: &MigrationState, other: &MigrationState) -> Relation {
    let heads = |state: &MigrationState| state.names().into_iter().collect::<BTreeSet<_>>();
    let (a, b) = (heads(have), heads(other));
    if a == b {
        return Relation::Same;
    }
    let names = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>();
    match (a.is_empty(), b.is_empty()) {
        (true, _) => Relation::Older { missing: names(b) },
        (_, true) => Relation::Newer { surplus: names(a) },
        _ => Relation::Unknown {
            why: format!(
                "{} writes down only its newest revisions, {} here and {} there; the folder of its revisions would tell which is newer",
                have.framework.title(),
                names(a).join(", "),
                names(b).join(", ")
            ),
        },
    }
}

fn compare_lists(have: &MigrationState, other: &MigrationState, order: Order) -> Relation {
    let labels: BTreeSet<&String> = have.applied.keys().chain(other.applied.keys()).collect();
    let (mut missing, mut surplus, mut fault) = (Vec::new(), Vec::new(), false);
    for label in labels {
        let (mine, theirs) = (Side::new(have, label), Side::new(other, label));
        let lacking = mine.lacks(&theirs);
        let extra = theirs.lacks(&mine);
        if order == Order::Linear {
            fault |= theirs.any_before_common(&lacking, &mine)
                || mine.any_before_common(&extra, &theirs);
        }
        missing.extend(lacking.iter().map(|name| qualified(label, name)));
        surplus.extend(extra.iter().map(|name| qualified(label, name)));
        for (name, at_have, at_other) in mine.changed(&theirs) {
            let name = qualified(label, name);
            if is_repeatable(have.framework, &name) {
                // It is run again whenever its text changes: the later run is the newer version.
                match at_have < at_other {
                    true => missing.push(name),
                    false => surplus.push(name),
                }
            } else {
                fault = true;
                missing.push(format!("{name} (other text)"));
                surplus.push(format!("{name} (other text)"));
            }
        }
    }
    Relation::of(missing, surplus, fault)
}

/// One label of one state, by key.
pub(super) struct Side<'a> {
    state: &'a MigrationState,
    list: &'a [AppliedMigration],
    keys: BTreeMap<String, usize>,
}

impl<'a> Side<'a> {
    pub(super) fn new(state: &'a MigrationState, label: &str) -> Self {
        let list = state.applied.get(label).map_or(&[][..], Vec::as_slice);
        let keys = list
            .iter()
            .enumerate()
            .map(|(i, m)| (key(state.framework, &m.name), i))
            .collect();
        Self { state, list, keys }
    }

    /// True when it was applied, or was there before the tool was.
    pub(super) fn has(&self, name: &str) -> bool {
        let wanted = key(self.state.framework, name);
        let before = |baseline: &String| {
            !is_repeatable(self.state.framework, name)
                && by_version(&wanted, &key(self.state.framework, baseline)).is_le()
        };
        self.keys.contains_key(&wanted) || self.state.baseline.as_ref().is_some_and(before)
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a AppliedMigration> {
        let index = self.keys.get(&key(self.state.framework, name))?;
        Some(&self.list[*index])
    }

    fn lacks(&self, other: &Side<'a>) -> Vec<&'a String> {
        let names = other.list.iter().map(|m| &m.name);
        names.filter(|name| !self.has(name)).collect()
    }

    /// True when one of `names`, which are of this side, was applied here before something that the other has, too.
    fn any_before_common(&self, names: &[&'a String], other: &Side<'_>) -> bool {
        let versioned = |name: &str| !is_repeatable(self.state.framework, name);
        let last = self
            .list
            .iter()
            .rposition(|m| versioned(&m.name) && other.has(&m.name));
        names.iter().any(|name| {
            let at = self.list.iter().position(|m| m.name == **name);
            versioned(name) && at < last
        })
    }

    /// What both have with other checksums, and when each was applied.
    fn changed(
        &self,
        other: &Side<'a>,
    ) -> Vec<(&'a str, Option<jiff::Timestamp>, Option<jiff::Timestamp>)> {
        self.list
            .iter()
            .filter_map(|mine| {
                let theirs = other.get(&mine.name)?;
                let differ =
                    matches!((&mine.checksum, &theirs.checksum), (Some(a), Some(b)) if a != b);
                differ.then_some((mine.name.as_str(), mine.applied_at, theirs.applied_at))
            })
            .collect()
    }
}

/// Compares tool by tool. The same tool is found by its table; where each side has it once, whatever the table.
pub fn compare_all(have: &[MigrationState], other: &[MigrationState]) -> Vec<Comparison> {
    compare_all_knowing(have, other, &[])
}

/// As [`compare_all`], with what the code knows of the order.
pub fn compare_all_knowing(
    have: &[MigrationState],
    other: &[MigrationState],
    code: &[CodeMigrations],
) -> Vec<Comparison> {
    let once = |states: &[MigrationState], framework| {
        states.iter().filter(|s| s.framework == framework).count() == 1
    };
    let matches = |a: &MigrationState, b: &MigrationState| {
        a.framework == b.framework
            && (a.table == b.table || (once(have, a.framework) && once(other, b.framework)))
    };
    let mut comparisons = Vec::new();
    for mine in have {
        let theirs = other.iter().find(|theirs| matches(mine, theirs));
        comparisons.push(Comparison {
            framework: mine.framework,
            table: mine.table.clone(),
            relation: match theirs {
                Some(theirs) => {
                    let code = code.iter().find(|code| code.framework == mine.framework);
                    compare_knowing(mine, theirs, code)
                }
                None => Relation::of(Vec::new(), mine.names(), false),
            },
        });
    }
    for theirs in other
        .iter()
        .filter(|theirs| !have.iter().any(|mine| matches(mine, theirs)))
    {
        comparisons.push(Comparison {
            framework: theirs.framework,
            table: theirs.table.clone(),
            relation: Relation::of(theirs.names(), Vec::new(), false),
        });
    }
    comparisons
}

/// Several tools' relations as one; `None` where there is nothing to compare.
pub fn overall<'a>(relations: impl IntoIterator<Item = &'a Relation>) -> Option<Relation> {
    let mut relations = relations.into_iter().peekable();
    relations.peek()?;
    let (mut missing, mut surplus, mut fault, mut unknown) = (Vec::new(), Vec::new(), false, None);
    for relation in relations {
        missing.extend_from_slice(relation.missing());
        surplus.extend_from_slice(relation.surplus());
        match relation {
            Relation::Diverged { .. } => fault = true,
            Relation::Unknown { why } => unknown = unknown.or(Some(why.clone())),
            _ => {}
        }
    }
    Some(match unknown {
        Some(why) if !fault => Relation::Unknown { why },
        _ => Relation::of(missing, surplus, fault),
    })
}
