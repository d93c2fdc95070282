//! Every kind of notice in the form of every channel, as people and receivers see it.

use crate::{discord, slack, teams, webhook, words};
use pgkeep_model::notice::{Notice, NoticeKind};
use serde_json::Value;

fn notices() -> Vec<Notice> {
    let notice = |kind, summary: &str| Notice {
        id: "01931f6e-7a10-7000-8000-00000000c0de".into(),
        kind,
        time: "2026-03-01T02:00:07Z".parse().expect("a valid time"),
        app: Some("shop".into()),
        policy: Some("production_daily_full".into()),
        job: None,
        backup: None,
        summary: summary.into(),
        hint: None,
        facts: Default::default(),
        link: None,
    };
    let link = Some("https://pgkeep.example/jobs/01931f6e".to_owned());
    let facts = |facts: &[(&str, &str)]| {
        facts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    vec![
        Notice {
            backup: Some("8c1f02aa".into()),
            facts: facts(&[
                ("added", "12.4 MiB"),
                ("duration", "1 min 12 s"),
                ("rows", "1,204,331"),
            ]),
            link: link.clone(),
            ..notice(NoticeKind::Success, "backup of shop succeeded")
        },
        Notice {
            job: Some("01931f6e".into()),
            hint: Some("check `max_connections` & that <shop> is reachable".into()),
            facts: facts(&[("attempts", "3 of 3")]),
            link: link.clone(),
            ..notice(
                NoticeKind::Failure,
                "backup of shop failed: table \"order_items\" of @everyone *is* <locked> & [gone](https://x.example)\r\nBcc: nobody",
            )
        },
        notice(
            NoticeKind::Overdue,
            "backup of shop is overdue: the run of 2026-03-01 02:00 UTC did not happen",
        ),
        notice(NoticeKind::Recovery, "backup of shop works again"),
        Notice {
            policy: None,
            ..notice(
                NoticeKind::Restore,
                "shop was restored from 8c1f02aa and proven",
            )
        },
        Notice {
            policy: None,
            ..notice(
                NoticeKind::Drill,
                "8c1f02aa of shop was restored for a drill and proven",
            )
        },
        notice(
            NoticeKind::Cleanup,
            "2 backups of shop were removed by production_daily_full",
        ),
        Notice {
            app: None,
            policy: None,
            hint: Some("make room, or keep fewer backups".into()),
            facts: facts(&[("free", "3.1 GiB of 100 GiB")]),
            link: Some("javascript:alert(1)".into()),
            ..notice(
                NoticeKind::StorageNearlyFull,
                "repository main is nearly full: 3 % is free",
            )
        },
        Notice {
            app: None,
            policy: None,
            ..notice(NoticeKind::Test, "this is a test of the target ops")
        },
    ]
}

fn all(write: impl Fn(&Notice) -> String) -> String {
    notices()
        .iter()
        .map(|notice| format!("=== {:?}\n{}\n", notice.kind, write(notice).trim_end()))
        .collect()
}

fn pretty(message: Vec<u8>) -> String {
    let value: Value = serde_json::from_slice(&message).expect("a message is JSON");
    serde_json::to_string_pretty(&value).expect("JSON can be written")
}

#[test]
fn every_kind_has_its_words() {
    insta::assert_snapshot!(
        "text",
        all(|notice| {
            let words = words(notice);
            format!("Subject: {}\n\n{}", words.subject, words.text)
        })
    );
    insta::assert_snapshot!("html", all(|notice| words(notice).html));
}

#[test]
fn every_kind_has_its_form_in_every_channel() {
    insta::assert_snapshot!("slack", all(|notice| pretty(slack::message(notice))));
    insta::assert_snapshot!("discord", all(|notice| pretty(discord::message(notice))));
    insta::assert_snapshot!("teams", all(|notice| pretty(teams::message(notice))));
    insta::assert_snapshot!("webhook", all(|notice| pretty(webhook::message(notice))));
}

#[test]
fn messages_stay_within_the_limits_of_their_channels() {
    let long = "word_ ".repeat(5_000);
    let mut notice = notices().swap_remove(1);
    notice.summary = long.clone();
    notice.hint = Some(long.clone());
    notice.facts = (0..60)
        .map(|number| (format!("{number} {long}"), long.clone()))
        .collect();
    let parse = |message: Vec<u8>| -> Value { serde_json::from_slice(&message).expect("JSON") };

    let slack = parse(slack::message(&notice));
    let blocks = slack["blocks"].as_array().expect("blocks");
    assert!(blocks.len() <= 50, "{} blocks", blocks.len());
    for block in blocks {
        let texts = block["fields"].as_array().cloned().unwrap_or_default();
        assert!(texts.len() <= 10);
        for field in texts {
            assert!(length(&field["text"]) <= 2_000);
        }
        assert!(length(&block["text"]["text"]) <= 3_000);
    }

    let discord = parse(discord::message(&notice));
    let embed = &discord["embeds"][0];
    let fields = embed["fields"].as_array().expect("fields");
    assert!(fields.len() <= 25);
    let in_fields: usize = fields
        .iter()
        .map(|field| {
            assert!(length(&field["name"]) <= 256 && length(&field["value"]) <= 1_024);
            length(&field["name"]) + length(&field["value"])
        })
        .sum();
    assert!(length(&embed["description"]) <= 4_096);
    assert!(in_fields + length(&embed["description"]) + length(&embed["title"]) <= 6_000);

    assert!(teams::message(&notice).len() <= 28 * 1_024);
    assert!(words(&notice).subject.chars().count() <= 150);
}

fn length(value: &Value) -> usize {
    value.as_str().unwrap_or_default().chars().count()
}
