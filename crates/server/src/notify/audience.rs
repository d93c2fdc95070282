//! Who hears of a message.

use crate::notify::memory::Message;
use pgkeep_catalog::people::deliveries::NewDelivery;
use pgkeep_model::notice::{Channel, NoticeKind, NotificationTarget};
use std::collections::BTreeSet;

/// The targets of a message: those that its policy names, or those that are for all where it names none, as far as they
/// want to hear of its kind.
pub(super) fn listeners<'a>(
    targets: &'a [NotificationTarget],
    named: &[String],
    message: &Message,
) -> Vec<&'a NotificationTarget> {
    targets
        .iter()
        .filter(|target| target.enabled)
        .filter(|target| match named.is_empty() {
            true => target.default,
            false => named.contains(&target.name),
        })
        .filter(|target| wants(target, message))
        .collect()
}

fn wants(target: &NotificationTarget, message: &Message) -> bool {
    if matches!(target.channel, Channel::DeadManPing { .. }) {
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
        let heard: Vec<&str> = listeners(&targets, &named, message)
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
