//! Comparisons done by a server: of two backups, or of a backup with the databases as they are now.

use super::{found_out, no_connection, one_app, read, repository_there};
use crate::{
    api::{Api, Call, encoded},
    args::{DiffArgs, MigrationsArgs, SchemaDiffArgs},
    commands::{diff as diff_here, migrations as migrations_here, schema},
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use serde::de::DeserializeOwned;
use serde_json::json;

/// What stands on either side, as it was written on the command line.
struct Sides<'a> {
    from: &'a str,
    to: &'a str,
    /// Only this database.
    database: Option<&'a str>,
    /// Definitions alone.
    schema: bool,
}

pub fn diff(args: &DiffArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    no_connection(&args.connection)?;
    let report = compared(
        &Sides {
            from: &args.from,
            to: &args.to,
            database: args.database.as_deref(),
            schema: false,
        },
        api,
        session,
    )?;
    diff_here::answer(report, args, session)
}

pub fn schema_diff(args: &SchemaDiffArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    no_connection(&args.connection)?;
    let report = compared(
        &Sides {
            from: &args.from,
            to: &args.to,
            database: args.database.as_deref(),
            schema: true,
        },
        api,
        session,
    )?;
    schema::answer(report, args, session)
}

fn compared<T: DeserializeOwned>(sides: &Sides<'_>, api: &Api, session: &Session) -> CliResult<T> {
    let (app, repository) = (session.named_app(), repository_there(api, session)?);
    let find = |id: &str, repository: Option<&str>| api.find_backup(id, app.as_deref(), repository);
    let (backup, backward) = match (sides.from, sides.to) {
        ("live", "live") => {
            return Err(CliError::usage("the live database is on both sides")
                .with_hint("name a backup on one of them"));
        }
        ("live", backup) => (backup, true),
        (backup, "live") => (backup, false),
        (from, to) => {
            let from = find(from, repository.as_deref())?;
            let to = find(to, Some(&from.repository))?;
            let call = match sides.schema {
                true => Call::get(format!(
                    "/backups/{}/schema-diff/{}",
                    from.entry.id, to.entry.id
                )),
                false => Call::get("/backups/compare")
                    .query("from", &from.entry.id)
                    .query("to", &to.entry.id),
            };
            return read(
                api.raw(&call.query("repository", &from.repository))?,
                "comparison",
            );
        }
    };
    let found = find(backup, repository.as_deref())?;
    let mut body = json!({ "schema": sides.schema, "backward": backward });
    if let Some(name) = sides.database {
        body["database"] = name.into();
    }
    let call = Call::post(format!("/backups/{}/compare-live", found.entry.id))
        .query("repository", &found.repository)
        .body(body);
    found_out(api, &call, session)
}

pub fn migrations(args: &MigrationsArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    no_connection(&args.connection)?;
    let app = one_app(api, session)?;
    let mut call = Call::get(format!("/apps/{}/migrations", encoded(&app)));
    if let Some(backup) = &args.backup {
        let repository = repository_there(api, session)?;
        let found = api.find_backup(backup, Some(&app), repository.as_deref())?;
        call = call
            .query("backup", &found.entry.id)
            .query("repository", &found.repository);
    }
    let report = read(api.raw(&call)?, "answer")?;
    migrations_here::answer(&report, session);
    Ok(Exit::Done)
}
