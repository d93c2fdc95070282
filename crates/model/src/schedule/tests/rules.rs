use super::*;

#[test]
fn daily_runs_come_at_their_time_of_day() {
    let after = "2026-05-01T00:00:00Z";
    check(
        "daily 02:00 UTC",
        after,
        &["2026-05-01T02:00+00:00", "2026-05-02T02:00+00:00"],
    );
    check(
        "daily 00:00 UTC",
        after,
        &["2026-05-02T00:00+00:00", "2026-05-03T00:00+00:00"],
    );
    check(
        "daily 23:59 UTC",
        after,
        &["2026-05-01T23:59+00:00", "2026-05-02T23:59+00:00"],
    );
    check("daily 2:05 UTC", after, &["2026-05-01T02:05+00:00"]);
    check(
        "daily 02:00 Europe/Berlin",
        after,
        &["2026-05-02T02:00+02:00"],
    );
    check(
        "daily 02:01 Europe/Berlin",
        after,
        &["2026-05-01T02:01+02:00"],
    );
    check("daily 02:00 Asia/Tokyo", after, &["2026-05-02T02:00+09:00"]);
    check(
        "daily 18:30 America/New_York",
        after,
        &["2026-05-01T18:30-04:00"],
    );
}

#[test]
fn zones_of_half_and_quarter_hours_count_by_their_own_clock() {
    let after = "2026-05-01T00:00:00Z";
    check(
        "daily 05:30 Asia/Kolkata",
        after,
        &["2026-05-02T05:30+05:30"],
    );
    check(
        "daily 05:31 Asia/Kolkata",
        after,
        &["2026-05-01T05:31+05:30"],
    );
    check(
        "daily 05:45 Asia/Kathmandu",
        after,
        &["2026-05-02T05:45+05:45"],
    );
    check(
        "daily 12:50 Pacific/Chatham",
        after,
        &["2026-05-01T12:50+12:45"],
    );
    check(
        "daily 21:30 America/St_Johns",
        after,
        &["2026-05-01T21:30-02:30"],
    );
    check(
        "hourly :00 Asia/Kolkata",
        after,
        &["2026-05-01T06:00+05:30", "2026-05-01T07:00+05:30"],
    );
    check(
        "hourly :15 Asia/Kathmandu",
        after,
        &["2026-05-01T06:15+05:45", "2026-05-01T07:15+05:45"],
    );
}

#[test]
fn a_time_that_spring_skips_runs_when_the_clock_has_jumped() {
    let berlin = &[
        "2026-03-28T02:30+01:00",
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ];
    check("daily 02:30 Europe/Berlin", "2026-03-28T00:00:00Z", berlin);
    check(
        "cron 30 2 * * * @ Europe/Berlin",
        "2026-03-28T00:00:00Z",
        berlin,
    );
    check(
        "daily 02:00 Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"],
    );
    check(
        "daily 02:59 Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T03:00+02:00", "2026-03-30T02:59+02:00"],
    );
    check(
        "daily 03:00 Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T03:00+02:00", "2026-03-30T03:00+02:00"],
    );
    check(
        "daily 01:59 Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T01:59+01:00", "2026-03-30T01:59+02:00"],
    );
    check(
        "daily 02:30 America/New_York",
        "2026-03-07T12:00:00Z",
        &["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"],
    );
    check(
        "weekly sunday 02:30 Europe/Berlin",
        "2026-03-23T00:00:00Z",
        &["2026-03-29T03:00+02:00", "2026-04-05T02:30+02:00"],
    );
    check(
        "monthly 29 02:30 Europe/Berlin",
        "2026-03-01T00:00:00Z",
        &["2026-03-29T03:00+02:00", "2026-04-29T02:30+02:00"],
    );
    check(
        "daily 02:15 Australia/Lord_Howe",
        "2026-10-03T00:00:00Z",
        &["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"],
    );
    check(
        "daily 00:30 Africa/Cairo",
        "2026-04-23T00:00:00Z",
        &["2026-04-24T01:00+03:00", "2026-04-25T00:30+03:00"],
    );
    // Samoa went from the 29th straight to the 31st of December 2011: the run of the day that never was comes as the
    // 31st begins.
    check(
        "daily 12:00 Pacific/Apia",
        "2011-12-29T00:00:00Z",
        &[
            "2011-12-29T12:00-10:00",
            "2011-12-31T00:00+14:00",
            "2011-12-31T12:00+14:00",
        ],
    );
}

#[test]
fn a_time_that_autumn_repeats_runs_once() {
    check(
        "daily 02:30 Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
    );
    check(
        "daily 01:30 America/New_York",
        "2026-10-31T12:00:00Z",
        &["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"],
    );
    check(
        "cron 30 1 * * * @ America/New_York",
        "2026-10-31T12:00:00Z",
        &["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"],
    );
    check(
        "cron 0,30 1 * * * @ America/New_York",
        "2026-10-31T12:00:00Z",
        &[
            "2026-11-01T01:00-04:00",
            "2026-11-01T01:30-04:00",
            "2026-11-02T01:00-05:00",
        ],
    );
    check(
        "daily 01:45 Australia/Lord_Howe",
        "2026-04-04T00:00:00Z",
        &["2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"],
    );
    // Between the two equal hours, what ran in the first does not come again.
    check(
        "daily 02:30 Europe/Berlin",
        "2026-10-25T00:45:00Z",
        &["2026-10-26T02:30+01:00"],
    );
    check(
        "daily 02:50 Europe/Berlin",
        "2026-10-25T01:10:00Z",
        &["2026-10-26T02:50+01:00"],
    );
}

#[test]
fn hourly_runs_follow_elapsed_hours() {
    check(
        "hourly :00 UTC",
        "2026-05-01T10:00:00Z",
        &["2026-05-01T11:00+00:00", "2026-05-01T12:00+00:00"],
    );
    check(
        "hourly :15 UTC",
        "2026-05-01T10:14:59Z",
        &["2026-05-01T10:15+00:00", "2026-05-01T11:15+00:00"],
    );
    check(
        "hourly :59 UTC",
        "2026-12-31T23:58:00Z",
        &["2026-12-31T23:59+00:00", "2027-01-01T00:59+00:00"],
    );
    let spring = &[
        "2026-03-29T01:30+01:00",
        "2026-03-29T03:30+02:00",
        "2026-03-29T04:30+02:00",
    ];
    check("hourly :30 Europe/Berlin", "2026-03-29T00:00:00Z", spring);
    check(
        "cron 30 * * * * @ Europe/Berlin",
        "2026-03-29T00:00:00Z",
        spring,
    );
    let autumn = &[
        "2026-10-25T01:30+02:00",
        "2026-10-25T02:30+02:00",
        "2026-10-25T02:30+01:00",
        "2026-10-25T03:30+01:00",
    ];
    check("hourly :30 Europe/Berlin", "2026-10-24T23:00:00Z", autumn);
    check(
        "cron 30 * * * * @ Europe/Berlin",
        "2026-10-24T23:00:00Z",
        autumn,
    );
    check(
        "cron */20 * * * * @ Europe/Berlin",
        "2026-10-25T00:35:00Z",
        &[
            "2026-10-25T02:40+02:00",
            "2026-10-25T02:00+01:00",
            "2026-10-25T02:20+01:00",
            "2026-10-25T02:40+01:00",
            "2026-10-25T03:00+01:00",
        ],
    );
    check(
        "hourly :15 Australia/Lord_Howe",
        "2026-10-03T14:00:00Z",
        &["2026-10-04T01:15+10:30", "2026-10-04T03:15+11:00"],
    );
    check(
        "hourly :45 Australia/Lord_Howe",
        "2026-04-04T14:00:00Z",
        &[
            "2026-04-05T01:45+11:00",
            "2026-04-05T01:45+10:30",
            "2026-04-05T02:45+10:30",
        ],
    );
}

#[test]
fn weekly_runs_come_on_their_day() {
    let after = "2026-05-01T12:00:00Z"; // a Friday
    for (day, date) in [
        ("friday", "2026-05-08"),
        ("saturday", "2026-05-02"),
        ("sunday", "2026-05-03"),
        ("monday", "2026-05-04"),
        ("tuesday", "2026-05-05"),
        ("wednesday", "2026-05-06"),
        ("thursday", "2026-05-07"),
    ] {
        let next = format!("{date}T03:00+00:00");
        check(&format!("weekly {day} 03:00 UTC"), after, &[&next]);
    }
    check(
        "weekly friday 12:01 UTC",
        after,
        &["2026-05-01T12:01+00:00", "2026-05-08T12:01+00:00"],
    );
    check(
        "weekly friday 12:00 UTC",
        after,
        &["2026-05-08T12:00+00:00", "2026-05-15T12:00+00:00"],
    );
    // Sunday in Auckland is still Saturday in UTC.
    check(
        "weekly sunday 03:00 Pacific/Auckland",
        after,
        &["2026-05-03T03:00+12:00"],
    );
    check(
        "weekly thursday 03:00 UTC",
        "2026-12-31T04:00:00Z",
        &["2027-01-07T03:00+00:00"],
    );
}

#[test]
fn monthly_runs_come_on_the_last_day_of_shorter_months() {
    check(
        "monthly 31 04:00 UTC",
        "2026-01-15T00:00:00Z",
        &[
            "2026-01-31T04:00+00:00",
            "2026-02-28T04:00+00:00",
            "2026-03-31T04:00+00:00",
            "2026-04-30T04:00+00:00",
            "2026-05-31T04:00+00:00",
        ],
    );
    check(
        "monthly 31 04:00 UTC",
        "2028-02-01T00:00:00Z",
        &["2028-02-29T04:00+00:00", "2028-03-31T04:00+00:00"],
    );
    check(
        "monthly 30 04:00 UTC",
        "2027-02-01T00:00:00Z",
        &["2027-02-28T04:00+00:00", "2027-03-30T04:00+00:00"],
    );
    check(
        "monthly 29 04:00 UTC",
        "2027-02-01T00:00:00Z",
        &["2027-02-28T04:00+00:00", "2027-03-29T04:00+00:00"],
    );
    check(
        "monthly 29 04:00 UTC",
        "2100-02-01T00:00:00Z",
        &["2100-02-28T04:00+00:00"],
    );
    check(
        "monthly 29 04:00 UTC",
        "2000-02-01T00:00:00Z",
        &["2000-02-29T04:00+00:00"],
    );
    check(
        "monthly 1 04:00 UTC",
        "2026-12-01T04:00:00Z",
        &["2027-01-01T04:00+00:00", "2027-02-01T04:00+00:00"],
    );
    check(
        "monthly 1 04:00 UTC",
        "2026-12-01T03:59:59Z",
        &["2026-12-01T04:00+00:00"],
    );
    // The first of the month has begun in Tokyo, not in UTC.
    check(
        "monthly 1 04:00 Asia/Tokyo",
        "2026-04-30T18:00:00Z",
        &["2026-05-01T04:00+09:00"],
    );
    check(
        "monthly 28 23:30 America/Los_Angeles",
        "2026-02-28T12:00:00Z",
        &["2026-02-28T23:30-08:00", "2026-03-28T23:30-07:00"],
    );
}

#[test]
fn cron_expressions_mean_what_cron_says() {
    let after = "2026-05-01T12:34:56Z"; // a Friday
    for (cron, next) in [
        ("* * * * *", &["2026-05-01T12:35", "2026-05-01T12:36"][..]),
        (
            "*/15 * * * *",
            &["2026-05-01T12:45", "2026-05-01T13:00", "2026-05-01T13:15"],
        ),
        (
            "5-8 13 * * *",
            &[
                "2026-05-01T13:05",
                "2026-05-01T13:06",
                "2026-05-01T13:07",
                "2026-05-01T13:08",
                "2026-05-02T13:05",
            ],
        ),
        (
            "0 */6 * * *",
            &["2026-05-01T18:00", "2026-05-02T00:00", "2026-05-02T06:00"],
        ),
        ("0 2 * * *", &["2026-05-02T02:00", "2026-05-03T02:00"]),
        (
            "30 2 * * 1-5",
            &[
                "2026-05-04T02:30",
                "2026-05-05T02:30",
                "2026-05-06T02:30",
                "2026-05-07T02:30",
                "2026-05-08T02:30",
                "2026-05-11T02:30",
            ],
        ),
        ("0 3 * * 0", &["2026-05-03T03:00", "2026-05-10T03:00"]),
        ("0 3 * * 7", &["2026-05-03T03:00", "2026-05-10T03:00"]),
        ("0 3 * * SUN", &["2026-05-03T03:00"]),
        ("0 4 1 * *", &["2026-06-01T04:00", "2026-07-01T04:00"]),
        (
            "0 4 31 * *",
            &["2026-05-31T04:00", "2026-07-31T04:00", "2026-08-31T04:00"],
        ),
        ("0 4 L * *", &["2026-05-31T04:00", "2026-06-30T04:00"]),
        ("0 4 29 2 *", &["2028-02-29T04:00", "2032-02-29T04:00"]),
        ("0 0 1 1 *", &["2027-01-01T00:00", "2028-01-01T00:00"]),
        ("0 0 1 JAN *", &["2027-01-01T00:00"]),
        // A day of the month or a weekday, where both are given.
        (
            "0 4 13 * 5",
            &["2026-05-08T04:00", "2026-05-13T04:00", "2026-05-15T04:00"],
        ),
        ("  0   2 * *   * ", &["2026-05-02T02:00"]),
        ("@daily", &["2026-05-02T00:00"]),
        (
            "0,30 9-10 * * 1,3",
            &[
                "2026-05-04T09:00",
                "2026-05-04T09:30",
                "2026-05-04T10:00",
                "2026-05-04T10:30",
                "2026-05-06T09:00",
            ],
        ),
    ] {
        let next: Vec<String> = next.iter().map(|t| format!("{t}+00:00")).collect();
        let next: Vec<&str> = next.iter().map(String::as_str).collect();
        check(&format!("cron {cron} @ UTC"), after, &next);
    }
}

#[test]
fn a_schedule_on_demand_never_runs_by_itself() {
    let schedule = Schedule {
        frequency: Frequency::OnDemand,
        ..Schedule::default()
    };
    let resolved = schedule.resolve("p").expect("valid");
    assert!(resolved.is_on_demand());
    assert_eq!(resolved.next_after(time("2026-05-01T00:00:00Z")), None);
    assert_eq!(resolved.describe(), "on demand");
}

#[test]
fn schedules_are_told_in_words() {
    for (line, words) in [
        (
            "daily 02:00 Europe/Berlin",
            "daily at 02:00 (Europe/Berlin)",
        ),
        ("weekly sunday 03:00 UTC", "weekly on Sunday at 03:00 (UTC)"),
        ("monthly 1 04:00 UTC", "monthly on day 1 at 04:00 (UTC)"),
        (
            "monthly 31 04:00 UTC",
            "monthly on the last day at 04:00 (UTC)",
        ),
        ("hourly :15 UTC", "hourly at minute 15 (UTC)"),
        ("cron 30 2 * * 1-5 @ UTC", "cron 30 2 * * 1-5 (UTC)"),
        (
            "daily 02:00 UTC !22:00-06:00 monday,friday",
            "daily at 02:00 (UTC), never between 22:00 and 06:00 on Monday, Friday",
        ),
    ] {
        assert_eq!(schedule(line).describe(), words);
    }
    assert_eq!(Schedule::default().describe(), "daily at 02:00 (UTC)");
}
