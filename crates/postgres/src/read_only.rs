//! Making a database read-only for new sessions, in a way that is recognised and taken back without any other state.
//!
//! `ALTER DATABASE … SET default_transaction_read_only` holds for every session that begins afterwards; those that are
//! there already are ended. The server keeps a setting's text as it was given, and pgkeep spells the value as nobody else
//! does: so its fence is known for its own even after a crash, and one that an operator set is never lifted. A backup
//! leaves the fence out of the database's properties, for what is restored from it is not fenced.

use crate::{Result, wire::Connection};
use pgkeep_model::evidence::{quote_ident, quote_literal};

const NAME: &str = "default_transaction_read_only";

/// What a fence is for. A spelling of its own for each, so that one never lifts the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The database moves to another server: up until the move is accepted or taken back.
    Upgrade,
    /// The database is being replaced: up until that is done or has failed.
    Restore,
}

/// Spellings that the server reads as true; the last says that the setting was there before, and false.
const SPELLINGS: [(&str, Reason, bool); 3] = [
    ("tRUE", Reason::Upgrade, false),
    ("tRuE", Reason::Restore, false),
    ("TrUe", Reason::Restore, true),
];

/// Whether a stored setting, `name=value`, is a fence of pgkeep's.
pub fn is_fence(setting: &str) -> bool {
    spelling(setting).is_some()
}

/// Whether a stored setting is a fence for this reason.
pub fn is_fence_for(setting: &str, reason: Reason) -> bool {
    spelling(setting).is_some_and(|(_, meant, _)| *meant == reason)
}

fn spelling(setting: &str) -> Option<&'static (&'static str, Reason, bool)> {
    let (name, value) = setting.split_once('=')?;
    SPELLINGS
        .iter()
        .find(|(spelled, ..)| name == NAME && *spelled == value)
}

/// Fences a database for an upgrade; see [`fence_for`].
pub fn fence(admin: &mut Connection, database: &str) -> Result<usize> {
    fence_for(admin, database, Reason::Upgrade)
}

/// Fences a database and ends its sessions, those of pgkeep excepted. One that is read-only by its operator's setting
/// stays as it is, and so do its sessions. Returns how many sessions were ended.
pub fn fence_for(admin: &mut Connection, database: &str, reason: Reason) -> Result<usize> {
    let stored = stored(admin, database)?;
    if stored.iter().any(|s| is_set_to_true(s)) {
        return Ok(0);
    }
    let was_false = reason == Reason::Restore
        && stored
            .iter()
            .any(|s| s.split_once('=').is_some_and(|(name, _)| name == NAME));
    let (value, ..) = SPELLINGS
        .iter()
        .find(|(_, meant, before)| *meant == reason && *before == was_false)
        .expect("every case has a spelling");
    admin
        .execute(&format!(
            "ALTER DATABASE {} SET {NAME} TO {}",
            quote_ident(database),
            quote_literal(value)
        ))
        .map_err(|e| e.doing(format!("making database {database} read-only")))?;
    let ended = admin
        .query(&format!(
            "SELECT pg_catalog.pg_terminate_backend(pid, 10000) FROM pg_catalog.pg_stat_activity
             WHERE datname = {} AND pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend'
               AND application_name NOT LIKE 'pgkeep %'",
            quote_literal(database)
        ))
        .map_err(|e| e.doing(format!("ending the sessions on database {database}")));
    match ended {
        Ok(ended) => Ok(ended.len()),
        Err(error) => {
            lift_for(admin, database, reason)?;
            Err(error)
        }
    }
}

/// Takes the fence of an upgrade away; false when there is none.
pub fn lift(admin: &mut Connection, database: &str) -> Result<bool> {
    lift_for(admin, database, Reason::Upgrade)
}

/// Takes pgkeep's fence for this reason away, and gives the setting back that was there before; false when there is none.
pub fn lift_for(admin: &mut Connection, database: &str, reason: Reason) -> Result<bool> {
    let stored = stored(admin, database)?;
    let found = stored.iter().find_map(|setting| spelling(setting));
    let Some((_, _, was_false)) = found.filter(|(_, meant, _)| *meant == reason) else {
        return Ok(false);
    };
    let change = match was_false {
        true => format!("SET {NAME} TO off"),
        false => format!("RESET {NAME}"),
    };
    admin
        .execute(&format!(
            "ALTER DATABASE {} {change}",
            quote_ident(database)
        ))
        .map_err(|e| e.doing(format!("letting database {database} be written to again")))?;
    Ok(true)
}

/// True when the fence of an upgrade is on the database.
pub fn is_fenced(admin: &mut Connection, database: &str) -> Result<bool> {
    is_fenced_for(admin, database, Reason::Upgrade)
}

/// True when pgkeep's own fence for this reason is on the database.
pub fn is_fenced_for(admin: &mut Connection, database: &str, reason: Reason) -> Result<bool> {
    Ok(stored(admin, database)?
        .iter()
        .any(|s| is_fence_for(s, reason)))
}

fn is_set_to_true(setting: &str) -> bool {
    setting.split_once('=').is_some_and(|(name, value)| {
        let value = value.to_ascii_lowercase();
        name == NAME && ["on", "true", "yes", "1"].contains(&value.as_str())
    })
}

fn stored(admin: &mut Connection, database: &str) -> Result<Vec<String>> {
    let rows = admin.query(&format!(
        "SELECT s.setconfig::text FROM pg_catalog.pg_db_role_setting s
           JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
         WHERE d.datname = {} AND s.setrole = 0",
        quote_literal(database)
    ))?;
    // A database with no setting at all has no row.
    let settings = rows.first().map(|row| row.text(0)).unwrap_or_default();
    Ok(crate::inspect::parse_array(&settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_spelling_is_our_fence() {
        assert!(is_fence("default_transaction_read_only=tRUE"));
        for other in ["on", "true", "TRUE", "yes"] {
            let setting = format!("default_transaction_read_only={other}");
            assert!(!is_fence(&setting), "{setting}");
            assert!(is_set_to_true(&setting), "{setting}");
        }
        assert!(!is_fence("transaction_read_only=tRUE"));
        assert!(is_fence_for(
            "default_transaction_read_only=TrUe",
            Reason::Restore
        ));
        assert!(!is_fence_for(
            "default_transaction_read_only=tRUE",
            Reason::Restore
        ));
        for (spelled, ..) in SPELLINGS {
            assert!(is_set_to_true(&format!("{NAME}={spelled}")));
        }
    }
}
