//! The commands that work on backups, done by a server: the same options, the same answer, another machine.
//!
//! Each sends a request, follows the job that comes of it as if it ran here, reads the document that the job ended with
//! back into the engine's report, and shows that. Options that only make sense where the work is done are refused.

mod care;
mod compare;
mod files;
mod folders;
mod forget;
mod guard;
mod keys;
mod package;
mod restore;
mod rollback;
mod sending;
mod undo;
mod upgrade;

pub use care::{check, doctor, init, prune};
pub use compare::{diff, migrations, schema_diff};
pub use files::{export, import};
pub use forget::forget;
pub use guard::guard;
pub use keys::key;
pub use restore::restore;
pub use rollback::rollback_migration;
pub use undo::undo;
pub use upgrade::upgrade;

use super::{backup, drill, list, show, tag, verify};
use crate::{
    api::{Api, Call},
    args::{
        BackupArgs, ConnectionArgs, DrillArgs, ListArgs, ReadBackArg, ShowArgs, TagArgs, VerifyArgs,
    },
    clock::SystemClock,
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use jiff::tz::TimeZone;
use pgkeep_engine::{catalog::BackupDetail, drill::DrillReport, verify::VerifyReport};
use pgkeep_model::{Clock, manifest::BackupKind};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Options that say where a database is, where the server knows that itself.
fn no_connection(connection: &ConnectionArgs) -> CliResult<()> {
    let given = [
        ("--database-url", connection.database_url.is_some()),
        ("--admin-url", connection.admin_url.is_some()),
        ("--bin-dir", !connection.bin_dir.is_empty()),
    ];
    only_here(&given)
}

/// Refuses options that the server decides on by its own definitions.
fn only_here(given: &[(&str, bool)]) -> CliResult<()> {
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => Err(CliError::usage(format!(
            "{option} says nothing to a server: apps, repositories and policies are defined there"
        ))
        .with_hint("change the definition there, or unset PGKEEP_SERVER to work here")),
    }
}

/// Sends a request that becomes a job, and waits for the report that it ends with.
pub fn report_of<T: DeserializeOwned>(
    api: &Api,
    call: &Call,
    session: &Session,
) -> CliResult<(T, Value)> {
    let id = api.accepted(call)?;
    let document = api.finished(&id, session)?;
    let report = serde_json::from_value(document.clone()).map_err(|e| result_of(&id, &e))?;
    Ok((report, document))
}

/// The app that is named, else the only one that the server knows.
pub fn one_app(api: &Api, session: &Session) -> CliResult<String> {
    if let Some(app) = session.named_app() {
        return Ok(app);
    }
    let apps = api.all(&Call::get("/apps"))?;
    let names: Vec<&str> = apps.iter().filter_map(|app| app["name"].as_str()).collect();
    match names.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(CliError::new(Exit::NotFound, "the server knows no app")
            .with_hint("`pgkeep apply` makes it know those of pgkeep.toml")),
        several => Err(CliError::usage("nothing says which app is meant")
            .with_hint(format!("give --app: {}", several.join(", ")))),
    }
}

/// The repository that is named, by the name that the server knows it by: an address, as PGKEEP_REPO may hold one for the
/// work of this machine, means the repository that lies there.
fn repository_there(api: &Api, session: &Session) -> CliResult<Option<String>> {
    let Some(wanted) = session.named_repository() else {
        return Ok(None);
    };
    let all = api.all(&Call::get("/repositories"))?;
    let is_it = |repository: &&Value| {
        let address = repository["definition"]["address"].as_str();
        repository["name"] == *wanted || address == Some(wanted.as_str())
    };
    if let Some(name) = all
        .iter()
        .find(is_it)
        .and_then(|found| found["name"].as_str())
    {
        return Ok(Some(name.to_owned()));
    }
    let names: Vec<&str> = all.iter().filter_map(|r| r["name"].as_str()).collect();
    Err(CliError::new(
        Exit::NotFound,
        format!("the server knows no repository {wanted}"),
    )
    .with_hint(match names.as_slice() {
        [] => "`pgkeep apply` makes it know those of pgkeep.toml".into(),
        names => format!(
            "it knows {}; name one by --repo, or unset PGKEEP_REPO",
            names.join(", ")
        ),
    }))
}

/// The repository that is named, else the only one that the server knows.
fn one_repository(api: &Api, session: &Session) -> CliResult<String> {
    if let Some(name) = repository_there(api, session)? {
        return Ok(name);
    }
    let all = api.all(&Call::get("/repositories"))?;
    let names: Vec<&str> = all.iter().filter_map(|r| r["name"].as_str()).collect();
    match names.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(
            CliError::new(Exit::NotFound, "the server knows no repository")
                .with_hint("`pgkeep apply` makes it know those of pgkeep.toml"),
        ),
        several => Err(CliError::usage("nothing says which repository is meant")
            .with_hint(format!("give --repo: {}", several.join(", ")))),
    }
}

pub fn backup(args: &BackupArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    no_connection(&args.connection)?;
    only_here(&args.trees.given())?;
    let mut body = json!({
        "app": one_app(api, session)?,
        "kind": BackupKind::from(args.kind).as_str(),
        "description": args.description.clone().unwrap_or_default(),
        "tags": args.tag,
        "pinned": args.pin,
        "read_back_all": args.read_back == ReadBackArg::Full,
        "databases": args.dbname,
        "environment": args.environment,
        "schemas": args.schema,
        "exclude_table_data": args.exclude_table_data,
        "lock_timeout_secs": args.lock_timeout.map(|time| time.as_secs().max(1)),
    });
    for (name, value) in [
        (
            "repository",
            repository_there(api, session)?.map(Value::from),
        ),
        ("compression", args.compression.map(Value::from)),
        ("jobs", args.jobs.map(Value::from)),
    ] {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    let (report, document) = report_of(api, &Call::post("/backups").body(body), session)?;
    backup::answer(&report, &document, args.pin, session);
    Ok(Exit::Done)
}

pub fn list(args: &ListArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let repository = repository_there(api, session)?;
    let now = SystemClock.now();
    let at = |moment: Option<crate::args::Moment>| {
        moment.and_then(|moment| moment.resolve(now, &TimeZone::system()))
    };
    let call = Call::get("/backups")
        .maybe("app", session.named_app())
        .maybe("repository", repository.as_deref())
        .maybe("kind", args.kind.as_ref())
        .maybe("environment", args.environment.as_ref())
        .maybe("tag", args.tag.first())
        .maybe("since", at(args.since))
        .maybe("until", at(args.until));
    // A server filters by one tag; the others are looked at here, before the newest are counted.
    let most = match args.tag.len() {
        0 | 1 => args.limit.unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let mut found = api.backups(&call, most)?;
    found.retain(|found| args.tag.iter().all(|tag| found.entry.tags.contains(tag)));
    if let Some(limit) = args.limit {
        found.drain(..found.len().saturating_sub(limit));
    }
    if found.is_empty() {
        note_unknown_app(api, repository.as_deref(), session)?;
    }
    let place = match repository {
        Some(name) => name,
        None => {
            let mut names: Vec<&str> = found.iter().map(|f| f.repository.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            names.join(", ")
        }
    };
    list::answer(
        place,
        Vec::new(),
        found.into_iter().map(|found| found.entry).collect(),
        session,
    );
    Ok(Exit::Done)
}

/// Where a list is empty because nothing is kept of the app that was named, says so.
fn note_unknown_app(api: &Api, repository: Option<&str>, session: &Session) -> CliResult<()> {
    let Some(app) = session.named_app() else {
        return Ok(());
    };
    let call = Call::get("/backups").maybe("repository", repository);
    if !api.list(&call.clone().query("app", &app), 1)?.is_empty() {
        return Ok(());
    }
    let recent = api.list(&call, 500)?;
    let apps = recent.iter().filter_map(|backup| backup["app"].as_str());
    let apps = apps.map(str::to_owned).collect();
    session.screen.note(&list::unknown_app(&app, apps));
    Ok(())
}

pub fn show(args: &ShowArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let app = session.named_app();
    let repository = repository_there(api, session)?;
    let found = api.find_backup(&args.backup, app.as_deref(), repository.as_deref())?;
    let call = Call::get(format!("/backups/{}/manifest", found.entry.id))
        .query("repository", &found.repository);
    let reply = api.send(&call)?;
    let manifest = serde_json::from_slice(&reply.body).map_err(|e| {
        CliError::strange_answer(format!("the backup's manifest cannot be read: {e}"))
    })?;
    let detail = BackupDetail {
        entry: found.entry,
        manifest,
    };
    show::answer(detail, args.database.as_deref(), session)
}

pub fn verify(args: &VerifyArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let app = session.named_app();
    let repository = repository_there(api, session)?;
    let chosen = if args.backups.is_empty() {
        let call = Call::get("/backups")
            .maybe("app", app)
            .maybe("repository", repository);
        api.backups(&call, usize::MAX)?
    } else {
        let find = |id: &String| api.find_backup(id, app.as_deref(), repository.as_deref());
        args.backups.iter().map(find).collect::<CliResult<_>>()?
    };
    if chosen.is_empty() {
        return Err(
            CliError::new(Exit::NotFound, "there is no backup to verify")
                .with_hint("`pgkeep backup` makes one; `pgkeep list` shows what there is"),
        );
    }
    let mut all = VerifyReport {
        backups: Vec::new(),
        unreadable: Vec::new(),
        ok: true,
    };
    for found in chosen {
        let call = Call::post(format!("/backups/{}/verify", found.entry.id))
            .query("repository", &found.repository)
            .body(json!({ "read_data": args.read_data }));
        let report: VerifyReport = found_out(api, &call, session)?;
        all.ok &= report.ok;
        all.backups.extend(report.backups);
    }
    Ok(verify::answer(&all, args.read_data, session))
}

/// The report of a job that may have ended with bad news: damage, or a proof that failed.
pub fn found_out<T: DeserializeOwned>(api: &Api, call: &Call, session: &Session) -> CliResult<T> {
    found_by(api, call, session).map(|(_, report)| report)
}

/// The same, with the id of the job.
fn found_by<T: DeserializeOwned>(
    api: &Api,
    call: &Call,
    session: &Session,
) -> CliResult<(String, T)> {
    let id = api.accepted(call)?;
    let job = api.follow(&id, session)?;
    session.progress.finish();
    match job.result.clone().map(serde_json::from_value::<T>) {
        Some(Ok(report)) => Ok((id, report)),
        Some(Err(e)) if job.state == "succeeded" => Err(result_of(&id, &e)),
        _ => Err(crate::api::job_failure(&job)),
    }
}

fn result_of(job: &str, error: &serde_json::Error) -> CliError {
    CliError::strange_answer(format!("the result of job {job} cannot be read: {error}"))
}

/// A document of the server's as what the command here makes of its own work.
fn read<T: DeserializeOwned>(document: Value, what: &str) -> CliResult<T> {
    serde_json::from_value(document)
        .map_err(|e| CliError::strange_answer(format!("the server's {what} cannot be read: {e}")))
}

pub fn drill(args: &DrillArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    no_connection(&args.connection)?;
    let app = session.named_app();
    let repository = repository_there(api, session)?;
    let found = api.find_backup(&args.backup, app.as_deref(), repository.as_deref())?;
    let mut body = json!({
        "app": found.entry.app,
        "repository": found.repository,
        "backup": found.entry.id,
        "prove": super::restore::prove_word(args.prove),
        "assertions": drill::assertions(args)?,
        "jobs": args.jobs,
        "no_owner": args.no_owner,
        "keep": args.keep,
        "amcheck": args.amcheck,
        "app_checks": args.app_checks,
        "databases_only": args.databases_only,
        "objective_secs": args.objective.map(|objective| objective.as_secs()),
    });
    if let Some(database) = &args.database {
        body["database"] = database.clone().into();
    }
    let report: DrillReport = found_out(api, &Call::post("/drills").body(body), session)?;
    Ok(drill::answer(&report, session))
}

pub fn tag(args: &TagArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let app = session.named_app();
    let repository = repository_there(api, session)?;
    let found = api.find_backup(&args.backup, app.as_deref(), repository.as_deref())?;
    let mut body = json!({ "add_tags": args.add, "remove_tags": args.remove });
    if args.pin || args.unpin {
        body["pinned"] = args.pin.into();
    }
    let call = Call::patch(format!("/backups/{}", found.entry.id))
        .query("repository", &found.repository)
        .body(body);
    api.send(&call)?;
    let now = api.find_backup(&found.entry.id, None, Some(&found.repository))?;
    tag::answer(&now.entry, session);
    Ok(Exit::Done)
}
