//! `pgkeep catalog`: where it is, a copy of it, taking one back, and making it again.

mod restore;

use crate::{
    args::CatalogCommand,
    commands::apply,
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    output::human,
    session::Session,
};
use pgkeep_catalog::blocking::Blocking;
use pgkeep_engine::catalog::{self as engine, ListFilter};
use pgkeep_server::{
    jobs::row_of,
    settings::{CatalogPlace, Places},
};
use serde::Serialize;
use serde_json::json;
use std::path::Path;

pub fn run(command: &CatalogCommand, session: &Session) -> CliResult<Exit> {
    session.only_here("catalog")?;
    let places = session.catalog_places()?;
    match command {
        CatalogCommand::Path => path(&places, session),
        CatalogCommand::Backup { file } => copy(file, &places, session),
        CatalogCommand::Copies => restore::copies(session),
        CatalogCommand::Restore(args) => restore::restore(args, &places, session),
        CatalogCommand::Rebuild { yes } => rebuild(*yes, &places, session),
    }
}

fn path(places: &Places, session: &Session) -> CliResult<Exit> {
    let place = match &places.catalog {
        CatalogPlace::Sqlite(path) => path.display().to_string(),
        // Its address may hold a password; opened, it says where it is without one.
        CatalogPlace::Postgres(_) => {
            let catalog = session.open_catalog(places, false)?;
            catalog.catalog().location().to_owned()
        }
    };
    let key = places.catalog_key.display().to_string();
    let answer = json!({ "catalog": place, "key_file": key, "data_dir": places.data_dir });
    session.screen.answer(&answer, |text| text.line(&place));
    Ok(Exit::Done)
}

fn copy(file: &Path, places: &Places, session: &Session) -> CliResult<Exit> {
    if file.exists() {
        return Err(CliError::new(
            Exit::Refused,
            format!("{} exists already and is not overwritten", file.display()),
        )
        .with_hint("give the name of a file that does not exist yet"));
    }
    let catalog = session.open_catalog(places, false)?;
    catalog.block_on(|catalog| async move { catalog.snapshot_to(file).await })?;
    let size = std::fs::metadata(file).map(|m| m.len()).unwrap_or_default();
    let answer = json!({ "file": file, "bytes": size });
    session.screen.answer(&answer, |text| {
        text.facts([
            ("wrote", file.display().to_string()),
            ("size", human::bytes(size)),
        ]);
    });
    session.screen.note(&format!(
        "its secrets open with {} only: keep a copy of that elsewhere, too",
        places.catalog_key.display()
    ));
    Ok(Exit::Done)
}

#[derive(Debug, Serialize)]
struct Rebuilt {
    catalog: String,
    repositories: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Listed {
    repository: String,
    backups: usize,
    /// Why its backups could not be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

fn rebuild(yes: bool, places: &Places, session: &Session) -> CliResult<Exit> {
    let file = session.config_file()?;
    if !yes {
        confirm::agree(
            "list the backups of every repository anew in the catalog",
            session,
        )?;
    }
    let _alone = restore::without_server(places)?;
    let catalog = session.open_catalog(places, true)?;
    match &file {
        Some((path, raw)) => apply::into(&catalog, path, raw, session)?,
        None => apply::at_start(&catalog, session)?,
    }
    let repositories = list_anew(&catalog, session)?;
    let exit = match repositories.iter().find(|listed| listed.failed.is_some()) {
        Some(_) => Exit::Storage,
        None => Exit::Done,
    };
    let answer = Rebuilt {
        catalog: catalog.catalog().location().to_owned(),
        repositories,
    };
    session.screen.answer(&answer, |text| {
        text.line(format!("catalog {}", answer.catalog));
        if answer.repositories.is_empty() {
            text.line("it knows no repository; describe them in pgkeep.toml");
        }
        for listed in &answer.repositories {
            text.line(match &listed.failed {
                None => format!(
                    "repository {}: {}",
                    listed.repository,
                    human::counted(listed.backups as u64, "backup")
                ),
                Some(why) => format!("repository {}: not listed: {why}", listed.repository),
            });
        }
    });
    Ok(exit)
}

/// What each repository holds, as the server's own upkeep lists it. One that cannot be read does not stop the others.
fn list_anew(catalog: &Blocking, session: &Session) -> CliResult<Vec<Listed>> {
    let machine = session.machine();
    let context = machine.context(None, session.cancel.clone(), session.progress.clone());
    let definitions = catalog.block_on(|catalog| async move { catalog.repositories().await })?;
    let mut all = Vec::new();
    for definition in definitions {
        let name = definition.name.as_str();
        let listed_at = catalog.catalog().now();
        let listed = machine
            .open_repository(name, &definition.value, &context)
            .and_then(|repository| engine::list(&repository, &ListFilter::default()));
        all.push(match listed {
            Ok(entries) => {
                let rows: Vec<_> = entries.iter().map(|entry| row_of(name, entry)).collect();
                catalog.block_on(|catalog| async move {
                    catalog.replace_backups(name, &rows, listed_at).await
                })?;
                Listed {
                    repository: name.to_owned(),
                    backups: entries.len(),
                    failed: None,
                }
            }
            Err(why) => Listed {
                repository: name.to_owned(),
                backups: 0,
                failed: Some(why.to_string()),
            },
        });
    }
    Ok(all)
}
