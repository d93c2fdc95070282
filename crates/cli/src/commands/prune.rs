//! `pgkeep prune`: free the space of what no backup needs any more.

use crate::{
    args::PruneArgs,
    commands::on_server,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Text, human},
    recording::Recording,
    session::{Session, required_repository},
};
use pgkeep_engine::{Context, forget};
use pgkeep_model::job::{JobSpec, PruneSpec};
use pgkeep_repository::{PruneOptions, PrunePlan, PruneReport, Repository};

pub fn run(args: &PruneArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::prune(args, &api, session);
    }
    let settings = session.settings()?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    let plan = forget::plan_prune(&repository, &options(args, &context))?;
    if args.dry_run {
        session.progress.finish();
        session
            .screen
            .answer(&plan, |text| render_plan(text, &plan, plan.is_empty()));
        return Ok(Exit::Done);
    }
    let spec = PruneSpec {
        repository: required_repository(&settings)?.address.value.clone(),
        grace_secs: Some(args.grace.as_secs()),
        max_unused_percent: Some(args.max_unused.0),
    };
    let recording = Recording::begin(session, JobSpec::Prune(spec))?;
    let done = forget::prune(&repository, plan, &recording.context(context));
    let report = recording.finish(done.map_err(CliError::from), session)?;
    session.progress.finish();
    session
        .screen
        .answer(&report, |text| render_report(text, &report));
    Ok(Exit::Done)
}

/// Prunes as `pgkeep prune` without options does, for `forget --prune`; not while somebody else works with the repository.
pub fn after_forget(repository: &Repository, context: &Context) -> CliResult<Option<PruneReport>> {
    let options = options(&PruneArgs::default(), context);
    Ok(forget::prune_after(repository, &options, context)?)
}

fn options(args: &PruneArgs, context: &Context) -> PruneOptions {
    PruneOptions {
        grace: args.grace,
        max_unused_percent: args.max_unused.0,
        cancel: context.cancel.clone(),
    }
}

/// What a prune would do. Of a plan that was made elsewhere, only who made it can tell whether it is empty.
pub fn render_plan(text: &mut Text, plan: &PrunePlan, is_empty: bool) {
    let packs = |count: u64, bytes: u64| match count {
        0 => "none".to_owned(),
        _ => format!("{}, {}", human::counted(count, "pack"), human::bytes(bytes)),
    };
    text.facts([
        ("stored", packs(plan.packs_total, plan.bytes_total)),
        (
            "needed",
            format!(
                "{} by {}",
                human::bytes(plan.bytes_used),
                human::counted(plan.snapshots, "snapshot")
            ),
        ),
        ("to rewrite", packs(plan.packs_repack, plan.bytes_repack)),
        ("unneeded", packs(plan.packs_unused, plan.bytes_unused)),
        (
            "left by interrupted work",
            packs(plan.packs_unindexed, plan.bytes_unindexed),
        ),
        ("to delete now", packs(plan.packs_delete, plan.bytes_delete)),
        (
            "waiting for the grace time",
            packs(plan.packs_wait, plan.bytes_wait),
        ),
        (
            "needed again",
            if plan.packs_recover > 0 {
                human::counted(plan.packs_recover, "pack")
            } else {
                String::new()
            },
        ),
    ]);
    if is_empty {
        text.line("nothing to do");
    }
}

/// What a prune did.
pub fn render_report(text: &mut Text, report: &PruneReport) {
    text.line(format!(
        "deleted {}, {} freed",
        human::counted(report.packs_deleted, "pack"),
        human::bytes(report.bytes_deleted)
    ));
    if report.packs_repacked > 0 {
        text.line(format!(
            "rewrote {} into {}, {}",
            human::counted(report.packs_repacked, "pack"),
            human::count(report.packs_written),
            human::bytes(report.bytes_written)
        ));
    }
    if report.packs_marked > 0 || report.bytes_waiting > 0 {
        text.line(format!(
            "marked {}; {} wait for the grace time, a later prune deletes them",
            human::counted(report.packs_marked, "pack"),
            human::bytes(report.bytes_waiting)
        ));
    }
}
