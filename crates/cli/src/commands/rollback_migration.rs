//! `pgkeep rollback-migration`: back to the newest point before a migration, by plan.

use crate::{
    args::{ProofArg, RollbackArgs},
    commands::{list::app_filter, on_server, restore as restoring},
    config::Settings,
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    recording::Recording,
    session::{Session, connection_flags, required_repository},
};
use pgkeep_engine::{
    Context,
    catalog::{self, BackupEntry, ListFilter},
    guard,
    restore::{
        self, Around, Content, PlanSummary, RestorePlan, RestoreReport, RestoreRequest,
        RestoreTarget, Selection,
    },
};
use pgkeep_model::job::{JobSpec, RestoreMode, RestoreSpec};
use pgkeep_repository::Repository;
use std::time::Duration;

pub fn run(args: &RollbackArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::rollback_migration(args, &api, session);
    }
    let mut flags = connection_flags(&args.connection);
    flags.jobs = args.jobs;
    let settings = session.settings_with(flags)?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    let app = app_filter(&settings);
    let entry = match &args.backup {
        Some(id) => {
            let filter = ListFilter {
                app: app.clone(),
                ..ListFilter::default()
            };
            catalog::find(&repository, id, &filter)?
        }
        None => guard::newest(&repository, app.as_deref())?,
    };
    let wanted = Wanted {
        only: args.database.as_deref(),
        prove: args.prove,
        keep_old: args.keep_old,
        grace: args.grace,
    };
    let plans = plans(&entry, &wanted, &repository, &settings, &context, session)?;
    session.progress.finish();
    let summaries: Vec<PlanSummary> = plans.iter().map(|plan| plan.summary.clone()).collect();
    if args.dry_run {
        return Ok(restoring::answer_plans(&summaries, session));
    }
    show(&plans, session)?;
    if summaries.iter().any(|summary| summary.overwrites) {
        let what = format!("going back to backup {}", entry.short_id());
        confirm::require(args.confirm.as_deref(), &what, session)?;
    }
    let reports = execute(plans, &repository, &settings, context, session)?;
    session.progress.finish();
    restoring::answer_all(&reports, session);
    Ok(Exit::Done)
}

/// What of a backup is brought back, and how.
pub(super) struct Wanted<'a> {
    /// This database alone.
    pub only: Option<&'a str>,
    pub prove: ProofArg,
    pub keep_old: Duration,
    pub grace: Option<Duration>,
}

/// A replacing restore of each database of the backup.
pub(super) fn plans(
    entry: &BackupEntry,
    wanted: &Wanted<'_>,
    repository: &Repository,
    settings: &Settings,
    context: &Context,
    session: &Session,
) -> CliResult<Vec<RestorePlan>> {
    let databases = match wanted.only {
        Some(name) => vec![restoring::chosen_database(Some(name), entry)?],
        None => entry.databases.clone(),
    };
    let mut plans = Vec::new();
    for database in databases {
        let name = restoring::live_name(session, settings, &database)?;
        let application = session.application(settings, Some(&name))?;
        let request = RestoreRequest {
            backup: entry.id.clone(),
            app: app_filter(settings),
            database: Some(database),
            admin: session.admin(settings)?,
            target: RestoreTarget::Replace { name },
            selection: Selection::default(),
            content: Content::All,
            jobs: settings.jobs.value,
            prove: wanted.prove.into(),
            keep_old_secs: wanted.keep_old.as_secs(),
            no_owner: false,
            role: None,
            throwaway: false,
            vacuum: false,
            skip_safety_backup: false,
            grace_secs: restoring::grace(wanted.grace, &application).as_secs(),
            around: Around {
                application,
                ..Around::default()
            },
        };
        plans.push(restore::plan(repository, &request, context)?);
    }
    if plans.is_empty() {
        return Err(CliError::new(
            Exit::NotFound,
            format!("backup {} holds no database", entry.short_id()),
        )
        .with_hint("`pgkeep list` shows what each backup holds; go back to one with --backup ID"));
    }
    Ok(plans)
}

/// Shows what would be done; returns only when nothing stands in its way.
pub(super) fn show(plans: &[RestorePlan], session: &Session) -> CliResult<()> {
    for plan in plans {
        restoring::show(&plan.summary, session)?;
    }
    Ok(())
}

/// Carries the plans out, each as a job of its own. Where one fails, those before it stay done, and the error says so.
pub(super) fn execute(
    plans: Vec<RestorePlan>,
    repository: &Repository,
    settings: &Settings,
    context: Context,
    session: &Session,
) -> CliResult<Vec<RestoreReport>> {
    let chosen = required_repository(settings)?.address.value.clone();
    let mut reports: Vec<RestoreReport> = Vec::new();
    for plan in plans {
        let summary = &plan.summary;
        let spec = RestoreSpec {
            database: Some(summary.database.name.clone()),
            keep_old_secs: plan.request.keep_old_secs,
            ..RestoreSpec::new(
                summary.app.clone(),
                chosen.clone(),
                summary.backup.clone(),
                RestoreMode::Replace(summary.database.target.name().to_owned()),
            )
        };
        let name = summary.database.target.name().to_owned();
        let recording = Recording::begin(session, JobSpec::Restore(spec))?.changing(&chosen);
        let context = recording.context(context.clone());
        let done = restore::execute(repository, plan, &context).map_err(CliError::from);
        let report = recording.finish(done, session).map_err(|error| {
            let swapped: Vec<&str> = reports.iter().map(|r| r.database.as_str()).collect();
            restoring::broke_off(error, &swapped, &name)
        })?;
        reports.push(report);
    }
    Ok(reports)
}
