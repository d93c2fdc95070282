//! `pgkeep apply`: plan, show, agree, act.

mod held;
mod plain;
mod plan;

use crate::{
    args::ApplyArgs,
    config::{self, Definitions, RawConfig},
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    listing,
    output::{Column, Rows, Text, human},
    session::Session,
};
use console::style;
use held::Keeper;
use pgkeep_catalog::blocking::Blocking;
use pgkeep_model::policy::{EnvironmentSchedule, from_environment};
use plan::{Action, ApplyPlan, Held};
use serde::Serialize;
use std::path::Path;

/// Where definitions come from that no file holds.
const ENVIRONMENT: &str = "the environment";

#[derive(Debug, Serialize)]
struct Answer {
    file: String,
    #[serde(flatten)]
    plan: ApplyPlan,
    applied: bool,
}

pub fn run(args: &ApplyArgs, session: &Session) -> CliResult<Exit> {
    let (from, wanted) = to_apply(args, session)?;
    for warning in plain::secrets_in(&wanted) {
        session.screen.warn(&warning);
    }
    let keeper = match session.remote()? {
        Some(api) => Some(Keeper::Server(api)),
        None => {
            let places = session.catalog_places()?;
            match session.open_catalog(&places, !args.dry_run) {
                Ok(catalog) => Some(Keeper::Catalog(catalog)),
                // What is to be made anew anyway need not be there to be shown.
                Err(error) if args.dry_run && error.exit == Exit::NotFound => None,
                Err(error) => return Err(error),
            }
        }
    };
    let held = match &keeper {
        Some(keeper) => keeper.held(&wanted)?,
        None => Held::default(),
    };
    let mut plan = plan::plan(&wanted, &held, args.prune);
    if from == ENVIRONMENT && !args.prune {
        // A variable that is not set here says nothing of what a file or another shell has described.
        plan.steps.retain(|step| step.action != Action::Delete);
    }
    let act = !args.dry_run && !plan.steps.is_empty();
    if act {
        let removes = plan.count(Action::Delete) > 0;
        if !session.screen.json || (removes && !args.yes) {
            let mut text = Text::default();
            render(&mut text, &plan, false);
            session.screen.note(text.as_str());
        }
        match removes {
            true => confirm::removal("make it so, with what is deleted", args.yes, session)?,
            false if !args.yes => confirm::agree("make it so", session)?,
            false => {}
        }
    }
    if let (true, Some(keeper)) = (act, &keeper) {
        keeper.execute(&plan, &wanted, session)?;
        if let Keeper::Catalog(catalog) = keeper {
            // Backups may be older than the catalog.
            listing::take_in_unless_worked(catalog, None, session);
        }
    }
    let answer = Answer {
        file: from,
        plan,
        applied: act,
    };
    session.screen.answer(&answer, |text| match act {
        true => text.line(summary(&answer.plan, "done: ")),
        false => render(text, &answer.plan, true),
    });
    Ok(Exit::Done)
}

/// What the file named, the one in force, or, where there is none, the environment describes.
fn to_apply(args: &ApplyArgs, session: &Session) -> CliResult<(String, Definitions)> {
    if let Some(path) = &args.file {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let exit = match e.kind() {
                std::io::ErrorKind::NotFound => Exit::NotFound,
                _ => Exit::Usage,
            };
            CliError::file(exit, "read", path, &e)
        })?;
        let raw = RawConfig::parse(&text, path)?;
        let wanted = config::of_file(&raw, path, &session.places)?;
        return Ok((path.display().to_string(), wanted));
    }
    // This shell's variables describe what is on this machine, not on a server elsewhere.
    let (from, wanted) = match (session.config_file()?, session.remote()?.is_some()) {
        (Some((path, raw)), true) => (
            path.display().to_string(),
            config::of_file(&raw, &path, &session.places)?,
        ),
        (None, true) => (ENVIRONMENT.to_owned(), Definitions::default()),
        (_, false) => described(session)?,
    };
    match from == ENVIRONMENT && wanted.is_empty() {
        false => Ok((from, wanted)),
        true => Err(
            CliError::new(Exit::NotFound, "there is no configuration file to apply")
                .with_hint("name it: pgkeep apply FILE"),
        ),
    }
}

/// What the file in force describes, or else the environment, and where that stands.
fn described(session: &Session) -> CliResult<(String, Definitions)> {
    let (from, mut wanted) = match session.config_file()? {
        Some((path, raw)) => (
            path.display().to_string(),
            config::of_file(&raw, &path, &session.places)?,
        ),
        None => (ENVIRONMENT.to_owned(), Definitions::default()),
    };
    if wanted.apps.is_empty() && wanted.repositories.is_empty() {
        let described = config::of_environment(&session.environment, &session.places);
        wanted.apps = described.apps;
        wanted.repositories = described.repositories;
    }
    add_policy_of_environment(&mut wanted, session)?;
    Ok((from, wanted))
}

/// What a server that starts makes of its surroundings: an empty catalog takes in the file, or what the environment
/// describes; of a file that has gone on since, a word is said.
pub fn at_start(catalog: &Blocking, session: &Session) -> CliResult<()> {
    let keeper = Keeper::Catalog(catalog.clone());
    let (from, wanted) = described(session)?;
    let held = keeper.held(&wanted)?;
    if wanted.is_empty() {
        if held.is_empty() {
            session.screen.warn(
                "nothing is protected yet: describe an app and a repository in pgkeep.toml and run `pgkeep apply`, or set DATABASE_URL and PGKEEP_REPO",
            );
        }
        return Ok(());
    }
    let plan = plan::plan(&wanted, &held, false);
    if held.is_empty() {
        for warning in plain::secrets_in(&wanted) {
            session.screen.warn(&warning);
        }
        keeper.execute(&plan, &wanted, session)?;
        session
            .screen
            .note(&summary(&plan, &format!("took in {from}: ")));
    } else if plan
        .steps
        .iter()
        .any(|step| from != ENVIRONMENT || step.action != Action::Delete)
    {
        session.screen.note(&format!(
            "{from} says something else than the catalog, which counts; `pgkeep apply --dry-run` shows it"
        ));
    }
    Ok(())
}

/// Applies the file in force to a catalog, for a rebuild.
pub fn into(catalog: &Blocking, path: &Path, raw: &RawConfig, session: &Session) -> CliResult<()> {
    let wanted = config::of_file(raw, path, &session.places)?;
    let keeper = Keeper::Catalog(catalog.clone());
    let plan = plan::plan(&wanted, &keeper.held(&wanted)?, false);
    keeper.execute(&plan, &wanted, session)
}

/// `BACKUP_SCHEDULE_CRON` and its like make a policy where nothing else does.
fn add_policy_of_environment(wanted: &mut Definitions, session: &Session) -> CliResult<()> {
    if !wanted.policies.is_empty() {
        return Ok(());
    }
    let variable = |name: &str| session.environment.get(name).map(str::to_owned);
    let schedule = EnvironmentSchedule {
        backup_cron: variable("BACKUP_SCHEDULE_CRON"),
        cleanup_cron: variable("CLEANUP_SCHEDULE_CRON"),
        retention_days: variable("BACKUP_RETENTION_DAYS"),
        time_zone: variable("TZ"),
    };
    if schedule == EnvironmentSchedule::default() || schedule.backup_cron.is_none() {
        return Ok(());
    }
    let apps: Vec<&String> = wanted.apps.keys().collect();
    let &[app] = apps.as_slice() else {
        session.screen.warn(
            "BACKUP_SCHEDULE_CRON counts only where there is exactly one app; make policies with `pgkeep policy create`",
        );
        return Ok(());
    };
    let policy = from_environment(app, &schedule).map_err(|e| {
        CliError::usage(format!("{} {}", e.field, e.message)).with_hint(
            "set BACKUP_SCHEDULE_CRON and BACKUP_RETENTION_DAYS otherwise, or unset them",
        )
    })?;
    if let Some(policy) = policy {
        wanted.policies.insert(policy.name.clone(), policy);
    }
    Ok(())
}

fn render(text: &mut Text, plan: &ApplyPlan, conclude: bool) {
    if !plan.steps.is_empty() {
        let mut table = Rows::new(&[
            Column::Left(""),
            Column::Left("object"),
            Column::Left("name"),
            Column::Left("what changes"),
        ]);
        for step in &plan.steps {
            let mark = match step.action {
                Action::Create => style("+ create").green(),
                Action::Update => style("~ change").yellow(),
                Action::Delete => style("- delete").red(),
            };
            table.add([
                mark.to_string(),
                step.object.word().to_owned(),
                step.name.clone(),
                step.changes.join("; "),
            ]);
        }
        text.table(&table);
    }
    if !plan.left_alone.is_empty() {
        text.line(format!(
            "left alone, for the file did not make them: {} (--prune removes them)",
            plan.left_alone.join(", ")
        ));
    }
    if conclude {
        text.line(match plan.steps.is_empty() {
            true => format!(
                "nothing to do: {} as the file says",
                human::counted(plan.unchanged as u64, "object")
            ),
            false => summary(plan, "it would be: "),
        });
    }
}

fn summary(plan: &ApplyPlan, before: &str) -> String {
    format!(
        "{before}{} created, {} changed, {} deleted, {} unchanged",
        plan.count(Action::Create),
        plan.count(Action::Update),
        plan.count(Action::Delete),
        plan.unchanged
    )
}
