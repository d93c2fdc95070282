//! Who hears of a message.
//!
//! A dead-man ping is the only message whose absence tells something: whoever waits for it is to be alarmed as soon as any of
//! the policies that it is for does not work. One good policy must not speak for another one, so it is sent with the success of
//! any of them, as long as none of them has failed or is overdue.

use crate::notify::memory::{Memory, Message};
use pgkeep_catalog::people::deliveries::NewDelivery;
use pgkeep_model::{
    notice::{Channel, NoticeKind, NotificationTarget},
    policy::Policy,
};
use std::collections::BTreeSet;

/// The targets of a message: those that its policy names, or those that are for all where it names none, as far as they
/// want to hear of its kind.
pub(super) fn listeners<'a>(
    targets: &'a [NotificationTarget],
    named: &[String],
    message: &Message,
    unwell: &[&Policy],
) -> Vec<&'a NotificationTarget> {
    targets
        .iter()
        .filter(|target| target.enabled)
        .filter(|target| is_for(target, named))
        .filter(|target| wants(target, message))
        .filter(|target| {
            !is_ping(target) || unwell.iter().all(|policy| !is_for(target, &policy.notify))
        })
        .collect()
}

/// Whether a target hears of a policy that names these.
fn is_for(target: &NotificationTarget, named: &[String]) -> bool {
    match named.is_empty() {
        true => target.default,
        false => named.contains(&target.name),
    }
}

fn is_ping(target: &NotificationTarget) -> bool {
    matches!(target.channel, Channel::DeadManPing { .. })
}

/// The policies that are on and of which something bad was told that is not over.
pub(super) fn unwell<'a>(policies: &'a [Policy], memory: &Memory) -> Vec<&'a Policy> {
    let is_bad = |policy: &Policy| {
        let failed = format!("job/backup/{}/{}/", policy.app, policy.name);
        memory.bad.keys().any(|subject| {
            // A repository that it no longer backs up to has nothing more to tell.
            let into = |repository: &str| {
                repository.is_empty()
                    || policy.repositories.is_empty()
                    || policy.repositories.iter().any(|own| own == repository)
            };
            subject.strip_prefix(&failed).is_some_and(into)
                || subject.strip_prefix("overdue/") == Some(&policy.name)
        })
    };
    policies
        .iter()
        .filter(|policy| policy.enabled && is_bad(policy))
        .collect()
}

fn wants(target: &NotificationTarget, message: &Message) -> bool {
    if is_ping(target) {
        return message.ping;
    }
    match target.on.is_empty() {
        true => message.notice.kind != NoticeKind::Success,
        false => target.on.contains(&message.notice.kind),
    }
}

/// Of several messages about one job, a target gets the first, which is the most important one.
pub(super) fn once_each(deliveries: &mut Vec<NewDelivery>) {
    let mut seen = BTreeSet::new();
    deliveries.retain(|delivery| match &delivery.notice.job {
        Some(job) => seen.insert((delivery.target.clone(), job.clone())),
        None => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_model::notice::Notice;

    fn target(name: &str, change: impl FnOnce(&mut NotificationTarget)) -> NotificationTarget {
        let mut target = NotificationTarget {
            name: name.into(),
            channel: Channel::Slack {
                url: "https://chat.example/x".into(),
            },
            on: Vec::new(),
            default: true,
            enabled: true,
            repeat_secs: 60,
        };
        change(&mut target);
        target
    }

    fn message(kind: NoticeKind, ping: bool) -> Message {
        Message {
            notice: Notice {
                job: Some("j".into()),
                ..Notice::new("1".into(), kind, jiff::Timestamp::UNIX_EPOCH)
            },
            key: String::new(),
            repeats: false,
            ping,
        }
    }

    fn targets() -> Vec<NotificationTarget> {
        let ping = Channel::DeadManPing {
            url: "https://ping.example/x".into(),
        };
        vec![
            target("all", |_| {}),
            target("off", |target| target.enabled = false),
            target("named", |target| target.default = false),
            target("happy", |target| target.on = vec![NoticeKind::Success]),
            target("ping", |target| target.channel = ping),
        ]
    }

    fn check(named: &[&str], message: &Message, expected: &[&str]) {
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        let targets = targets();
        let heard: Vec<&str> = listeners(&targets, &named, message, &[])
            .into_iter()
            .map(|target| target.name.as_str())
            .collect();
        assert_eq!(heard, expected, "{named:?} {:?}", message.notice.kind);
    }

    #[test]
    fn those_for_all_hear_what_they_want_where_a_policy_names_nobody() {
        check(&[], &message(NoticeKind::Failure, false), &["all"]);
        check(&[], &message(NoticeKind::Overdue, false), &["all"]);
        check(&[], &message(NoticeKind::Success, false), &["happy"]);
        check(&[], &message(NoticeKind::Success, true), &["happy", "ping"]);
    }

    #[test]
    fn only_those_that_a_policy_names_hear_of_it() {
        check(&["named"], &message(NoticeKind::Failure, false), &["named"]);
        check(
            &["named", "off"],
            &message(NoticeKind::Drill, false),
            &["named"],
        );
        check(
            &["named", "ping"],
            &message(NoticeKind::Success, true),
            &["ping"],
        );
        check(&["gone"], &message(NoticeKind::Failure, false), &[]);
    }

    /// Whether the pings of one for all and of one for policies that name it are sent with a success of a policy that names
    /// nobody, or the second, while this is bad.
    #[track_caller]
    fn check_pings(bad: &[&str], change: impl Fn(&mut Policy), expected: &[&str]) {
        let ping = |name: &str, default| {
            target(name, |target| {
                target.channel = Channel::DeadManPing {
                    url: "https://ping.example/x".into(),
                };
                target.default = default;
            })
        };
        let targets = [ping("all", true), ping("own", false)];
        let mut policies = [
            Policy::new("nightly", "shop"),
            Policy::new("weekly", "blog"),
        ];
        policies[1].notify = vec!["own".into()];
        policies.iter_mut().for_each(change);
        let mut memory = Memory::default();
        memory.bad.extend(
            bad.iter()
                .map(|bad| ((*bad).to_owned(), jiff::Timestamp::UNIX_EPOCH)),
        );
        let unwell = unwell(&policies, &memory);
        let success = message(NoticeKind::Success, true);
        let sent: Vec<&str> = [&[][..], &["own".to_owned()]]
            .into_iter()
            .flat_map(|named| listeners(&targets, named, &success, &unwell))
            .map(|target| target.name.as_str())
            .collect();
        assert_eq!(sent, expected, "{bad:?}");
    }

    #[test]
    fn a_ping_stays_away_while_any_policy_that_it_is_for_does_not_work() {
        let as_is = |_: &mut Policy| {};
        check_pings(&[], as_is, &["all", "own"]);
        check_pings(&["job/backup/shop/nightly/main"], as_is, &["own"]);
        check_pings(&["job/backup/blog/weekly/"], as_is, &["all"]);
        check_pings(&["overdue/weekly"], as_is, &["all"]);
        check_pings(&["overdue/weekly", "overdue/nightly"], as_is, &[]);
        // Other troubles, and other policies.
        check_pings(&["disk/main", "overdue/nightly2"], as_is, &["all", "own"]);
        check_pings(&["job/backup/shop//main"], as_is, &["all", "own"]);
        // What is over for good: a policy that is off, a repository that it no longer backs up to.
        let off = |policy: &mut Policy| policy.enabled = false;
        check_pings(&["overdue/nightly"], off, &["all", "own"]);
        let elsewhere = |policy: &mut Policy| policy.repositories = vec!["new".into()];
        let bad = "job/backup/shop/nightly";
        check_pings(&[&format!("{bad}/main")], elsewhere, &["all", "own"]);
        check_pings(&[&format!("{bad}/new")], elsewhere, &["own"]);
    }

    #[test]
    fn of_a_recovery_and_a_success_of_one_job_only_the_first_is_told() {
        let delivery = |target: &str, kind| NewDelivery {
            target: target.into(),
            notice: message(kind, false).notice,
            dedup_key: String::new(),
        };
        let mut deliveries = vec![
            delivery("a", NoticeKind::Recovery),
            delivery("a", NoticeKind::Success),
            delivery("b", NoticeKind::Success),
        ];
        once_each(&mut deliveries);
        let told: Vec<_> = deliveries
            .iter()
            .map(|d| (d.target.as_str(), d.notice.kind))
            .collect();
        assert_eq!(
            told,
            [("a", NoticeKind::Recovery), ("b", NoticeKind::Success)]
        );
    }
}
