//! Whether backups are made as they should be: runs that failed, runs that stayed away, nobody who runs any.

use super::{AppFacts, Finding, HealthState, PolicyFacts, ago, overdue, shown};
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
        let sentence = format!("no policy makes backups of {app} by itself");
        Finding::new(HealthState::Unscheduled, sentence)
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
