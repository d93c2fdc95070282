//! From options and answers to a policy: what is given changes, all else stays.

use crate::{
    args::PolicyArgs,
    error::{CliError, CliResult},
};
use pgkeep_model::policy::{Blackout, Frequency, Policy, Schedule};

/// Changes `policy` by what the options say.
pub fn apply(args: &PolicyArgs, app: Option<&str>, policy: &mut Policy) -> CliResult<()> {
    if let Some(app) = app {
        app.clone_into(&mut policy.app);
    }
    if let Some(kind) = args.kind {
        policy.kind = kind.into();
    }
    schedule(args, &mut policy.schedule)?;
    let retention = &mut policy.retention;
    let keep = &mut retention.keep;
    retention.days = args.keep_days.or(retention.days);
    retention.max_backups = args.keep_max.or(retention.max_backups);
    for (given, field) in [
        (args.keep_hourly, &mut keep.hourly),
        (args.keep_daily, &mut keep.daily),
        (args.keep_weekly, &mut keep.weekly),
        (args.keep_monthly, &mut keep.monthly),
        (args.keep_yearly, &mut keep.yearly),
        (args.protect_newest, &mut keep.protect_newest),
    ] {
        *field = given.unwrap_or(*field);
    }
    keep.within = args.keep_within.or(keep.within);
    policy.compression = args.compression.or(policy.compression);
    for (given, field) in [
        (&args.repositories, &mut policy.repositories),
        (&args.tag, &mut policy.tags),
        (&args.notify, &mut policy.notify),
        (&args.export_recipient, &mut policy.export_recipients),
    ] {
        if !given.is_empty() {
            field.clone_from(given);
        }
    }
    if let Some(description) = &args.description {
        policy.description.clone_from(description);
    }
    if let Some(every) = &args.drill {
        policy.drill = Some(every.clone()).filter(|every| every != "never");
    }
    policy.skip_if_unchanged = args.skip_if_unchanged.unwrap_or(policy.skip_if_unchanged);
    if let Some(place) = &args.export_to {
        policy.export_to = Some(place.clone());
    }
    policy.export_zstd = args.export_zstd.unwrap_or(policy.export_zstd);
    if args.disabled {
        policy.enabled = false;
    }
    validated(policy)
}

fn schedule(args: &PolicyArgs, schedule: &mut Schedule) -> CliResult<()> {
    if let Some(frequency) = args.frequency()
        && frequency != schedule.frequency
    {
        // What belongs to the old frequency means nothing to the new one.
        schedule.frequency = frequency;
        schedule.cron = None;
        if frequency != Frequency::Weekly {
            schedule.weekday = None;
        }
        if frequency != Frequency::Monthly {
            schedule.day = None;
        }
        if matches!(frequency, Frequency::Cron | Frequency::OnDemand) {
            schedule.at = None;
        }
    }
    if let Some(cron) = &args.cron {
        schedule.cron = Some(cron.clone());
    }
    if let Some(at) = &args.at {
        schedule.at = Some(at.0.clone());
    }
    if let Some(weekday) = args.weekday {
        schedule.weekday = Some(weekday.into());
    }
    schedule.day = args.day.or(schedule.day);
    if let Some(zone) = &args.time_zone {
        schedule.time_zone = Some(zone.clone());
    }
    if let Some(jitter) = args.jitter {
        schedule.jitter_secs = u32::try_from(jitter.as_secs()).unwrap_or(u32::MAX);
    }
    schedule.catch_up = args.catch_up.unwrap_or(schedule.catch_up);
    match args.blackout.as_slice() {
        [] => {}
        [none] if none == "none" => schedule.blackout.clear(),
        spans => {
            schedule.blackout = spans
                .iter()
                .map(|span| blackout(span))
                .collect::<CliResult<_>>()?;
        }
    }
    Ok(())
}

fn blackout(span: &str) -> CliResult<Blackout> {
    let wrong = || {
        CliError::usage(format!(
            "'{span}' is not a span of the day such as 08:00-18:00"
        ))
        .with_hint("days are given in pgkeep.toml")
    };
    let (from, to) = span.split_once('-').ok_or_else(wrong)?;
    let time = |text: &str| {
        crate::args::Clock::parse(text)
            .map(|c| c.0)
            .map_err(|_| wrong())
    };
    Ok(Blackout {
        from: time(from)?,
        to: time(to)?,
        days: Vec::new(),
    })
}

/// Whether the policy makes sense, with all that does not.
pub fn validated(policy: &Policy) -> CliResult<()> {
    let Err(wrong) = policy.validate() else {
        return Ok(());
    };
    let mut lines = wrong.iter().map(|e| format!("{}: {}", e.field, e.message));
    let first = lines.next().unwrap_or_default();
    let error = CliError::usage(format!("the policy cannot be accepted: {first}"));
    Err(lines.fold(error, CliError::with_detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Clock, WeekdayArg};
    use pgkeep_model::policy::Weekday;

    fn nightly() -> Policy {
        let mut policy = Policy::new("nightly", "shop");
        policy.schedule.at = Some("02:00".into());
        policy.retention.days = Some(30);
        policy
    }

    #[test]
    fn only_what_is_given_changes() {
        let mut policy = nightly();
        let args = PolicyArgs {
            at: Some(Clock("03:30".into())),
            tag: vec!["x".into()],
            ..PolicyArgs::default()
        };
        apply(&args, None, &mut policy).unwrap();
        assert_eq!(policy.schedule.at.as_deref(), Some("03:30"));
        assert_eq!(policy.tags, ["x"]);
        assert_eq!(policy.retention.days, Some(30));
        assert_eq!(policy.app, "shop");
    }

    #[test]
    fn another_frequency_drops_what_belongs_to_the_old_one() {
        let mut policy = nightly();
        let weekly = PolicyArgs {
            weekly: true,
            weekday: Some(WeekdayArg::Sunday),
            ..PolicyArgs::default()
        };
        apply(&weekly, None, &mut policy).unwrap();
        assert_eq!(policy.schedule.weekday, Some(Weekday::Sunday));
        assert_eq!(policy.schedule.at.as_deref(), Some("02:00"));
        let cron = PolicyArgs {
            cron: Some("0 4 * * *".into()),
            ..PolicyArgs::default()
        };
        apply(&cron, None, &mut policy).unwrap();
        assert_eq!(policy.schedule.weekday, None);
        assert_eq!(policy.schedule.at, None);
        assert_eq!(policy.schedule.cron.as_deref(), Some("0 4 * * *"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_field() {
        let mut policy = nightly();
        let args = PolicyArgs {
            time_zone: Some("Europe/Atlantis".into()),
            ..PolicyArgs::default()
        };
        let error = apply(&args, None, &mut policy).unwrap_err();
        assert!(error.message.contains("time_zone"), "{}", error.message);
        for span in ["8-18", "08:00", "x-y"] {
            assert!(blackout(span).is_err(), "{span}");
        }
    }
}
