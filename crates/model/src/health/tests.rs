use super::*;
use crate::policy::{Frequency, Schedule};

fn time(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn daily() -> PolicyFacts {
    let schedule = Schedule {
        at: Some("02:00".to_owned()),
        ..Schedule::default()
    };
    PolicyFacts {
        name: "nightly".to_owned(),
        enabled: true,
        schedule: schedule.resolve("nightly").expect("valid"),
        since: time("2026-01-01T00:00:00Z"),
        last_ok: Some(time("2026-05-01T02:00:05Z")),
        failure: None,
        running: false,
        usual_secs: None,
        may_wait_secs: 0,
        at_least_every_secs: None,
    }
}

/// Since when the policy is overdue, if it is.
#[track_caller]
fn check_overdue(policy: &PolicyFacts, now: &str, expected: Option<&str>) {
    let since = overdue(policy, time(now)).map(|late| late.since.to_string());
    assert_eq!(since.as_deref(), expected, "at {now}");
}

#[test]
fn a_run_that_did_not_succeed_in_time_is_overdue() {
    let policy = daily();
    let since = Some("2026-05-02T02:10:00Z");
    check_overdue(&policy, "2026-05-01T12:00:00Z", None);
    check_overdue(&policy, "2026-05-02T02:00:00Z", None);
    check_overdue(&policy, "2026-05-02T02:10:00Z", None);
    check_overdue(&policy, "2026-05-02T02:10:01Z", since);
    // It stays so when the next run is only just due.
    check_overdue(&policy, "2026-05-03T02:01:00Z", since);
    check_overdue(&policy, "2027-05-03T02:01:00Z", since);
    let disabled = PolicyFacts {
        enabled: false,
        ..daily()
    };
    check_overdue(&disabled, "2027-05-03T02:01:00Z", None);
}

#[test]
fn the_grace_is_twice_the_usual_time_and_what_a_start_may_wait() {
    let with = |usual_secs, may_wait_secs, running| PolicyFacts {
        usual_secs,
        may_wait_secs,
        running,
        ..daily()
    };
    let now = "2026-06-01T00:00:00Z";
    for (policy, since) in [
        (with(Some(60.0), 0, false), "2026-05-02T02:10:00Z"),
        (with(Some(1800.0), 0, false), "2026-05-02T03:00:00Z"),
        (with(Some(1800.0), 900, false), "2026-05-02T03:15:00Z"),
        (with(None, 900, false), "2026-05-02T02:25:00Z"),
        (with(None, 0, true), "2026-05-02T04:10:00Z"),
        (with(Some(f64::NAN), 0, false), "2026-05-02T02:10:00Z"),
        (with(Some(-5.0), 0, false), "2026-05-02T02:10:00Z"),
    ] {
        check_overdue(&policy, now, Some(since));
    }
}

#[test]
fn a_policy_that_never_ran_is_overdue_after_its_first_run() {
    let policy = PolicyFacts {
        last_ok: None,
        since: time("2026-05-01T12:00:00Z"),
        ..daily()
    };
    check_overdue(&policy, "2026-05-01T13:00:00Z", None);
    check_overdue(&policy, "2026-05-02T02:05:00Z", None);
    check_overdue(
        &policy,
        "2026-05-02T02:11:00Z",
        Some("2026-05-02T02:10:00Z"),
    );
}

#[test]
fn a_run_by_hand_or_late_counts_until_the_next_is_due() {
    let policy = PolicyFacts {
        last_ok: Some(time("2026-05-02T09:00:00Z")),
        ..daily()
    };
    check_overdue(&policy, "2026-05-02T23:00:00Z", None);
    check_overdue(
        &policy,
        "2026-05-03T02:11:00Z",
        Some("2026-05-03T02:10:00Z"),
    );
}

#[test]
fn a_success_of_a_clock_that_was_years_ahead_silences_no_alarm() {
    let with = |last_ok: &str| PolicyFacts {
        last_ok: Some(time(last_ok)),
        since: time("2026-04-30T00:00:00Z"),
        ..daily()
    };
    let since = Some("2026-04-30T02:10:00Z");
    check_overdue(&with("2030-01-01T00:00:00Z"), "2026-05-02T12:00:00Z", since);
    // Set back by an hour, just after the run.
    check_overdue(&with("2026-05-02T02:00:05Z"), "2026-05-02T01:05:00Z", None);
    check_overdue(&with("2026-05-02T02:00:05Z"), "2026-05-03T02:00:00Z", None);
}

#[test]
fn a_policy_on_demand_is_never_overdue_unless_it_has_a_longest_interval() {
    let on_demand = Schedule {
        frequency: Frequency::OnDemand,
        ..Schedule::default()
    };
    let policy = PolicyFacts {
        schedule: on_demand.resolve("p").expect("valid"),
        ..daily()
    };
    check_overdue(&policy, "2027-01-01T00:00:00Z", None);
    let adaptive = PolicyFacts {
        at_least_every_secs: Some(3600),
        ..policy
    };
    check_overdue(&adaptive, "2026-05-01T03:00:05Z", None);
    check_overdue(
        &adaptive,
        "2026-05-01T04:00:00Z",
        Some("2026-05-01T03:10:05Z"),
    );
}

fn point(text: &str) -> Point {
    Point {
        id: "abcd".to_owned(),
        time: time(text),
    }
}

fn well() -> AppFacts {
    AppFacts {
        app: "shop".to_owned(),
        policies: vec![daily()],
        policy_removed: false,
        newest_good: Some(point("2026-05-01T02:00:05Z")),
        newest_proven: Some((point("2026-04-20T02:00:00Z"), time("2026-04-20T05:00:00Z"))),
        newest_bad: None,
        prove_every_days: 30,
        failure_by_hand: None,
        unchanged_at: None,
        offsite: true,
        cleanup_failure: None,
        copies: Vec::new(),
        stores: Vec::new(),
        trouble: Trouble::default(),
    }
}

fn failure(count: u32) -> Option<Failure> {
    Some(Failure {
        at: time("2026-05-01T09:00:00Z"),
        message: "the server refused the connection".to_owned(),
        count,
    })
}

#[track_caller]
fn check(facts: &AppFacts, now: &str, state: HealthState, score: u8, sentence: &str) {
    let health = assess(facts, time(now));
    assert_eq!(
        (health.state, health.score, health.sentence.as_str()),
        (state, score, sentence)
    );
    assert!(health.findings.is_sorted_by(|a, b| a.state >= b.state));
}

const NOON: &str = "2026-05-01T12:00:05Z";

#[test]
fn a_safe_app_says_how_long_ago_its_last_backup_is() {
    check(
        &well(),
        NOON,
        HealthState::Ok,
        100,
        "shop is safe: last good backup 10 hours ago",
    );
    assert_eq!(assess(&well(), time(NOON)).rpo_seconds, Some(36_000));
    let unchanged = AppFacts {
        unchanged_at: Some(time("2026-05-01T12:00:00Z")),
        ..well()
    };
    assert_eq!(assess(&unchanged, time(NOON)).rpo_seconds, Some(5));
}

#[test]
fn an_app_that_policies_no_longer_look_after_becomes_an_alarm_and_one_made_by_hand_does_not() {
    let off = |schedule: Schedule| PolicyFacts {
        enabled: false,
        schedule: schedule.resolve("nightly").expect("valid"),
        ..daily()
    };
    let at_two = || Schedule {
        at: Some("02:00".to_owned()),
        ..Schedule::default()
    };
    let monthly = || Schedule {
        frequency: Frequency::Monthly,
        ..at_two()
    };
    let on_demand = || Schedule {
        frequency: Frequency::OnDemand,
        ..Schedule::default()
    };
    let with = |policies: Vec<PolicyFacts>, policy_removed| AppFacts {
        policies,
        policy_removed,
        ..well()
    };
    let state = |facts: &AppFacts, now: &str| assess(facts, time(now)).findings[0].state;
    let (unscheduled, overdue) = (HealthState::Unscheduled, HealthState::Overdue);
    // The newest is of the 1st, at two.
    for (facts, now, expected) in [
        (
            with(vec![off(at_two())], false),
            "2026-05-09T02:00:00Z",
            unscheduled,
        ),
        (
            with(vec![off(at_two())], false),
            "2026-05-09T02:00:01Z",
            overdue,
        ),
        (
            with(vec![off(at_two())], false),
            "2026-07-01T00:00:00Z",
            overdue,
        ),
        (
            with(vec![off(monthly())], false),
            "2026-05-30T00:00:00Z",
            unscheduled,
        ),
        (
            with(vec![off(monthly())], false),
            "2026-06-09T00:00:00Z",
            overdue,
        ),
        (with(Vec::new(), true), "2026-05-08T02:00:05Z", unscheduled),
        (with(Vec::new(), true), "2026-05-08T02:00:06Z", overdue),
        (with(Vec::new(), false), "2026-07-01T00:00:00Z", unscheduled),
        (
            with(vec![off(on_demand())], false),
            "2026-07-01T00:00:00Z",
            unscheduled,
        ),
        (
            with(vec![off(at_two()), daily()], true),
            "2026-05-01T12:00:00Z",
            HealthState::ProofStale,
        ),
    ] {
        let facts = AppFacts {
            newest_proven: None,
            ..facts
        };
        let facts = match expected {
            HealthState::ProofStale => AppFacts {
                prove_every_days: 7,
                newest_proven: well().newest_proven,
                ..facts
            },
            _ => facts,
        };
        assert_eq!(state(&facts, now), expected, "{now} {:?}", facts.policies);
    }
    let health = assess(
        &with(vec![off(at_two())], false),
        time("2026-06-30T02:00:05Z"),
    );
    assert!(health.is_alarm());
    assert_eq!(
        health.sentence,
        "no policy makes backups of shop by itself any more, and the last good one was made 60 days ago; policy nightly is off: `pgkeep policy enable nightly`"
    );
}

#[test]
fn the_worst_is_said_first_and_all_of_it_counts() {
    let policies = |policy| vec![policy];
    check(
        &AppFacts {
            newest_good: None,
            newest_proven: None,
            ..well()
        },
        NOON,
        HealthState::NoBackup,
        0,
        "shop has no good backup",
    );
    check(
        &AppFacts {
            newest_proven: None,
            ..well()
        },
        NOON,
        HealthState::Unproven,
        85,
        "no backup of shop was ever proven by a restore",
    );
    check(
        &AppFacts {
            prove_every_days: 7,
            ..well()
        },
        NOON,
        HealthState::ProofStale,
        90,
        "a backup of shop was last proven by a restore 11 days ago",
    );
    check(
        &AppFacts {
            policies: Vec::new(),
            ..well()
        },
        NOON,
        HealthState::Unscheduled,
        75,
        "no policy makes backups of shop by itself",
    );
    check(
        &AppFacts {
            policies: policies(PolicyFacts {
                failure: failure(3),
                ..daily()
            }),
            ..well()
        },
        NOON,
        HealthState::Failing,
        60,
        "policy nightly of shop failed 3 times in a row, last 3 hours ago: the server refused the connection",
    );
    check(
        &AppFacts {
            failure_by_hand: failure(1),
            ..well()
        },
        NOON,
        HealthState::Failing,
        60,
        "the newest backup of shop failed 3 hours ago: the server refused the connection",
    );
    check(
        &well(),
        "2026-05-03T12:00:05Z",
        HealthState::Overdue,
        60,
        "policy nightly of shop is overdue: the run of 2026-05-02 02:00 UTC has not succeeded",
    );
    check(
        &AppFacts {
            newest_bad: Some((point("2026-05-01T02:00:05Z"), Bad::Damaged)),
            newest_proven: None,
            policies: policies(PolicyFacts {
                failure: failure(1),
                ..daily()
            }),
            ..well()
        },
        NOON,
        HealthState::Damaged,
        0,
        "the newest backup of shop, made 10 hours ago, is damaged",
    );
    check(
        &AppFacts {
            newest_bad: Some((point("2026-05-01T02:00:05Z"), Bad::DrillFailed)),
            ..well()
        },
        NOON,
        HealthState::DrillFailed,
        50,
        "the newest backup of shop, made 10 hours ago, failed its drill",
    );
}

#[test]
fn two_policies_that_fail_cost_as_much_as_one() {
    let failing = PolicyFacts {
        failure: failure(1),
        ..daily()
    };
    let facts = AppFacts {
        policies: vec![failing.clone(), failing],
        ..well()
    };
    let health = assess(&facts, time(NOON));
    assert_eq!(health.findings.len(), 2);
    assert_eq!(health.score, 60);
}

#[test]
fn a_disabled_policy_neither_fails_nor_protects() {
    let facts = AppFacts {
        policies: vec![PolicyFacts {
            enabled: false,
            failure: failure(1),
            ..daily()
        }],
        ..well()
    };
    assert_eq!(assess(&facts, time(NOON)).state, HealthState::Unscheduled);
}

#[test]
fn ages_are_told_in_the_unit_that_fits() {
    let now = time("2026-05-10T00:00:00Z");
    for (secs, words) in [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (3600, "1 hour ago"),
        (172_799, "47 hours ago"),
        (172_800, "2 days ago"),
        (8_640_000, "100 days ago"),
    ] {
        assert_eq!(ago(now - SignedDuration::from_secs(secs), now), words);
    }
}

#[test]
fn the_usual_duration_is_the_median() {
    assert_eq!(usual_secs(&[]), None);
    assert_eq!(usual_secs(&[5.0]), Some(5.0));
    assert_eq!(usual_secs(&[900.0, 5.0, 7.0]), Some(7.0));
    assert_eq!(usual_secs(&[f64::NAN, 5.0]), Some(5.0));
}

#[test]
fn the_score_is_100_less_what_the_four_aspects_cost() {
    let health = assess(&well(), time(NOON));
    assert_eq!(health.score, 100);
    let held: Vec<_> = health.reasons.iter().map(|r| (r.aspect, r.held)).collect();
    let aspects = [
        Aspect::Fresh,
        Aspect::Proven,
        Aspect::Offsite,
        Aspect::Retention,
    ];
    assert_eq!(held, aspects.map(|aspect| (aspect, true)));

    let facts = AppFacts {
        newest_proven: None,
        offsite: false,
        cleanup_failure: failure(1),
        ..well()
    };
    let health = assess(&facts, time(NOON));
    let costs: Vec<u8> = health.reasons.iter().map(|r| r.cost).collect();
    assert_eq!(costs, [0, 15, 5, 5]);
    assert_eq!(health.score, 75);
    // One place is no alarm, and does not change what is said of the app.
    assert_eq!(health.state, HealthState::Unproven);
    assert!(
        health.reasons[3]
            .sentence
            .contains("cleanup of shop failed")
    );
}

fn copied(newest: Option<&str>) -> CopyFacts {
    CopyFacts {
        repository: "offsite".to_owned(),
        newest: newest.map(time),
        since: time("2026-01-01T00:00:00Z"),
        interval: None,
        grace: SignedDuration::from_mins(10),
        failure: None,
    }
}

#[test]
fn copies_elsewhere_are_behind_by_more_than_an_interval_or_when_the_last_one_failed() {
    // The newest good backup is of 02:00:05, ten hours ago.
    let hourly = CopyFacts {
        interval: Some(SignedDuration::from_hours(1)),
        ..copied(Some("2026-05-01T00:30:00Z"))
    };
    let failed = |newest| CopyFacts {
        failure: failure(1),
        ..copied(newest)
    };
    let new = CopyFacts {
        since: time("2026-05-01T00:00:00Z"),
        ..copied(None)
    };
    let behind = "the copies of shop in offsite are behind: the newest is of ";
    for (facts, expected) in [
        (copied(Some("2026-05-01T02:00:05Z")), None),
        (copied(Some("2026-05-01T03:00:00Z")), None),
        (copied(Some("2026-04-30T02:00:00Z")), None),
        (copied(Some("2026-04-30T01:00:00Z")), Some((behind, true))),
        (hourly, Some((behind, true))),
        (
            copied(None),
            Some(("no backup of shop has reached offsite yet", false)),
        ),
        (new, None),
        (
            failed(Some("2026-05-01T01:00:00Z")),
            Some((
                "the last copy of shop to offsite failed 3 hours ago: the server refused the connection",
                true,
            )),
        ),
        // It holds the newest backup, whatever became of a later try.
        (failed(Some("2026-05-01T02:00:05Z")), None),
    ] {
        let about = format!("{facts:?}");
        let newest = facts.newest;
        let health = assess(
            &AppFacts {
                copies: vec![facts],
                ..well()
            },
            time(NOON),
        );
        let Some((sentence, known)) = expected else {
            assert_eq!(
                (health.state, health.score),
                (HealthState::Ok, 100),
                "{about}"
            );
            continue;
        };
        assert_eq!(
            (health.state, health.score),
            (HealthState::OffsiteBehind, 95),
            "{about}"
        );
        let finding = &health.findings[0];
        assert!(
            finding.sentence.starts_with(sentence),
            "{}",
            finding.sentence
        );
        assert_eq!(finding.repository.as_deref(), Some("offsite"));
        assert_eq!(finding.since, newest.filter(|_| known));
        let only_failed = finding.sentence.contains("failed");
        assert_eq!(finding.days.is_none(), only_failed, "{about}");
        assert!(!health.is_alarm(), "{about}");
        assert!(!health.reasons[2].held, "{about}");
    }
    let none = AppFacts {
        newest_good: None,
        copies: vec![copied(None)],
        ..well()
    };
    assert_eq!(assess(&none, time(NOON)).findings.len(), 1);
}

fn store(full_in_days: Option<f64>, confirmed: bool) -> StoreFacts {
    StoreFacts {
        repository: "main".to_owned(),
        since: time("2026-01-01T00:00:00Z"),
        growth: Some(crate::growth::Growth {
            bytes_per_day: 1,
            free_bytes: 1,
            full_in_days,
        }),
        kit_confirmed_at: confirmed.then(|| time("2026-01-02T00:00:00Z")),
    }
}

#[test]
fn a_disk_that_fills_needs_attention_and_is_an_alarm_two_days_before() {
    let words = "the disk of repository main will be full ";
    for (full_in, expected) in [
        (None, None),
        (Some(14.5), None),
        (
            Some(14.0),
            Some(("in 14 days as it grows now", Some(14), false)),
        ),
        (
            Some(2.5),
            Some(("in 2 days as it grows now", Some(2), false)),
        ),
        (Some(1.9), Some(("in 1 day as it grows now", Some(1), true))),
        (
            Some(0.2),
            Some(("within a day as it grows now", Some(0), true)),
        ),
    ] {
        let facts = AppFacts {
            stores: vec![store(full_in, true)],
            ..well()
        };
        let health = assess(&facts, time(NOON));
        let told = health.findings.first().map(|finding| {
            let told = finding
                .sentence
                .strip_prefix(words)
                .expect("about the disk");
            (told, finding.days, finding.is_alarm())
        });
        assert_eq!(told, expected, "{full_in:?}");
        let (state, score) = match expected {
            Some(_) => (HealthState::StorageFilling, 95),
            None => (HealthState::Ok, 100),
        };
        assert_eq!((health.state, health.score), (state, score));
        assert_eq!(
            health.is_alarm(),
            expected.is_some_and(|(_, _, alarm)| alarm)
        );
    }
    // An alarm comes before what is only worth knowing.
    let facts = AppFacts {
        newest_proven: None,
        stores: vec![store(Some(0.2), true)],
        ..well()
    };
    assert_eq!(
        assess(&facts, time(NOON)).state,
        HealthState::StorageFilling
    );
}

#[test]
fn a_key_without_a_recovery_kit_is_a_hint_that_costs_nothing() {
    let facts = AppFacts {
        stores: vec![store(None, false)],
        ..well()
    };
    let health = assess(&facts, time(NOON));
    assert_eq!((health.state, health.score), (HealthState::Ok, 100));
    assert_eq!(
        health.sentence,
        "shop is safe: last good backup 10 hours ago"
    );
    let hint = &health.findings[0];
    assert_eq!(hint.state, HealthState::NoRecoveryKit);
    assert_eq!((hint.repository.as_deref(), hint.cost), (Some("main"), 0));
    assert_eq!(
        hint.sentence,
        "nobody has confirmed that the recovery kit of repository main is in a safe place"
    );
    assert_eq!(hint.since, Some(time("2026-01-01T00:00:00Z")));
}

#[test]
fn no_green_light_where_content_or_backups_are_gone_or_nobody_is_there() {
    let with = |trouble: Trouble| AppFacts { trouble, ..well() };
    let told = |facts: &AppFacts| {
        let health = assess(facts, time(NOON));
        assert!(health.is_alarm(), "{}", health.sentence);
        (health.state, health.sentence)
    };
    let (state, sentence) = told(&with(Trouble {
        shrunk: Some(crate::shrunk::Doubt {
            id: "0123456789abcdef".into(),
            time: time("2026-05-01T11:00:00Z"),
            reason: "database shop holds no table".into(),
        }),
        ..Trouble::default()
    }));
    assert_eq!(state, HealthState::Shrunk);
    assert_eq!(
        sentence,
        "backup 01234567 of shop, made 1 hour ago, holds far less than the one before: database shop holds no table; nothing older is removed; if that is right, `pgkeep tag 01234567 --add accepted`"
    );
    let gone = |unreachable: Option<String>| {
        with(Trouble {
            vanished: vec![Vanished {
                repository: "main".into(),
                since: time("2026-05-01T11:30:00Z"),
                backups: (0..7).map(|_| point("2026-05-01T02:00:00Z")).collect(),
                unreachable,
            }],
            ..Trouble::default()
        })
    };
    let (state, sentence) = told(&gone(None));
    assert_eq!(state, HealthState::Vanished);
    assert!(
        sentence.starts_with("7 backups of shop vanished from repository main"),
        "{sentence}"
    );
    assert!(
        sentence.contains("and 2 more") || sentence.contains(", 2 more"),
        "{sentence}"
    );
    assert!(
        sentence.contains("`pgkeep repository accept-loss main`"),
        "{sentence}"
    );
    let (_, sentence) = told(&gone(Some("its folder /b is not there".into())));
    assert_eq!(
        sentence,
        "7 backups of shop in repository main cannot be reached since 30 minutes ago: its folder /b is not there"
    );
    let nobody = |last_seen: Option<&str>| {
        with(Trouble {
            nobody_works: NobodyWorks::judge((None, false), (last_seen.map(time), false)),
            ..Trouble::default()
        })
    };
    let (state, sentence) = told(&nobody(Some("2026-05-01T11:56:00Z")));
    assert_eq!(state, HealthState::NobodyWorks);
    assert_eq!(
        sentence,
        "no server is there to make the backups of shop: the last sign of life was 4 minutes ago; start `pgkeep serve`"
    );
    assert_eq!(told(&nobody(None)).0, HealthState::NobodyWorks);
    // Neither half of those who are needed is enough; the sign of life is that of who is missing.
    let half = |server, workers| {
        let seen = |alive| match alive {
            true => (Some(time("2026-05-01T12:00:00Z")), true),
            false => (Some(time("2026-05-01T11:56:00Z")), false),
        };
        with(Trouble {
            nobody_works: NobodyWorks::judge(seen(server), seen(workers)),
            ..Trouble::default()
        })
    };
    let (state, sentence) = told(&half(false, true));
    assert_eq!(state, HealthState::NobodyWorks);
    assert!(
        sentence.starts_with("no server is there to start the backups of shop at their times"),
        "{sentence}"
    );
    assert!(
        sentence.contains("sign of life was 4 minutes ago"),
        "{sentence}"
    );
    let (state, sentence) = told(&half(true, false));
    assert_eq!(state, HealthState::NobodyWorks);
    assert!(sentence.starts_with("no worker is there"), "{sentence}");
    assert_eq!(assess(&half(true, true), time(NOON)).state, HealthState::Ok);
    // A restart is no absence, and what nobody scheduled needs nobody.
    let restart = assess(&nobody(Some("2026-05-01T11:59:00Z")), time(NOON));
    assert_eq!(restart.state, HealthState::Ok);
    let by_hand = AppFacts {
        policies: Vec::new(),
        ..nobody(None)
    };
    assert_eq!(assess(&by_hand, time(NOON)).state, HealthState::Unscheduled);
    let to_come = AppFacts {
        newest_good: Some(point("2026-05-11T12:00:00Z")),
        ..well()
    };
    let (state, sentence) = told(&to_come);
    assert_eq!(state, HealthState::ClockWrong);
    assert!(sentence.contains("yet to come"), "{sentence}");
    assert_eq!(assess(&to_come, time(NOON)).rpo_seconds, None);
    let (state, sentence) = told(&with(Trouble {
        unheard: vec![Unheard {
            target: "ops".into(),
            since: time("2026-05-01T10:00:00Z"),
            message: "connection refused".into(),
        }],
        ..Trouble::default()
    }));
    assert_eq!(state, HealthState::Unheard);
    assert_eq!(
        sentence,
        "no message has reached ops since 2 hours ago: connection refused; `pgkeep notify test ops` tries it"
    );
}
