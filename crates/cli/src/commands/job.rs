//! `pgkeep job` and `pgkeep queue`.

use crate::{
    api::{Api, Call, JobView, encoded},
    args::{JobCommand, JobListArgs, JobName, QueueCommand},
    clock::SystemClock,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    session::Session,
};
use jiff::{Timestamp, tz::TimeZone};
use pgkeep_model::Clock;
use serde_json::{Value, json};
use std::time::Duration;

pub fn run(command: &JobCommand, session: &Session) -> CliResult<Exit> {
    let api = session.api()?;
    match command {
        JobCommand::List(args) => list(args, &api, session),
        JobCommand::Show(name) => {
            let job = api.document(&Call::get(path(&named(name, &api)?)))?;
            let view = view(&job)?;
            session.screen.answer(&job, |text| show(text, &view));
            Ok(Exit::Done)
        }
        JobCommand::Log { job, follow } => log(&named(job, &api)?, *follow, &api, session),
        JobCommand::Cancel(name) => act(name, "cancel", &api, session),
        JobCommand::Hold(name) => act(name, "hold", &api, session),
        JobCommand::Release(name) => act(name, "release", &api, session),
        JobCommand::Approve(name) => act(name, "approve", &api, session),
        JobCommand::Priority { job, priority } => {
            let id = named(job, &api)?;
            let body = json!({ "priority": priority });
            acted(
                &id,
                Call::put(format!("{}/priority", path(&id))).body(body),
                &api,
                session,
            )
        }
    }
}

fn path(id: &str) -> String {
    format!("/jobs/{}", encoded(id))
}

/// The whole id of a job, from the start of it that a person gives.
fn named(name: &JobName, api: &Api) -> CliResult<String> {
    const WHOLE: usize = 32;
    let wanted = name.id.to_ascii_lowercase();
    if wanted.len() >= WHOLE {
        return Ok(wanted);
    }
    if wanted.is_empty() {
        return Err(CliError::usage("the job has no name")
            .with_hint("give its id; `pgkeep job list` shows the newest"));
    }
    let recent: Vec<JobView> = api.list_of(&Call::get("/jobs"), 2_000)?;
    let found: Vec<&JobView> = recent
        .iter()
        .filter(|job| job.id.starts_with(&wanted) || job.id.ends_with(&wanted))
        .collect();
    match found.as_slice() {
        [only] => Ok(only.id.clone()),
        [] => Err(
            CliError::new(Exit::NotFound, format!("there is no job {}", name.id)).with_hint(
                "`pgkeep job list` shows the newest; an older one is named by its whole id",
            ),
        ),
        several => {
            Err(
                CliError::usage(format!("{} jobs have ids with {}", several.len(), name.id))
                    .with_hint("give more of the id"),
            )
        }
    }
}

fn view(job: &Value) -> CliResult<JobView> {
    serde_json::from_value(job.clone())
        .map_err(|e| CliError::strange_answer(format!("the job cannot be read: {e}")))
}

fn list(args: &JobListArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let now = SystemClock.now();
    let at = |moment: Option<crate::args::Moment>| {
        let moment = moment?;
        moment.resolve(now, &TimeZone::system())
    };
    let call = Call::get("/jobs")
        .maybe("state", args.state.as_ref())
        .maybe("kind", args.kind.as_ref())
        .maybe("policy", args.policy.as_ref())
        .maybe("app", session.named_app())
        .maybe("since", at(args.since))
        .maybe("until", at(args.until));
    let jobs = api.list(&call, args.limit as usize)?;
    let views = jobs.iter().map(view).collect::<CliResult<Vec<_>>>()?;
    session.screen.answer(&json!({ "jobs": jobs }), |text| {
        if views.is_empty() {
            text.line("no jobs");
            return;
        }
        let mut table = Rows::new(&[
            Column::Left("job"),
            Column::Left("kind"),
            Column::Left("app"),
            Column::Left("policy"),
            Column::Left("state"),
            Column::Left("since"),
            Column::Right("took"),
            Column::Left("asked for by"),
        ]);
        for job in &views {
            table.add([
                job.id.clone(),
                job.kind.clone(),
                job.app.clone().unwrap_or_default(),
                job.policy.clone().unwrap_or_default(),
                state(job),
                human::time(job.finished_at.or(job.started_at).unwrap_or(job.created_at)),
                took(job, now),
                format!("{} ({})", job.created_by, job.trigger),
            ]);
        }
        text.table(&table);
    });
    Ok(Exit::Done)
}

fn state(job: &JobView) -> String {
    let phase = job.phase.as_deref().unwrap_or_default().replace('_', " ");
    match job.state.as_str() {
        "queued" if job.held => "queued, held".into(),
        "queued" if is_needed(&job.approval) => "queued, needs a yes".into(),
        "running" if job.cancel_requested => "running, being cancelled".into(),
        "running" if !phase.is_empty() => format!("running: {phase}"),
        other => other.to_owned(),
    }
}

fn is_needed(approval: &Value) -> bool {
    approval["state"] == "needed"
}

fn took(job: &JobView, now: Timestamp) -> String {
    let Some(started) = job.started_at else {
        return String::new();
    };
    let end = job.finished_at.unwrap_or(now);
    human::seconds(end.duration_since(started).as_secs_f64().max(0.0))
}

fn show(text: &mut Text, job: &JobView) {
    let now = SystemClock.now();
    let progress = job.progress.as_ref().map(|p| match p.total_bytes {
        Some(total) => format!(
            "{} of about {}",
            human::bytes(p.done_bytes),
            human::bytes(total)
        ),
        None => human::bytes(p.done_bytes),
    });
    let time = |at: Option<Timestamp>| at.map(human::time).unwrap_or_default();
    text.facts([
        ("job", job.id.clone()),
        ("kind", job.kind.clone()),
        ("state", state(job)),
        (
            "progress",
            progress.filter(|_| !job.is_final()).unwrap_or_default(),
        ),
        ("app", job.app.clone().unwrap_or_default()),
        ("repository", job.repository.clone().unwrap_or_default()),
        ("policy", job.policy.clone().unwrap_or_default()),
        (
            "asked for by",
            format!("{} ({})", job.created_by, job.trigger),
        ),
        ("asked for at", human::time(job.created_at)),
        (
            "not before",
            match job.state.as_str() {
                "queued" => time(job.run_at),
                _ => String::new(),
            },
        ),
        ("started", time(job.started_at)),
        ("finished", time(job.finished_at)),
        ("took", took(job, now)),
        (
            "attempt",
            format!("{} of {}", job.attempts, job.max_attempts),
        ),
        ("on", job.node.clone().unwrap_or_default()),
        (
            "priority",
            match job.priority {
                0 => String::new(),
                n => n.to_string(),
            },
        ),
    ]);
    if let Some(error) = &job.error {
        text.blank();
        text.line(format!("failed: {}", error.message));
        for detail in error.details.iter().flat_map(|details| details.lines()) {
            text.line(format!("  {detail}"));
        }
        if let Some(hint) = &error.hint {
            text.line(format!("hint: {hint}"));
        }
    }
    if job.result.is_some() {
        text.blank();
        text.line(format!(
            "`pgkeep job show {} --json` holds its result",
            job.id
        ));
    }
}

fn log(id: &str, follow: bool, api: &Api, session: &Session) -> CliResult<Exit> {
    let mut lines = Vec::new();
    let mut after = 0;
    loop {
        // The state is asked for first, so that the last lines of a job that ends meanwhile are not missed.
        let ended = api.job(id)?.is_final();
        loop {
            let page = api.log_after(id, after)?;
            let Some(last) = page.last() else { break };
            after = last.line;
            for line in page {
                if !session.screen.json {
                    session.screen.raw(&format!(
                        "{}  {:<5}  {}\n",
                        human::time(line.at),
                        line.level,
                        line.text
                    ));
                }
                lines.push(line);
            }
        }
        if ended || !follow || session.cancel.is_cancelled() {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    if session.screen.json {
        session.screen.answer(&json!({ "lines": lines }), |_| {});
    }
    Ok(Exit::Done)
}

fn act(name: &JobName, verb: &str, api: &Api, session: &Session) -> CliResult<Exit> {
    let id = named(name, api)?;
    acted(
        &id,
        Call::post(format!("{}/{verb}", path(&id))),
        api,
        session,
    )
}

fn acted(id: &str, call: Call, api: &Api, session: &Session) -> CliResult<Exit> {
    let job = api.document(&call)?;
    let view = view(&job)?;
    session.screen.answer(&job, |text| {
        text.line(format!("job {id}: {}", state(&view)));
    });
    Ok(Exit::Done)
}

pub fn queue(command: &QueueCommand, session: &Session) -> CliResult<Exit> {
    let api = session.api()?;
    match command {
        QueueCommand::Pause => drop(api.send(&Call::post("/queue/pause"))?),
        QueueCommand::Resume => drop(api.send(&Call::post("/queue/resume"))?),
        QueueCommand::Status => {}
    }
    let mut queue = api.document(&Call::get("/queue"))?;
    let nodes = api.all(&Call::get("/workers"))?;
    queue["nodes"] = Value::Array(nodes);
    session
        .screen
        .answer(&queue, |text| render_queue(text, &queue));
    Ok(Exit::Done)
}

fn render_queue(text: &mut Text, queue: &Value) {
    let time = |value: &Value| {
        let at = value.as_str().and_then(|at| at.parse().ok());
        at.map(human::time).unwrap_or_default()
    };
    let paused = match queue["paused"] == true {
        false => "no".to_owned(),
        true => format!(
            "yes, by {} at {}",
            queue["paused_by"].as_str().unwrap_or("somebody"),
            time(&queue["paused_at"])
        ),
    };
    let number = |name: &str| queue[name].as_u64().map(human::count).unwrap_or_default();
    text.facts([
        ("paused", paused),
        ("ready to run", number("ready")),
        ("wait for their time", number("later")),
        ("held", number("held")),
        ("need a yes", number("waiting_for_approval")),
        ("running", number("running")),
        ("live workers", number("workers")),
    ]);
    let nodes = queue["nodes"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if nodes.is_empty() {
        return;
    }
    text.blank();
    let mut table = Rows::new(&[
        Column::Left("worker"),
        Column::Left("host"),
        Column::Right("slots"),
        Column::Left("seen"),
        Column::Left("alive"),
    ]);
    for node in nodes {
        table.add([
            node["node"].as_str().unwrap_or_default().to_owned(),
            node["host"].as_str().unwrap_or_default().to_owned(),
            node["slots"].to_string(),
            time(&node["seen_at"]),
            if node["alive"] == true { "yes" } else { "no" }.to_owned(),
        ]);
    }
    text.table(&table);
}
