//! What somebody agreed to, as a hash: a restore that waits for a second person does that or nothing.
//!
//! It is of the plan (what is read, where it goes, in which steps) and of the definitions that say how it is done: the app's
//! connections, hooks, commands and folders, and the repository's address. Of definitions it holds the revision and the time
//! of the change, not the content: they hold secrets, and the hash is shown.

use pgkeep_catalog::Stored;
use pgkeep_engine::{files::restore::FilesSummary, restore::PlanSummary};
use sha2::{Digest, Sha256};

/// Tells one state of a definition from every other one.
pub fn state_of<T>(stored: &Stored<T>) -> String {
    format!(
        "{} {} {} {}",
        stored.name, stored.revision, stored.created_at, stored.updated_at
    )
}

/// Equal for restores that do the same to the same data in the same way: what only the passing time changes is left out.
pub fn of_restore(
    definitions: &[String],
    database: Option<&PlanSummary>,
    files: Option<&FilesSummary>,
) -> String {
    let database = database.map(|plan| {
        serde_json::json!({
            "backup": plan.backup,
            "target": plan.database.target,
            "server": plan.database.target_server,
            "selection": plan.database.selection,
            "steps": plan.steps,
            "refusals": plan.refusals,
            "overwrites": plan.overwrites,
        })
    });
    let files = files.map(|plan| {
        let refused: Vec<&str> = plan.refusals.iter().map(|r| r.remedy.as_str()).collect();
        serde_json::json!({
            "backup": plan.backup,
            "steps": plan.steps,
            "refusals": refused,
            "overwrites": plan.overwrites,
        })
    });
    of(&serde_json::json!([database, files, definitions]))
}

/// Of what has no plan beyond the job itself.
pub fn of_definitions(definitions: &[String]) -> String {
    of(&serde_json::json!(definitions))
}

fn of(told: &serde_json::Value) -> String {
    hex::encode(Sha256::digest(told.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{SignedDuration, Timestamp};
    use pgkeep_catalog::ManagedBy;

    #[test]
    fn every_change_of_a_definition_is_told_apart_even_after_it_was_removed() {
        let at = Timestamp::UNIX_EPOCH;
        let stored = |revision: i64, created: i64, updated: i64| Stored {
            name: "shop".into(),
            value: (),
            revision,
            managed_by: ManagedBy::Api,
            created_at: at + SignedDuration::from_secs(created),
            updated_at: at + SignedDuration::from_secs(updated),
        };
        let hash = |stored: &Stored<()>| of_definitions(&[state_of(stored)]);
        let agreed = hash(&stored(1, 0, 0));
        assert_eq!(agreed, hash(&stored(1, 0, 0)));
        for other in [stored(2, 0, 9), stored(1, 7, 7), stored(2, 7, 9)] {
            assert_ne!(agreed, hash(&other));
        }
        assert_ne!(
            agreed,
            of_restore(&[state_of(&stored(1, 0, 0))], None, None)
        );
    }
}
