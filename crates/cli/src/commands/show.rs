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
    manifest::{DatabaseContent, DatabaseManifest, FilesManifest, Manifest, ReferenceCheck},
    migrations::MigrationState,
};

/// Paths of one sort that are shown; a screen is not the place for thousands.
const SHOWN: usize = 10;

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
        ("app version", app_version(manifest)),
        ("evidence", manifest.evidence_digest.clone()),
    ]);
    for database in &manifest.databases {
        render_database(text, database);
    }
    for tree in &manifest.files {
        render_files(text, tree);
    }
}

fn render_files(text: &mut Text, tree: &FilesManifest) {
    text.heading(&format!("files {}", tree.name));
    let numbers = [
        (tree.files, "file"),
        (tree.folders, "folder"),
        (tree.symlinks, "link"),
        (tree.others, "pipe, socket or device"),
    ];
    let numbers: Vec<String> = numbers
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| match *what {
            "pipe, socket or device" => {
                format!("{} pipes, sockets or devices", human::count(*count))
            }
            what => human::counted(*count, what),
        })
        .collect();
    let skew = tree.skew_secs.map(|skew| {
        format!(
            "the scan ended {} after the first database's snapshot",
            human::seconds(skew)
        )
    });
    text.facts([
        ("read from", tree.source.clone()),
        ("stored in", tree.path.clone()),
        ("entries", numbers.join(", ")),
        ("size", human::bytes(tree.bytes)),
        ("unchanged", human::counted(tree.files_unchanged, "file")),
        ("skew", skew.unwrap_or_default()),
        ("digest", tree.digest.clone()),
    ]);
    for (odd, count, what) in [
        (&tree.unreadable, tree.unreadable_count, "could not be read"),
        (
            &tree.changing,
            tree.changing_count,
            "changed while it was read",
        ),
    ] {
        for file in odd.iter().take(SHOWN) {
            text.line(format!("note: {} {what}: {}", file.path, file.reason));
        }
        more(text, count);
    }
    if let Some(check) = &tree.references {
        render_references(text, check);
    }
}

fn render_references(text: &mut Text, check: &ReferenceCheck) {
    if let Some(error) = &check.error {
        text.line(format!(
            "note: which files database {} expects could not be asked: {error}",
            check.database
        ));
        return;
    }
    text.line(format!(
        "database {}{} expects {}: {} missing, {} in the tree that it does not know",
        check.database,
        match check.live {
            true => ", asked live after the scan,",
            false => "",
        },
        human::counted(check.expected, "file"),
        human::count(check.missing_count),
        human::count(check.orphaned_count)
    ));
    for path in check.missing.iter().take(SHOWN) {
        text.line(format!("missing: {path}"));
    }
    more(text, check.missing_count);
    for path in check.orphaned.iter().take(SHOWN) {
        text.line(format!("not known: {path}"));
    }
}

fn more(text: &mut Text, count: u64) {
    if count > SHOWN as u64 {
        let rest = human::count(count - SHOWN as u64);
        text.line(format!("… and {rest} more; --json lists them"));
    }
}

/// The app's version with framework and runtime, as the app told them.
fn app_version(manifest: &Manifest) -> String {
    let Some(told) = &manifest.application else {
        return String::new();
    };
    let runtime = told
        .runtime
        .iter()
        .map(|(name, version)| format!("{name} {version}"));
    let parts: Vec<String> = told.version.iter().cloned().chain(runtime).collect();
    parts.join(", ")
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
        (
            "schema version",
            database
                .migrations
                .iter()
                .map(MigrationState::describe)
                .collect::<Vec<_>>()
                .join("; "),
        ),
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
