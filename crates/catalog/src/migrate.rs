//! Brings the schema of a catalog to the version that this build knows.
//!
//! All missing steps and the note of each run in one transaction, under a lock: two programs that start at once do it once,
//! and a step that fails leaves the catalog as it was. A step that was released is never changed again.

use crate::db::{Tx, params};
use crate::error::{CatalogError, Result};

struct Step {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! step {
    ($version:literal, $name:literal) => {
        Step {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $name, ".sql")),
        }
    };
}

const STEPS: &[Step] = &[
    step!(1, "0001_core"),
    step!(2, "0002_people"),
    step!(3, "0003_whole_apps"),
    step!(4, "0004_repository_care"),
    step!(5, "0005_doubts"),
    step!(6, "0006_status"),
    step!(7, "0007_second_person"),
];

/// The newest version that this build knows.
pub const SCHEMA_VERSION: i64 = STEPS[STEPS.len() - 1].version;

/// Returns whether the catalog is new, that is, had no schema before.
pub(crate) async fn migrate(tx: &mut Tx) -> Result<bool> {
    tx.lock("migrate").await?;
    if tx.is_postgres() {
        tx.script("CREATE SCHEMA IF NOT EXISTS pgkeep").await?;
    }
    tx.script(
        "CREATE TABLE IF NOT EXISTS schema_versions (
            version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)",
    )
    .await?;
    let found = tx
        .row(
            "SELECT coalesce(max(version), 0) AS version FROM schema_versions",
            params![],
        )
        .await?
        .map_or(Ok(0), |row| row.int("version"))?;
    if found > SCHEMA_VERSION {
        return Err(CatalogError::NewerSchema {
            found,
            known: SCHEMA_VERSION,
        });
    }
    for step in STEPS.iter().filter(|step| step.version > found) {
        let script = if tx.is_postgres() {
            step.postgres
        } else {
            step.sqlite
        };
        tx.script(script).await?;
        let now = tx.now();
        tx.run(
            "INSERT INTO schema_versions (version, name, applied_at) VALUES ($1, $2, $3)",
            params![step.version, step.name, now],
        )
        .await?;
    }
    Ok(found == 0)
}
