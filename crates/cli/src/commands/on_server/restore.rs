//! Restores on a server: planned there, confirmed here, watched like one that runs here.

use super::{found_out, no_connection, one_app, only_here};
use crate::{
    api::{Api, Call, encoded},
    args::{RestoreArgs, UndoArgs},
    commands::{restore as here, undo as undo_here},
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use pgkeep_engine::restore::{PlanSummary, RestoreReport, UndoReport};
use serde_json::{Value, json};

pub fn restore(args: &RestoreArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    no_connection(&args.connection)?;
    only_here(&[
        ("--files-only", args.files_only),
        ("--with-files", args.with_files),
        ("--files", !args.files.is_empty()),
        ("--file", !args.file.is_empty()),
        ("--files-into", args.files_into.is_some()),
        ("--role", args.role.is_some()),
        ("--vacuum", args.vacuum),
        ("--keep-failed", args.keep_failed),
        ("--read-only", args.read_only),
    ])?;
    let app = session.named_app();
    let repository = session.named_repository();
    let found = api.find_backup(&args.backup, app.as_deref(), repository.as_deref())?;
    let database = here::chosen_database(args.database.as_deref(), &found.entry)?;
    let (mode, name) = match &args.into {
        Some(name) => ("into", name.clone()),
        None if args.replace => ("replace", database.clone()),
        None if args.in_place || args.data_only => ("in_place", database.clone()),
        None => return Err(here::no_target(&database)),
    };
    let mut body = json!({
        "mode": mode,
        "name": name,
        "app": found.entry.app,
        "database": database,
        "tables": args.table,
        "schemas": args.schema,
        "schema_only": args.schema_only,
        "data_only": args.data_only,
        "prove": here::prove_word(args.prove),
        "no_owner": args.no_owner,
        "skip_safety_backup": args.no_safety_backup,
        "keep_old_secs": args.keep_old.as_secs(),
        "migrate": args.migrate,
        "check": args.check,
    });
    if let Some(jobs) = args.jobs {
        body["jobs"] = jobs.into();
    }
    let path = format!("/backups/{}/restore", found.entry.id);
    let planned = Call::post(format!("{path}/plan"))
        .query("repository", &found.repository)
        .body(body.clone());
    let plan = api.document(&planned)?;
    let summary: PlanSummary = serde_json::from_value(plan["summary"].clone())
        .map_err(|e| CliError::new(Exit::Server, format!("the plan cannot be read: {e}")))?;
    if args.dry_run {
        return Ok(here::answer_plan(&summary, session));
    }
    here::agree(&summary, args.confirm.as_deref(), session)?;
    if summary.overwrites {
        body["confirm"] = confirm::PHRASE.into();
    }
    body["plan_hash"] = plan["hash"].clone();
    let call = Call::post(path)
        .query("repository", &found.repository)
        .body(body);
    let report: RestoreReport = found_out(api, &call, session)?;
    Ok(here::answer(&report, session))
}

pub fn undo(args: &UndoArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    no_connection(&args.connection)?;
    only_here(&[
        ("--to", args.to.is_some()),
        ("--drop-expired", args.drop_expired),
        ("--dry-run", args.dry_run),
    ])?;
    if args.list {
        let app = one_app(api, session)?;
        let kept = api.all(&Call::get("/restores/kept").query("app", app))?;
        undo_here::answer_kept(&kept, session);
        return Ok(Exit::Done);
    }
    let (id, database) = newest_replacement(args.database.as_deref(), api, session)?;
    let what = format!("swapping back database {database}");
    confirm::require(args.confirm.as_deref(), &what, session.screen.interactive())?;
    let call = Call::post(format!("/restores/{}/undo", encoded(&id)))
        .body(json!({ "confirm": confirm::PHRASE }));
    let report: UndoReport = found_out(api, &call, session)?;
    undo_here::answer(&report, session);
    Ok(Exit::Done)
}

/// The newest restore that put a database in the place of another, as id and name.
fn newest_replacement(
    database: Option<&str>,
    api: &Api,
    session: &Session,
) -> CliResult<(String, String)> {
    let call = Call::get("/restores").maybe("app", session.named_app());
    let done = api.list(&call, 500)?;
    let replaced = |job: &Value| {
        let target = &job["spec"]["target"];
        let name = target["name"].as_str()?;
        let is_it = job["kind"] == "restore"
            && job["state"] == "succeeded"
            && target["mode"] == "replace"
            && database.is_none_or(|wanted| wanted == name);
        let id = job["id"].as_str()?;
        is_it.then(|| (id.to_owned(), name.to_owned()))
    };
    done.iter().find_map(replaced).ok_or_else(|| {
        let what = match database {
            Some(name) => format!("no restore on the server replaced database {name}"),
            None => "no restore on the server replaced a database".into(),
        };
        CliError::new(Exit::NotFound, what)
            .with_hint("a replaced database is kept for the time given by --keep-old")
    })
}
