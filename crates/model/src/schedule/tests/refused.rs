use super::*;

#[track_caller]
fn refused(schedule: Schedule, field: &str, part: &str) {
    let error = schedule.resolve("p").expect_err(part);
    assert_eq!(error.field, field, "{error}");
    assert!(error.message.contains(part), "{error}");
}

#[test]
fn times_that_are_none_are_refused() {
    for at in [
        "",
        "2",
        "24:00",
        "12:60",
        "12:5",
        "-1:00",
        "+1:00",
        "012:00",
        "12:00:00",
        "noon",
        "１２:00",
        "12:-1",
    ] {
        let schedule = Schedule {
            at: Some(at.to_owned()),
            ..Schedule::default()
        };
        refused(schedule, "at", "write it like 02:30");
    }
}

#[test]
fn fields_that_the_frequency_does_not_look_at_are_refused() {
    let base = |frequency| Schedule {
        frequency,
        ..Schedule::default()
    };
    for frequency in [
        Frequency::Hourly,
        Frequency::Daily,
        Frequency::Monthly,
        Frequency::OnDemand,
    ] {
        let weekday = Some(Weekday::Monday);
        refused(
            Schedule {
                weekday,
                ..base(frequency)
            },
            "weekday",
            "weekly",
        );
    }
    for frequency in [Frequency::Daily, Frequency::Weekly] {
        refused(
            Schedule {
                day: Some(1),
                ..base(frequency)
            },
            "day",
            "monthly",
        );
        let cron = Some("* * * * *".to_owned());
        refused(
            Schedule {
                cron,
                ..base(frequency)
            },
            "cron",
            "cron",
        );
    }
    for frequency in [Frequency::OnDemand, Frequency::Cron] {
        let at = Some("02:00".to_owned());
        refused(
            Schedule {
                at,
                ..base(frequency)
            },
            "at",
            "only for",
        );
    }
}

#[test]
fn days_zones_and_delays_out_of_range_are_refused() {
    for day in [0, 32, 255] {
        let schedule = Schedule {
            frequency: Frequency::Monthly,
            day: Some(day),
            ..Schedule::default()
        };
        refused(schedule, "day", "1 to 31");
    }
    for zone in [
        "",
        "Mars/Olympus",
        "Europe/Berlin2",
        "CEST+1",
        "/etc/passwd",
        "../UTC",
    ] {
        let schedule = Schedule {
            time_zone: Some(zone.to_owned()),
            ..Schedule::default()
        };
        refused(schedule, "time_zone", "is not known");
    }
    let schedule = Schedule {
        jitter_secs: 50_000,
        ..Schedule::default()
    };
    refused(schedule, "jitter_secs", "43200");
}

#[test]
fn cron_expressions_that_are_none_are_refused() {
    for (cron, part) in [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("0 0 2 * * * 2026", "five fields"),
        ("60 * * * *", "five fields"),
        ("* 24 * * *", "five fields"),
        ("* * 0 * *", "five fields"),
        ("* * * 13 *", "five fields"),
        ("* * * * 8", "five fields"),
        ("every day", "five fields"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
    ] {
        let schedule = Schedule {
            frequency: Frequency::Cron,
            cron: Some(cron.to_owned()),
            ..Schedule::default()
        };
        refused(schedule, "cron", part);
    }
    refused(
        Schedule {
            frequency: Frequency::Cron,
            ..Schedule::default()
        },
        "cron",
        "five fields",
    );
}

#[test]
fn blackouts_that_leave_no_time_are_refused() {
    let with = |texts: &[&str]| Schedule {
        blackout: texts.iter().map(|text| blackout(text)).collect(),
        ..Schedule::default()
    };
    refused(with(&["02:00-02:00"]), "blackout", "say which");
    refused(with(&["02:00-1:60"]), "blackout", "write it like");
    refused(with(&["00:00-12:00", "12:00-00:00"]), "blackout", "no time");
    refused(with(&["08:00-20:00", "19:00-09:00"]), "blackout", "no time");
    let all_but_sunday = "00:00-12:00 monday,tuesday,wednesday,thursday,friday,saturday";
    assert!(with(&[all_but_sunday, "12:00-00:00"]).resolve("p").is_ok());
}
