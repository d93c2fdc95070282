//! Back to the newest point before a migration, on a server: a replacing restore of each database of that backup.

use super::restore::{Planned, plan_of, start};
use super::{no_connection, read, repository_there};
use crate::{
    api::{Api, Call},
    args::RollbackArgs,
    commands::restore as here,
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use pgkeep_engine::{
    catalog::PRE_MIGRATION,
    guard,
    restore::{PlanSummary, RestoreReport},
};
use serde_json::json;

pub fn rollback_migration(args: &RollbackArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    no_connection(&args.connection)?;
    let app = session.named_app();
    let repository = repository_there(api, session)?;
    let found = match &args.backup {
        Some(id) => api.find_backup(id, app.as_deref(), repository.as_deref())?,
        None => {
            let call = Call::get("/backups")
                .query("tag", PRE_MIGRATION)
                .maybe("app", app.as_ref())
                .maybe("repository", repository);
            let newest = api.backups(&call, 1)?.pop();
            newest.ok_or_else(|| CliError::from(guard::none_taken(app.as_deref())))?
        }
    };
    let databases = match &args.database {
        Some(name) => vec![here::chosen_database(Some(name), &found.entry)?],
        None => found.entry.databases.clone(),
    };
    if databases.is_empty() {
        return Err(CliError::new(
            Exit::NotFound,
            format!("backup {} holds no database", found.entry.short_id()),
        )
        .with_hint("`pgkeep list` shows what each backup holds; go back to one with --backup ID"));
    }
    let mut plans = Vec::new();
    for database in &databases {
        let body = json!({
            "mode": "replace",
            "name": database,
            "app": found.entry.app,
            "database": database,
            "prove": here::prove_word(args.prove),
            "jobs": args.jobs,
            "keep_old_secs": args.keep_old.as_secs(),
            "grace_secs": args.grace.map(|grace| grace.as_secs()),
        });
        plans.push(plan_of(&found, body, api)?);
    }
    let summaries: Vec<PlanSummary> = plans
        .iter_mut()
        .map(|plan| read(plan.document["summary"].take(), "plan"))
        .collect::<CliResult<_>>()?;
    if args.dry_run {
        return Ok(here::answer_plans(&summaries, session));
    }
    for summary in &summaries {
        here::show(summary, session)?;
    }
    if summaries.iter().any(|summary| summary.overwrites) {
        let what = format!("going back to backup {}", found.entry.short_id());
        confirm::require(args.confirm.as_deref(), &what, session)?;
    }
    let reports = one_by_one(plans, api, session)?;
    here::answer_all(&reports, session);
    Ok(Exit::Done)
}

/// Each as a job of its own. Where one fails, those before it stay done, and the error says so.
pub fn one_by_one(
    plans: Vec<Planned>,
    api: &Api,
    session: &Session,
) -> CliResult<Vec<RestoreReport>> {
    let mut reports: Vec<RestoreReport> = Vec::new();
    for plan in plans {
        let name = plan.body["name"].as_str().unwrap_or_default().to_owned();
        let report = start(plan, api, session)
            .and_then(|document| read(document, "report"))
            .map_err(|error| {
                let swapped: Vec<&str> = reports.iter().map(|r| r.database.as_str()).collect();
                here::broke_off(error, &swapped, &name)
            })?;
        reports.push(report);
    }
    Ok(reports)
}
