//! `pgkeep forget`: let backups go, by rule or by name, as a plan that is shown first.

use crate::{
    args::ForgetArgs,
    commands::{list::app_filter, on_server, prune},
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    recording::Recording,
    session::{Session, required_repository},
};
use jiff::tz::TimeZone;
use pgkeep_engine::{
    Context,
    catalog::{self, BackupEntry, ListFilter},
    forget::{self, ForgetReport, ForgetRequest},
};
use pgkeep_model::{
    job::{ForgetSpec, JobSpec},
    retention::{ForgetPlan, KeepPolicy},
};
use pgkeep_repository::{PruneReport, Repository};
use serde::{Deserialize, Serialize};

/// What goes, what stays, and how it went.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    pub plan: ForgetPlan,
    /// Absent with `--dry-run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ForgetReport>,
    /// What `--prune` did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<PruneReport>,
}

pub fn run(args: &ForgetArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::forget(args, &api, session);
    }
    let settings = session.settings()?;
    let context = session.context(&settings);
    let request = match wanted(args)? {
        Wanted::Named(names) => ForgetRequest::Named(names.to_vec()),
        Wanted::ByRule(policy) => ForgetRequest::Policy {
            policy,
            filter: ListFilter {
                app: app_filter(&settings),
                tags: args.tag.clone(),
                ..ListFilter::default()
            },
            zone: TimeZone::system(),
        },
    };
    let repository = session.repository(&settings, &context)?;
    let plan = forget::plan(&repository, &request, &context)?;
    let entries = catalog::list(&repository, &ListFilter::default())?;
    if args.dry_run {
        let answer = Answer {
            plan,
            report: None,
            pruned: None,
        };
        return Ok(self::answer(&answer, &[], &entries, args, session));
    }
    agreed(&plan, &entries, args, session)?;
    let chosen = required_repository(&settings)?.address.value.clone();
    let spec = ForgetSpec {
        repository: chosen.clone(),
        backups: plan.remove.iter().map(|(id, _)| id.clone()).collect(),
        prune: args.prune,
    };
    let recording = Recording::begin(session, JobSpec::Forget(spec))?.changing(&chosen);
    let context = recording.context(context);
    let done = execute(plan, args.prune, &repository, &context);
    let answer = recording.finish(done, session)?;
    session.progress.finish();
    Ok(self::answer(&answer, &[], &entries, args, session))
}

/// Shows what is to go, and goes on only where that is wanted.
pub fn agreed(
    plan: &ForgetPlan,
    entries: &[BackupEntry],
    args: &ForgetArgs,
    session: &Session,
) -> CliResult<()> {
    if args.yes || plan.remove.is_empty() {
        return Ok(());
    }
    let mut text = Text::default();
    render_plan(&mut text, plan, entries, args.backups.is_empty());
    session.screen.note(text.as_str());
    let what = format!(
        "remove {}",
        human::counted(plan.remove.len() as u64, "backup")
    );
    confirm::removal(&what, args.yes, session)
}

/// Shows what goes or has gone; the exit code says whether all of it has.
pub fn answer(
    answer: &Answer,
    objections: &[String],
    entries: &[BackupEntry],
    args: &ForgetArgs,
    session: &Session,
) -> Exit {
    // Named by id, only those are of interest; by rule, why the others stay is as well.
    let by_rule = args.backups.is_empty();
    session.screen.answer(answer, |text| {
        render(text, answer, entries, by_rule);
        for objection in objections {
            text.line(format!("but {objection}"));
        }
    });
    let failed = answer.report.iter().any(|report| !report.failed.is_empty());
    if failed { Exit::Failed } else { Exit::Done }
}

/// Which backups are to go.
pub enum Wanted<'a> {
    Named(&'a [String]),
    /// Those that no rule wants to keep.
    ByRule(KeepPolicy),
}

/// What the options say of it; there must be no doubt.
pub fn wanted(args: &ForgetArgs) -> CliResult<Wanted<'_>> {
    let policy = policy(args);
    match (args.backups.is_empty(), policy.is_empty()) {
        (false, true) => Ok(Wanted::Named(&args.backups)),
        (true, false) => Ok(Wanted::ByRule(policy)),
        (false, false) => Err(
            CliError::usage("backups by id and rules exclude each other")
                .with_hint("run forget twice"),
        ),
        (true, true) => Err(CliError::usage("nothing says what to forget")
            .with_hint("give a rule such as --keep-daily 7, or ids of backups")),
    }
}

fn execute(
    plan: ForgetPlan,
    prune: bool,
    repository: &Repository,
    context: &Context,
) -> CliResult<Answer> {
    let report = forget::execute(repository, &plan, context)?;
    let pruned = if prune && report.failed.is_empty() {
        prune::after_forget(repository, context)?
    } else {
        None
    };
    Ok(Answer {
        plan,
        report: Some(report),
        pruned,
    })
}

fn render(text: &mut Text, answer: &Answer, entries: &[BackupEntry], by_rule: bool) {
    render_plan(text, &answer.plan, entries, by_rule);
    text.blank();
    let kept = human::count(answer.plan.keep.len() as u64);
    let Some(report) = &answer.report else {
        text.line(format!(
            "{} would be removed, {kept} kept",
            human::counted(answer.plan.remove.len() as u64, "backup")
        ));
        return;
    };
    text.line(format!(
        "{} removed, {kept} kept",
        human::counted(report.removed.len() as u64, "backup")
    ));
    for (id, why) in &report.failed {
        text.line(format!("could not remove {}: {why}", &id[..8]));
    }
    match &answer.pruned {
        Some(pruned) => prune::render_report(text, pruned),
        None if !report.removed.is_empty() => text.line("`pgkeep prune` frees the space"),
        None => {}
    }
}

fn policy(args: &ForgetArgs) -> KeepPolicy {
    KeepPolicy {
        last: args.keep_last.unwrap_or(0),
        hourly: args.keep_hourly.unwrap_or(0),
        daily: args.keep_daily.unwrap_or(0),
        weekly: args.keep_weekly.unwrap_or(0),
        monthly: args.keep_monthly.unwrap_or(0),
        yearly: args.keep_yearly.unwrap_or(0),
        within: args.keep_within,
        keep_tags: args.keep_tag.clone(),
        protect_newest: args.protect_newest,
    }
}

fn render_plan(text: &mut Text, plan: &ForgetPlan, entries: &[BackupEntry], with_kept: bool) {
    let mut table = Rows::new(&[
        Column::Left("backup"),
        Column::Left("time"),
        Column::Left("app"),
        Column::Left("decision"),
        Column::Left("why"),
    ]);
    let mut add = |id: &str, decision: &str, why: String| {
        let entry = entries.iter().find(|entry| entry.id == id);
        let time = entry.map(|e| human::time(e.time)).unwrap_or_default();
        table.add([
            id[..8].to_owned(),
            time,
            entry.map(|e| e.app.clone()).unwrap_or_default(),
            decision.to_owned(),
            why,
        ]);
    };
    for (id, reasons) in plan.keep.iter().filter(|_| with_kept) {
        let why: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        add(id, "keep", why.join(", "));
    }
    for (id, why) in &plan.remove {
        add(id, "remove", why.clone());
    }
    text.table(&table);
}
