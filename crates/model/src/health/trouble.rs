//! What makes a green light a lie: backups that lost what they held, backups that are gone, nobody there to make the next
//! one, a clock that puts backups in the wrong order, and messages that reach nobody.

use super::{Finding, HealthState, Point, PolicyFacts, ago};
use crate::{
    retention::dated_ahead,
    shrunk::{ACCEPTED, Doubt},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Workers say that they are there every few seconds; a restart may take so long.
const SILENCE: SignedDuration = SignedDuration::from_secs(90);
/// More ids than these are only counted.
const NAMED: usize = 5;

/// What is known of such things; by default, nothing is wrong.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// The newest doubt that nothing has settled.
    pub shrunk: Option<Doubt>,
    /// Backups that are no longer where they were, by repository.
    pub vanished: Vec<Vanished>,
    /// Nobody is there to plan runs, or to make them. `None` while somebody is.
    pub nobody_works: Option<NobodyWorks>,
    /// Targets that no message reaches.
    pub unheard: Vec<Unheard>,
}

/// Backups of an app that pgkeep did not remove and that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vanished {
    pub repository: String,
    /// When that was found out.
    pub since: Timestamp,
    /// Newest first. All that are known, where the repository itself is not there.
    pub backups: Vec<Point>,
    /// Why nothing in the repository can be reached.
    pub unreachable: Option<String>,
}

/// Who is not there, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NobodyWorks {
    pub missing: Missing,
    /// Their last sign of life, if there ever was one.
    pub last_seen: Option<Timestamp>,
}

/// Whom backups by themselves need: a server plans the runs and sends messages, workers make them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Everybody,
    /// Workers are there, and nobody tells them that a run is due.
    Server,
    /// A server is there that runs nothing itself.
    Workers,
}

impl NobodyWorks {
    /// Judges from the last signs of life of the servers and of the workers, and whether some are alive.
    pub fn judge(
        server: (Option<Timestamp>, bool),
        workers: (Option<Timestamp>, bool),
    ) -> Option<Self> {
        let (missing, last_seen) = match (server.1, workers.1) {
            (true, true) => return None,
            // Without a server nothing is planned, whenever the last worker left.
            (false, false) => (Missing::Everybody, server.0.or(workers.0)),
            (false, true) => (Missing::Server, server.0),
            (true, false) => (Missing::Workers, workers.0),
        };
        Some(Self { missing, last_seen })
    }
}

/// A target that refused or did not answer since its newest message arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unheard {
    pub target: String,
    /// The oldest message that did not arrive.
    pub since: Timestamp,
    pub message: String,
}

pub(super) fn findings(
    app: &str,
    trouble: &Trouble,
    policies: &[PolicyFacts],
    newest: Option<&Point>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(trouble.shrunk.iter().map(|doubt| shrunk(app, doubt, now)));
    findings.extend(trouble.vanished.iter().map(|gone| vanished(app, gone, now)));
    findings.extend(nobody_works(app, trouble.nobody_works, policies, now));
    findings.extend(newest.and_then(|newest| to_come(app, newest, now)));
    findings.extend(trouble.unheard.iter().map(|unheard| Finding {
        since: Some(unheard.since),
        ..Finding::new(
            HealthState::Unheard,
            format!(
                "no message has reached {} since {}: {}; `pgkeep notify test {}` tries it",
                unheard.target,
                ago(unheard.since, now),
                unheard.message,
                unheard.target
            ),
        )
    }));
    findings
}

fn shrunk(app: &str, doubt: &Doubt, now: Timestamp) -> Finding {
    let short = doubt.id.get(..8).unwrap_or(&doubt.id);
    Finding {
        since: Some(doubt.time),
        ..Finding::new(
            HealthState::Shrunk,
            format!(
                "backup {short} of {app}, made {}, holds far less than the one before: {}; nothing older is removed; if that is right, `pgkeep tag {short} --add {ACCEPTED}`",
                ago(doubt.time, now),
                doubt.reason
            ),
        )
    }
}

fn vanished(app: &str, gone: &Vanished, now: Timestamp) -> Finding {
    let Vanished {
        repository,
        since,
        backups,
        unreachable,
    } = gone;
    let count = match backups.len() {
        1 => "1 backup".to_owned(),
        count => format!("{count} backups"),
    };
    let sentence = match unreachable {
        Some(why) => format!(
            "{count} of {app} in repository {repository} cannot be reached since {}: {why}",
            ago(*since, now)
        ),
        None => {
            let short = |point: &Point| point.id.get(..8).unwrap_or(&point.id).to_owned();
            let mut named: Vec<String> = backups.iter().take(NAMED).map(short).collect();
            match backups.len().saturating_sub(NAMED) {
                0 => {}
                more => named.push(format!("{more} more")),
            }
            format!(
                "{count} of {app} vanished from repository {repository}, and pgkeep did not remove them: {}; found out {}; if that was meant, `pgkeep repository accept-loss {repository}`",
                named.join(", "),
                ago(*since, now)
            )
        }
    };
    Finding {
        repository: Some(repository.clone()),
        since: Some(*since),
        ..Finding::new(HealthState::Vanished, sentence)
    }
}

/// Only what makes backups by itself needs somebody to be there.
fn nobody_works(
    app: &str,
    nobody: Option<NobodyWorks>,
    policies: &[PolicyFacts],
    now: Timestamp,
) -> Option<Finding> {
    let needed_since = policies
        .iter()
        .filter(|policy| policy.is_scheduled())
        .map(|policy| policy.since)
        .min()?;
    let NobodyWorks { missing, last_seen } = nobody?;
    let since = last_seen.map_or(needed_since, |seen| seen.max(needed_since));
    if now.duration_since(since) <= SILENCE {
        return None;
    }
    let seen = match last_seen {
        Some(seen) => format!("the last sign of life was {}", ago(seen, now)),
        None => "none was ever seen".to_owned(),
    };
    let sentence = match missing {
        Missing::Everybody => {
            format!("no server is there to make the backups of {app}: {seen}; start `pgkeep serve`")
        }
        Missing::Server => format!(
            "no server is there to start the backups of {app} at their times, and to tell anybody: {seen}; workers only \
             run what a server plans; start `pgkeep serve`"
        ),
        Missing::Workers => format!(
            "no worker is there to make the backups of {app}: {seen}; start `pgkeep worker`, or let the server run jobs"
        ),
    };
    Some(Finding {
        since: Some(since),
        ..Finding::new(HealthState::NobodyWorks, sentence)
    })
}

fn to_come(app: &str, newest: &Point, now: Timestamp) -> Option<Finding> {
    let why = dated_ahead(&newest.id, newest.time, now)?;
    Some(Finding {
        since: Some(newest.time),
        ..Finding::new(
            HealthState::ClockWrong,
            format!("how old the newest backup of {app} is cannot be told: {why}"),
        )
    })
}
