use super::*;
use std::collections::BTreeSet;

struct Past<'a> {
    since: &'a str,
    made: &'a [&'a str],
}

/// `expected` is the scheduled time of the run that is made, with ` +n` where it stands for n more; or the start of the
/// next one, after `next `.
#[track_caller]
fn check_due(line: &str, past: &Past<'_>, now: &str, expected: &str) {
    let schedule = match line.strip_suffix(" skip") {
        Some(line) => Schedule {
            catch_up: false,
            ..schedule(line)
        }
        .resolve("nightly")
        .expect("valid"),
        None => resolved(line),
    };
    let made: BTreeSet<Timestamp> = past.made.iter().map(|text| time(text)).collect();
    let history = History {
        since: time(past.since),
        made: &made,
    };
    let told = match schedule.due(&history, time(now)) {
        Due::Nothing { next } => format!("next {}", next.expect("a next run").start),
        Due::Now { run, missed: 0 } => run.scheduled.to_string(),
        Due::Now { run, missed } => format!("{} +{missed}", run.scheduled),
    };
    assert_eq!(told, expected, "{line} at {now}");
}

const NEW: Past<'static> = Past {
    since: "2026-05-01T00:00:00Z",
    made: &[],
};

#[test]
fn a_new_policy_waits_for_its_first_run() {
    check_due(
        "daily 02:00 UTC",
        &NEW,
        "2026-05-01T00:00:00Z",
        "next 2026-05-01T02:00:00Z",
    );
    check_due(
        "daily 02:00 UTC",
        &NEW,
        "2026-05-01T01:59:59Z",
        "next 2026-05-01T02:00:00Z",
    );
    check_due(
        "daily 02:00 UTC",
        &NEW,
        "2026-05-01T02:00:00Z",
        "2026-05-01T02:00:00Z",
    );
    check_due(
        "daily 02:00 UTC",
        &NEW,
        "2026-05-01T02:00:30Z",
        "2026-05-01T02:00:00Z",
    );
    let late = Past {
        since: "2026-05-01T02:00:00Z",
        made: &[],
    };
    check_due(
        "daily 02:00 UTC",
        &late,
        "2026-05-01T09:00:00Z",
        "next 2026-05-02T02:00:00Z",
    );
}

#[test]
fn a_run_is_made_once() {
    let past = Past {
        since: "2026-04-01T00:00:00Z",
        made: &["2026-04-30T02:00:00Z", "2026-05-01T02:00:00Z"],
    };
    for now in [
        "2026-05-01T02:00:00Z",
        "2026-05-01T02:00:01Z",
        "2026-05-01T23:00:00Z",
        "2026-05-02T01:59:59Z",
    ] {
        check_due("daily 02:00 UTC", &past, now, "next 2026-05-02T02:00:00Z");
    }
    check_due(
        "daily 02:00 UTC",
        &past,
        "2026-05-02T02:00:00Z",
        "2026-05-02T02:00:00Z",
    );
}

#[test]
fn a_machine_that_slept_over_several_runs_makes_one() {
    let past = Past {
        since: "2026-01-01T00:00:00Z",
        made: &["2026-05-01T02:00:00Z"],
    };
    check_due(
        "daily 02:00 UTC",
        &past,
        "2026-05-02T09:00:00Z",
        "2026-05-02T02:00:00Z",
    );
    check_due(
        "daily 02:00 UTC",
        &past,
        "2026-05-06T09:00:00Z",
        "2026-05-06T02:00:00Z +4",
    );
    check_due(
        "hourly :00 UTC",
        &past,
        "2026-05-01T05:30:00Z",
        "2026-05-01T05:00:00Z +2",
    );
    check_due(
        "weekly sunday 02:00 UTC",
        &past,
        "2026-06-01T00:00:00Z",
        "2026-05-31T02:00:00Z +4",
    );
    check_due(
        "monthly 1 02:00 UTC",
        &past,
        "2027-05-01T01:00:00Z",
        "2027-04-01T02:00:00Z +10",
    );
    // Off for years with a run every minute: answered at once, and counting ends.
    check_due(
        "cron * * * * * @ UTC",
        &past,
        "2036-05-01T02:00:30Z",
        "2036-05-01T02:00:00Z +10000",
    );
}

#[test]
fn without_catching_up_the_next_run_is_waited_for() {
    let past = Past {
        since: "2026-01-01T00:00:00Z",
        made: &["2026-05-01T02:00:00Z"],
    };
    let line = "daily 02:00 UTC skip";
    check_due(line, &past, "2026-05-02T02:00:00Z", "2026-05-02T02:00:00Z");
    check_due(line, &past, "2026-05-02T02:05:00Z", "2026-05-02T02:00:00Z");
    check_due(
        line,
        &past,
        "2026-05-02T02:05:01Z",
        "next 2026-05-03T02:00:00Z",
    );
    check_due(
        line,
        &past,
        "2026-05-06T09:00:00Z",
        "next 2026-05-07T02:00:00Z",
    );
    check_due(
        line,
        &past,
        "2026-05-07T02:01:00Z",
        "2026-05-07T02:00:00Z +5",
    );
}

#[test]
fn a_clock_that_was_set_back_repeats_nothing() {
    let past = Past {
        since: "2026-01-01T00:00:00Z",
        made: &["2026-04-30T02:00:00Z", "2026-05-01T02:00:00Z"],
    };
    // An hour back, just after the run.
    check_due(
        "daily 02:00 UTC",
        &past,
        "2026-05-01T01:00:30Z",
        "next 2026-05-02T02:00:00Z",
    );
    check_due(
        "daily 02:00 UTC",
        &past,
        "2026-05-01T02:00:00Z",
        "next 2026-05-02T02:00:00Z",
    );
    check_due(
        "daily 02:00 UTC",
        &past,
        "2026-05-02T02:00:00Z",
        "2026-05-02T02:00:00Z",
    );
    // Two days back: both moments were made.
    let past = Past {
        since: "2026-01-01T00:00:00Z",
        made: &[
            "2026-04-29T02:00:00Z",
            "2026-04-30T02:00:00Z",
            "2026-05-01T02:00:00Z",
        ],
    };
    check_due(
        "daily 02:00 UTC",
        &past,
        "2026-04-29T12:00:00Z",
        "next 2026-05-02T02:00:00Z",
    );
    check_due(
        "daily 02:00 UTC",
        &past,
        "2026-04-30T12:00:00Z",
        "next 2026-05-02T02:00:00Z",
    );
}

#[test]
fn a_clock_that_had_been_ahead_stops_nothing() {
    // It had jumped to the next year, caught up there, and came back.
    let past = Past {
        since: "2026-01-01T00:00:00Z",
        made: &["2026-05-01T02:00:00Z", "2027-05-01T02:00:00Z"],
    };
    check_due(
        "daily 02:00 UTC",
        &past,
        "2026-05-01T12:00:00Z",
        "next 2026-05-02T02:00:00Z",
    );
    check_due(
        "daily 02:00 UTC",
        &past,
        "2026-05-02T02:00:10Z",
        "2026-05-02T02:00:00Z",
    );
    check_due(
        "daily 02:00 UTC",
        &past,
        "2027-04-30T12:00:00Z",
        "2027-04-30T02:00:00Z +363",
    );
    check_due(
        "daily 02:00 UTC",
        &past,
        "2027-05-01T02:00:10Z",
        "next 2027-05-02T02:00:00Z",
    );
    // The policy was made while it was ahead.
    let past = Past {
        since: "2030-01-01T00:00:00Z",
        made: &[],
    };
    check_due(
        "daily 02:00 UTC",
        &past,
        "2026-05-01T12:00:00Z",
        "next 2026-05-02T02:00:00Z",
    );
}

#[test]
fn a_changed_schedule_does_not_run_for_the_past() {
    // Made yesterday by the old schedule at 02:00, changed at noon to 10:00.
    let past = Past {
        since: "2026-05-02T12:00:00Z",
        made: &["2026-05-02T02:00:00Z"],
    };
    check_due(
        "daily 10:00 UTC",
        &past,
        "2026-05-02T12:00:01Z",
        "next 2026-05-03T10:00:00Z",
    );
    check_due(
        "daily 13:00 UTC",
        &past,
        "2026-05-02T13:00:01Z",
        "2026-05-02T13:00:00Z",
    );
}

#[test]
fn a_missed_run_waits_for_the_end_of_a_blackout() {
    let past = Past {
        since: "2026-01-01T00:00:00Z",
        made: &["2026-05-01T06:00:00Z"],
    };
    let line = "daily 02:00 UTC !01:00-06:00";
    check_due(
        line,
        &past,
        "2026-05-02T02:30:00Z",
        "next 2026-05-02T06:00:00Z",
    );
    check_due(line, &past, "2026-05-02T06:00:00Z", "2026-05-02T06:00:00Z");
}

#[test]
fn a_run_on_demand_is_never_due() {
    let schedule = Schedule {
        frequency: Frequency::OnDemand,
        ..Schedule::default()
    };
    let made = BTreeSet::new();
    let history = History {
        since: time("2000-01-01T00:00:00Z"),
        made: &made,
    };
    let due = schedule
        .resolve("p")
        .expect("valid")
        .due(&history, time("2026-05-01T00:00:00Z"));
    assert_eq!(due, Due::Nothing { next: None });
}

/// A year of looking every ten minutes makes each run once, and each at once.
#[test]
fn looking_often_makes_every_run_exactly_once() {
    for line in [
        "daily 02:30 Europe/Berlin",
        "hourly :30 Europe/Berlin",
        "daily 01:30 America/New_York",
    ] {
        let schedule = resolved(line);
        let begin = time("2026-01-01T00:00:00Z");
        let mut made = BTreeSet::new();
        let mut now = begin;
        for _ in 0..(365 * 24 * 6) {
            now += SignedDuration::from_mins(10);
            let history = History {
                since: begin,
                made: &made,
            };
            if let Due::Now { run, missed } = schedule.due(&history, now) {
                assert_eq!(missed, 0);
                assert!(now.duration_since(run.start) < SignedDuration::from_mins(10));
                assert!(made.insert(run.scheduled));
            }
        }
        let expected: BTreeSet<Timestamp> = schedule
            .runs_after(begin)
            .map(|run| run.scheduled)
            .take_while(|scheduled| *scheduled <= now)
            .collect();
        assert_eq!(made, expected, "{line}");
    }
}
