use super::*;

#[test]
fn a_run_within_a_blackout_moves_to_its_end() {
    let after = "2026-05-01T00:00:00Z"; // a Friday
    for (line, next) in [
        (
            "daily 02:00 UTC !01:00-04:00",
            &["2026-05-01T04:00", "2026-05-02T04:00"][..],
        ),
        // It begins with its first minute and ends before its last.
        ("daily 02:00 UTC !02:00-04:00", &["2026-05-01T04:00"]),
        ("daily 02:00 UTC !00:00-02:00", &["2026-05-01T02:00"]),
        ("daily 02:00 UTC !02:01-04:00", &["2026-05-01T02:00"]),
        // Over midnight, before and after it.
        (
            "daily 02:00 UTC !22:00-06:00",
            &["2026-05-01T06:00", "2026-05-02T06:00"],
        ),
        (
            "daily 23:00 UTC !22:00-06:00",
            &["2026-05-01T06:00", "2026-05-02T06:00"],
        ),
        (
            "daily 23:00 UTC !22:00-00:00",
            &["2026-05-02T00:00", "2026-05-03T00:00"],
        ),
        // One after the other, in any order, and overlapping.
        (
            "daily 02:00 UTC !04:00-05:00 !01:00-04:00",
            &["2026-05-01T05:00"],
        ),
        (
            "daily 02:00 UTC !01:00-04:30 !04:00-05:00",
            &["2026-05-01T05:00"],
        ),
        (
            "daily 23:00 UTC !22:00-00:00 !00:00-03:00",
            &["2026-05-01T03:00", "2026-05-02T03:00"],
        ),
        // On the days on which it begins.
        (
            "daily 02:00 UTC !22:00-06:00 thursday",
            &["2026-05-01T06:00", "2026-05-02T02:00"],
        ),
        (
            "daily 02:00 UTC !22:00-06:00 friday",
            &["2026-05-01T02:00", "2026-05-02T06:00", "2026-05-03T02:00"],
        ),
        (
            "daily 02:00 UTC !01:00-06:00 saturday,sunday",
            &[
                "2026-05-01T02:00",
                "2026-05-02T06:00",
                "2026-05-03T06:00",
                "2026-05-04T02:00",
            ],
        ),
        // What meets at the end of a blackout is one run.
        (
            "hourly :30 UTC !01:00-04:00",
            &["2026-05-01T00:30", "2026-05-01T04:00", "2026-05-01T04:30"],
        ),
        (
            "hourly :00 UTC !01:00-04:00",
            &["2026-05-01T04:00", "2026-05-01T05:00"],
        ),
        (
            "cron */10 1-2 * * * @ UTC !01:15-02:40",
            &[
                "2026-05-01T01:00",
                "2026-05-01T01:10",
                "2026-05-01T02:40",
                "2026-05-01T02:50",
                "2026-05-02T01:00",
            ],
        ),
        (
            "weekly sunday 03:00 UTC !00:00-00:30 !02:00-23:00 sunday",
            &["2026-05-03T23:00", "2026-05-10T23:00"],
        ),
        (
            "monthly 1 04:00 UTC !03:00-05:00",
            &["2026-05-01T05:00", "2026-06-01T05:00"],
        ),
    ] {
        let next: Vec<String> = next.iter().map(|t| format!("{t}+00:00")).collect();
        let next: Vec<&str> = next.iter().map(String::as_str).collect();
        check(line, after, &next);
    }
}

#[test]
fn blackouts_hold_on_days_on_which_the_clock_changes() {
    for (line, after, next) in [
        // 02:00 to 03:00 does not exist in spring: there is nothing to keep out of.
        (
            "daily 02:30 Europe/Berlin !02:00-03:00",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T03:00+02:00", "2026-03-30T03:00+02:00"][..],
        ),
        (
            "daily 01:30 Europe/Berlin !01:00-02:30",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"],
        ),
        (
            "daily 02:30 Europe/Berlin !02:30-03:30",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T03:30+02:00"],
        ),
        // It ends with the second 02:30 in autumn, and begins with the first.
        (
            "daily 01:30 Europe/Berlin !01:00-02:30",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T02:30+01:00", "2026-10-26T02:30+01:00"],
        ),
        (
            "hourly :15 Europe/Berlin !02:00-03:00",
            "2026-10-24T22:30:00Z",
            &[
                "2026-10-25T01:15+02:00",
                "2026-10-25T03:00+01:00",
                "2026-10-25T03:15+01:00",
            ],
        ),
        (
            "daily 00:30 Africa/Cairo !23:00-02:00",
            "2026-04-23T10:00:00Z",
            &["2026-04-24T02:00+03:00", "2026-04-25T02:00+03:00"],
        ),
    ] {
        check(line, after, next);
    }
}

#[test]
fn a_moment_within_a_blackout_knows_its_end() {
    let schedule = resolved("daily 12:00 UTC !22:00-06:00");
    for (now, until) in [
        ("2026-05-01T21:59:59Z", None),
        ("2026-05-01T22:00:00Z", Some("2026-05-02T06:00:00Z")),
        ("2026-05-02T05:59:59Z", Some("2026-05-02T06:00:00Z")),
        ("2026-05-02T06:00:00Z", None),
    ] {
        assert_eq!(
            schedule.blacked_out_until(time(now)),
            until.map(time),
            "{now}"
        );
    }
}

fn with_jitter(line: &str, jitter_secs: u32, policy: &str) -> ResolvedSchedule {
    let schedule = Schedule {
        jitter_secs,
        ..schedule(line)
    };
    schedule.resolve(policy).expect("valid")
}

#[test]
fn jitter_is_the_same_at_every_run_and_differs_between_policies() {
    let after = time("2026-05-01T00:00:00Z");
    let delay = |policy: &str| {
        let runs = with_jitter("daily 02:00 UTC", 3600, policy).next(20, after);
        let delays: std::collections::BTreeSet<_> = runs
            .iter()
            .map(|run| run.start.duration_since(run.scheduled).as_secs())
            .collect();
        assert_eq!(delays.len(), 1, "{policy}");
        delays.into_iter().next().expect("one delay")
    };
    let delays: std::collections::BTreeSet<i64> =
        (0..40).map(|n| delay(&format!("policy {n}"))).collect();
    assert!(delays.len() > 35, "{delays:?}");
    assert!(delays.iter().all(|delay| (0..3600).contains(delay)));
    assert_eq!(delay("nightly"), delay("nightly"));
}

#[test]
fn jitter_ends_before_a_blackout_and_before_the_next_run() {
    let after = time("2026-05-01T00:00:00Z");
    for policy in 0..60 {
        let policy = format!("policy {policy}");
        for run in with_jitter("daily 02:00 UTC !02:10-05:00", 7200, &policy).next(3, after) {
            assert!(run.start.duration_since(run.scheduled).as_secs() < 600);
        }
        for run in with_jitter("cron */5 * * * * @ UTC", 7200, &policy).next(30, after) {
            assert!(run.start.duration_since(run.scheduled).as_secs() < 300);
        }
    }
}

#[test]
fn a_run_that_was_scheduled_before_and_starts_later_is_still_to_come() {
    let schedule = with_jitter("daily 02:00 UTC", 43_200, "nightly");
    let run = schedule.next(1, time("2026-05-01T00:00:00Z"))[0];
    assert!(run.start > run.scheduled);
    assert_eq!(schedule.next_after(run.scheduled), Some(run.start));
}
