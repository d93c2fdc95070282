//! Runs of policies that are due.

use super::{Scheduler, history};
use crate::jobs;
use crate::settings::JobLimits;
use jiff::{SignedDuration, Timestamp};
use pgkeep_catalog::{CatalogError, Enqueued, NewJob, PolicyRuns, Stored};
use pgkeep_model::job::{BackupSpec, JobSpec, Trigger};
use pgkeep_model::pace::{self, Start};
use pgkeep_model::policy::Policy;
use pgkeep_model::schedule::{Due, History, ResolvedSchedule};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// So long after a run its jobs for several repositories are completed, should the scheduler have died between two.
const COMPLETED_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// Who asked, in a job's row.
const CREATOR: &str = "scheduler";

/// What a tick did.
#[derive(Debug, Default)]
pub struct Ticked {
    /// Ids of the jobs that it made.
    pub made: Vec<String>,
    /// Policies whose run is due and waits, with the reason.
    pub waiting: Vec<(String, String)>,
    /// When the next run is due, as far as is known.
    pub next: Option<Timestamp>,
}

/// The jobs that a run of a policy consists of, one for each repository. `run_at` is when it may start.
pub fn jobs_of_policy(
    policy: &Policy,
    run_at: Timestamp,
    trigger: Trigger,
    created_by: &str,
    limits: &JobLimits,
) -> Vec<NewJob> {
    let named = policy.repositories.iter().map(|name| Some(name.clone()));
    let usual = policy.repositories.is_empty().then_some(None);
    let job = |repository: Option<String>| {
        let spec = BackupSpec {
            app: policy.app.clone(),
            repository,
            backup_kind: policy.kind,
            description: policy.describe_run(run_at),
            tags: policy.tags.clone(),
            compression: policy.compression,
            policy: Some(policy.name.clone()),
            skip_if_unchanged: policy.skip_if_unchanged,
            export_to: policy.export_to.clone(),
            export_recipients: policy.export_recipients.clone(),
            export_zstd: policy.export_zstd,
            ..BackupSpec::default()
        };
        jobs::draft(JobSpec::Backup(spec), trigger, created_by, run_at, limits)
    };
    named.chain(usual).map(job).collect()
}

/// Why a run is made.
#[derive(Debug, Clone, Copy)]
enum Reason {
    /// The schedule names this time.
    Scheduled(Timestamp),
    /// Much was written, or nothing was backed up for long.
    Early,
}

impl Scheduler {
    pub(super) async fn make_due_runs(&self) -> Result<Ticked, CatalogError> {
        let policies = self.catalog.policies().await?;
        let settings = self.catalog.settings().await?;
        let runs = self.catalog.policy_runs().await?;
        let runs: BTreeMap<&str, &PolicyRuns> = runs
            .iter()
            .map(|runs| (runs.policy.as_str(), runs))
            .collect();
        let mut ticked = Ticked::default();
        for stored in &policies {
            let about = format!("policy {}", stored.name);
            let runs = runs.get(stored.name.as_str()).copied();
            match self.look_at(stored, &settings, runs, &mut ticked).await {
                Ok(()) => {}
                Err(e) if e.is_temporary() => return Err(e),
                // One policy that is not right must not stop the others.
                Err(e) => self.say(&about, &e.to_string(), || {
                    tracing::error!(policy = %stored.name, "its runs cannot be made: {e}");
                }),
            }
        }
        Ok(ticked)
    }

    async fn look_at(
        &self,
        stored: &Stored<Policy>,
        settings: &BTreeMap<String, Value>,
        runs: Option<&PolicyRuns>,
        ticked: &mut Ticked,
    ) -> Result<(), CatalogError> {
        let policy = &stored.value;
        let since = self.since(stored, settings).await?;
        if !policy.enabled {
            return Ok(());
        }
        let about = format!("policy {}", policy.name);
        let schedule = match policy.runs() {
            Ok(schedule) => schedule,
            Err(e) => {
                self.say(&about, &e.to_string(), || {
                    tracing::error!(policy = %policy.name, "its schedule cannot be followed: {e}");
                });
                return Ok(());
            }
        };
        let now = self.catalog.now();
        if runs.is_some_and(|runs| runs.active.is_some()) {
            // The next one is made when this one is over.
            return self.complete(policy, runs, now, ticked).await;
        }
        let reason = match self.due(policy, &schedule, since, runs, now).await? {
            Due::Now { run, missed } => {
                if missed > 0 {
                    let what = format!("{missed} before {}", run.scheduled);
                    self.say(&about, &what, || {
                        tracing::warn!(policy = %policy.name, missed, "runs were missed; one stands for all");
                    });
                }
                Some((Reason::Scheduled(run.scheduled), run.start))
            }
            Due::Nothing { next } => {
                let next = next.map(|run| run.start);
                ticked.next = ticked.next.into_iter().chain(next).min();
                self.complete(policy, runs, now, ticked).await?;
                self.early(policy, settings, now)
                    .await?
                    .map(|at| (Reason::Early, at))
            }
        };
        let Some((reason, start)) = reason else {
            return Ok(());
        };
        match self.hindrance(policy, &schedule, start, now).await? {
            Some(why) => {
                self.say(&format!("{about} waits"), &why, || {
                    tracing::info!(policy = %policy.name, "a run waits: {why}");
                });
                ticked.waiting.push((policy.name.clone(), why));
                Ok(())
            }
            None => self.make(policy, reason, now, ticked).await,
        }
    }

    /// What the schedule asks for. The newest run is enough to know in nearly all cases.
    async fn due(
        &self,
        policy: &Policy,
        schedule: &ResolvedSchedule,
        since: Timestamp,
        runs: Option<&PolicyRuns>,
        now: Timestamp,
    ) -> Result<Due, CatalogError> {
        let newest = runs.and_then(|runs| runs.last_scheduled_for);
        let made: BTreeSet<Timestamp> = newest.into_iter().collect();
        let due = schedule.due(&History { since, made: &made }, now);
        let plain = matches!(due, Due::Nothing { .. }) && newest.is_none_or(|made| made <= now);
        if plain || newest.is_none() {
            return Ok(due);
        }
        let made = history::made(&self.catalog, &policy.name).await?;
        Ok(schedule.due(&History { since, made: &made }, now))
    }

    /// When a run became due because of what was written since the last one.
    async fn early(
        &self,
        policy: &Policy,
        settings: &BTreeMap<String, Value>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, CatalogError> {
        let Some(adaptive) = &policy.adaptive else {
            return Ok(None);
        };
        let noted = settings.get(&wal_key(&policy.name));
        let last = noted
            .and_then(|noted| noted.get("at")?.as_str()?.parse().ok())
            .unwrap_or(Timestamp::MIN);
        if last == Timestamp::MIN {
            self.note_wal(policy, now).await?;
            return Ok(None);
        }
        // Asked of the database only where the answer can matter.
        let soonest = SignedDuration::from_secs(adaptive.at_most_every_secs.into());
        if now.duration_since(last.min(now)) < soonest {
            return Ok(None);
        }
        let before = noted.and_then(|noted| noted.get("wal")?.as_u64());
        let written = match before {
            Some(before) => self
                .wal(policy)
                .await?
                .and_then(|wal| wal.checked_sub(before)),
            None => None,
        };
        Ok(pace::early(adaptive, last, written, now).map(|_| now))
    }

    async fn wal(&self, policy: &Policy) -> Result<Option<u64>, CatalogError> {
        let app = self.catalog.app(&policy.app).await?.value;
        let (gauge, name) = (self.gauge.clone(), policy.app.clone());
        let measured = tokio::task::spawn_blocking(move || gauge.wal(&name, &app)).await;
        Ok(measured.unwrap_or_default())
    }

    async fn note_wal(&self, policy: &Policy, now: Timestamp) -> Result<(), CatalogError> {
        let value = json!({ "at": now.to_string(), "wal": self.wal(policy).await? });
        self.catalog
            .put_setting(&wal_key(&policy.name), &value)
            .await
    }

    /// Why a run that is due does not start yet.
    async fn hindrance(
        &self,
        policy: &Policy,
        schedule: &ResolvedSchedule,
        start: Timestamp,
        now: Timestamp,
    ) -> Result<Option<String>, CatalogError> {
        if let Some(until) = schedule.blacked_out_until(now) {
            return Ok(Some(format!("nothing starts before {until}")));
        }
        let Some(limit) = &policy.load_limit else {
            return Ok(None);
        };
        let app = self.catalog.app(&policy.app).await?.value;
        let (gauge, name) = (self.gauge.clone(), policy.app.clone());
        let load = tokio::task::spawn_blocking(move || gauge.load(&name, &app)).await;
        Ok(
            match pace::start(limit, load.unwrap_or_default(), start, now) {
                Start::Now => None,
                Start::Deadline { busy } => {
                    tracing::warn!(policy = %policy.name, "it starts although {busy}: it has waited long enough");
                    None
                }
                Start::Wait { busy, .. } => Some(busy),
            },
        )
    }

    async fn make(
        &self,
        policy: &Policy,
        reason: Reason,
        now: Timestamp,
        ticked: &mut Ticked,
    ) -> Result<(), CatalogError> {
        for job in jobs_of_policy(policy, now, Trigger::Schedule, CREATOR, &self.limits) {
            let job = keyed(job, policy, reason);
            if let Enqueued::New(job) = self.catalog.enqueue(job).await? {
                tracing::info!(policy = %policy.name, job = %job.id, "run queued");
                ticked.made.push(job.id);
            }
        }
        self.forget_said(&format!("policy {} waits", policy.name));
        if policy.adaptive.is_some() {
            self.note_wal(policy, now).await?;
        }
        Ok(())
    }

    /// Makes what is missing of the newest run's jobs, should the scheduler have died between two repositories.
    async fn complete(
        &self,
        policy: &Policy,
        runs: Option<&PolicyRuns>,
        now: Timestamp,
        ticked: &mut Ticked,
    ) -> Result<(), CatalogError> {
        let scheduled = runs.and_then(|runs| runs.last_scheduled_for);
        match scheduled.filter(|_| policy.repositories.len() > 1) {
            Some(time) if now.duration_since(time).abs() <= COMPLETED_WITHIN => {
                self.make(policy, Reason::Scheduled(time), now, ticked)
                    .await
            }
            _ => Ok(()),
        }
    }
}

/// Gives a job the key under which it is made once.
fn keyed(job: NewJob, policy: &Policy, reason: Reason) -> NewJob {
    let repository = job.repository.as_deref().unwrap_or_default();
    let (scheduled_for, moment) = match reason {
        Reason::Scheduled(time) => (Some(time), time.as_millisecond().to_string()),
        Reason::Early => (None, "early".to_owned()),
    };
    NewJob {
        scheduled_for,
        dedup_key: Some(format!("policy:{}:{moment}:{repository}", policy.name)),
        ..job
    }
}

fn wal_key(policy: &str) -> String {
    format!("wal.{policy}")
}
