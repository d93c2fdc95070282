//! From options and answers to a policy: what is given changes, all else stays.

use crate::{
    args::{PolicyArgs, WeekdayArg},
    error::{CliError, CliResult},
};
use clap::ValueEnum;
use pgkeep_model::policy::{Adaptive, Blackout, Frequency, LoadLimit, Policy, Schedule, Weekday};
use pgkeep_server::targets::parse_size;

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
        (args.keep_last, &mut keep.last),
        (args.keep_hourly, &mut keep.hourly),
        (args.keep_daily, &mut keep.daily),
        (args.keep_weekly, &mut keep.weekly),
        (args.keep_monthly, &mut keep.monthly),
        (args.keep_yearly, &mut keep.yearly),
        (args.protect_newest, &mut keep.protect_newest),
    ] {
        *field = given.unwrap_or(*field);
    }
    if let Some(ready) = args.keep {
        (keep.daily, keep.weekly, keep.monthly) = (ready.daily, ready.weekly, ready.monthly);
    }
    keep.within = args.keep_within.or(keep.within);
    match args.keep_tag.as_slice() {
        [] => {}
        [none] if none == NONE => keep.keep_tags.clear(),
        tags => tags.clone_into(&mut keep.keep_tags),
    }
    if let Some(cron) = &args.cleanup_cron {
        policy.cleanup_cron = Some(cron.clone()).filter(|cron| cron != NONE);
    }
    load_limit(args, policy)?;
    adaptive(args, policy)?;
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

/// Takes a setting back.
const NONE: &str = "none";

fn load_limit(args: &PolicyArgs, policy: &mut Policy) -> CliResult<()> {
    const USUAL_SECS: u32 = 7_200;
    if args.max_sessions.is_none() && args.max_load.is_none() && args.wait_at_most.is_none() {
        return Ok(());
    }
    let before = policy.load_limit.take();
    let changed = |given: Option<u32>, before: Option<u32>| match given {
        Some(0) => None,
        given => given.or(before),
    };
    let sessions = before.as_ref().and_then(|limit| limit.active_sessions);
    let load = before.as_ref().and_then(|limit| limit.load_percent);
    let limit = LoadLimit {
        active_sessions: changed(args.max_sessions, sessions),
        load_percent: changed(args.max_load, load),
        deadline_secs: args
            .wait_at_most
            .map(whole_secs)
            .or(before.as_ref().map(|limit| limit.deadline_secs))
            .unwrap_or(USUAL_SECS),
    };
    let limits = limit.active_sessions.is_some() || limit.load_percent.is_some();
    if !limits && before.is_none() && args.wait_at_most.is_some() {
        return Err(
            CliError::usage("--wait-at-most says for how long, but nothing says for what")
                .with_hint("give --max-sessions or --max-load with it"),
        );
    }
    policy.load_limit = limits.then_some(limit);
    Ok(())
}

fn adaptive(args: &PolicyArgs, policy: &mut Policy) -> CliResult<()> {
    const USUAL: Adaptive = Adaptive {
        at_least_every_secs: 86_400,
        at_most_every_secs: 900,
        bytes_changed: 0,
    };
    let bytes = match args.after_written.as_deref() {
        Some(NONE) => {
            policy.adaptive = None;
            return Ok(());
        }
        Some(size) => {
            let size = parse_size(size).map_err(|e| {
                CliError::usage(format!("--after-written: {e}"))
                    .with_hint(format!("give a size such as 500MiB or 2GB, or {NONE}"))
            })?;
            Some(size)
        }
        None => None,
    };
    if bytes.is_none() && args.at_most_every.is_none() && args.at_least_every.is_none() {
        return Ok(());
    }
    if bytes.is_none() && policy.adaptive.is_none() {
        return Err(
            CliError::usage("nothing says how much is to be written before a run")
                .with_hint("give --after-written with it, such as 1GiB"),
        );
    }
    let before = policy.adaptive.take().unwrap_or(USUAL);
    policy.adaptive = Some(Adaptive {
        bytes_changed: bytes.unwrap_or(before.bytes_changed),
        at_most_every_secs: args
            .at_most_every
            .map_or(before.at_most_every_secs, whole_secs),
        at_least_every_secs: args
            .at_least_every
            .map_or(before.at_least_every_secs, whole_secs),
    });
    Ok(())
}

fn whole_secs(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
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
        schedule.jitter_secs = whole_secs(jitter);
    }
    schedule.catch_up = args.catch_up.unwrap_or(schedule.catch_up);
    match args.blackout.as_slice() {
        [] => {}
        [none] if none == NONE => schedule.blackout.clear(),
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
        .with_hint("with days on which it begins: 08:00-18:00@monday,friday")
    };
    let (times, days) = span.split_once('@').unwrap_or((span, ""));
    let days = days.split(',').filter(|day| !day.is_empty()).map(|day| {
        WeekdayArg::from_str(day.trim(), true)
            .map(Weekday::from)
            .map_err(|_| wrong())
    });
    let (from, to) = times.split_once('-').ok_or_else(wrong)?;
    let time = |text: &str| {
        crate::args::Clock::parse(text)
            .map(|c| c.0)
            .map_err(|_| wrong())
    };
    Ok(Blackout {
        from: time(from)?,
        to: time(to)?,
        days: days.collect::<CliResult<_>>()?,
    })
}

/// Whether the policy makes sense, with all that does not.
pub fn validated(policy: &Policy) -> CliResult<()> {
    let Err(wrong) = policy.validate() else {
        return Ok(());
    };
    let mut lines = wrong.iter().map(|e| format!("{}: {}", e.field, e.message));
    let first = lines.next().unwrap_or_default();
    let hint = match wrong.iter().any(|e| e.field.starts_with("schedule.")) {
        true => {
            "nothing was changed; --at goes with --hourly, --daily, --weekly and --monthly, --weekday with --weekly, --day with --monthly: give the frequency with it, or --cron alone"
        }
        false => {
            "nothing was changed; see `pgkeep policy create --help` for what each option takes"
        }
    };
    let error = CliError::usage(format!("the policy cannot be accepted: {first}")).with_hint(hint);
    Err(lines.fold(error, CliError::with_detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Clock;

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

    /// Changes a policy as the command line says.
    fn edited(policy: &mut Policy, options: &str) -> CliResult<()> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: PolicyArgs,
        }
        let words = ["edit", "nightly"].into_iter().chain(options.split(' '));
        let line = <Line as clap::Parser>::try_parse_from(words).expect("options that there are");
        apply(&line.args, None, policy)
    }

    #[test]
    fn all_that_a_policy_has_is_set_and_taken_back_by_options() {
        let mut policy = nightly();
        let all = "--after-written 1GiB --at-most-every 30m --max-sessions 40 --max-load 1.5 \
                   --wait-at-most 3h --keep 7/4/12 --keep-last 3 --keep-tag release \
                   --blackout 08:00-18:00@monday,Friday";
        edited(&mut policy, all).unwrap();
        let cleanup = PolicyArgs {
            cleanup_cron: Some("0 6 * * 0".into()),
            ..PolicyArgs::default()
        };
        apply(&cleanup, None, &mut policy).unwrap();
        assert_eq!(
            policy.adaptive,
            Some(Adaptive {
                at_least_every_secs: 86_400,
                at_most_every_secs: 1_800,
                bytes_changed: 1 << 30,
            })
        );
        assert_eq!(
            policy.load_limit,
            Some(LoadLimit {
                active_sessions: Some(40),
                load_percent: Some(150),
                deadline_secs: 10_800,
            })
        );
        let keep = &policy.retention.keep;
        assert_eq!(
            (keep.last, keep.daily, keep.weekly, keep.monthly),
            (3, 7, 4, 12)
        );
        assert_eq!(keep.keep_tags, ["release"]);
        assert_eq!(
            policy.schedule.blackout[0].days,
            [Weekday::Monday, Weekday::Friday]
        );
        assert_eq!(policy.cleanup_cron.as_deref(), Some("0 6 * * 0"));

        edited(&mut policy, "--max-load 0").unwrap();
        let left = policy.load_limit.as_ref().expect("the other one stays");
        assert_eq!((left.active_sessions, left.load_percent), (Some(40), None));
        let back = "--max-sessions 0 --after-written none --keep-tag none --blackout none \
                    --cleanup-cron none";
        edited(&mut policy, back).unwrap();
        assert_eq!((&policy.load_limit, &policy.adaptive), (&None, &None));
        assert_eq!(policy.cleanup_cron, None);
        assert!(policy.retention.keep.keep_tags.is_empty() && policy.schedule.blackout.is_empty());
        for alone in ["--wait-at-most 1h", "--at-most-every 30m"] {
            assert!(edited(&mut policy, alone).is_err(), "{alone}");
        }
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
        for span in ["8-18", "08:00", "x-y", "08:00-18:00@someday"] {
            assert!(blackout(span).is_err(), "{span}");
        }
    }
}
