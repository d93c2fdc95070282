//! `pgkeep show`: everything that one backup holds and knows of itself.

use crate::{
    args::ShowArgs,
    clock::SystemClock,
    commands::{
        list::{app_filter, state},
        on_server,
    },
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    session::Session,
};
use jiff::Timestamp;
use pgkeep_engine::catalog::{self, BackupDetail, ListFilter};
use pgkeep_model::{
    Clock,
    manifest::{DatabaseContent, DatabaseManifest},
};

pub fn run(args: &ShowArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::show(args, &api, session);
    }
    let settings = session.settings()?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    let filter = ListFilter {
        app: app_filter(&settings),
        ..ListFilter::default()
    };
    let detail = catalog::show(&repository, &args.backup, &filter)?;
    answer(detail, args.database.as_deref(), session)
}

/// Shows a backup, or one database of it.
pub fn answer(
    mut detail: BackupDetail,
    database: Option<&str>,
    session: &Session,
) -> CliResult<Exit> {
    if let Some(name) = database {
        detail.manifest.databases.retain(|db| db.name == name);
        if detail.manifest.databases.is_empty() {
            return Err(CliError::new(
                Exit::NotFound,
                format!(
                    "backup {} holds no database {name}",
                    detail.entry.short_id()
                ),
            )
            .with_hint(format!("it holds {}", detail.entry.databases.join(", "))));
        }
    }
    session
        .screen
        .answer(&detail, |text| render(text, &detail, SystemClock.now()));
    Ok(Exit::Done)
}

fn render(text: &mut Text, detail: &BackupDetail, now: Timestamp) {
    let (entry, manifest) = (&detail.entry, &detail.manifest);
    let took = manifest
        .finished_at
        .duration_since(manifest.started_at)
        .as_secs_f64();
    text.facts([
        ("backup", entry.id.clone()),
        ("app", entry.app.clone()),
        ("environment", entry.environment.clone()),
        ("kind", entry.kind.clone()),
        ("description", entry.description.clone()),
        ("tags", entry.tags.join(", ")),
        (
            "pinned",
            if entry.pinned {
                "yes".into()
            } else {
                String::new()
            },
        ),
        ("state", state(entry, now)),
        (
            "recovery time",
            entry
                .validity
                .proven_seconds
                .map(human::seconds)
                .unwrap_or_default(),
        ),
        ("time", human::time(manifest.started_at)),
        ("took", human::seconds(took)),
        (
            "made by",
            format!(
                "{}@{}, pgkeep {}",
                manifest.username, manifest.hostname, manifest.pgkeep_version
            ),
        ),
        (
            "globals",
            if manifest.globals {
                "roles and tablespaces stored".into()
            } else {
                "not stored".into()
            },
        ),
        ("evidence", manifest.evidence_digest.clone()),
    ]);
    for database in &manifest.databases {
        render_database(text, database);
    }
}

fn render_database(text: &mut Text, database: &DatabaseManifest) {
    let evidence = &database.evidence;
    text.heading(&format!("database {}", database.name));
    let (server, properties) = (&database.server, &database.properties);
    let objects: Vec<String> = evidence
        .objects
        .iter()
        .map(|(kind, n)| format!("{} {}", human::count(*n), kind.to_lowercase()))
        .collect();
    let locale = match &properties.locale {
        Some(locale) => format!(
            "{}, {} {locale}",
            properties.encoding, properties.locale_provider
        ),
        None => format!("{}, {}", properties.encoding, properties.collate),
    };
    let (rows, size) = match database.content {
        DatabaseContent::Directory => (human::count(evidence.rows()), evidence.bytes()),
        DatabaseContent::Plain => (
            "script, not counted".into(),
            database.members.iter().map(|m| m.size).sum(),
        ),
    };
    text.facts([
        ("server", format!("PostgreSQL {}", server.version)),
        ("pg_dump", server.pg_dump_version.clone()),
        (
            "snapshot",
            server.snapshot_at.map(human::time).unwrap_or_default(),
        ),
        ("WAL position", server.wal_position.clone()),
        ("owner", properties.owner.clone()),
        ("encoding", locale),
        ("rows", rows),
        ("size", human::bytes(size)),
        ("objects", objects.join(", ")),
        ("schema", evidence.schema_sha256.clone()),
        ("only schemas", database.only_schemas.join(", ")),
        (
            "rows left out",
            database
                .excluded_data
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        ),
    ]);
    for warning in &database.warnings {
        text.line(format!("note: {warning}"));
    }
    if !evidence.tables.is_empty() {
        text.blank();
        let mut table = Rows::new(&[
            Column::Left("table"),
            Column::Right("rows"),
            Column::Right("size"),
            Column::Left("content hash"),
        ]);
        for row in &evidence.tables {
            table.add([
                row.name.to_string(),
                human::count(row.content.rows),
                human::bytes(row.content.bytes),
                row.content.hash.to_string(),
            ]);
        }
        text.table(&table);
    }
    if evidence.large_objects.count > 0 {
        let large = &evidence.large_objects;
        text.blank();
        text.line(format!(
            "{}, {}, hash {}",
            human::counted(large.count, "large object"),
            human::bytes(large.bytes),
            large.hash
        ));
    }
    if !evidence.sequences.is_empty() {
        text.blank();
        let mut table = Rows::new(&[
            Column::Left("sequence"),
            Column::Right("last value"),
            Column::Left("called"),
        ]);
        for sequence in &evidence.sequences {
            table.add([
                sequence.name.to_string(),
                sequence.last_value.to_string(),
                if sequence.is_called { "yes" } else { "no" }.to_owned(),
            ]);
        }
        text.table(&table);
    }
    if !evidence.extensions.is_empty() {
        text.blank();
        let mut table = Rows::new(&[
            Column::Left("extension"),
            Column::Left("version"),
            Column::Left("schema"),
        ]);
        for extension in &evidence.extensions {
            table.add([
                extension.name.clone(),
                extension.version.clone(),
                extension.schema.clone(),
            ]);
        }
        text.table(&table);
    }
    if !server.settings.is_empty() {
        text.blank();
        let mut table = Rows::new(&[Column::Left("setting"), Column::Left("value")]);
        for (name, value) in &server.settings {
            table.add([name.clone(), value.clone()]);
        }
        text.table(&table);
    }
}
