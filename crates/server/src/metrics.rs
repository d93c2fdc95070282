//! Figures for Prometheus, in its text format 0.0.4.
//!
//! What can be computed is computed when it is asked for, from the catalog and the status that everybody else sees: such a
//! figure is right after a restart, and the same from every server on one catalog. Only requests are counted as they come.
//!
//! An alarm needs no history: `pgkeep_overdue == 1`, or `pgkeep_rpo_seconds > 90000`.

mod process;
mod requests;
mod text;

pub use requests::Requests;

use crate::notify;
use crate::status::keeping::{self, Kept};
use jiff::Timestamp;
use pgkeep_catalog::{Catalog, CatalogError};
use pgkeep_model::status::{AppStatus, PolicyStatus, StatusReport};
use std::collections::BTreeSet;
use std::path::Path;
use text::{Kind, Text};

/// Type of what [`render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All figures. `report` may be cut down to the apps that the asker sees.
pub async fn render(
    requests: &Requests,
    catalog: &Catalog,
    report: &StatusReport,
    data_dir: &Path,
) -> Result<String, CatalogError> {
    let mut text = Text::default();
    text.family(
        "pgkeep_build_info",
        Kind::Gauge,
        "Always 1, with the version.",
    )
    .add(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    apps(&mut text, report);
    last_runs(&mut text, catalog, report).await?;
    policies(&mut text, report);
    queue(&mut text, catalog, report).await?;
    disks(&mut text, catalog, data_dir).await?;
    repositories(&mut text, catalog).await?;
    requests.write(&mut text);
    process::write(&mut text);
    Ok(text.into_string())
}

fn apps(text: &mut Text, report: &StatusReport) {
    let mut figure = |name, help, value: fn(&AppStatus) -> Option<f64>| {
        let mut family = text.family(name, Kind::Gauge, help);
        for app in &report.apps {
            family.add_known(&[("app", &app.health.app)], value(app));
        }
    };
    figure(
        "pgkeep_last_success_timestamp_seconds",
        "Time of the newest good backup.",
        |app| app.last_good.as_ref().map(|point| seconds(point.time)),
    );
    figure(
        "pgkeep_last_proven_timestamp_seconds",
        "When a backup was last proven by a restore.",
        |app| app.last_proven_at.map(seconds),
    );
    figure(
        "pgkeep_last_proof_duration_seconds",
        "Duration of that restore: the recovery time to count on.",
        |app| app.proven_seconds,
    );
    figure(
        "pgkeep_rpo_seconds",
        "Seconds of work that would be lost now: the age of the newest good backup.",
        |app| app.health.rpo_seconds.map(|seconds| seconds as f64),
    );
    figure(
        "pgkeep_health_score",
        "100 where all is well, less for each thing that is not.",
        |app| Some(f64::from(app.health.score)),
    );
    figure("pgkeep_alarm", "1 where somebody must act now.", |app| {
        Some(truth(app.health.is_alarm()))
    });
    let mut family = text.family(
        "pgkeep_health_cost",
        Kind::Gauge,
        "Points that an aspect costs of the score: fresh, proven, offsite, retention.",
    );
    for app in &report.apps {
        for reason in &app.health.reasons {
            family.add(
                &[("app", &app.health.app), ("aspect", reason.aspect.as_str())],
                f64::from(reason.cost),
            );
        }
    }
    let mut family = text.family(
        "pgkeep_attention",
        Kind::Gauge,
        "1 for each kind of thing that is not as it should be: offsite_behind, storage_filling, overdue, and so on.",
    );
    for app in &report.apps {
        let states: BTreeSet<&str> = app
            .health
            .findings
            .iter()
            .map(|finding| finding.state.as_str())
            .collect();
        for state in states {
            family.add(&[("app", &app.health.app), ("state", state)], 1.0);
        }
    }
    let mut family = text.family(
        "pgkeep_backups",
        Kind::Gauge,
        "Backups that a repository holds.",
    );
    for app in &report.apps {
        for holding in &app.repositories {
            family.add(
                &[
                    ("app", &app.health.app),
                    ("repository", &holding.repository),
                ],
                holding.backups as f64,
            );
        }
    }
}

/// Duration and sizes of each app's newest good backup.
async fn last_runs(
    text: &mut Text,
    catalog: &Catalog,
    report: &StatusReport,
) -> Result<(), CatalogError> {
    let mut newest = Vec::new();
    for app in &report.apps {
        if let Some(row) = catalog.newest_good_backup(&app.health.app).await? {
            newest.push(row);
        }
    }
    text.family(
        "pgkeep_backup_duration_seconds",
        Kind::Gauge,
        "Duration of the newest good backup.",
    )
    .add_all(newest.iter().map(|row| (row.app.as_str(), row.seconds)));
    text.family(
        "pgkeep_backup_bytes",
        Kind::Gauge,
        "Bytes that the newest good backup read.",
    )
    .add_all(
        newest
            .iter()
            .map(|row| (row.app.as_str(), row.bytes.map(|bytes| bytes as f64))),
    );
    text.family(
        "pgkeep_backup_added_bytes",
        Kind::Gauge,
        "Bytes by which the newest good backup made the repository grow.",
    )
    .add_all(
        newest
            .iter()
            .map(|row| (row.app.as_str(), row.bytes_added.map(|bytes| bytes as f64))),
    );
    Ok(())
}

fn policies(text: &mut Text, report: &StatusReport) {
    let mut figure = |name, help, value: fn(&PolicyStatus) -> Option<f64>| {
        let mut family = text.family(name, Kind::Gauge, help);
        for app in &report.apps {
            for policy in &app.policies {
                family.add_known(
                    &[("app", &app.health.app), ("policy", &policy.name)],
                    value(policy),
                );
            }
        }
    };
    figure(
        "pgkeep_policy_last_success_timestamp_seconds",
        "When the newest run that succeeded was started.",
        |policy| policy.last_success.map(seconds),
    );
    figure(
        "pgkeep_policy_next_run_timestamp_seconds",
        "When the next run is due.",
        |policy| policy.next_run.map(seconds),
    );
    figure(
        "pgkeep_overdue",
        "1 where a run should have succeeded by now and has not.",
        |policy| Some(truth(policy.overdue.is_some())),
    );
    figure(
        "pgkeep_policy_enabled",
        "1 where the policy is on.",
        |policy| Some(truth(policy.enabled)),
    );
}

async fn queue(
    text: &mut Text,
    catalog: &Catalog,
    report: &StatusReport,
) -> Result<(), CatalogError> {
    let depth = catalog.queue_depth().await?;
    let mut jobs = text.family(
        "pgkeep_jobs",
        Kind::Gauge,
        "Jobs that the catalog knows of.",
    );
    for (state, kind, count) in &depth.counts {
        jobs.add(
            &[("state", state.as_str()), ("kind", kind.as_str())],
            *count as f64,
        );
    }
    let mut waiting = text.family(
        "pgkeep_queue_depth",
        Kind::Gauge,
        "Jobs that wait, by what for.",
    );
    for (what, count) in [
        ("worker", depth.ready),
        ("time", depth.later),
        ("release", depth.held),
        ("approval", depth.waiting_for_approval),
    ] {
        waiting.add(&[("waits_for", what)], count as f64);
    }
    let oldest = depth.oldest_ready.map_or(0.0, |since| {
        report.time.duration_since(since).as_secs_f64().max(0.0)
    });
    text.family(
        "pgkeep_queue_oldest_age_seconds",
        Kind::Gauge,
        "How long the job has waited that could have run first.",
    )
    .add(&[], oldest);
    text.family(
        "pgkeep_queue_paused",
        Kind::Gauge,
        "1 while no job is taken up.",
    )
    .add(&[], truth(report.queue.paused));
    text.family("pgkeep_workers", Kind::Gauge, "Workers that are alive.")
        .add(&[], f64::from(report.workers));
    Ok(())
}

async fn disks(text: &mut Text, catalog: &Catalog, data_dir: &Path) -> Result<(), CatalogError> {
    let disks = notify::disks(catalog, data_dir).await?;
    let mut free = text.family(
        "pgkeep_disk_free_bytes",
        Kind::Gauge,
        "Room on the disk of a place.",
    );
    for disk in &disks {
        free.add(&[("place", &disk.what)], disk.free_bytes as f64);
    }
    let mut size = text.family(
        "pgkeep_disk_size_bytes",
        Kind::Gauge,
        "Size of the disk of a place.",
    );
    for disk in &disks {
        size.add(&[("place", &disk.what)], disk.total_bytes as f64);
    }
    Ok(())
}

/// How repositories grow, and whether their keys would outlive the machine.
async fn repositories(text: &mut Text, catalog: &Catalog) -> Result<(), CatalogError> {
    let all = keeping::of_repositories(catalog).await?;
    let mut figure = |name, help, value: fn(&Kept) -> Option<f64>| {
        let mut family = text.family(name, Kind::Gauge, help);
        for (repository, kept) in &all {
            family.add_known(&[("repository", repository)], value(kept));
        }
    };
    figure(
        "pgkeep_repository_growth_bytes_per_day",
        "Growth of a repository in a folder, over the last 14 days.",
        |kept| Some(kept.growth?.bytes_per_day as f64),
    );
    figure(
        "pgkeep_repository_full_in_days",
        "When its disk is full if it goes on growing like that.",
        |kept| kept.growth?.full_in_days,
    );
    figure(
        "pgkeep_recovery_kit_confirmed",
        "1 where somebody confirmed that the recovery kit of the key is in a safe place.",
        |kept| Some(truth(kept.kit_confirmed_at.is_some())),
    );
    Ok(())
}

fn seconds(time: Timestamp) -> f64 {
    time.as_second() as f64
}

fn truth(truth: bool) -> f64 {
    f64::from(u8::from(truth))
}

#[cfg(test)]
mod tests;
