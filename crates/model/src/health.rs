//! How safe an app is: what is late, what fails, what was never proven, and the one sentence that matters most.
//!
//! Silence is an alarm: [`overdue`] is computed from the schedule alone, so a scheduler that stopped, a worker that
//! hangs and a policy whose jobs vanish all show as late.

mod backups;
mod keeping;
mod policies;
mod reasons;
mod trouble;

pub use keeping::{CopyFacts, FILLING_WITHIN_DAYS, FULL_SOON_DAYS, StoreFacts};
pub use reasons::{Aspect, Reason};
pub use trouble::{Missing, NobodyWorks, Trouble, Unheard, Vanished};

use crate::schedule::ResolvedSchedule;
use jiff::{SignedDuration, Timestamp, Unit};
use serde::{Deserialize, Serialize};

/// A run may be late by this at least before that is an alarm.
const LEAST_GRACE: SignedDuration = SignedDuration::from_mins(10);

/// A run that is being made is given this much more, which is the usual soft limit of a job.
const RUNNING_GRACE: SignedDuration = SignedDuration::from_hours(2);

/// A success further in the future is one of a clock that was wrong, and silences no alarm.
const BELIEVABLE: SignedDuration = SignedDuration::from_hours(24);

/// An app that policies no longer look after may go on for so long without a backup.
const LEFT_ALONE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What health needs to know of one policy.
#[derive(Debug, Clone)]
pub struct PolicyFacts {
    pub name: String,
    pub enabled: bool,
    pub schedule: ResolvedSchedule,
    /// Since when the schedule is as it is.
    pub since: Timestamp,
    /// When the newest run that succeeded, or proved that there was nothing to do, was over.
    pub last_ok: Option<Timestamp>,
    /// The newest finished run, if it failed.
    pub failure: Option<Failure>,
    /// A run is being made, or waits for its turn: not for somebody who lets it go on.
    pub running: bool,
    /// What a run usually takes.
    pub usual_secs: Option<f64>,
    /// By how much a load limit may delay a start.
    pub may_wait_secs: u32,
    /// The longest time between two runs that the policy allows, besides its schedule.
    pub at_least_every_secs: Option<u32>,
}

impl PolicyFacts {
    /// Tells whether it makes backups by itself.
    fn is_scheduled(&self) -> bool {
        self.enabled && self.has_times()
    }

    /// Tells whether it would, were it on.
    fn has_times(&self) -> bool {
        !self.schedule.is_on_demand() || self.at_least_every_secs.is_some()
    }
}

/// The newest run of a policy failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub at: Timestamp,
    pub message: String,
    /// How many failed in a row.
    pub count: u32,
}

/// A run that should have succeeded by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdue {
    /// When it was to start.
    pub due: Timestamp,
    /// Since when it is late, the grace being over.
    pub since: Timestamp,
}

/// Tells whether a run of an enabled policy is late: the first one after the last that succeeded should be done by now.
pub fn overdue(policy: &PolicyFacts, now: Timestamp) -> Option<Overdue> {
    if !policy.enabled {
        return None;
    }
    let since = policy.since.min(now);
    let done = policy
        .last_ok
        .filter(|ok| now.duration_since(*ok) > -BELIEVABLE)
        .unwrap_or(since);
    let scheduled = policy
        .schedule
        .first_after(done.max(since))
        .map(|run| run.start);
    let longest = policy.at_least_every_secs.and_then(|secs| {
        done.checked_add(SignedDuration::from_secs(secs.into()))
            .ok()
    });
    let due = scheduled.into_iter().chain(longest).min()?;
    let since = due.checked_add(grace(policy)).ok()?;
    (now > since).then_some(Overdue { due, since })
}

/// Twice the usual time of a run, what it may wait for a quiet moment, and more for one that is at work.
pub fn grace(policy: &PolicyFacts) -> SignedDuration {
    let usual = policy
        .usual_secs
        .filter(|secs| secs.is_finite())
        .unwrap_or(0.0);
    let usual = SignedDuration::from_secs((usual.clamp(0.0, 1e7) * 2.0) as i64);
    let waiting = SignedDuration::from_secs(policy.may_wait_secs.into());
    let running = match policy.running {
        true => RUNNING_GRACE,
        false => SignedDuration::ZERO,
    };
    usual.max(LEAST_GRACE) + waiting + running
}

/// A backup that counts, by id and the time of its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub id: String,
    pub time: Timestamp,
}

/// What health needs to know of one app.
#[derive(Debug, Clone)]
pub struct AppFacts {
    pub app: String,
    pub policies: Vec<PolicyFacts>,
    /// There are backups of it by a policy that is no more.
    pub policy_removed: bool,
    /// The newest backup that is whole as far as is known: neither partial, nor damaged, nor failed in a drill.
    pub newest_good: Option<Point>,
    /// The newest of which a restore was proven, and when that was.
    pub newest_proven: Option<(Point, Timestamp)>,
    /// The newest backup, if its stored bytes are damaged or a drill of it failed.
    pub newest_bad: Option<(Point, Bad)>,
    /// A proof older than this many days is stale.
    pub prove_every_days: u32,
    /// Newest failed backup of no policy, by hand or by API.
    pub failure_by_hand: Option<Failure>,
    /// When it was last proven that nothing had been written since the newest good backup.
    pub unchanged_at: Option<Timestamp>,
    /// A repository that is somewhere else holds a backup of it.
    pub offsite: bool,
    /// The newest finished cleanup, if it failed.
    pub cleanup_failure: Option<Failure>,
    /// Each repository elsewhere that its backups are to go to.
    pub copies: Vec<CopyFacts>,
    /// Each repository that its backups are in, or are to go to.
    pub stores: Vec<StoreFacts>,
    /// What makes all of the above a lie.
    pub trouble: Trouble,
}

/// What is wrong with a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bad {
    Damaged,
    DrillFailed,
}

/// How an app stands; worse is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    Ok,
    /// Nobody said that the key would outlive the machine. A hint: the app itself stays as well as it is.
    NoRecoveryKit,
    /// The disk of a repository is full soon.
    StorageFilling,
    /// The copies elsewhere do not follow.
    OffsiteBehind,
    /// There are backups, and none was ever restored and compared.
    Unproven,
    /// The last proof is too long ago.
    ProofStale,
    /// No enabled policy makes backups of it by itself.
    Unscheduled,
    Overdue,
    /// No message reaches a target.
    Unheard,
    /// The newest backup bears a date to come.
    ClockWrong,
    /// No server is there to start the next backup, or no worker to make it.
    NobodyWorks,
    Failing,
    DrillFailed,
    Damaged,
    /// The newest backup holds far less than the one before, and nobody has accepted that.
    Shrunk,
    NoBackup,
    /// Backups are gone that pgkeep did not remove; where none is left, that is why.
    Vanished,
}

impl HealthState {
    pub fn as_str(self) -> &'static str {
        match self {
            HealthState::Ok => "ok",
            HealthState::NoRecoveryKit => "no_recovery_kit",
            HealthState::StorageFilling => "storage_filling",
            HealthState::OffsiteBehind => "offsite_behind",
            HealthState::Unproven => "unproven",
            HealthState::ProofStale => "proof_stale",
            HealthState::Unscheduled => "unscheduled",
            HealthState::Overdue => "overdue",
            HealthState::Unheard => "unheard",
            HealthState::ClockWrong => "clock_wrong",
            HealthState::NobodyWorks => "nobody_works",
            HealthState::Failing => "failing",
            HealthState::DrillFailed => "drill_failed",
            HealthState::Damaged => "damaged",
            HealthState::Shrunk => "shrunk",
            HealthState::Vanished => "vanished",
            HealthState::NoBackup => "no_backup",
        }
    }

    /// Tells whether somebody must act now, rather than some day.
    pub fn is_alarm(self) -> bool {
        self >= HealthState::Overdue
    }

    /// Points of 100 that it costs.
    fn cost(self) -> u8 {
        match self {
            HealthState::Ok | HealthState::NoRecoveryKit => 0,
            HealthState::StorageFilling => 5,
            HealthState::OffsiteBehind => 5,
            HealthState::Unproven => 15,
            HealthState::ProofStale => 10,
            HealthState::Unscheduled => 25,
            HealthState::Overdue => 40,
            HealthState::Unheard => 10,
            HealthState::ClockWrong => 40,
            HealthState::NobodyWorks => 40,
            HealthState::Failing => 40,
            HealthState::DrillFailed => 50,
            HealthState::Damaged => 60,
            HealthState::Shrunk => 60,
            HealthState::Vanished => 60,
            HealthState::NoBackup => 100,
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub state: HealthState,
    /// The policy that it is about.
    pub policy: Option<String>,
    /// The repository that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Whole days: that are left, of a disk that fills; by which copies are late, and absent where the last one only failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Since when it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// A sentence that stands alone.
    pub sentence: String,
    /// Points of 100 that it costs.
    pub cost: u8,
}

impl Finding {
    fn new(state: HealthState, sentence: String) -> Self {
        Self {
            state,
            policy: None,
            repository: None,
            days: None,
            since: None,
            sentence,
            cost: state.cost(),
        }
    }

    /// Tells whether somebody must act now, rather than some day.
    pub fn is_alarm(&self) -> bool {
        let full_soon = self.state == HealthState::StorageFilling
            && self.days.is_some_and(|days| days < FULL_SOON_DAYS);
        self.state.is_alarm() || full_soon
    }
}

/// The judgement on one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppHealth {
    pub app: String,
    /// The worst of the findings; hints aside.
    pub state: HealthState,
    /// The worst in one sentence; how long ago the last backup is where all is well.
    pub sentence: String,
    /// Worst first.
    pub findings: Vec<Finding>,
    /// How it stands in each aspect, and what that costs.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// 100 less what the reasons cost; the same kind of finding costs once.
    pub score: u8,
    /// Seconds of work that would be lost now: the age of the newest good backup, or of the proof that nothing was written
    /// since.
    pub rpo_seconds: Option<i64>,
}

impl AppHealth {
    /// Tells whether somebody must act now.
    pub fn is_alarm(&self) -> bool {
        self.findings.iter().any(Finding::is_alarm)
    }
}

/// Judges an app at `now`.
pub fn assess(facts: &AppFacts, now: Timestamp) -> AppHealth {
    let app = &facts.app;
    let mut findings: Vec<Finding> = backups::findings(facts, now).collect();
    findings.extend(policies::findings(facts, now));
    findings.extend(backups::proof(facts, now));
    let good = facts.newest_good.as_ref();
    findings.extend(trouble::findings(
        app,
        &facts.trouble,
        &facts.policies,
        good,
        now,
    ));
    let newest = good.map(|point| point.time);
    let copies = facts.copies.iter();
    findings.extend(copies.filter_map(|copy| keeping::copy(app, copy, newest, now)));
    findings.extend(facts.stores.iter().filter_map(keeping::room));
    findings.extend(facts.stores.iter().filter_map(keeping::kit));
    findings.sort_by_key(|finding| std::cmp::Reverse((finding.is_alarm(), finding.state)));
    judge(facts, findings, now)
}

fn judge(facts: &AppFacts, findings: Vec<Finding>, now: Timestamp) -> AppHealth {
    let reasons = reasons::of(facts, &findings, now);
    let cost: u32 = reasons.iter().map(|reason| u32::from(reason.cost)).sum();
    let newest = facts.newest_good.as_ref().map(|point| point.time);
    // What bears a date to come does not say how old it is.
    let lost_since = newest
        .filter(|_| findings.iter().all(|f| f.state != HealthState::ClockWrong))
        .map(|time| facts.unchanged_at.map_or(time, |at| at.max(time)));
    let well = || match newest {
        Some(time) => format!("{} is safe: last good backup {}", facts.app, ago(time, now)),
        None => format!("{} has no backup", facts.app),
    };
    // A hint is shown and changes nothing of what is said of the app.
    let worst = findings
        .first()
        .filter(|worst| worst.state != HealthState::NoRecoveryKit);
    AppHealth {
        app: facts.app.clone(),
        state: worst.map_or(HealthState::Ok, |f| f.state),
        sentence: worst.map_or_else(well, |f| f.sentence.clone()),
        reasons,
        score: 100 - cost.min(100) as u8,
        rpo_seconds: lost_since.map(|time| now.duration_since(time).as_secs().max(0)),
        findings,
    }
}

fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `5 hours ago`, in the largest unit that fits.
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    let secs = now.duration_since(time).as_secs();
    let (count, unit) = match secs {
        ..60 => return "just now".to_owned(),
        60..3600 => (secs / 60, Unit::Minute),
        3600..172_800 => (secs / 3600, Unit::Hour),
        _ => (secs / 86_400, Unit::Day),
    };
    let unit = match unit {
        Unit::Minute => "minute",
        Unit::Hour => "hour",
        _ => "day",
    };
    match count {
        1 => format!("1 {unit} ago"),
        count => format!("{count} {unit}s ago"),
    }
}

/// Usual duration: the median of the newest few.
pub fn usual_secs(durations: &[f64]) -> Option<f64> {
    let mut known: Vec<f64> = durations
        .iter()
        .copied()
        .filter(|d| d.is_finite())
        .collect();
    known.sort_by(f64::total_cmp);
    known.get(known.len() / 2).copied()
}

#[cfg(test)]
mod tests;
