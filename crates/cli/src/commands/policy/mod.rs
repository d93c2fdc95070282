//! `pgkeep policy`: what is backed up when, and what is kept.

mod ask;
mod change;
mod show;

use crate::{
    api::{Api, Call, JobView, encoded, job_failure},
    args::{PolicyArgs, PolicyCommand},
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Text, human},
    session::Session,
};
use pgkeep_model::policy::{Policy, defaults};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub fn run(command: &PolicyCommand, session: &Session) -> CliResult<Exit> {
    let api = session.api()?;
    carried_out(command, &api, session).map_err(pointed)
}

/// An app is described in a file of its own.
fn pointed(error: CliError) -> CliError {
    match error.message.contains("no file trees") {
        true => error.with_hint(
            "describe them as [[app.NAME.files]] and run `pgkeep apply`, or take another --kind",
        ),
        false => error,
    }
}

fn carried_out(command: &PolicyCommand, api: &Api, session: &Session) -> CliResult<Exit> {
    match command {
        PolicyCommand::List => list(api, session),
        PolicyCommand::Show { name } => {
            let mut policy = document(api, name)?;
            let hold_up = hold_up(policy_in(&policy).is_ok_and(|p| p.enabled), api);
            note_in(&mut policy, hold_up.as_deref());
            session
                .screen
                .answer(&policy, |text| show::one(text, &policy));
            tell(hold_up.as_deref(), session);
            Ok(Exit::Done)
        }
        PolicyCommand::Create(args) => create(args, api, session),
        PolicyCommand::Edit(args) => edit(args, api, session),
        PolicyCommand::Enable { name } => switch(name, true, api, session),
        PolicyCommand::Disable { name } => switch(name, false, api, session),
        PolicyCommand::Delete(args) => {
            let (_, etag) = api.with_etag(&Call::get(path(&args.name)))?;
            let what = format!("delete policy {}; its backups stay", args.name);
            confirm::removal(&what, args.yes, session)?;
            api.send(&Call::delete(path(&args.name)).if_match(etag))?;
            let answer = json!({ "deleted": args.name });
            session.screen.answer(&answer, |text| {
                text.line(format!("deleted policy {}", args.name))
            });
            Ok(Exit::Done)
        }
        PolicyCommand::Run { name, no_wait } => run_now(name, *no_wait, api, session),
        PolicyCommand::Cleanup { name, dry_run, yes } => {
            let asked = Asked {
                dry_run: *dry_run,
                yes: *yes,
            };
            cleanup(name, asked, api, session)
        }
        PolicyCommand::Next { name, count } => next(name, *count, api, session),
        PolicyCommand::Defaults { app, time_zone } => {
            make_defaults(app, time_zone.as_deref(), api, session)
        }
    }
}

fn path(name: &str) -> String {
    format!("/policies/{}", encoded(name))
}

fn document(api: &Api, name: &str) -> CliResult<Value> {
    api.document(&Call::get(path(name)))
}

/// The policy that a document of the server holds.
fn policy_in(document: &Value) -> CliResult<Policy> {
    let mut definition = document["definition"].clone();
    if let Value::Object(fields) = &mut definition {
        fields.insert("name".into(), document["name"].clone());
    }
    serde_json::from_value(definition)
        .map_err(|e| CliError::strange_answer(format!("the server's policy cannot be read: {e}")))
}

fn body(policy: &Policy) -> Value {
    let mut value = serde_json::to_value(policy).expect("policies are plain values");
    if let Value::Object(fields) = &mut value {
        fields.remove("name");
    }
    value
}

fn list(api: &Api, session: &Session) -> CliResult<Exit> {
    let call = Call::get("/policies").maybe("app", session.named_app());
    let policies = api.all(&call)?;
    let any = policies
        .iter()
        .any(|policy| policy_in(policy).is_ok_and(|p| p.enabled));
    let hold_up = hold_up(any, api);
    let mut answer = json!({ "policies": policies });
    note_in(&mut answer, hold_up.as_deref());
    session
        .screen
        .answer(&answer, |text| show::all(text, &policies));
    tell(hold_up.as_deref(), session);
    Ok(Exit::Done)
}

/// Why the next runs that are shown will not come, where that is so: a time that is read from a schedule looks like a promise.
/// Whoever may not see the status is told nothing.
fn hold_up(enabled: bool, api: &Api) -> Option<String> {
    if !enabled {
        return None;
    }
    let status = api.document(&Call::get("/status")).ok()?;
    if status["workers"] == 0 {
        return Some(
            "no policy runs at present: no worker is alive; start `pgkeep serve`, or `pgkeep worker` where the server has \
             none of its own"
                .into(),
        );
    }
    if status["scheduler"] == false {
        return Some(
            "no policy runs by itself at present: no server is alive, and workers only run what a server plans; start \
             `pgkeep serve`"
                .into(),
        );
    }
    match status["queue_paused"] == true {
        true => api.pause().ok()?,
        false => None,
    }
}

/// Where a program finds it.
fn note_in(answer: &mut Value, hold_up: Option<&str>) {
    if let Some(words) = hold_up {
        answer["not_at_present"] = words.into();
    }
}

fn tell(hold_up: Option<&str>, session: &Session) {
    if let (Some(words), false) = (hold_up, session.screen.quiet) {
        session.screen.warn(words);
    }
}

fn create(args: &PolicyArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let interactive = confirm::is_somebody_there(session);
    let mut app = session.named_app();
    let mut args = args.clone();
    if app.is_none() || interactive {
        let apps = api.all(&Call::get("/apps"))?;
        let apps: Vec<String> = apps
            .iter()
            .filter_map(|app| app["name"].as_str().map(str::to_owned))
            .collect();
        if interactive {
            let asking = confirm::begin(session)?;
            let (completed, chosen) = ask::complete(args, app, &apps)?;
            asking.answered();
            (args, app) = (completed, Some(chosen));
        } else {
            app = match apps.as_slice() {
                [only] => Some(only.clone()),
                [] => return Err(ask::no_app()),
                several => {
                    return Err(CliError::usage("nothing says which app the policy is for")
                        .with_hint(format!("give --app: {}", several.join(", "))));
                }
            };
        }
    }
    let Some(name) = args.name.clone() else {
        return Err(CliError::usage("the policy has no name")
            .with_hint("pgkeep policy create NAME --app APP --daily --at 02:00"));
    };
    if args.frequency().is_none() {
        return Err(CliError::usage("nothing says how often the policy runs")
            .with_hint("give --hourly, --daily, --weekly, --monthly, --cron or --on-demand"));
    }
    let mut policy = Policy::new(&name, app.as_deref().unwrap_or_default());
    change::apply(&args, app.as_deref(), &mut policy)?;
    let made = api.document(&Call::put(path(&name)).body(body(&policy)).if_absent())?;
    session.screen.answer(&made, |text| {
        text.line(format!("made policy {name}"));
        text.blank();
        show::one(text, &made);
    });
    tell(hold_up(policy.enabled, api).as_deref(), session);
    Ok(Exit::Done)
}

fn edit(args: &PolicyArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let Some(name) = &args.name else {
        return Err(CliError::usage("nothing says which policy to edit")
            .with_hint("pgkeep policy edit NAME --at 03:00"));
    };
    changed(name, api, session, |policy| {
        let app = session.named_app();
        let before = policy.clone();
        change::apply(args, app.as_deref(), policy)?;
        match *policy == before {
            false => Ok(()),
            true => Err(CliError::usage("nothing to change")
                .with_hint("give what is to be different, see `pgkeep policy edit --help`")),
        }
    })
}

fn switch(name: &str, on: bool, api: &Api, session: &Session) -> CliResult<Exit> {
    changed(name, api, session, |policy| {
        policy.enabled = on;
        Ok(())
    })
}

/// Reads, changes and writes a policy; nobody else's change in between is lost.
fn changed(
    name: &str,
    api: &Api,
    session: &Session,
    change: impl FnOnce(&mut Policy) -> CliResult<()>,
) -> CliResult<Exit> {
    let (document, etag) = api.with_etag(&Call::get(path(name)))?;
    let mut policy = policy_in(&document)?;
    change(&mut policy)?;
    let call = Call::put(path(name)).body(body(&policy)).if_match(etag);
    let made = api.document(&call)?;
    session.screen.answer(&made, |text| show::one(text, &made));
    if made["managed_by"] == "file" {
        session.screen.note(&format!(
            "policy {name} belongs to a file: the next `pgkeep apply` of it takes this change back"
        ));
    }
    Ok(Exit::Done)
}

/// What running a policy led to: one job for each of its repositories.
#[derive(Debug, Serialize)]
struct RunAnswer {
    policy: String,
    jobs: Vec<JobView>,
}

fn run_now(name: &str, no_wait: bool, api: &Api, session: &Session) -> CliResult<Exit> {
    let ids = api.all_accepted(&Call::post(format!("{}/run-now", path(name))))?;
    let mut jobs = Vec::new();
    for id in &ids {
        jobs.push(match no_wait {
            true => api.job(id)?,
            false => api.follow(id, session)?,
        });
    }
    if no_wait {
        api.tell_of_pause(session)?;
    }
    session.progress.finish();
    let failed = jobs
        .iter()
        .find(|job| job.is_final() && !matches!(job.state.as_str(), "succeeded" | "skipped"));
    if let Some(job) = failed {
        return Err(job_failure(job));
    }
    let answer = RunAnswer {
        policy: name.to_owned(),
        jobs,
    };
    session.screen.answer(&answer, |text| {
        for job in &answer.jobs {
            render_run(text, job);
        }
    });
    Ok(Exit::Done)
}

fn render_run(text: &mut Text, job: &JobView) {
    if let Some(result) = &job.result
        && let Ok(report) =
            serde_json::from_value::<pgkeep_engine::backup::BackupReport>(result.clone())
    {
        super::backup::render(text, &report, false);
        return;
    }
    text.facts([
        ("job", job.id.clone()),
        ("state", job.state.clone()),
        (
            "finished",
            job.finished_at.map(human::time).unwrap_or_default(),
        ),
    ]);
    if !job.is_final() {
        text.line(format!("To watch it: pgkeep job log {} --follow", job.id));
    }
}

#[derive(Clone, Copy)]
struct Asked {
    dry_run: bool,
    yes: bool,
}

fn cleanup(name: &str, asked: Asked, api: &Api, session: &Session) -> CliResult<Exit> {
    let Asked { dry_run, yes } = asked;
    let call = format!("{}/cleanup", path(name));
    let plan = api.document(&Call::get(&call))?;
    let answer = if dry_run {
        plan
    } else {
        let going = show::to_remove(&plan);
        if going > 0 && !yes {
            let mut text = Text::default();
            show::cleanup(&mut text, &plan, true);
            session.screen.note(text.as_str());
            let what = format!("remove {}", human::counted(going, "backup"));
            confirm::removal(&what, yes, session)?;
        }
        let id = api.accepted(&Call::post(call))?;
        api.finished(&id, session)?
    };
    session
        .screen
        .answer(&answer, |text| show::cleanup(text, &answer, dry_run));
    Ok(Exit::Done)
}

fn next(name: &str, count: u16, api: &Api, session: &Session) -> CliResult<Exit> {
    let call = Call::get(format!("{}/next", path(name))).query("count", count);
    let mut answer = api.document(&call)?;
    let hold_up = hold_up(answer["enabled"] == true, api);
    note_in(&mut answer, hold_up.as_deref());
    session
        .screen
        .answer(&answer, |text| show::next(text, &answer));
    tell(hold_up.as_deref(), session);
    Ok(Exit::Done)
}

fn make_defaults(
    app: &str,
    time_zone: Option<&str>,
    api: &Api,
    session: &Session,
) -> CliResult<Exit> {
    api.document(&Call::get(format!("/apps/{}", encoded(app))))?;
    let existing = api.all(&Call::get("/policies"))?;
    let of = |same_app: bool| -> BTreeSet<&str> {
        existing
            .iter()
            .filter(|policy| (policy["definition"]["app"] == app) == same_app)
            .filter_map(|policy| policy["name"].as_str())
            .collect()
    };
    let (own, others) = (of(true), of(false));
    let (mut made, mut kept) = (Vec::new(), Vec::new());
    for mut policy in defaults(app, |name| others.contains(name)) {
        if own.contains(policy.name.as_str()) {
            kept.push(policy.name);
            continue;
        }
        policy.schedule.time_zone = time_zone.map(str::to_owned);
        change::validated(&policy)?;
        let call = Call::put(path(&policy.name))
            .body(body(&policy))
            .if_absent();
        made.push(api.document(&call)?);
    }
    let answer = json!({ "policies": made, "kept": kept });
    session.screen.answer(&answer, |text| {
        if made.is_empty() {
            text.line(format!("app {app} has them all"));
        } else {
            show::all(text, &made);
        }
        if !made.is_empty() && !kept.is_empty() {
            text.line(format!("left as they are: {}", kept.join(", ")));
        }
    });
    Ok(Exit::Done)
}
