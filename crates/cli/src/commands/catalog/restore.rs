//! `pgkeep catalog copies` and `pgkeep catalog restore`: the copies that the server keeps in its repositories, and taking
//! one of them back after the catalog was lost.
//!
//! A catalog that holds something is replaced only by the typed phrase, and only after a copy of it was written beside it.
//! The secrets in a copy open with the key file of the catalog that it was made of and with nothing else, so that is
//! looked at first: no catalog is made, and no new key, before the right one lies in its place.

use super::{Listed, list_anew};
use crate::{
    args::CatalogRestoreArgs,
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    session::Session,
};
use pgkeep_catalog::{CatalogError, CopyFacts, Holdings, Presence, blocking::Blocking, key_id_in};
use pgkeep_engine::catalog_copy::{self, CatalogCopy};
use pgkeep_server::{
    auth::audit::Act,
    be_alone,
    settings::{CatalogPlace, Places},
};
use serde::Serialize;
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
};

/// What comes back, and what does not; the same for every copy.
const COMES_BACK: &str = "apps, repositories, policies, targets and their secrets, accounts with passwords and second factors, \
                          tokens, settings, jobs with their logs, the audit log";
const STAYS_LOST: &str = "what happened after the copy was made; jobs that waited or ran then are closed as failed; files that \
                          were exported or uploaded. Backups are not touched: they are listed anew";

pub fn copies(session: &Session) -> CliResult<Exit> {
    let (repository, copies) = in_repository(session)?;
    drop(repository);
    session.screen.answer(&json!({ "copies": copies }), |text| {
        if copies.is_empty() {
            text.line(
                "no copies of a catalog; a server makes one a day in each of its repositories",
            );
            return;
        }
        let mut table = Rows::new(&[
            Column::Left("copy"),
            Column::Left("made"),
            Column::Left("of server"),
            Column::Left("on"),
        ]);
        for copy in &copies {
            table.add([
                short(&copy.id).to_owned(),
                human::time(copy.time),
                short(&copy.server).to_owned(),
                copy.hostname.clone(),
            ]);
        }
        text.table(&table);
    });
    Ok(Exit::Done)
}

/// What would be done, and from what.
#[derive(Debug, Serialize)]
struct Plan {
    /// The copy in the repository, where it comes from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    copy: Option<CatalogCopy>,
    /// The file, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(flatten)]
    facts: CopyFacts,
    key_file: PathBuf,
    /// Where it goes.
    catalog: String,
    /// What lies there now; nothing where there is no catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<Holdings>,
    comes_back: &'static str,
    stays_lost: &'static str,
}

#[derive(Debug, Serialize)]
struct Restored<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    restored: bool,
    /// A copy of what was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repositories: Vec<Listed>,
}

pub fn restore(args: &CatalogRestoreArgs, places: &Places, session: &Session) -> CliResult<Exit> {
    // Gone with its folder when this ends.
    let mut fetched = None;
    let (copy, source) = match &args.file {
        Some(file) => (None, file.clone()),
        None => {
            let folder = private_folder()?;
            let file = folder.path().join("catalog");
            let copy = fetch(args.copy.as_deref(), &file, session)?;
            fetched = Some(folder);
            (Some(copy), file)
        }
    };
    let facts = facts_of(&source)?;
    fitting_key(&facts, places)?;
    let _alone = without_server(places)?;
    let present = present(places, session)?;
    let plan = Plan {
        copy,
        file: args.file.clone(),
        facts,
        key_file: places.catalog_key.clone(),
        catalog: match &present {
            Some(catalog) => catalog.catalog().location().to_owned(),
            None => place_of(places),
        },
        replaces: match &present {
            Some(catalog) => Some(catalog.block_on(|c| async move { c.holdings().await })?),
            None => None,
        },
        comes_back: COMES_BACK,
        stays_lost: STAYS_LOST,
    };
    let mut _sole = None;
    if let Some(catalog) = &present {
        refuse_beside_workers(catalog)?;
        _sole = Some(sole(catalog)?);
    }
    let mut text = Text::default();
    render(&mut text, &plan);
    if args.dry_run {
        session.screen.answer(
            &Restored {
                plan: &plan,
                restored: false,
                kept: None,
                repositories: Vec::new(),
            },
            |out| out.line(text.as_str()),
        );
        return Ok(Exit::Done);
    }
    session.screen.note(text.as_str());
    let replacing = plan
        .replaces
        .as_ref()
        .is_some_and(|holds| !holds.is_empty());
    if replacing {
        let what = format!("replacing the catalog {}", plan.catalog);
        confirm::require(args.confirm.as_deref(), &what, session)?;
    }
    let kept = match (&present, replacing) {
        (Some(catalog), true) => Some(keep(catalog, places, session)?),
        _ => None,
    };
    let catalog = match present {
        Some(catalog) => catalog,
        None => {
            let catalog = session.open_catalog(places, true)?;
            _sole = Some(sole(&catalog)?);
            catalog
        }
    };
    let source = source.as_path();
    catalog.block_on(|catalog| async move {
        match replacing {
            true => catalog.replace_from(source).await,
            false => catalog.import_from(source).await,
        }
    })?;
    drop(fetched);
    let who = session.who();
    let from = match (&plan.copy, &plan.file) {
        (Some(copy), _) => format!("copy {} of {}", short(&copy.id), copy.time),
        (None, file) => format!("{}", file.as_deref().unwrap_or(source).display()),
    };
    catalog.block_on(|catalog| async move {
        let act = Act::done("catalog.restore", "catalog").reason(Some(from));
        act.by_cli(&catalog, &who).await
    })?;
    let repositories = list_anew(&catalog, session)?;
    for listed in &repositories {
        if let Some(why) = &listed.failed {
            let name = &listed.repository;
            session.screen.warn(&format!(
                "the backups of repository {name} are listed as they were when the copy was made: {why}"
            ));
        }
    }
    let answer = Restored {
        plan: &plan,
        restored: true,
        kept,
        repositories,
    };
    session.screen.answer(&answer, |text| {
        text.line(format!("restored the catalog {}", plan.catalog));
        if let Some(kept) = &answer.kept {
            text.line(format!("what it held before: {}", kept.display()));
        }
        text.line("next: pgkeep serve, then pgkeep status");
    });
    Ok(Exit::Done)
}

/// The repository in force, and the copies in it.
fn in_repository(
    session: &Session,
) -> CliResult<(pgkeep_repository::Repository, Vec<CatalogCopy>)> {
    let settings = session.settings()?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    let copies = catalog_copy::list(&repository)?;
    Ok((repository, copies))
}

/// Writes the copy that was named, or the newest, to a file.
fn fetch(wanted: Option<&str>, to: &Path, session: &Session) -> CliResult<CatalogCopy> {
    let (repository, copies) = in_repository(session)?;
    let chosen = choose(&copies, wanted)?;
    catalog_copy::fetch(&repository, chosen, to)?;
    Ok(chosen.clone())
}

/// The newest copy, where all are of one server: another server's catalog is not what anybody means.
fn choose<'a>(copies: &'a [CatalogCopy], wanted: Option<&str>) -> CliResult<&'a CatalogCopy> {
    const LIST: &str = "`pgkeep catalog copies` lists them";
    let named = |id: &&CatalogCopy| wanted.is_none_or(|wanted| id.id.starts_with(wanted));
    let found: Vec<&CatalogCopy> = copies.iter().filter(named).collect();
    let servers: BTreeSet<&str> = found.iter().map(|copy| copy.server.as_str()).collect();
    match (found.as_slice(), wanted) {
        ([], None) => Err(CliError::new(
            Exit::NotFound,
            "the repository holds no copy of a catalog",
        )
        .with_hint(
            "name another with --repo, or a file that `pgkeep catalog backup` wrote; without any copy, \
             `pgkeep catalog rebuild` makes a catalog from pgkeep.toml",
        )),
        ([], Some(id)) => {
            Err(CliError::new(Exit::NotFound, format!("there is no copy {id}")).with_hint(LIST))
        }
        ([.., _, _], Some(id)) => {
            Err(CliError::usage(format!("several copies begin with {id}")).with_hint(LIST))
        }
        ([.., newest], _) if servers.len() == 1 => Ok(newest),
        _ => Err(CliError::usage(
            "the repository holds copies of the catalogs of several servers",
        )
        .with_hint("name one with --copy; `pgkeep catalog copies` lists them with their servers")),
    }
}

fn private_folder() -> CliResult<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("pgkeep-catalog-")
        .tempdir()
        .map_err(|e| {
            let place = std::env::temp_dir();
            CliError::file(Exit::Storage, "make a folder in", &place, &e)
        })
}

fn facts_of(source: &Path) -> CliResult<CopyFacts> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::new(Exit::Failed, format!("no thread can be started: {e}")))?;
    runtime.block_on(CopyFacts::of(source)).map_err(|error| {
        let mut told = CliError::from(error);
        if !source.exists() {
            told.exit = Exit::NotFound;
        }
        match told.hint {
            Some(_) => told,
            None => told.with_hint(
                "name a file that `pgkeep catalog backup` wrote, or none for the newest copy in the repository",
            ),
        }
    })
}

/// The key that the copy's secrets are sealed under must lie in its place.
fn fitting_key(facts: &CopyFacts, places: &Places) -> CliResult<()> {
    let path = places.catalog_key.display();
    let what = match key_id_in(&places.catalog_key)? {
        Some(id) if id == facts.key_id => return Ok(()),
        Some(id) => format!("{path} holds the key {id}"),
        None => format!("there is no key file {path}"),
    };
    Err(CliError::new(
        Exit::NoAccess,
        format!(
            "the copy was made under the key {} and {what}",
            facts.key_id
        ),
    )
    .with_detail(
        "the secrets in a copy (connections, keys of repositories, passwords of targets) open with that key only, and the audit \
         log is sealed with it; the key file is in no copy and in no repository",
    )
    .with_hint(format!(
        "put the key file of the server that made the copy at {path}. Where it is lost for good, no copy can be restored: \
         `pgkeep catalog rebuild` makes a catalog from pgkeep.toml and lists all backups, without accounts, jobs and audit log"
    )))
}

/// The catalog that lies there now.
fn present(places: &Places, session: &Session) -> CliResult<Option<Blocking>> {
    match session.open_catalog(places, false) {
        Ok(catalog) => Ok(Some(catalog)),
        Err(error) if error.exit == Exit::NotFound => Ok(None),
        Err(error) => {
            let away = match &places.catalog {
                CatalogPlace::Sqlite(path) => {
                    format!("move {0}, {0}-wal and {0}-shm away", path.display())
                }
                CatalogPlace::Postgres(_) => {
                    "rename its schema (ALTER SCHEMA pgkeep RENAME TO pgkeep_before)".to_owned()
                }
            };
            let hint = match error.hint.as_deref() {
                Some(hint) if error.exit == Exit::Busy || error.exit == Exit::Database => {
                    hint.to_owned()
                }
                _ => format!("the catalog that is there now cannot be opened; {away}, then again"),
            };
            Err(error.with_hint(hint))
        }
    }
}

fn place_of(places: &Places) -> String {
    match &places.catalog {
        CatalogPlace::Sqlite(path) => path.display().to_string(),
        CatalogPlace::Postgres(_) => "in PostgreSQL".to_owned(),
    }
}

/// Keeps a server away from a catalog that is a file, and finds out whether one works with it: also where that file is gone,
/// for the server would go on with what it has open.
pub(super) fn without_server(places: &Places) -> CliResult<Option<File>> {
    match &places.catalog {
        CatalogPlace::Sqlite(_) if places.data_dir.exists() => be_alone(&places.data_dir)
            .map(Some)
            .map_err(|e| told_as_running(&e)),
        _ => Ok(None),
    }
}

fn told_as_running(error: &pgkeep_server::StartError) -> CliError {
    match error {
        pgkeep_server::StartError::NotAlone { .. } => {
            CliError::new(Exit::Busy, "a server works with this catalog")
                .with_hint("end `pgkeep serve` first; it is started again afterwards")
        }
        other => {
            let mut told = CliError::new(Exit::Storage, other.to_string());
            told.hint = other.hint();
            told
        }
    }
}

/// Workers and servers of other machines, which a catalog in PostgreSQL may have.
fn refuse_beside_workers(catalog: &Blocking) -> CliResult<()> {
    let nodes = catalog.block_on(|catalog| async move { catalog.nodes().await })?;
    let alive: Vec<String> = nodes
        .into_iter()
        .filter(|node| node.alive)
        .map(|node| node.node)
        .collect();
    if alive.is_empty() {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Busy,
        format!("workers are at work with this catalog: {}", alive.join(", ")),
    )
    .with_hint("end every `pgkeep serve` and `pgkeep worker` first; one that was killed counts as gone after a minute"))
}

/// Keeps servers away, also such as run no jobs themselves and give no sign of life.
fn sole(catalog: &Blocking) -> CliResult<Presence> {
    let alone = catalog.block_on(|catalog| async move { catalog.alone().await });
    alone.map_err(|error| match error {
        CatalogError::Busy(_) => CliError::new(Exit::Busy, "a server works with this catalog")
            .with_hint("end every `pgkeep serve` and `pgkeep worker` first, on other machines, too; they are started again after the restore"),
        other => other.into(),
    })
}

/// Writes a copy of what is about to be replaced.
fn keep(catalog: &Blocking, places: &Places, session: &Session) -> CliResult<PathBuf> {
    let now = session.machine().clock.now();
    let time = now.strftime("%Y%m%dT%H%M%SZ");
    // Two within a second stand beside each other.
    let names = std::iter::once(format!("catalog-before-{time}.copy"))
        .chain((2..).map(|number| format!("catalog-before-{time}-{number}.copy")));
    let path = names
        .map(|name| places.data_dir.join(name))
        .find(|path| !path.exists())
        .expect("numbers do not run out");
    let to = path.as_path();
    std::fs::create_dir_all(&places.data_dir)
        .map_err(|e| CliError::file(Exit::Storage, "make", &places.data_dir, &e))?;
    catalog.block_on(|catalog| async move { catalog.snapshot_to(to).await })?;
    Ok(path)
}

fn render(text: &mut Text, plan: &Plan) {
    let counted = |holds: &Holdings| {
        let some = holds.iter().filter(|(_, count)| *count > 0);
        let words: Vec<String> = some.map(|(noun, n)| human::counted(n, noun)).collect();
        match words.is_empty() {
            true => "nothing".to_owned(),
            false => words.join(", "),
        }
    };
    let from = match (&plan.copy, &plan.file) {
        (Some(copy), _) => format!(
            "{}, made {} by server {} on {}",
            short(&copy.id),
            human::time(copy.time),
            short(&copy.server),
            copy.hostname
        ),
        (None, Some(file)) => file.display().to_string(),
        (None, None) => String::new(),
    };
    text.facts([
        ("copy", from),
        ("holds", counted(&plan.facts.holds)),
        (
            "key",
            format!(
                "{}, which {} holds",
                plan.facts.key_id,
                plan.key_file.display()
            ),
        ),
        ("goes into", plan.catalog.clone()),
        (
            "replaces",
            match &plan.replaces {
                Some(holds) => counted(holds),
                None => "nothing: there is no catalog yet".to_owned(),
            },
        ),
        ("comes back", plan.comes_back.to_owned()),
        ("stays lost", plan.stays_lost.to_owned()),
    ]);
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(id: &str, server: &str) -> CatalogCopy {
        CatalogCopy {
            id: id.into(),
            time: jiff::Timestamp::UNIX_EPOCH,
            server: server.into(),
            hostname: "backup-1".into(),
        }
    }

    #[test]
    fn the_newest_copy_is_meant_unless_it_may_be_another_servers() {
        let chosen = |copies: &[CatalogCopy], wanted| {
            choose(copies, wanted)
                .map(|copy| copy.id.clone())
                .map_err(|error| error.exit)
        };
        let one = [copy("aa11", "x"), copy("ab22", "x")];
        assert_eq!(chosen(&one, None), Ok("ab22".into()));
        assert_eq!(chosen(&one, Some("aa")), Ok("aa11".into()));
        assert_eq!(chosen(&one, Some("a")), Err(Exit::Usage));
        assert_eq!(chosen(&one, Some("b")), Err(Exit::NotFound));
        assert_eq!(chosen(&[], None), Err(Exit::NotFound));
        let two = [copy("aa11", "x"), copy("ab22", "y")];
        assert_eq!(chosen(&two, None), Err(Exit::Usage));
        assert_eq!(chosen(&two, Some("aa")), Ok("aa11".into()));
    }
}
