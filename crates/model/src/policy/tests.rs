use super::*;

#[track_caller]
fn refused(change: impl FnOnce(&mut Policy), field: &str, part: &str) {
    let mut policy = Policy::new("nightly", "shop");
    change(&mut policy);
    let errors = policy.validate().expect_err(field);
    let found = errors
        .iter()
        .any(|e| e.field == field && e.message.contains(part));
    assert!(found, "{field} {part}: {errors:?}");
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn a_new_policy_is_valid() {
    assert_eq!(Policy::new("nightly", "shop").validate(), Ok(()));
}

#[test]
fn each_wrong_field_is_named() {
    for name in ["", "a b", "-a", ".a", "ä", "a/b", &"x".repeat(65)] {
        refused(|p| p.name = name.to_owned(), "name", "letters");
    }
    refused(|p| p.app.clear(), "app", "names no app");
    refused(
        |p| p.schedule.at = Some("25:00".into()),
        "schedule.at",
        "02:30",
    );
    refused(
        |p| p.schedule.time_zone = Some("X/Y".into()),
        "schedule.time_zone",
        "not known",
    );
    refused(
        |p| p.cleanup_cron = Some("x".into()),
        "cleanup_cron",
        "five fields",
    );
    refused(
        |p| p.retention.days = Some(0),
        "retention.days",
        "at least 1",
    );
    refused(
        |p| p.retention.max_backups = Some(0),
        "retention.max_backups",
        "at least 1",
    );
    refused(|p| p.compression = Some(23), "compression", "zstd");
    refused(
        |p| p.export_to = Some("/x".into()),
        "export_to",
        "only for kind",
    );
    refused(|p| p.export_zstd = true, "export_zstd", "only for kind");
    refused(
        |p| (p.kind, p.export_to) = (PolicyKind::Export, Some("s3:///x".into())),
        "export_to",
        "neither",
    );
    refused(
        |p| {
            p.kind = PolicyKind::Export;
            p.export_recipients = vec!["AGE-SECRET-KEY-1".into()];
        },
        "export_recipients",
        "begin with age1",
    );
    refused(|p| p.tags = vec![String::new()], "tags", "empty");
    refused(|p| p.tags = vec!["a\nb".into()], "tags", "line breaks");
    refused(|p| p.description = "x".repeat(501), "description", "500");
    refused(
        |p| p.repositories = vec!["a".into(), "a".into()],
        "repositories",
        "twice",
    );
    let limit = |active_sessions, deadline_secs| {
        Some(LoadLimit {
            active_sessions,
            load_percent: None,
            deadline_secs,
        })
    };
    refused(|p| p.load_limit = limit(None, 60), "load_limit", "neither");
    refused(
        |p| p.load_limit = limit(Some(1), 0),
        "load_limit.deadline_secs",
        "at least 1",
    );
    let adaptive = |at_least_every_secs, at_most_every_secs, bytes_changed| {
        Some(Adaptive {
            at_least_every_secs,
            at_most_every_secs,
            bytes_changed,
        })
    };
    refused(
        |p| p.adaptive = adaptive(3600, 30, 1),
        "adaptive.at_most_every_secs",
        "60",
    );
    refused(
        |p| p.adaptive = adaptive(60, 90, 1),
        "adaptive.at_least_every_secs",
        "shorter",
    );
    refused(
        |p| p.adaptive = adaptive(90, 60, 0),
        "adaptive.bytes_changed",
        "at least 1",
    );
    refused(
        |p| {
            p.adaptive = adaptive(86_400, 900, 1);
            p.schedule.frequency = Frequency::Cron;
            p.schedule.cron = Some("*/15 * * * *".into());
        },
        "adaptive.at_most_every_secs",
        "as often anyway",
    );
}

#[test]
fn all_errors_come_at_once() {
    let mut policy = Policy::new("", "");
    policy.export_to = Some("/srv/exports".into());
    policy.schedule.at = Some("x".into());
    let errors = policy.validate().expect_err("four errors");
    let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
    assert_eq!(fields, ["name", "app", "export_to", "schedule.at"]);
}

#[test]
fn the_five_ready_policies_are_valid_and_as_promised() {
    let policies = defaults("shop", |_| false);
    let told: Vec<String> = policies
        .iter()
        .map(|p| {
            assert_eq!(p.validate(), Ok(()), "{}", p.name);
            let on = if p.enabled { "on" } else { "off" };
            let schedule = p.schedule.describe();
            format!(
                "{} {} {on}: {schedule}; {}",
                p.name,
                p.kind.as_str(),
                p.retention.describe()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "production_daily_full full on: daily at 02:00 (UTC); 30 days, at most 30 backups",
            "production_weekly_export export on: weekly on Sunday at 03:00 (UTC); 90 days, at most 12 backups",
            "production_monthly_archive full on: monthly on day 1 at 04:00 (UTC); 365 days, at most 12 backups",
            "production_database_hourly database off: hourly at minute 00 (UTC); 7 days, at most 48 backups",
            "production_pre_deployment full on: on demand; 90 days, at most 20 backups",
        ]
    );
}

#[test]
fn a_second_app_gets_names_of_its_own() {
    let taken = |name: &str| name == "production_daily_full";
    let names: Vec<String> = defaults("blog", taken)
        .into_iter()
        .map(|p| p.name)
        .collect();
    assert_eq!(names[0], "production_daily_full_blog");
    assert_eq!(names[1], "production_weekly_export");
}

fn environment(backup: &str, cleanup: &str, days: &str) -> Result<Option<Policy>, FieldError> {
    let given = |text: &str| Some(text.to_owned());
    from_environment(
        "shop",
        &EnvironmentSchedule {
            backup_cron: given(backup),
            cleanup_cron: given(cleanup),
            retention_days: given(days),
            time_zone: None,
        },
    )
}

#[test]
fn the_environment_makes_a_policy() {
    assert_eq!(environment("", " ", ""), Ok(None));
    let policy = environment("0 3 * * *", "0 5 * * 0", "14")
        .expect("valid")
        .expect("one");
    assert_eq!(policy.validate(), Ok(()));
    assert_eq!(policy.schedule.describe(), "cron 0 3 * * * (UTC)");
    assert_eq!(policy.retention.describe(), "14 days");
    let cleanup = policy.cleanup_runs().expect("valid").expect("a clean-up");
    let friday = "2026-05-01T00:00:00Z".parse().expect("a timestamp");
    let sunday = "2026-05-03T05:00:00Z".parse().ok();
    assert_eq!(cleanup.next_after(friday), sunday);
}

#[test]
fn what_is_wrong_in_the_environment_is_named_by_its_variable() {
    for (backup, cleanup, days, variable) in [
        ("nonsense", "", "", "BACKUP_SCHEDULE_CRON"),
        ("0 3 * * *", "nonsense", "", "CLEANUP_SCHEDULE_CRON"),
        ("0 3 * * *", "", "0", "BACKUP_RETENTION_DAYS"),
        ("0 3 * * *", "", "two weeks", "BACKUP_RETENTION_DAYS"),
        ("", "0 5 * * 0", "", "BACKUP_SCHEDULE_CRON"),
        ("", "", "14", "BACKUP_SCHEDULE_CRON"),
    ] {
        let error = environment(backup, cleanup, days).expect_err(variable);
        assert_eq!(error.field, variable, "{error}");
    }
}

#[test]
fn the_description_is_filled_by_the_clock_of_the_schedule() {
    let mut policy = Policy::new("nightly", "shop");
    policy.description = "{policy} of {app}, {kind}, {date} {time} {other}".to_owned();
    policy.schedule.time_zone = Some("Asia/Tokyo".to_owned());
    let time = "2026-05-01T22:30:00Z".parse().expect("a timestamp");
    assert_eq!(
        policy.describe_run(time),
        "nightly of shop, full, 2026-05-02 07:30 {other}"
    );
}
