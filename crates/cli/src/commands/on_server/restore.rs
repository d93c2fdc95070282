//! Restores on a server: planned there, confirmed here, watched like one that runs here.

use super::{no_connection, read, repository_there};
use crate::{
    api::{Api, Call, Found, job_failure},
    args::RestoreArgs,
    commands::{restore as here, restore_files},
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use pgkeep_engine::{files::restore::FilesReport, restore::RestoreReport};
use serde_json::{Value, json};

/// A restore that the server has planned, and the request that carries it out.
pub struct Planned {
    /// The server's plan.
    pub document: Value,
    pub body: Value,
    path: String,
    repository: String,
}

/// Has a restore of this backup planned.
pub fn plan_of(found: &Found, body: Value, api: &Api) -> CliResult<Planned> {
    let path = format!("/backups/{}/restore", found.entry.id);
    let call = Call::post(format!("{path}/plan"))
        .query("repository", &found.repository)
        .body(body.clone());
    Ok(Planned {
        document: api.document(&call)?,
        body,
        path,
        repository: found.repository.clone(),
    })
}

/// Has the very plan carried out that was shown and agreed to, and gives the document that it ends with.
pub fn start(planned: Planned, api: &Api, session: &Session) -> CliResult<Value> {
    let mut body = planned.body;
    if planned.document["overwrites"] == true {
        body["confirm"] = confirm::PHRASE.into();
    }
    body["plan_hash"] = planned.document["hash"].clone();
    let call = Call::post(planned.path)
        .query("repository", &planned.repository)
        .body(body);
    let id = api.accepted(&call)?;
    let mut job = api.follow(&id, session)?;
    session.progress.finish();
    // One whose proof has failed ends with a report, too.
    match job.result.take() {
        Some(report) if report.is_object() => Ok(report),
        _ => Err(job_failure(&job)),
    }
}

pub fn restore(args: &RestoreArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    no_connection(&args.connection)?;
    here::choice_of_files(args)?;
    let app = session.named_app();
    let repository = repository_there(api, session)?;
    let found = api.find_backup(&args.backup, app.as_deref(), repository.as_deref())?;
    let mut body = json!({
        "app": found.entry.app,
        "keep_old_secs": args.keep_old.as_secs(),
    });
    if args.files_only || args.with_files {
        body["files"] = if args.files_only { "only" } else { "with" }.into();
        body["trees"] = args.files.clone().into();
        body["file_globs"] = args.file.clone().into();
        if let Some(folder) = &args.files_into {
            body["files_into"] = folder_there(folder)?.into();
        }
    }
    if !args.files_only {
        let database = here::chosen_database(args.database.as_deref(), &found.entry)?;
        of_database(&mut body, args, database)?;
    }
    let mut planned = plan_of(&found, body, api)?;
    let database = match planned.document["summary"].take() {
        Value::Null => None,
        summary => Some(read(summary, "plan")?),
    };
    let files = match planned.document["files"].take() {
        Value::Null => None,
        summary => Some(read(summary, "plan")?),
    };
    if args.dry_run {
        return Ok(match (&database, &files) {
            (Some(database), None) => here::answer_plan(database, session),
            (Some(database), Some(files)) => {
                restore_files::answer_both_plans(database, files, session)
            }
            (None, Some(files)) => restore_files::answer_plan(files, session),
            (None, None) => return Err(CliError::strange_answer("the server's plan is empty")),
        });
    }
    let phrase = args.confirm.as_deref();
    match (&database, &files) {
        (Some(database), files) => {
            if let Some(files) = files {
                restore_files::show(files, session)?;
            }
            here::agree(database, phrase, session)?;
        }
        (None, Some(files)) => restore_files::agree(files, phrase, session)?,
        (None, None) => return Err(CliError::strange_answer("the server's plan is empty")),
    }
    let mut report = start(planned, api, session)?;
    if database.is_none() {
        let report: FilesReport = read(report, "report")?;
        restore_files::answer(&report, session);
        return Ok(Exit::Done);
    }
    let placed = match report
        .as_object_mut()
        .and_then(|fields| fields.remove("files"))
    {
        None | Some(Value::Null) => None,
        Some(placed) => Some(read::<FilesReport>(placed, "report")?),
    };
    let report: RestoreReport = read(report, "report")?;
    Ok(match &placed {
        None => here::answer(&report, session),
        Some(placed) => restore_files::answer_both(&report, placed, session),
    })
}

/// Which database goes where, and how.
fn of_database(body: &mut Value, args: &RestoreArgs, database: String) -> CliResult<()> {
    let (mode, name) = match &args.into {
        Some(name) => ("into", name.clone()),
        None if args.replace => ("replace", database.clone()),
        None if args.in_place || args.data_only => ("in_place", database.clone()),
        None => return Err(here::no_target(&database)),
    };
    let options = json!({
        "mode": mode,
        "name": name,
        "database": database,
        "tables": args.table,
        "schemas": args.schema,
        "schema_only": args.schema_only,
        "data_only": args.data_only,
        "prove": here::prove_word(args.prove),
        "jobs": args.jobs,
        "no_owner": args.no_owner,
        "role": args.role,
        "vacuum": args.vacuum,
        "skip_safety_backup": args.no_safety_backup,
        "migrate": args.migrate,
        "check": args.check,
        "keep_failed": args.keep_failed,
        "read_only": args.read_only,
        "grace_secs": args.grace.map(|grace| grace.as_secs()),
    });
    if let (Value::Object(body), Value::Object(options)) = (body, options) {
        body.extend(options);
    }
    Ok(())
}

/// The folder of the server's machine: what is relative here would be another one there.
fn folder_there(folder: &std::path::Path) -> CliResult<String> {
    match folder.to_str().filter(|_| folder.is_absolute()) {
        Some(path) => Ok(path.to_owned()),
        None => Err(CliError::usage(format!(
            "--files-into {} is a folder of the server's machine, and not named from its root",
            folder.display()
        ))
        .with_hint("give the whole path, as it is there")),
    }
}
