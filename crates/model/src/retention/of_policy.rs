//! Retention of a policy: age and number beside the keep rules, and what stands above them all.

use super::{
    Candidate, ForgetPlan, KeepPolicy, KeepReason, apply_periods, apply_tags, apply_within,
    grouped, protect,
};
use crate::policy::Retention;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use std::collections::BTreeMap;

/// What retention must not touch, whatever the rules say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guards {
    /// Backups that a running job reads, with what it is: `restore 0199…`.
    pub in_use: BTreeMap<String, String>,
    /// Why nothing may go at present: the newest backup of the app failed or is damaged.
    pub hold: Option<String>,
}

/// Decides what to keep of the backups of one policy, with a reason for each, newest first within each group.
///
/// A backup goes when it is older than [`Retention::days`] or not among the newest [`Retention::max_backups`] of its
/// group, and no keep rule wants it. Pinned ones, the newest few, the newest proven and the newest verified one and
/// those in use stay above that; under a hold, all stay.
pub fn plan_policy(
    candidates: &[Candidate],
    retention: &Retention,
    guards: &Guards,
    now: Timestamp,
    tz: &TimeZone,
) -> ForgetPlan {
    let mut plan = ForgetPlan::default();
    for group in grouped(candidates) {
        let mut reasons = match retention.is_empty() {
            true => vec![vec![KeepReason::NoRules]; group.len()],
            false => rule_reasons(&group, &retention.keep, now, tz),
        };
        for (position, candidate) in group.iter().enumerate() {
            let reasons = &mut reasons[position];
            if let Some(by) = guards.in_use.get(&candidate.id) {
                reasons.push(KeepReason::InUse(by.clone()));
            }
            let limits = exceeded(retention, candidate, position, now);
            if limits.is_empty() && has_limits(retention) {
                reasons.push(KeepReason::WithinLimits);
            }
            if !reasons.is_empty() {
                plan.keep.push((candidate.id.clone(), reasons.clone()));
            } else if let Some(why) = &guards.hold {
                let held = vec![KeepReason::Held(why.clone())];
                plan.keep.push((candidate.id.clone(), held));
            } else {
                let why = explain(limits, &retention.keep);
                plan.remove.push((candidate.id.clone(), why));
            }
        }
    }
    plan
}

fn rule_reasons(
    group: &[&Candidate],
    keep: &KeepPolicy,
    now: Timestamp,
    tz: &TimeZone,
) -> Vec<Vec<KeepReason>> {
    let mut reasons = vec![Vec::new(); group.len()];
    protect(group, keep, &mut reasons);
    apply_tags(group, keep, &mut reasons);
    apply_within(group, keep, now, tz, &mut reasons);
    apply_periods(group, keep, tz, &mut reasons);
    reasons
}

fn has_limits(retention: &Retention) -> bool {
    retention.days.is_some() || retention.max_backups.is_some()
}

/// The limits that a backup is beyond, in words.
fn exceeded(
    retention: &Retention,
    candidate: &Candidate,
    position: usize,
    now: Timestamp,
) -> Vec<String> {
    let mut limits = Vec::new();
    if let Some(days) = retention.days {
        let age = now.duration_since(candidate.time);
        if age > SignedDuration::from_hours(24 * i64::from(days)) {
            limits.push(format!("older than {days} days"));
        }
    }
    if let Some(most) = retention.max_backups
        && position >= most as usize
    {
        limits.push(format!("not among the newest {most}"));
    }
    limits
}

fn explain(limits: Vec<String>, keep: &KeepPolicy) -> String {
    let rules = match keep.is_empty() {
        true => None,
        false => Some("no rule keeps it".to_owned()),
    };
    let all: Vec<String> = limits.into_iter().chain(rules).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests;
