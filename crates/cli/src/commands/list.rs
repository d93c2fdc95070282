//! `pgkeep list`: the backups there are, oldest first, and how well each is proven.

use crate::{
    args::{ListArgs, Moment},
    clock::SystemClock,
    commands::on_server,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, human},
    session::Session,
};
use jiff::{Timestamp, tz::TimeZone};
use pgkeep_engine::catalog::{self, BackupEntry, ListFilter};
use pgkeep_model::{Clock, manifest::BackupKind};
use serde::Serialize;
use std::collections::BTreeSet;

#[derive(Debug, Serialize)]
struct Answer {
    repository: String,
    /// Snapshot files that cannot be read; each may be a backup that is not listed.
    unreadable: Vec<String>,
    backups: Vec<BackupEntry>,
}

pub fn run(args: &ListArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::list(args, &api, session);
    }
    let settings = session.settings()?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    let now = context.clock.now();
    let filter = ListFilter {
        app: app_filter(&settings),
        kind: args.kind.as_deref().map(kind_named),
        after: args.since.map(|m| at(m, now)).transpose()?,
        before: args.until.map(|m| at(m, now)).transpose()?,
        tags: args.tag.clone(),
        limit: None,
    };
    let unreadable = catalog::unreadable(&repository)?;
    for problem in &unreadable {
        session.screen.warn(problem);
    }
    let mut backups = catalog::list(&repository, &filter)?;
    if let Some(environment) = &args.environment {
        backups.retain(|entry| entry.environment == *environment);
    }
    if let Some(limit) = args.limit {
        backups.drain(..backups.len().saturating_sub(limit));
    }
    if backups.is_empty()
        && let Some(app) = &filter.app
    {
        let apps = catalog::apps(&repository)?;
        if !apps.contains(app) {
            session.screen.note(&unknown_app(app, apps));
        }
    }
    answer(
        repository.storage().location(),
        unreadable,
        backups,
        session,
    );
    Ok(Exit::Done)
}

/// Shows the backups of a place.
pub fn answer(
    repository: String,
    unreadable: Vec<String>,
    backups: Vec<BackupEntry>,
    session: &Session,
) {
    let answer = Answer {
        repository,
        unreadable,
        backups,
    };
    session.screen.answer(&answer, |text| {
        if answer.backups.is_empty() {
            text.line("no backups");
            return;
        }
        text.table(&table(&answer.backups, SystemClock.now()));
    });
}

/// What to say where a list is empty because nothing is kept of this app.
pub fn unknown_app(app: &str, known: BTreeSet<String>) -> String {
    let known: Vec<String> = known.into_iter().collect();
    match known.as_slice() {
        [] => "note: the repository holds no backups yet".into(),
        names => format!(
            "note: the repository holds no backup of app '{app}'; it holds backups of {}",
            names.join(", ")
        ),
    }
}

/// The app to look for: only one that was named on purpose narrows a list.
pub fn app_filter(settings: &crate::config::Settings) -> Option<String> {
    use crate::config::Source;
    let app = settings.app.as_ref()?;
    matches!(app.source, Source::Flag(_) | Source::Variable(_)).then(|| app.value.clone())
}

fn kind_named(name: &str) -> BackupKind {
    match name {
        "full" => BackupKind::Full,
        "database" => BackupKind::Database,
        "incremental" => BackupKind::Incremental,
        "differential" => BackupKind::Differential,
        "files" => BackupKind::Files,
        _ => BackupKind::Import,
    }
}

fn at(moment: Moment, now: Timestamp) -> CliResult<Timestamp> {
    moment.resolve(now, &TimeZone::system()).ok_or_else(|| {
        CliError::usage("the time given lies outside of the calendar")
            .with_hint("give a date such as 2026-03-01, or an age such as 30d")
    })
}

fn table(backups: &[BackupEntry], now: Timestamp) -> Rows {
    let mut table = Rows::new(&[
        Column::Left("backup"),
        Column::Left("time"),
        Column::Right("age"),
        Column::Left("app"),
        Column::Left("kind"),
        Column::Left("databases"),
        Column::Left("files"),
        Column::Left("state"),
        Column::Left("remarks"),
    ]);
    for entry in backups {
        let app = if entry.environment.is_empty() {
            entry.app.clone()
        } else {
            format!("{}/{}", entry.app, entry.environment)
        };
        table.add([
            entry.short_id().to_owned(),
            human::time(entry.time),
            human::age(entry.time, now),
            app,
            entry.kind.clone(),
            entry.databases.join(", "),
            entry.files.join(", "),
            state(entry, now),
            remarks(entry),
        ]);
    }
    table
}

/// `proven 3 h ago`, `checked 2 d ago`, `damaged 1 h ago`, `stored`; the worst that is known comes first.
pub fn state(entry: &BackupEntry, now: Timestamp) -> String {
    let validity = &entry.validity;
    let known_since = validity
        .damaged_at
        .or(validity.drill_failed_at)
        .or(validity.proven_at)
        .or(validity.checked_at);
    let state = match known_since {
        Some(at) => format!("{} {} ago", validity.word(), human::age(at, now)),
        None => validity.word().to_owned(),
    };
    match entry.partial {
        true => format!("{state}, partial"),
        false => state,
    }
}

fn remarks(entry: &BackupEntry) -> String {
    let mut parts = Vec::new();
    if entry.pinned {
        parts.push("pinned".to_owned());
    }
    parts.extend(entry.schema_version.iter().map(|v| format!("schema {v}")));
    parts.extend(entry.tags.iter().map(|tag| format!("#{tag}")));
    if !entry.description.is_empty() {
        parts.push(entry.description.clone());
    }
    parts.join(" ")
}
