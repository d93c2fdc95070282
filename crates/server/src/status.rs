//! How safe each app is at this moment.
//!
//! Everything comes from the catalog, so it can be asked as often as a monitor likes: an answer is shared for a second, or until
//! something happens.

pub mod doubts;
pub mod facts;
pub mod keeping;

use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use keeping::Kept;
use pgkeep_catalog::{
    BackupFilter, BackupRow, BackupSort, BackupState, Catalog, CatalogError, Holding, Page,
    PolicyRuns, Stamp, Stored,
};
use pgkeep_model::app::AppDefinition;
use pgkeep_model::health::{self, AppFacts, Bad, HealthState, Point, PolicyFacts, Trouble};
use pgkeep_model::policy::Policy;
use pgkeep_model::status::{AppStatus, PolicyStatus, QueueStatus, RepositoryHolding, StatusReport};
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError, RwLock};
use tokio::sync::Mutex;

/// The setting that says after how many days a proof is stale.
pub const PROVE_EVERY_DAYS: &str = "prove_every_days";
const DEFAULT_PROVE_EVERY_DAYS: u32 = 30;

/// For how long an answer is good.
const FRESH: SignedDuration = SignedDuration::from_secs(1);
/// For how long it may still be given while a newer one is being made.
const STALE: SignedDuration = SignedDuration::from_secs(5);

/// A report, and what it looks like on the wire once somebody asked for that.
#[derive(Debug)]
pub struct Answer {
    pub report: StatusReport,
    wire: OnceLock<Bytes>,
    /// The newest change before it was judged.
    change: i64,
    /// When that was last seen to be the newest.
    stamp: std::sync::Mutex<Option<Stamp>>,
}

impl Answer {
    /// The whole report on the wire, written by `write` once for all who ask.
    pub fn wire(&self, write: impl FnOnce(&StatusReport) -> Bytes) -> Bytes {
        self.wire.get_or_init(|| write(&self.report)).clone()
    }

    async fn judge(catalog: &Catalog) -> Result<Self, CatalogError> {
        let stamp = catalog.stamp();
        Ok(Self {
            change: catalog.newest_change_id().await?,
            stamp: std::sync::Mutex::new(stamp),
            report: report(catalog).await?,
            wire: OnceLock::new(),
        })
    }

    /// Whether nothing has happened since.
    async fn holds(&self, catalog: &Catalog) -> Result<bool, CatalogError> {
        let stamp = catalog.stamp();
        if stamp.is_some() && *self.stamp() == stamp {
            return Ok(true);
        }
        let holds = Box::pin(catalog.newest_change_id()).await? == self.change;
        if holds {
            *self.stamp() = stamp;
        }
        Ok(holds)
    }

    fn stamp(&self) -> MutexGuard<'_, Option<Stamp>> {
        self.stamp.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest report, shared by all who ask within a second.
#[derive(Debug, Default)]
pub struct StatusCache {
    newest: RwLock<Option<Arc<Answer>>>,
    /// Held by whoever makes a newer one.
    making: Mutex<()>,
}

impl StatusCache {
    /// The report, at most a second old, and of after the newest change. While it is being made anew only because of its age,
    /// others get the one before.
    pub async fn report(&self, catalog: &Catalog) -> Result<Arc<Answer>, CatalogError> {
        if let Some(answer) = self.newest(catalog, FRESH).await? {
            return Ok(answer);
        }
        let making = match self.making.try_lock() {
            Ok(making) => making,
            Err(_) => match self.newest(catalog, STALE).await? {
                Some(answer) => return Ok(answer),
                None => self.making.lock().await,
            },
        };
        if let Some(answer) = self.newest(catalog, FRESH).await? {
            return Ok(answer);
        }
        // Apart, so that whoever is answered from memory does not carry the room that judging takes.
        let answer = Arc::new(Box::pin(Answer::judge(catalog)).await?);
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        drop(making);
        Ok(answer)
    }

    async fn newest(
        &self,
        catalog: &Catalog,
        within: SignedDuration,
    ) -> Result<Option<Arc<Answer>>, CatalogError> {
        let newest = {
            let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
            newest.clone()
        };
        let age = |answer: &Answer| catalog.now().duration_since(answer.report.time).abs();
        match newest {
            Some(answer) if age(&answer) < within && answer.holds(catalog).await? => {
                Ok(Some(answer))
            }
            _ => Ok(None),
        }
    }
}

/// What somebody who sees these apps only is shown.
pub fn only_apps(report: &StatusReport, apps: &[String]) -> StatusReport {
    let seen = report
        .apps
        .iter()
        .filter(|app| apps.contains(&app.health.app));
    summed_up(
        report.time,
        seen.cloned().collect(),
        report.queue.clone(),
        (report.workers, report.scheduler),
    )
}

/// Judges everything anew.
pub async fn report(catalog: &Catalog) -> Result<StatusReport, CatalogError> {
    let now = catalog.now();
    let runs = catalog.policy_runs().await?;
    let runs: BTreeMap<&str, &PolicyRuns> = runs
        .iter()
        .map(|runs| (runs.policy.as_str(), runs))
        .collect();
    let mut policies: BTreeMap<String, Vec<(Policy, PolicyFacts)>> = BTreeMap::new();
    for (policy, facts) in facts::of_policies(catalog).await? {
        policies
            .entry(policy.app.clone())
            .or_default()
            .push((policy, facts));
    }
    let known = keeping::of_repositories(catalog).await?;
    let prove_every_days = prove_every_days(catalog).await?;
    let losses = doubts::losses(catalog).await?;
    let everywhere = Trouble {
        nobody_works: doubts::nobody_works(catalog).await?,
        unheard: doubts::unheard(catalog).await?,
        ..Trouble::default()
    };
    let mut apps = Vec::new();
    for app in catalog.apps().await? {
        let own = policies.remove(&app.name).unwrap_or_default();
        let trouble = Trouble {
            shrunk: doubts::standing(catalog, &app.name).await?,
            vanished: losses.of_app(catalog, &app.name).await?,
            ..everywhere.clone()
        };
        let made_by = catalog.backups_by_policy(&app.name).await?;
        let known_policy = |made_by: &String| own.iter().any(|(policy, _)| policy.name == *made_by);
        let policy_removed = !made_by.keys().all(known_policy);
        let by_policies = (own.as_slice(), policy_removed);
        let mut status = of_app(
            catalog,
            &app,
            by_policies,
            &known,
            trouble,
            prove_every_days,
            now,
        )
        .await?;
        for (policy, facts) in &own {
            let runs = runs.get(policy.name.as_str()).copied();
            let backups = made_by.get(&policy.name).copied().unwrap_or(0);
            let status_of = of_policy(policy, facts, runs, backups, now);
            status.policies.push(status_of);
        }
        apps.push(status);
    }
    let queue = queue(catalog).await?;
    let there = (
        catalog.live_workers().await?,
        catalog.is_server_alive().await?,
    );
    Ok(summed_up(now, apps, queue, there))
}

fn summed_up(
    time: Timestamp,
    mut apps: Vec<AppStatus>,
    queue: QueueStatus,
    (workers, scheduler): (u32, bool),
) -> StatusReport {
    apps.sort_by(|a, b| {
        let worst =
            (b.health.is_alarm(), b.health.state).cmp(&(a.health.is_alarm(), a.health.state));
        let score = a.health.score.cmp(&b.health.score);
        worst.then(score).then(a.health.app.cmp(&b.health.app))
    });
    let worst = apps.first().map(|app| &app.health);
    let sentence = match (worst, apps.len()) {
        (None, _) => "no app is known".to_owned(),
        (Some(worst), 1) => worst.sentence.clone(),
        (Some(worst), count) if worst.state == HealthState::Ok => {
            format!("all {count} apps are safe")
        }
        (Some(worst), count) => {
            let bad = |app: &&AppStatus| app.health.state != HealthState::Ok;
            let others = apps.iter().filter(bad).count() - 1;
            match others {
                0 => worst.sentence.clone(),
                others => format!("{} (and {others} more of {count} apps)", worst.sentence),
            }
        }
    };
    StatusReport {
        time,
        state: worst.map_or(HealthState::Ok, |worst| worst.state),
        sentence,
        apps,
        queue,
        workers,
        scheduler,
    }
}

async fn of_app(
    catalog: &Catalog,
    stored: &Stored<AppDefinition>,
    (policies, policy_removed): (&[(Policy, PolicyFacts)], bool),
    known: &BTreeMap<String, Kept>,
    trouble: Trouble,
    prove_every_days: u32,
    now: Timestamp,
) -> Result<AppStatus, CatalogError> {
    let app = stored.name.as_str();
    let all = filter(app);
    let newest = first(catalog, &all, true).await?;
    let good = newest_good(catalog, app).await?;
    let proven = catalog.newest_proven_backup(app).await?;
    let point = |row: &BackupRow| Point {
        id: row.id.clone(),
        time: row.time,
    };
    let newest_bad = newest.as_ref().and_then(|row| {
        let bad = match row.state() {
            BackupState::Damaged => Bad::Damaged,
            BackupState::DrillFailed => Bad::DrillFailed,
            _ => return None,
        };
        Some((point(row), bad))
    });
    let held = catalog.holdings_of(app).await?;
    let backups = held.iter().map(|holding| holding.backups).sum();
    let repositories = repositories_of(held, known);
    let health = health::assess(
        &AppFacts {
            app: app.to_owned(),
            policies: policies.iter().map(|(_, facts)| facts.clone()).collect(),
            policy_removed,
            newest_good: good.as_ref().map(point),
            newest_proven: proven
                .as_ref()
                .and_then(|row| Some((point(row), row.proven_at?))),
            newest_bad,
            prove_every_days,
            failure_by_hand: facts::failure_by_hand(catalog, app).await?,
            unchanged_at: match &good {
                Some(good) => facts::unchanged_at(catalog, app, &good.id).await?,
                None => None,
            },
            offsite: repositories.iter().any(|holding| holding.offsite),
            cleanup_failure: facts::cleanup_failure(catalog, app).await?,
            copies: keeping::copies(catalog, stored, policies, &repositories, known).await?,
            stores: keeping::stores(&stored.value, policies, &repositories, known),
            trouble,
        },
        now,
    );
    Ok(AppStatus {
        health,
        last_good: good.as_ref().map(point),
        last_good_bytes: good.as_ref().and_then(|row| row.bytes),
        last_proven: proven.as_ref().map(point),
        last_proven_at: proven.as_ref().and_then(|row| row.proven_at),
        proven_seconds: proven.as_ref().and_then(|row| row.proven_seconds),
        backups,
        oldest: first(catalog, &all, false).await?.map(|row| row.time),
        repositories,
        policies: Vec::new(),
    })
}

/// The newest backup that is whole as far as is known: one whose drill failed is not.
async fn newest_good(catalog: &Catalog, app: &str) -> Result<Option<BackupRow>, CatalogError> {
    let row = match catalog.newest_good_backup(app).await? {
        Some(row) if row.drill_failed_at.is_some() => row,
        newest => return Ok(newest),
    };
    let mut page = Page::default();
    let before = BackupFilter {
        until: Some(row.time),
        ..filter(app)
    };
    loop {
        let found = catalog.backups(&before, BackupSort::Time, &page).await?;
        let good = |row: &BackupRow| {
            !row.partial
                && row.damaged_at.is_none()
                && row.drill_failed_at.is_none()
                && row.shrunk.is_none()
        };
        if let Some(row) = found.items.into_iter().find(good) {
            return Ok(Some(row));
        }
        match found.next {
            Some(next) => page.after = Some(next),
            None => return Ok(None),
        }
    }
}

fn filter(app: &str) -> BackupFilter {
    BackupFilter {
        apps: Some(vec![app.to_owned()]),
        ..BackupFilter::default()
    }
}

async fn first(
    catalog: &Catalog,
    filter: &BackupFilter,
    newest: bool,
) -> Result<Option<BackupRow>, CatalogError> {
    let page = Page {
        limit: 1,
        descending: newest,
        ..Page::default()
    };
    let mut found = catalog.backups(filter, BackupSort::Time, &page).await?;
    Ok(found.items.pop())
}

/// What the defined repositories hold; one that was removed since is not told of.
fn repositories_of(held: Vec<Holding>, known: &BTreeMap<String, Kept>) -> Vec<RepositoryHolding> {
    let told = held.into_iter().filter_map(|holding| {
        Some(RepositoryHolding {
            offsite: known.get(&holding.repository)?.offsite,
            newest: Some(holding.newest),
            repository: holding.repository,
            backups: holding.backups,
        })
    });
    told.collect()
}

fn of_policy(
    policy: &Policy,
    facts: &PolicyFacts,
    runs: Option<&PolicyRuns>,
    backups: u64,
    now: Timestamp,
) -> PolicyStatus {
    let newest = runs.and_then(|runs| runs.active.as_ref().or(runs.last_finished.as_ref()));
    PolicyStatus {
        name: policy.name.clone(),
        enabled: policy.enabled,
        schedule: facts.schedule.describe().to_owned(),
        next_run: facts.schedule.next_after(now).filter(|_| policy.enabled),
        last_success: facts.last_ok,
        last_job: newest.map(|job| job.id.clone()),
        last_state: newest.map(|job| job.state.as_str().to_owned()),
        overdue: health::overdue(facts, now),
        retention: policy.retention.describe(),
        backups,
    }
}

async fn prove_every_days(catalog: &Catalog) -> Result<u32, CatalogError> {
    let setting = catalog.setting(PROVE_EVERY_DAYS).await?;
    let days = setting.and_then(|value| u32::try_from(value.as_u64()?).ok());
    Ok(days.unwrap_or(DEFAULT_PROVE_EVERY_DAYS))
}

async fn queue(catalog: &Catalog) -> Result<QueueStatus, CatalogError> {
    let depth = catalog.queue_depth().await?;
    let mut states = BTreeMap::new();
    for (state, _, count) in &depth.counts {
        *states.entry(state.as_str().to_owned()).or_default() += count;
    }
    Ok(QueueStatus {
        paused: catalog.queue_paused().await?.is_some(),
        depth: states,
    })
}

#[cfg(test)]
mod tests;
