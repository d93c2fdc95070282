//! Undos on a server: what restores replaced is listed, put back, and cleared away there.

use super::{found_out, no_connection, one_app, read};
use crate::{
    api::{Api, Call},
    args::UndoArgs,
    commands::{restore_files, undo as here},
    confirm,
    error::CliResult,
    exit::Exit,
    session::Session,
};
use pgkeep_engine::{
    files::restore::{KeptFolder, KeptOf},
    restore::{UndoPlan, UndoReport},
};
use serde_json::{Value, json};
use std::path::PathBuf;

pub fn undo(args: &UndoArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    no_connection(&args.connection)?;
    let app = one_app(api, session)?;
    if !args.files.is_empty() {
        return files(args, &app, api, session);
    }
    if args.drop_expired {
        let body = json!({ "app": app, "database": args.database });
        let call = Call::post("/restores/kept/drop-expired").body(body);
        here::answer_dropped(&names(&api.document(&call)?["dropped"]), session);
        return Ok(Exit::Done);
    }
    if args.list {
        let mut kept = kept(&app, "database", api)?;
        if let Some(name) = &args.database {
            kept.retain(|left| left["name"].as_str().is_some_and(|n| n.starts_with(name)));
        }
        let kept: Vec<Value> = kept.iter().map(as_here).collect();
        here::answer_kept(&kept, session);
        return Ok(Exit::Done);
    }
    let mut body = json!({
        "app": app,
        "database": args.database,
        "to": args.to,
        "grace_secs": args.grace.map(|grace| grace.as_secs()),
        "dry_run": true,
    });
    let mut planned = api.document(&Call::post("/restores/undo").body(body.clone()))?;
    let plan: UndoPlan = read(planned["plan"].take(), "plan")?;
    note_folders(&plan, &app, api, session)?;
    if args.dry_run {
        here::answer_plan(&plan, session);
        return Ok(Exit::Done);
    }
    here::agree(&plan, args.confirm.as_deref(), session)?;
    body["dry_run"] = false.into();
    body["database"] = plan.database.into();
    body["to"] = plan.kept.into();
    body["confirm"] = confirm::PHRASE.into();
    let report: UndoReport = found_out(api, &Call::post("/restores/undo").body(body), session)?;
    here::answer(&report, session);
    Ok(Exit::Done)
}

/// Folders are the app's on the server's machine; they are named by their trees, or by their places there.
fn files(args: &UndoArgs, app: &str, api: &Api, session: &Session) -> CliResult<Exit> {
    if args.drop_expired {
        let body = json!({ "app": app, "files": true });
        let call = Call::post("/restores/kept/drop-expired").body(body);
        let removed = names(&api.document(&call)?["dropped"]);
        let removed: Vec<PathBuf> = removed.into_iter().map(PathBuf::from).collect();
        restore_files::answer_removed(&removed, session);
        return Ok(Exit::Done);
    }
    let kept = kept(app, "files", api)?;
    let is_of = |left: &Value, name: &String| left["tree"] == **name || left["of"] == **name;
    if args.list {
        let those = kept
            .iter()
            .filter(|left| args.files.iter().any(|name| is_of(left, name)));
        let those = those.map(folder).collect::<CliResult<Vec<_>>>()?;
        restore_files::answer_kept(&those, session);
        return Ok(Exit::Done);
    }
    // The newest comes first.
    let mut chosen = Vec::new();
    for name in &args.files {
        let newest = kept.iter().find(|left| is_of(left, name));
        chosen.push(newest.ok_or_else(|| restore_files::none_kept(name.as_ref()))?);
    }
    let folders = chosen
        .iter()
        .map(|left| folder(left))
        .collect::<CliResult<Vec<_>>>()?;
    if args.dry_run {
        restore_files::answer_undo_plan(&folders, session);
        return Ok(Exit::Done);
    }
    restore_files::agree_to_undo(&folders, args.confirm.as_deref(), session)?;
    let mut done: Vec<KeptOf> = Vec::new();
    for left in chosen {
        let body = json!({ "app": app, "tree": left["tree"], "confirm": confirm::PHRASE });
        let call = Call::post("/restores/files/undo").body(body);
        let mut report: Value = found_out(api, &call, session)?;
        done.extend(read::<Vec<KeptOf>>(report["files"].take(), "report")?);
    }
    restore_files::answer_undone(&done, session);
    Ok(Exit::Done)
}

/// Says which folders of the same restore the undo of its database leaves as they are.
fn note_folders(plan: &UndoPlan, app: &str, api: &Api, session: &Session) -> CliResult<()> {
    let kept = kept(app, "files", api)?;
    let folders = kept.iter().map(folder).collect::<CliResult<Vec<_>>>()?;
    let tree_of = |wanted: &KeptFolder| {
        let mut both = kept.iter().zip(&folders);
        let found = both.find(|(_, folder)| folder.path == wanted.path);
        let name = found.and_then(|(left, _)| left["tree"].as_str());
        name.unwrap_or_default().to_owned()
    };
    here::note_folders(&here::with_the_database(plan, &folders, tree_of), session);
    Ok(())
}

/// A kept folder in the engine's terms.
fn folder(left: &Value) -> CliResult<KeptFolder> {
    read(
        json!({
            "path": left["name"],
            "of": left["of"],
            "backup": left["backup"],
            "replaced_at": left["replaced_at"],
            "kept_until": left["kept_until"],
        }),
        "folder",
    )
}

fn kept(app: &str, kind: &str, api: &Api) -> CliResult<Vec<Value>> {
    let mut kept = api.all(&Call::get("/restores/kept").query("app", app))?;
    kept.retain(|left| left["kind"] == kind);
    Ok(kept)
}

/// What a look at the database server here would tell.
fn as_here(left: &Value) -> Value {
    json!({
        "name": left["name"],
        "size_bytes": left["size_bytes"],
        "why": left["why"],
        "expired": left["expired"],
    })
}

fn names(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}
