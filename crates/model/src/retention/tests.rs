use super::*;

/// Backups named by their local time in `zone`; the plan must keep exactly `kept`, newest first.
struct Case<'a> {
    zone: &'a str,
    times: &'a [&'a str],
    policy: KeepPolicy,
    kept: &'a [&'a str],
}

fn rules() -> KeepPolicy {
    KeepPolicy {
        protect_newest: 0,
        ..KeepPolicy::default()
    }
}

fn candidate(id: &str, time: &str) -> Candidate {
    Candidate {
        id: id.to_owned(),
        time: time.parse().expect("a timestamp"),
        group: "shop".to_owned(),
        tags: Vec::new(),
        pinned: false,
        proven: false,
        checked: false,
    }
}

fn local(zone: &TimeZone, text: &str) -> Candidate {
    // A clock time that happens twice is given in UTC.
    let time = if text.ends_with('Z') {
        text.parse().expect("a timestamp")
    } else {
        let civil: jiff::civil::DateTime = text.parse().expect("a local time");
        civil.to_zoned(zone.clone()).expect("in range").timestamp()
    };
    Candidate {
        time,
        ..candidate(text, "2000-01-01T00:00:00Z")
    }
}

fn kept(plan: &ForgetPlan) -> Vec<&str> {
    plan.keep.iter().map(|(id, _)| id.as_str()).collect()
}

fn check(case: Case<'_>) {
    let zone = TimeZone::get(case.zone).expect("a known time zone");
    let candidates: Vec<_> = case.times.iter().map(|time| local(&zone, time)).collect();
    let now = "2030-01-01T00:00:00Z".parse().expect("a timestamp");
    let plan = plan(&candidates, &case.policy, now, &zone);
    assert_eq!(kept(&plan), case.kept, "policy {:?}", case.policy);
    assert_eq!(
        plan.keep.len() + plan.remove.len(),
        candidates.len(),
        "every backup is either kept or removed"
    );
}

#[test]
fn a_policy_without_rules_keeps_everything() {
    check(Case {
        zone: "UTC",
        times: &[
            "2020-01-01T00:00:00",
            "2021-01-01T00:00:00",
            "2022-01-01T00:00:00",
        ],
        policy: rules(),
        kept: &[
            "2022-01-01T00:00:00",
            "2021-01-01T00:00:00",
            "2020-01-01T00:00:00",
        ],
    });
}

#[test]
fn last_counts_backups() {
    let times = &[
        "2026-05-01T10:00:00",
        "2026-05-01T10:00:01",
        "2026-05-01T10:00:02",
    ];
    for (last, kept) in [
        (1, &["2026-05-01T10:00:02"][..]),
        (2, &["2026-05-01T10:00:02", "2026-05-01T10:00:01"]),
        (
            9,
            &[
                "2026-05-01T10:00:02",
                "2026-05-01T10:00:01",
                "2026-05-01T10:00:00",
            ],
        ),
        (
            UNLIMITED,
            &[
                "2026-05-01T10:00:02",
                "2026-05-01T10:00:01",
                "2026-05-01T10:00:00",
            ],
        ),
    ] {
        check(Case {
            zone: "UTC",
            times,
            policy: KeepPolicy { last, ..rules() },
            kept,
        });
    }
}

#[test]
fn each_period_keeps_its_newest_backup() {
    let times = &[
        "2026-05-03T09:00:00",
        "2026-05-03T23:00:00",
        "2026-05-02T11:10:00",
        "2026-05-02T11:50:00",
        "2026-04-30T23:59:59",
        "2026-04-01T00:00:00",
        "2025-12-31T23:00:00",
        "2024-06-01T00:00:00",
    ];
    for (policy, kept) in [
        (
            KeepPolicy {
                hourly: 3,
                ..rules()
            },
            &[
                "2026-05-03T23:00:00",
                "2026-05-03T09:00:00",
                "2026-05-02T11:50:00",
            ][..],
        ),
        (
            KeepPolicy {
                daily: 3,
                ..rules()
            },
            &[
                "2026-05-03T23:00:00",
                "2026-05-02T11:50:00",
                "2026-04-30T23:59:59",
            ],
        ),
        (
            KeepPolicy {
                monthly: 2,
                ..rules()
            },
            &["2026-05-03T23:00:00", "2026-04-30T23:59:59"],
        ),
        (
            KeepPolicy {
                yearly: 2,
                ..rules()
            },
            &["2026-05-03T23:00:00", "2025-12-31T23:00:00"],
        ),
        (
            KeepPolicy {
                last: 1,
                monthly: 3,
                yearly: 3,
                ..rules()
            },
            &[
                "2026-05-03T23:00:00",
                "2026-04-30T23:59:59",
                "2025-12-31T23:00:00",
                "2024-06-01T00:00:00",
            ],
        ),
    ] {
        check(Case {
            zone: "UTC",
            times,
            policy,
            kept,
        });
    }
}

#[test]
fn a_rule_that_is_not_used_up_keeps_the_oldest_too() {
    check(Case {
        zone: "UTC",
        times: &[
            "2026-05-03T01:00:00",
            "2026-05-03T02:00:00",
            "2026-05-03T03:00:00",
        ],
        policy: KeepPolicy {
            daily: 2,
            ..rules()
        },
        kept: &["2026-05-03T03:00:00", "2026-05-03T01:00:00"],
    });
    check(Case {
        zone: "UTC",
        times: &[
            "2026-05-03T01:00:00",
            "2026-05-03T02:00:00",
            "2026-05-03T03:00:00",
        ],
        policy: KeepPolicy {
            daily: 1,
            ..rules()
        },
        kept: &["2026-05-03T03:00:00"],
    });
}

#[test]
fn weeks_are_iso_weeks_across_the_new_year() {
    // 2027-01-01 is a Friday of week 53 of 2026; 2027-01-04 begins week 1.
    check(Case {
        zone: "UTC",
        times: &[
            "2026-12-27T12:00:00",
            "2026-12-28T12:00:00",
            "2026-12-31T12:00:00",
            "2027-01-01T12:00:00",
            "2027-01-03T12:00:00",
            "2027-01-04T12:00:00",
        ],
        policy: KeepPolicy {
            weekly: 3,
            ..rules()
        },
        kept: &[
            "2027-01-04T12:00:00",
            "2027-01-03T12:00:00",
            "2026-12-27T12:00:00",
        ],
    });
}

#[test]
fn days_are_those_of_the_time_zone() {
    let times = &["2026-05-02T03:30:00Z", "2026-05-02T04:30:00Z"];
    let policy = || KeepPolicy {
        daily: 1,
        ..rules()
    };
    let two = || KeepPolicy {
        daily: 2,
        last: 0,
        ..rules()
    };
    check(Case {
        zone: "UTC",
        times,
        policy: policy(),
        kept: &["2026-05-02T04:30:00Z"],
    });
    // In New York the first one is still the day before.
    check(Case {
        zone: "America/New_York",
        times,
        policy: two(),
        kept: &["2026-05-02T04:30:00Z", "2026-05-02T03:30:00Z"],
    });
}

#[test]
fn summer_time_neither_loses_nor_merges_hours() {
    // Clocks go back at 06:00Z on 2026-11-01: 01:30 happens twice.
    check(Case {
        zone: "America/New_York",
        times: &[
            "2026-11-01T04:30:00Z",
            "2026-11-01T05:30:00Z",
            "2026-11-01T06:30:00Z",
            "2026-11-01T07:30:00Z",
        ],
        policy: KeepPolicy {
            hourly: 3,
            ..rules()
        },
        kept: &[
            "2026-11-01T07:30:00Z",
            "2026-11-01T06:30:00Z",
            "2026-11-01T05:30:00Z",
        ],
    });
    // The 25-hour day and the 23-hour day are one day each.
    check(Case {
        zone: "America/New_York",
        times: &[
            "2026-10-31T12:00:00",
            "2026-11-01T00:30:00",
            "2026-11-01T23:30:00",
            "2026-11-02T00:30:00",
        ],
        policy: KeepPolicy {
            daily: 3,
            ..rules()
        },
        kept: &[
            "2026-11-02T00:30:00",
            "2026-11-01T23:30:00",
            "2026-10-31T12:00:00",
        ],
    });
    check(Case {
        zone: "America/New_York",
        times: &[
            "2026-03-07T23:30:00",
            "2026-03-08T00:30:00",
            "2026-03-08T23:30:00",
            "2026-03-09T00:30:00",
        ],
        policy: KeepPolicy {
            daily: 3,
            ..rules()
        },
        kept: &[
            "2026-03-09T00:30:00",
            "2026-03-08T23:30:00",
            "2026-03-07T23:30:00",
        ],
    });
}

#[test]
fn within_counts_back_from_the_newest_backup_by_the_calendar() {
    let span = |text: &str| Some(text.parse::<KeepSpan>().expect("a span"));
    // A month before 31 March is the end of February.
    check(Case {
        zone: "UTC",
        times: &[
            "2026-02-28T11:59:59",
            "2026-02-28T12:00:01",
            "2026-03-15T12:00:00",
            "2026-03-31T12:00:00",
        ],
        policy: KeepPolicy {
            within: span("1m"),
            ..rules()
        },
        kept: &[
            "2026-03-31T12:00:00",
            "2026-03-15T12:00:00",
            "2026-02-28T12:00:01",
        ],
    });
    check(Case {
        zone: "UTC",
        times: &[
            "2026-03-28T23:59:59",
            "2026-03-29T00:00:01",
            "2026-03-31T12:00:00",
        ],
        policy: KeepPolicy {
            within: span("2d12h"),
            ..rules()
        },
        kept: &["2026-03-31T12:00:00", "2026-03-29T00:00:01"],
    });
    check(Case {
        zone: "UTC",
        times: &[
            "2024-02-29T00:00:00",
            "2026-02-28T00:00:01",
            "2027-02-28T00:00:00",
        ],
        policy: KeepPolicy {
            within: span("1y"),
            ..rules()
        },
        kept: &["2027-02-28T00:00:00", "2026-02-28T00:00:01"],
    });
    // One day back over the 25-hour day is the same clock time, not 24 hours.
    check(Case {
        zone: "America/New_York",
        times: &[
            "2026-11-01T00:15:00",
            "2026-11-01T00:45:00",
            "2026-11-02T00:30:00",
        ],
        policy: KeepPolicy {
            within: span("1d"),
            ..rules()
        },
        kept: &["2026-11-02T00:30:00", "2026-11-01T00:45:00"],
    });
}

#[test]
fn within_does_not_count_from_the_future() {
    let candidates = [
        candidate("skewed", "2031-01-01T00:00:00Z"),
        candidate("new", "2026-05-10T00:00:00Z"),
        candidate("old", "2026-05-01T00:00:00Z"),
    ];
    let policy = KeepPolicy {
        within: "3d".parse().ok(),
        ..rules()
    };
    let now = "2026-05-10T01:00:00Z".parse().expect("a timestamp");
    assert_eq!(
        kept(&plan(&candidates, &policy, now, &TimeZone::UTC)),
        ["skewed", "new"]
    );
}

#[test]
fn tags_keep_and_a_list_of_tags_wants_all() {
    let tagged = |id: &str, time: &str, tags: &[&str]| Candidate {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..candidate(id, time)
    };
    let candidates = [
        tagged("release", "2026-05-01T00:00:00Z", &["release", "v1"]),
        tagged("half", "2026-05-02T00:00:00Z", &["release"]),
        tagged("audit", "2026-05-03T00:00:00Z", &["audit"]),
    ];
    let now = "2026-06-01T00:00:00Z".parse().expect("a timestamp");
    let policy = KeepPolicy {
        keep_tags: vec!["release,v1".into(), "audit".into()],
        ..rules()
    };
    assert_eq!(
        kept(&plan(&candidates, &policy, now, &TimeZone::UTC)),
        ["audit", "release"]
    );
}

#[test]
fn groups_do_not_share_a_rule() {
    let mut other = candidate("crm", "2020-01-01T00:00:00Z");
    other.group = "crm".to_owned();
    let candidates = [
        candidate("new", "2026-05-02T00:00:00Z"),
        candidate("old", "2026-05-01T00:00:00Z"),
        other,
    ];
    let now = "2026-06-01T00:00:00Z".parse().expect("a timestamp");
    let policy = KeepPolicy { last: 1, ..rules() };
    assert_eq!(
        kept(&plan(&candidates, &policy, now, &TimeZone::UTC)),
        ["crm", "new"]
    );
}

/// Backups of the first days of May, by day: `.` stored, `c` verified, `p` proven, `!` pinned, oldest first.
fn days(states: &str) -> Vec<Candidate> {
    let one = |(day, state): (usize, char)| Candidate {
        pinned: state == '!',
        proven: state == 'p',
        checked: state == 'c' || state == 'p',
        ..candidate(
            &format!("d{}", day + 1),
            &format!("2026-05-0{}T00:00:00Z", day + 1),
        )
    };
    states.chars().enumerate().map(one).collect()
}

fn june() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().expect("a timestamp")
}

#[test]
fn pinned_newest_newest_proven_and_newest_verified_backups_stay() {
    let policy = KeepPolicy {
        last: 1,
        ..KeepPolicy::default()
    };
    let plan = plan(&days("!ppc....."), &policy, june(), &TimeZone::UTC);
    assert_eq!(kept(&plan), ["d9", "d8", "d7", "d4", "d3", "d1"]);
    let reasons: BTreeMap<_, _> = plan.keep.iter().cloned().collect();
    assert_eq!(
        reasons["d9"],
        [KeepReason::Protected, KeepReason::Period(Period::Last)]
    );
    assert_eq!(reasons["d7"], [KeepReason::Protected]);
    assert_eq!(reasons["d4"], [KeepReason::NewestWhole]);
    assert_eq!(reasons["d3"], [KeepReason::NewestProven]);
    assert_eq!(reasons["d1"], [KeepReason::Pinned]);
}

#[test]
fn the_newest_backups_stay_whatever_is_proven_of_older_ones() {
    for (states, protect_newest, expected) in [
        ("......", 3, &["d6", "d5", "d4"][..]),
        ("ppp...", 3, &["d6", "d5", "d4", "d3"]),
        ("pppp..", 3, &["d6", "d5", "d4"]),
        ("ppp.", 3, &["d4", "d3", "d2"]),
        ("pppppp...", 2, &["d9", "d8", "d6"]),
        ("ccc...", 3, &["d6", "d5", "d4", "d3"]),
        ("c.....", 3, &["d6", "d5", "d4", "d1"]),
        ("cp....", 3, &["d6", "d5", "d4", "d2"]),
        ("pc....", 3, &["d6", "d5", "d4", "d2", "d1"]),
        ("ppp..p", 1, &["d6"]),
        ("ppp...", 1, &["d6", "d3"]),
        // Nobody can ask for a plan that takes the newest backup.
        ("ppp...", 0, &["d6", "d3"]),
        ("...", 9, &["d3", "d2", "d1"]),
    ] {
        let policy = KeepPolicy {
            keep_tags: vec!["never".into()],
            protect_newest,
            ..KeepPolicy::default()
        };
        let plan = plan(&days(states), &policy, june(), &TimeZone::UTC);
        assert_eq!(kept(&plan), expected, "{states} {protect_newest}");
    }
}

#[test]
fn equal_times_are_decided_by_id_whatever_the_input_order() {
    let a = candidate("a", "2026-05-01T00:00:00Z");
    let b = candidate("b", "2026-05-01T00:00:00Z");
    let now = "2026-06-01T00:00:00Z".parse().expect("a timestamp");
    let policy = KeepPolicy { last: 1, ..rules() };
    for order in [[a.clone(), b.clone()], [b, a]] {
        assert_eq!(kept(&plan(&order, &policy, now, &TimeZone::UTC)), ["a"]);
    }
}

#[test]
fn an_empty_list_gives_an_empty_plan() {
    let now = "2026-06-01T00:00:00Z".parse().expect("a timestamp");
    let policy = KeepPolicy {
        last: 1,
        ..KeepPolicy::default()
    };
    assert_eq!(
        plan(&[], &policy, now, &TimeZone::UTC),
        ForgetPlan::default()
    );
}

#[test]
fn spans_are_read_and_written() {
    for (text, written) in [
        ("30d12h", Some("30d12h")),
        ("1y6m", Some("1y6m")),
        ("2w", Some("2w")),
        ("1d1d", Some("2d")),
        ("0d", Some("0h")),
        (" 7d ", Some("7d")),
        ("", None),
        ("d", None),
        ("7", None),
        ("7 days", None),
        ("-7d", None),
        ("7d-1h", None),
        ("99999d", None),
        ("7é", None),
        ("5M", None),
    ] {
        let span = text.parse::<KeepSpan>().ok().map(|span| span.to_string());
        assert_eq!(span.as_deref(), written, "{text:?}");
    }
}

#[test]
fn a_span_that_reaches_beyond_the_calendar_keeps_everything() {
    check(Case {
        zone: "UTC",
        times: &["2020-01-01T00:00:00", "2026-01-01T00:00:00"],
        policy: KeepPolicy {
            within: "65535y".parse().ok(),
            ..rules()
        },
        kept: &["2026-01-01T00:00:00", "2020-01-01T00:00:00"],
    });
}

#[test]
fn a_policy_is_read_from_configuration_and_unknown_rules_are_refused() {
    let policy: KeepPolicy =
        serde_json::from_str(r#"{"daily": 7, "within": "2d"}"#).expect("a policy");
    assert_eq!(
        policy,
        KeepPolicy {
            daily: 7,
            within: "2d".parse().ok(),
            ..KeepPolicy::default()
        }
    );
    assert!(serde_json::from_str::<KeepPolicy>(r#"{"dayly": 7}"#).is_err());
    assert!(serde_json::from_str::<KeepPolicy>(r#"{"within": "soon"}"#).is_err());
}

#[test]
fn what_is_held_is_kept_with_the_reason() {
    let mut plan = ForgetPlan {
        keep: vec![("a".into(), vec![KeepReason::Pinned])],
        remove: vec![
            ("b".into(), "no rule keeps it".into()),
            ("c".into(), "old".into()),
        ],
    };
    plan.hold(|id| (id == "b").then(|| "in doubt".to_owned()));
    assert_eq!(plan.remove, [("c".to_owned(), "old".to_owned())]);
    assert_eq!(
        plan.keep[1],
        ("b".to_owned(), vec![KeepReason::Held("in doubt".into())])
    );
}

#[test]
fn a_date_to_come_is_told_with_some_patience_for_clocks() {
    let at = |text: &str| -> Timestamp { text.parse().expect("a time") };
    let now = at("2026-05-01T12:00:00Z");
    let told = |time: &str| dated_ahead("0123456789", at(time), now);
    assert_eq!(told("2026-05-01T12:09:00Z"), None);
    assert_eq!(told("2020-05-01T12:09:00Z"), None);
    let why = told("2026-05-11T12:00:00Z").expect("told");
    assert!(
        why.starts_with("backup 01234567 is dated 2026-05-11 12:00 UTC"),
        "{why}"
    );
}
