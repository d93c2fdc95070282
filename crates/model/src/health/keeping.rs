//! Whether what was backed up is kept well: a copy elsewhere that is new enough, room to grow, a key that is not lost with
//! the machine. Each needs attention and is no alarm, except a disk that is full within two days.

use super::{Failure, Finding, HealthState, ago};
use crate::growth::Growth;
use jiff::{SignedDuration, Timestamp};

/// A disk that is full within so many days is told of.
pub const FILLING_WITHIN_DAYS: f64 = 14.0;
/// And within so many it is an alarm.
pub const FULL_SOON_DAYS: u32 = 2;

/// Copies go elsewhere this often where no schedule says so.
const USUAL_INTERVAL: SignedDuration = SignedDuration::from_hours(24);

/// How a repository elsewhere follows the backups of an app.
#[derive(Debug, Clone, Default)]
pub struct CopyFacts {
    pub repository: String,
    /// Time of the newest good backup there, or of the proof that it would be no different from the one before.
    pub newest: Option<Timestamp>,
    /// Since when backups are to go there.
    pub since: Timestamp,
    /// Time between two runs that go there; a day where absent.
    pub interval: Option<SignedDuration>,
    /// How long a run may take or wait before its copy counts as late.
    pub grace: SignedDuration,
    /// The newest run that was to go there, if it failed.
    pub failure: Option<Failure>,
}

/// What is known of a repository that holds, or is to hold, backups of an app.
#[derive(Debug, Clone)]
pub struct StoreFacts {
    pub repository: String,
    /// Since when it is known.
    pub since: Timestamp,
    /// Of a folder of this machine.
    pub growth: Option<Growth>,
    /// When somebody said that the recovery kit is in a safe place.
    pub kit_confirmed_at: Option<Timestamp>,
}

/// Judges a copy elsewhere beside the newest good backup, wherever that lies.
pub(super) fn copy(
    app: &str,
    facts: &CopyFacts,
    newest_good: Option<Timestamp>,
    now: Timestamp,
) -> Option<Finding> {
    let good = newest_good?;
    let CopyFacts {
        repository, newest, ..
    } = facts;
    if newest.is_some_and(|newest| newest >= good) {
        return None;
    }
    let behind_by = match newest {
        Some(newest) => good.duration_since(*newest),
        // Nothing is there yet: what was to be there first decides.
        None => now.duration_since(facts.since),
    };
    let interval = facts.interval.unwrap_or(USUAL_INTERVAL);
    let late = behind_by > interval.saturating_add(facts.grace);
    let sentence = match (&facts.failure, newest) {
        (Some(failure), _) => format!(
            "the last copy of {app} to {repository} failed {}: {}",
            ago(failure.at, now),
            failure.message
        ),
        (None, _) if !late => return None,
        (None, Some(newest)) => format!(
            "the copies of {app} in {repository} are behind: the newest is of {}, the newest good backup of {}",
            ago(*newest, now),
            ago(good, now)
        ),
        (None, None) => format!("no backup of {app} has reached {repository} yet"),
    };
    Some(Finding {
        repository: Some(repository.clone()),
        days: late.then(|| u32::try_from(behind_by.as_hours() / 24).unwrap_or(u32::MAX)),
        since: *newest,
        ..Finding::new(HealthState::OffsiteBehind, sentence)
    })
}

/// Judges the room that a repository has left.
pub(super) fn room(facts: &StoreFacts) -> Option<Finding> {
    let full_in = facts.growth.as_ref()?.full_in_days?;
    if full_in > FILLING_WITHIN_DAYS {
        return None;
    }
    let days = full_in.max(0.0) as u32;
    let name = &facts.repository;
    let sentence = match days {
        0 => format!("the disk of repository {name} will be full within a day as it grows now"),
        1 => format!("the disk of repository {name} will be full in 1 day as it grows now"),
        days => {
            format!("the disk of repository {name} will be full in {days} days as it grows now")
        }
    };
    Some(Finding {
        repository: Some(name.clone()),
        days: Some(days),
        ..Finding::new(HealthState::StorageFilling, sentence)
    })
}

/// Judges whether the backups outlive the machine that holds the key.
pub(super) fn kit(facts: &StoreFacts) -> Option<Finding> {
    let name = &facts.repository;
    facts.kit_confirmed_at.is_none().then(|| Finding {
        repository: Some(name.clone()),
        since: Some(facts.since),
        ..Finding::new(
            HealthState::NoRecoveryKit,
            format!(
                "nobody has confirmed that the recovery kit of repository {name} is in a safe place"
            ),
        )
    })
}
