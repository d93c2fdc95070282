//! Backups as a server lists them, in the engine's own terms, so that they are shown as those of a repository here.

use super::{Api, Call, encoded};
use crate::{
    error::{CliError, CliResult},
    exit::Exit,
};
use pgkeep_engine::catalog::{BackupEntry, Origin, PRE_RESTORE, Validity};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How many backups are looked at for the latest one.
const RECENT: usize = 200;

/// Fewer digits than these name no backup in a path of the API.
const SHORTEST_ID: usize = 4;

/// A backup on a server: what is known of it, and the repository that it is found in.
pub struct Found {
    pub entry: BackupEntry,
    pub repository: String,
}

impl Api {
    /// The backup meant by the start of an id, or by `latest`, with the rules that count for a repository here.
    pub fn find_backup(
        &self,
        wanted: &str,
        app: Option<&str>,
        repository: Option<&str>,
    ) -> CliResult<Found> {
        if wanted != "latest" {
            return self.backup_by_id(&wanted.to_ascii_lowercase(), repository);
        }
        let call = Call::get("/backups")
            .maybe("app", app)
            .maybe("repository", repository);
        let recent = self.list(&call, RECENT)?;
        let apps: BTreeSet<&str> = recent.iter().filter_map(|b| b["app"].as_str()).collect();
        if apps.len() > 1 {
            let names: Vec<&str> = apps.into_iter().collect();
            return Err(CliError::usage(format!(
                "the server holds backups of several apps: {}",
                names.join(", ")
            ))
            .with_hint("say with --app whose latest backup is meant, or give the backup's id"));
        }
        // A restore's safety backup holds what the restore was to get rid of: only its id names it.
        let is_safety = |backup: &Value| {
            let tags = backup["tags"].as_array().into_iter().flatten();
            tags.clone().any(|tag| tag == PRE_RESTORE)
        };
        let latest = recent.iter().find(|backup| !is_safety(backup));
        match latest.or(recent.first()) {
            Some(backup) => found(backup.clone()),
            None => Err(
                CliError::new(Exit::NotFound, "the server holds no matching backup")
                    .with_hint("`pgkeep list` shows what there is; `pgkeep backup` makes one"),
            ),
        }
    }

    /// The backup whose id begins so, with the words for one that is not there that a repository here has.
    fn backup_by_id(&self, wanted: &str, repository: Option<&str>) -> CliResult<Found> {
        let unknown = || {
            CliError::new(Exit::NotFound, format!("no backup with id {wanted}"))
                .with_hint("`pgkeep list` shows the ids; `latest` names the newest")
        };
        if wanted.is_empty() || wanted.len() > 64 || !wanted.bytes().all(|b| b.is_ascii_hexdigit())
        {
            return Err(unknown());
        }
        if wanted.len() >= SHORTEST_ID {
            let call =
                Call::get(format!("/backups/{}", encoded(wanted))).maybe("repository", repository);
            return match self.document(&call) {
                Ok(backup) => found(backup),
                Err(error) if error.exit == Exit::NotFound => Err(unknown()),
                Err(error) => Err(error),
            };
        }
        let call = Call::get("/backups")
            .query("text", wanted)
            .maybe("repository", repository);
        let mut those = self.backups(&call, usize::MAX)?;
        those.retain(|found| found.entry.id.starts_with(wanted));
        those.dedup_by(|a, b| a.entry.id == b.entry.id);
        match those.len() {
            0 => Err(unknown()),
            1 => Ok(those.remove(0)),
            n => Err(
                CliError::usage(format!("{n} backups have ids that start with {wanted}"))
                    .with_hint("give more digits of the id"),
            ),
        }
    }

    /// Backups that a query asks for, oldest first.
    pub fn backups(&self, call: &Call, most: usize) -> CliResult<Vec<Found>> {
        let mut all = self
            .list(call, most)?
            .into_iter()
            .map(found)
            .collect::<CliResult<Vec<_>>>()?;
        all.reverse();
        Ok(all)
    }
}

fn found(backup: Value) -> CliResult<Found> {
    entry_of(&backup).ok_or_else(|| {
        CliError::new(Exit::Server, "the server's backup cannot be read").with_hint(
            "the server may be of another version: compare `pgkeep --version` on both machines",
        )
    })
}

fn entry_of(backup: &Value) -> Option<Found> {
    let text = |name: &str| backup[name].as_str().map(str::to_owned);
    let time = |name: &str| backup[name].as_str().and_then(|at| at.parse().ok());
    let texts = |name: &str| -> Vec<String> {
        let items = backup[name].as_array().into_iter().flatten();
        items
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect()
    };
    let taken = backup["time"].clone();
    // Only a repository knows the file; nothing that is shown depends on it.
    let snapshot = json!({ "time": taken, "tree": "0".repeat(64) });
    let entry = BackupEntry {
        id: text("id").filter(|id| id.len() >= 8)?,
        time: time("time")?,
        app: text("app")?,
        environment: text("environment").unwrap_or_default(),
        kind: text("kind")?,
        databases: texts("databases"),
        files: texts("files"),
        description: text("description").unwrap_or_default(),
        tags: texts("tags"),
        pinned: backup["pinned"] == true,
        partial: backup["partial"] == true,
        schema_version: text("schema_version"),
        origin: Origin {
            policy: text("policy"),
            job: text("job"),
        },
        validity: Validity {
            stored: true,
            checked_at: time("checked_at"),
            proven_at: time("proven_at"),
            proven_seconds: backup["proven_seconds"].as_f64(),
            damaged_at: time("damaged_at"),
            drill_failed_at: time("drill_failed_at"),
            shrunk: text("shrunk"),
        },
        hostname: text("hostname").unwrap_or_default(),
        username: text("username").unwrap_or_default(),
        snapshot: serde_json::from_value(snapshot).ok()?,
    };
    Some(Found {
        entry,
        repository: text("repository")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_backup_reads_like_one_of_a_repository() {
        let backup = json!({
            "id": "a".repeat(64), "repository": "main", "time": "2026-11-21T08:00:00Z", "app": "shop", "kind": "full",
            "databases": ["shop"], "tags": ["nightly"], "pinned": true, "partial": false,
            "proven_at": "2026-11-21T09:00:00Z", "proven_seconds": 1.5, "policy": "nightly",
        });
        let found = entry_of(&backup).unwrap();
        assert_eq!(found.repository, "main");
        let shown = serde_json::to_value(&found.entry).unwrap();
        assert_eq!(shown["validity"]["proven_seconds"], 1.5);
        assert_eq!(shown["policy"], "nightly");
        assert!(shown.get("snapshot").is_none());
        assert!(entry_of(&json!({ "id": "x" })).is_none());
    }
}
