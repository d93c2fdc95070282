//! Policies that need no thought: the five ready ones, and the one that environment variables ask for.

use super::{FieldError, Frequency, Policy, PolicyKind, Retention, Schedule, Weekday};

/// The five ready policies of an app. Names that are taken by policies of other apps get the app's name as suffix.
pub fn defaults(app: &str, taken: impl Fn(&str) -> bool) -> Vec<Policy> {
    let policy = |name: &str, kind, schedule, days, most| {
        let name = match taken(name) {
            true => format!("{name}_{app}"),
            false => name.to_owned(),
        };
        Policy {
            kind,
            schedule,
            retention: Retention {
                days: Some(days),
                max_backups: Some(most),
                ..Retention::default()
            },
            description: "{policy} {date}".to_owned(),
            ..Policy::new(&name, app)
        }
    };
    let at = |frequency, time: &str| Schedule {
        frequency,
        at: Some(time.to_owned()),
        ..Schedule::default()
    };
    let daily = at(Frequency::Daily, "02:00");
    let weekly = Schedule {
        weekday: Some(Weekday::Sunday),
        ..at(Frequency::Weekly, "03:00")
    };
    let monthly = Schedule {
        day: Some(1),
        ..at(Frequency::Monthly, "04:00")
    };
    let hourly = Schedule {
        frequency: Frequency::Hourly,
        ..Schedule::default()
    };
    let on_demand = Schedule {
        frequency: Frequency::OnDemand,
        ..Schedule::default()
    };
    vec![
        policy("production_daily_full", PolicyKind::Full, daily, 30, 30),
        policy(
            "production_weekly_export",
            PolicyKind::Export,
            weekly,
            90,
            12,
        ),
        policy(
            "production_monthly_archive",
            PolicyKind::Full,
            monthly,
            365,
            12,
        ),
        Policy {
            enabled: false,
            ..policy(
                "production_database_hourly",
                PolicyKind::Database,
                hourly,
                7,
                48,
            )
        },
        policy(
            "production_pre_deployment",
            PolicyKind::Full,
            on_demand,
            90,
            20,
        ),
    ]
}

/// What `BACKUP_SCHEDULE_CRON`, `CLEANUP_SCHEDULE_CRON` and `BACKUP_RETENTION_DAYS` say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentSchedule {
    pub backup_cron: Option<String>,
    pub cleanup_cron: Option<String>,
    pub retention_days: Option<String>,
    /// `TZ`, where it names a zone.
    pub time_zone: Option<String>,
}

/// The policy `scheduled` that the environment asks for; none where it asks for nothing.
///
/// Errors name the variable.
pub fn from_environment(
    app: &str,
    environment: &EnvironmentSchedule,
) -> Result<Option<Policy>, FieldError> {
    let given = |value: &Option<String>| {
        let text = value.as_deref().unwrap_or_default().trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let wrong = |field: &str, message: String| FieldError {
        field: field.to_owned(),
        message,
    };
    let Some(cron) = given(&environment.backup_cron) else {
        return match given(&environment.cleanup_cron).or(given(&environment.retention_days)) {
            None => Ok(None),
            Some(_) => Err(wrong(
                "BACKUP_SCHEDULE_CRON",
                "is not set, while a clean-up or retention is asked for".to_owned(),
            )),
        };
    };
    let days = match given(&environment.retention_days) {
        None => None,
        Some(text) => match text.parse::<u32>() {
            Ok(days) if days > 0 => Some(days),
            _ => {
                let message = format!("\"{text}\" is not a number of days, at least 1");
                return Err(wrong("BACKUP_RETENTION_DAYS", message));
            }
        },
    };
    let policy = Policy {
        schedule: Schedule {
            frequency: Frequency::Cron,
            cron: Some(cron),
            time_zone: given(&environment.time_zone),
            ..Schedule::default()
        },
        retention: Retention {
            days,
            ..Retention::default()
        },
        cleanup_cron: given(&environment.cleanup_cron),
        ..Policy::new("scheduled", app)
    };
    let named = |error: crate::schedule::ScheduleError, cron: &str| {
        let variable = match error.field {
            "time_zone" => "TZ",
            _ => cron,
        };
        wrong(variable, error.message)
    };
    policy
        .runs()
        .map_err(|e| named(e, "BACKUP_SCHEDULE_CRON"))?;
    policy
        .cleanup_runs()
        .map_err(|e| named(e, "CLEANUP_SCHEDULE_CRON"))?;
    Ok(Some(policy))
}
