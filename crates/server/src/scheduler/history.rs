//! What was there before: since when a schedule is as it is, and which of its runs were made.

use super::Scheduler;
use jiff::Timestamp;
use pgkeep_catalog::{Catalog, CatalogError, JobFilter, Page, Stored};
use pgkeep_model::job::{JobKind, Trigger};
use pgkeep_model::policy::Policy;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How many of a policy's runs are looked at; only a clock that was set back by more than all of them could tell.
const RUNS: u32 = 200;

/// The setting that says since when a policy's schedule is as it is.
fn key(policy: &str) -> String {
    format!("schedule.{policy}")
}

/// What a change of means that earlier runs were never meant.
fn state(policy: &Policy) -> Value {
    json!({ "enabled": policy.enabled, "app": policy.app, "schedule": policy.schedule })
}

/// Since when the schedule is as it is, as far as the settings tell.
pub(crate) fn since(stored: &Stored<Policy>, settings: &BTreeMap<String, Value>) -> Timestamp {
    noted(stored, settings).unwrap_or(stored.updated_at)
}

fn noted(stored: &Stored<Policy>, settings: &BTreeMap<String, Value>) -> Option<Timestamp> {
    let noted = settings.get(&key(&stored.name))?;
    let since: Timestamp = noted.get("since")?.as_str()?.parse().ok()?;
    // A policy of the same name that was removed and made again begins anew.
    (noted.get("state") == Some(&state(&stored.value)) && since >= stored.created_at)
        .then_some(since)
}

impl Scheduler {
    /// Since when the schedule is as it is; written down where that is new.
    pub(super) async fn since(
        &self,
        stored: &Stored<Policy>,
        settings: &BTreeMap<String, Value>,
    ) -> Result<Timestamp, CatalogError> {
        if let Some(since) = noted(stored, settings) {
            return Ok(since);
        }
        let since = stored.updated_at;
        let value = json!({ "state": state(&stored.value), "since": since.to_string() });
        self.catalog.put_setting(&key(&stored.name), &value).await?;
        Ok(since)
    }
}

/// The scheduled times for which a policy's runs were made.
pub(super) async fn made(
    catalog: &Catalog,
    policy: &str,
) -> Result<BTreeSet<Timestamp>, CatalogError> {
    let filter = JobFilter {
        kinds: vec![JobKind::Backup],
        policy: Some(policy.to_owned()),
        trigger: Some(Trigger::Schedule),
        ..JobFilter::default()
    };
    let page = Page {
        limit: RUNS,
        ..Page::default()
    };
    let jobs = catalog.jobs(&filter, &page).await?;
    Ok(jobs
        .items
        .into_iter()
        .filter_map(|job| job.scheduled_for)
        .collect())
}
