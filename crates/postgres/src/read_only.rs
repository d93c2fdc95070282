//! Making a database read-only for new sessions, in a way that is recognised and taken back without any other state.
//!
//! `ALTER DATABASE … SET default_transaction_read_only` holds for every session that begins afterwards; those that are
//! there already are ended. The server keeps a setting's text as it was given, and pgkeep spells the value as nobody else
//! does: so its fence is known for its own even after a crash, and one that an operator set is never lifted. A backup
//! leaves the fence out of the database's properties, for what is restored from it is not fenced.

use crate::{Result, wire::Connection};
use pgkeep_model::evidence::{quote_ident, quote_literal};

const NAME: &str = "default_transaction_read_only";
/// Read as true by the server.
const VALUE: &str = "tRUE";

/// Whether a stored setting, `name=value`, is a fence of pgkeep's.
pub fn is_fence(setting: &str) -> bool {
    setting.split_once('=') == Some((NAME, VALUE))
}

/// Fences a database and ends its sessions, those of pgkeep excepted. One that is read-only by its operator's setting
/// stays as it is, and so do its sessions. Returns how many sessions were ended.
pub fn fence(admin: &mut Connection, database: &str) -> Result<usize> {
    let stored = stored(admin, database)?;
    if stored.iter().any(|s| is_set_to_true(s)) {
        return Ok(0);
    }
    admin
        .execute(&format!(
            "ALTER DATABASE {} SET {NAME} TO {}",
            quote_ident(database),
            quote_literal(VALUE)
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
            lift(admin, database)?;
            Err(error)
        }
    }
}

/// Takes pgkeep's fence away; false when there is none.
pub fn lift(admin: &mut Connection, database: &str) -> Result<bool> {
    if !is_fenced(admin, database)? {
        return Ok(false);
    }
    admin
        .execute(&format!(
            "ALTER DATABASE {} RESET {NAME}",
            quote_ident(database)
        ))
        .map_err(|e| e.doing(format!("letting database {database} be written to again")))?;
    Ok(true)
}

/// True when pgkeep's own fence is on the database.
pub fn is_fenced(admin: &mut Connection, database: &str) -> Result<bool> {
    Ok(stored(admin, database)?.iter().any(|s| is_fence(s)))
}

fn is_set_to_true(setting: &str) -> bool {
    setting.split_once('=').is_some_and(|(name, value)| {
        let value = value.to_ascii_lowercase();
        name == NAME && ["on", "true", "yes", "1"].contains(&value.as_str())
    })
}

fn stored(admin: &mut Connection, database: &str) -> Result<Vec<String>> {
    let settings = admin.query_value(&format!(
        "SELECT s.setconfig::text FROM pg_catalog.pg_db_role_setting s
           JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
         WHERE d.datname = {} AND s.setrole = 0",
        quote_literal(database)
    ));
    match settings {
        Ok(settings) => Ok(crate::inspect::parse_array(&settings.unwrap_or_default())),
        Err(error) => Err(error),
    }
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
    }
}
