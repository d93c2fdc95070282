//! Why an app's score is what it is, aspect by aspect: is the newest backup fresh, is it proven, is there a copy elsewhere,
//! is what should go removed and what should stay kept.

use super::{AppFacts, Finding, HealthState, ago};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Points that a missing copy elsewhere costs; not an alarm, for many apps are content with one place.
const OFFSITE_COST: u8 = 5;
/// Points that retention which does not run costs: nothing is lost, the disk fills.
const RETENTION_COST: u8 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    Fresh,
    Proven,
    Offsite,
    Retention,
}

impl Aspect {
    pub fn as_str(self) -> &'static str {
        match self {
            Aspect::Fresh => "fresh",
            Aspect::Proven => "proven",
            Aspect::Offsite => "offsite",
            Aspect::Retention => "retention",
        }
    }
}

/// How an app stands in one aspect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub aspect: Aspect,
    pub held: bool,
    /// A sentence that stands alone.
    pub sentence: String,
    /// Points of 100 that it costs.
    pub cost: u8,
}

/// Every aspect once, in the order of their weight. The first two cost what their findings do.
pub(super) fn of(facts: &AppFacts, findings: &[Finding], now: Timestamp) -> Vec<Reason> {
    let from_findings = |aspect, about: fn(HealthState) -> bool, well: String| {
        let mut kinds: Vec<&Finding> = findings.iter().filter(|f| about(f.state)).collect();
        kinds.dedup_by_key(|f| f.state);
        let cost: u32 = kinds.iter().map(|f| u32::from(f.cost)).sum();
        Reason {
            aspect,
            held: kinds.is_empty(),
            sentence: kinds.first().map_or(well, |f| f.sentence.clone()),
            cost: cost.min(100) as u8,
        }
    };
    let age = |time: Option<Timestamp>| time.map_or("never".to_owned(), |time| ago(time, now));
    let newest = facts.newest_good.as_ref().map(|point| point.time);
    let proven = facts.newest_proven.as_ref().map(|(_, at)| *at);
    let fresh = from_findings(
        Aspect::Fresh,
        |state| !is_about_proof(state) && !is_about_keeping(state),
        format!("the last good backup was made {}", age(newest)),
    );
    let proven = from_findings(
        Aspect::Proven,
        is_about_proof,
        match proven {
            Some(at) => format!("a restore was proven {}", ago(at, now)),
            None => "no restore was proven yet".to_owned(),
        },
    );
    let behind = from_findings(
        Aspect::Offsite,
        |state| state == HealthState::OffsiteBehind,
        String::new(),
    );
    let offsite = match behind.held {
        true => offsite(facts),
        false => behind,
    };
    let filling = from_findings(
        Aspect::Retention,
        |state| state == HealthState::StorageFilling,
        String::new(),
    );
    let retention = match filling.held {
        true => retention(facts, now),
        false => filling,
    };
    vec![fresh, proven, offsite, retention]
}

fn is_about_keeping(state: HealthState) -> bool {
    use HealthState::{NoRecoveryKit, OffsiteBehind, StorageFilling};
    matches!(state, NoRecoveryKit | OffsiteBehind | StorageFilling)
}

fn is_about_proof(state: HealthState) -> bool {
    use HealthState::{DrillFailed, ProofStale, Unproven};
    matches!(state, Unproven | ProofStale | DrillFailed)
}

fn offsite(facts: &AppFacts) -> Reason {
    let held = facts.offsite || facts.newest_good.is_none();
    Reason {
        aspect: Aspect::Offsite,
        held,
        sentence: match (held, facts.offsite) {
            (_, true) => "a repository elsewhere holds backups".into(),
            (true, false) => "there is no backup yet that could be copied elsewhere".into(),
            (false, _) => format!("no backup of {} lies in object storage", facts.app),
        },
        cost: if held { 0 } else { OFFSITE_COST },
    }
}

fn retention(facts: &AppFacts, now: Timestamp) -> Reason {
    match &facts.cleanup_failure {
        None => Reason {
            aspect: Aspect::Retention,
            held: true,
            sentence: "retention is held".into(),
            cost: 0,
        },
        Some(failure) => Reason {
            aspect: Aspect::Retention,
            held: false,
            sentence: format!(
                "the last cleanup of {} failed {}: {}",
                facts.app,
                ago(failure.at, now),
                failure.message
            ),
            cost: RETENTION_COST,
        },
    }
}
