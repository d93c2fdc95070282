//! Whether there is a good backup, and how well it is proven.

use super::{AppFacts, Bad, Finding, HealthState, ago};
use jiff::{SignedDuration, Timestamp};

pub(super) fn findings(facts: &AppFacts, now: Timestamp) -> impl Iterator<Item = Finding> {
    let app = &facts.app;
    let none = facts
        .newest_good
        .is_none()
        .then(|| Finding::new(HealthState::NoBackup, format!("{app} has no good backup")));
    let bad = facts.newest_bad.as_ref().map(|(point, bad)| {
        let (state, what) = match bad {
            Bad::Damaged => (HealthState::Damaged, "is damaged"),
            Bad::DrillFailed => (HealthState::DrillFailed, "failed its drill"),
        };
        let age = ago(point.time, now);
        let sentence = format!("the newest backup of {app}, made {age}, {what}");
        Finding::new(state, sentence)
    });
    none.into_iter().chain(bad)
}

/// A backup that nothing was restored from may be good, and nobody knows.
pub(super) fn proof(facts: &AppFacts, now: Timestamp) -> Option<Finding> {
    let app = &facts.app;
    let stale = SignedDuration::from_hours(24 * i64::from(facts.prove_every_days));
    match &facts.newest_proven {
        None if facts.newest_good.is_some() => Some(Finding::new(
            HealthState::Unproven,
            format!("no backup of {app} was ever proven by a restore"),
        )),
        Some((_, proven)) if now.duration_since(*proven) > stale => {
            let age = ago(*proven, now);
            Some(Finding::new(
                HealthState::ProofStale,
                format!("a backup of {app} was last proven by a restore {age}"),
            ))
        }
        _ => None,
    }
}
