//! What drills left behind because they were killed is removed when the server starts, and every hour.
//!
//! Only servers that drills were made on are looked at, and only what carries a drill's own mark is touched; see
//! [`pgkeep_engine::drill`]. A server that cannot be reached is looked at again an hour later.

use crate::{jobs::drill::server_of, settings::Places, targets::Machine};
use pgkeep_catalog::{Catalog, CatalogError, JobFilter, Page, Stored};
use pgkeep_engine::drill::remove_leftovers;
use pgkeep_model::{CancelToken, Silent, app::AppDefinition, job::JobKind};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(3600);

/// Looks until `shutdown`.
pub async fn watch(
    catalog: Catalog,
    machine: Machine,
    places: Places,
    shutdown: CancellationToken,
) {
    let mut timer = interval(EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        let apps = match drilled_apps(&catalog).await {
            Ok(apps) => apps,
            Err(error) => {
                tracing::warn!(%error, "whether drills left something cannot be looked for");
                continue;
            }
        };
        let cancel = CancelToken::new();
        let (machine, places, token) = (machine.clone(), places.clone(), cancel.clone());
        let looked = tokio::task::spawn_blocking(move || sweep(&machine, &places, &apps, token));
        tokio::select! {
            () = shutdown.cancelled() => {
                cancel.cancel();
                return;
            }
            removed = looked => {
                for what in removed.unwrap_or_default() {
                    tracing::info!(what, "removed what a killed drill had left");
                }
            }
        }
    }
}

/// Apps of which a drill is remembered.
async fn drilled_apps(catalog: &Catalog) -> Result<Vec<Stored<AppDefinition>>, CatalogError> {
    let mut drilled = Vec::new();
    for app in catalog.apps().await? {
        let filter = JobFilter {
            kinds: vec![JobKind::Drill],
            apps: Some(vec![app.name.clone()]),
            ..JobFilter::default()
        };
        let page = Page {
            limit: 1,
            ..Page::default()
        };
        if !catalog.jobs(&filter, &page).await?.items.is_empty() {
            drilled.push(app);
        }
    }
    Ok(drilled)
}

/// Removes what was left in the folders and on the servers of these apps; returns names and paths.
fn sweep(
    machine: &Machine,
    places: &Places,
    apps: &[Stored<AppDefinition>],
    cancel: CancelToken,
) -> Vec<String> {
    let mut removed = Vec::new();
    let mut folders = vec![places.drills()];
    folders.extend(
        apps.iter()
            .filter_map(|app| app.value.drill.scratch.as_ref())
            .map(PathBuf::from),
    );
    folders.dedup();
    let context = |app| machine.context(app, cancel.clone(), Arc::new(Silent));
    for folder in folders {
        match remove_leftovers(None, Some(&folder), &context(None)) {
            Ok(found) => removed.extend(found),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), "what drills left cannot be removed: {error}");
            }
        }
    }
    for app in apps {
        let looked = server_of(machine, &app.name, &app.value)
            .and_then(|admin| remove_leftovers(Some(&admin), None, &context(Some(&app.value))));
        match looked {
            Ok(found) => removed.extend(found),
            Err(error) => {
                tracing::debug!(
                    app = app.name,
                    "its server for drills cannot be looked at: {error}"
                );
            }
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_catalog::ManagedBy;
    use pgkeep_postgres::{connect::Environment, restore::Mark};
    use pgkeep_testkit::{ManualClock, TestPostgres};
    use serde_json::json;

    /// Linux gives no process so high a number.
    const NOBODY: u32 = u32::MAX >> 1;

    #[test]
    fn what_a_killed_drill_left_is_removed_and_what_only_looks_like_it_is_not() {
        let postgres = TestPostgres::start(17);
        let clock = Arc::new(ManualClock::at("2026-11-21T08:00:00Z"));
        let nothing = std::iter::empty::<(&str, &str)>();
        let machine = Machine::here(clock, Environment::new(nothing));
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places::inside(folder.path());
        let now = machine.clock.now();

        let left = "shop_drill_20260228T120000Z";
        for name in [left, "shop_drill_results"] {
            postgres.create_database(name);
        }
        let mark = Mark::Restoring {
            database: left.into(),
            host: machine.hostname.clone(),
            pid: NOBODY,
            started_at: now,
            comment: None,
        };
        let comment = mark.to_comment().replace('\'', "''");
        let sql = format!("COMMENT ON DATABASE \"{left}\" IS '{comment}'");
        postgres.psql("postgres", &sql);

        std::fs::create_dir_all(places.drills()).expect("made");
        let drills = places.drills().canonicalize().expect("there");
        let (killed, own) = (drills.join("killed"), drills.join("own"));
        std::fs::create_dir_all(killed.join("files/media")).expect("made");
        std::fs::create_dir_all(&own).expect("made");
        let mark = json!({
            "folder": killed, "backup": "0123", "host": machine.hostname, "pid": NOBODY, "started_at": now,
        });
        std::fs::write(killed.join(".pgkeep-drill.json"), mark.to_string()).expect("written");

        let app = Stored {
            name: "shop".to_owned(),
            value: AppDefinition {
                admin_url: Some(postgres.url_for("postgres").into()),
                ..AppDefinition::default()
            },
            revision: 1,
            managed_by: ManagedBy::Api,
            created_at: now,
            updated_at: now,
        };
        let sweep = || {
            sweep(
                &machine,
                &places,
                std::slice::from_ref(&app),
                CancelToken::new(),
            )
        };
        assert_eq!(sweep(), [killed.display().to_string(), left.to_owned()]);
        assert!(!killed.exists() && own.exists());
        assert_eq!(sweep(), Vec::<String>::new());
        let there = "SELECT count(*) FROM pg_database WHERE datname = 'shop_drill_results'";
        assert_eq!(postgres.psql("postgres", there), "1");
    }
}
