//! Whether backups are made as they should be: runs that failed, runs that stayed away, nobody who runs any.

use super::{AppFacts, Finding, HealthState, LEFT_ALONE, PolicyFacts, ago, overdue, shown};
use jiff::Timestamp;

pub(super) fn findings(facts: &AppFacts, now: Timestamp) -> impl Iterator<Item = Finding> {
    let app = &facts.app;
    let of_policies = facts.policies.iter().flat_map(move |policy| {
        let found = [failing(app, policy, now), late(app, policy, now)];
        found.into_iter().flatten().map(move |finding| Finding {
            policy: Some(policy.name.clone()),
            ..finding
        })
    });
    let by_hand = facts.failure_by_hand.as_ref().map(|failure| {
        let (age, why) = (ago(failure.at, now), &failure.message);
        let sentence = format!("the newest backup of {app} failed {age}: {why}");
        Finding::new(HealthState::Failing, sentence)
    });
    let scheduled = facts.policies.iter().any(PolicyFacts::is_scheduled);
    let unscheduled = (!scheduled).then(|| {
        left_alone(facts, now).unwrap_or_else(|| {
            let sentence = format!("no policy makes backups of {app} by itself");
            Finding::new(HealthState::Unscheduled, sentence)
        })
    });
    of_policies.chain(by_hand).chain(unscheduled)
}

fn failing(app: &str, policy: &PolicyFacts, now: Timestamp) -> Option<Finding> {
    let failure = policy.failure.as_ref().filter(|_| policy.enabled)?;
    let times = match failure.count {
        0 | 1 => String::new(),
        count => format!(" {count} times in a row"),
    };
    let (name, age, why) = (&policy.name, ago(failure.at, now), &failure.message);
    let sentence = format!("policy {name} of {app} failed{times}, last {age}: {why}");
    Some(Finding::new(HealthState::Failing, sentence))
}

fn late(app: &str, policy: &PolicyFacts, now: Timestamp) -> Option<Finding> {
    let (name, due) = (&policy.name, shown(overdue(policy, now)?.due));
    let sentence = format!("policy {name} of {app} is overdue: the run of {due} has not succeeded");
    Some(Finding::new(HealthState::Overdue, sentence))
}

/// An app that policies looked after, and none does any more, is as late as one whose policy does not run: a week after the
/// first run that stayed away. One that was only ever backed up by hand has no time at which it would be late.
fn left_alone(facts: &AppFacts, now: Timestamp) -> Option<Finding> {
    let app = &facts.app;
    let newest = facts.newest_good.as_ref()?.time;
    let done = facts.unchanged_at.map_or(newest, |at| at.max(newest));
    let mut off = facts
        .policies
        .iter()
        .filter(|policy| !policy.enabled && policy.has_times());
    let switched_off = off.clone().next();
    if switched_off.is_none() && !facts.policy_removed {
        return None;
    }
    // What runs once a month is not missed after a week.
    let missed = off.try_fold(None, |first: Option<Timestamp>, policy| {
        let run = policy.schedule.first_after(done)?.start;
        Some(Some(first.map_or(run, |first| first.min(run))))
    });
    let due = missed.flatten().unwrap_or(done);
    let since = due.checked_add(LEFT_ALONE).ok()?;
    if now <= since {
        return None;
    }
    let what_to_do = match switched_off {
        Some(policy) => format!("policy {0} is off: `pgkeep policy enable {0}`", policy.name),
        None => format!("its policy was removed: `pgkeep policy create --app {app}`"),
    };
    let age = ago(done, now);
    let sentence = format!(
        "no policy makes backups of {app} by itself any more, and the last good one was made {age}; {what_to_do}"
    );
    Some(Finding {
        since: Some(since),
        ..Finding::new(HealthState::Overdue, sentence)
    })
}
