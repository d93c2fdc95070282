//! `pgkeep policy create` on a terminal: one question for each thing that was not given.

use crate::{
    args::{Clock, PolicyArgs, WeekdayArg},
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
};
use dialoguer::{Input, Select};

/// The options, with answers in the place of what is missing. `apps` are those that the catalog knows.
pub fn complete(
    mut args: PolicyArgs,
    app: Option<String>,
    apps: &[String],
) -> CliResult<(PolicyArgs, String)> {
    let app = match (app, apps) {
        (Some(app), _) => app,
        (None, []) => return Err(no_app()),
        (None, [only]) => only.clone(),
        (None, apps) => apps[choose("app", apps, 0)?].clone(),
    };
    if args.name.is_none() {
        let name: String = Input::new()
            .with_prompt("name of the policy")
            .default("nightly".into())
            .interact_text()
            .map_err(unread)?;
        args.name = Some(name);
    }
    if args.frequency().is_none() {
        let frequencies = ["hourly", "daily", "weekly", "monthly", "on demand only"];
        match choose("how often", &frequencies, 1)? {
            0 => args.hourly = true,
            1 => args.daily = true,
            2 => args.weekly = true,
            3 => args.monthly = true,
            _ => args.on_demand = true,
        }
        if args.weekly && args.weekday.is_none() {
            use WeekdayArg::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
            let days = [
                Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday,
            ];
            let names = days.map(|day| format!("{day:?}"));
            args.weekday = Some(days[choose("on", &names, 6)?]);
        }
        if args.monthly && args.day.is_none() {
            let day: u8 = Input::new()
                .with_prompt("day of the month")
                .default(1)
                .validate_with(|day: &u8| match day {
                    1..=31 => Ok(()),
                    _ => Err("1 to 31"),
                })
                .interact_text()
                .map_err(unread)?;
            args.day = Some(day);
        }
        if !args.on_demand && !args.hourly && args.at.is_none() {
            let at: String = Input::new()
                .with_prompt("at")
                .default("02:00".into())
                .validate_with(|text: &String| Clock::parse(text).map(|_| ()))
                .interact_text()
                .map_err(unread)?;
            args.at = Clock::parse(&at).ok();
        }
        if !args.on_demand && args.time_zone.is_none() {
            let own = jiff::tz::TimeZone::system();
            let zone: String = Input::new()
                .with_prompt("time zone")
                .default(own.iana_name().unwrap_or("UTC").to_owned())
                .interact_text()
                .map_err(unread)?;
            args.time_zone = Some(zone);
        }
    }
    if !keeps_anything(&args) {
        let ways = [
            "30 days",
            "7 daily, 4 weekly and 12 monthly backups",
            "everything, until I say otherwise",
        ];
        match choose("keep", &ways, 0)? {
            0 => args.keep_days = Some(30),
            1 => {
                args.keep_daily = Some(7);
                args.keep_weekly = Some(4);
                args.keep_monthly = Some(12);
            }
            _ => {}
        }
    }
    Ok((args, app))
}

fn keeps_anything(args: &PolicyArgs) -> bool {
    [
        args.keep_days,
        args.keep_max,
        args.keep_last,
        args.keep_hourly,
        args.keep_daily,
        args.keep_weekly,
        args.keep_monthly,
        args.keep_yearly,
    ]
    .iter()
    .any(Option::is_some)
        || args.keep.is_some()
        || args.keep_within.is_some()
        || !args.keep_tag.is_empty()
}

pub fn no_app() -> CliError {
    CliError::new(
        Exit::NotFound,
        "the catalog knows no app to make a policy for",
    )
    .with_hint("describe it as [app.NAME] in pgkeep.toml and run `pgkeep apply`")
}

fn choose<T: std::fmt::Display>(what: &str, items: &[T], usual: usize) -> CliResult<usize> {
    Select::new()
        .with_prompt(what)
        .items(items)
        .default(usual)
        .interact()
        .map_err(unread)
}

fn unread(error: dialoguer::Error) -> CliError {
    confirm::unanswered(error)
        .with_hint("nothing was made; give the options instead, see `pgkeep policy create --help`")
}
