//! `pgkeep backup`: one recovery point of an app's databases.

use crate::{
    args::{BackupArgs, KindArg, ReadBackArg},
    commands::on_server,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    recording::Recording,
    session::{Session, connection_flags, required_repository},
};
use pgkeep_engine::{
    application::Application,
    backup::{self, BackupReport, BackupRequest},
    catalog::Origin,
};
use pgkeep_model::{
    job::{BackupSpec, JobSpec},
    manifest::FilesManifest,
};
use serde_json::Value;

pub fn run(args: &BackupArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::backup(args, &api, session);
    }
    let mut flags = connection_flags(&args.connection);
    flags.dbnames = args.dbname.clone();
    flags.environment = args.environment.clone();
    flags.jobs = args.jobs;
    flags.compression = args.compression;
    let settings = session.settings_with(flags)?;
    let trees = args
        .trees
        .over(&settings.definition.files, &session.places.current_dir);
    let databases = match args.kind {
        KindArg::Files => Vec::new(),
        _ => session.named_databases(&settings, "back up")?,
    };
    let chosen = required_repository(&settings)?.address.value.clone();
    let or_file = |given: &[String], file: &[String]| {
        if given.is_empty() {
            file.to_vec()
        } else {
            given.to_vec()
        }
    };
    let app = match (&settings.app, databases.first(), trees.first()) {
        (Some(app), _, _) => app.value.clone(),
        (None, Some(database), _) => database.dbname.clone(),
        (None, None, Some(tree)) => tree.name.clone(),
        (None, None, None) => {
            return Err(CliError::usage("no files to back up").with_hint(
                "give --files NAME=PATH, or name folders under [[app.X.files]] in pgkeep.toml",
            ));
        }
    };
    let recording = Recording::begin(
        session,
        JobSpec::Backup(BackupSpec {
            app: app.clone(),
            repository: Some(chosen.clone()),
            backup_kind: args.kind.into(),
            description: args.description.clone().unwrap_or_default(),
            tags: args.tag.clone(),
            pinned: args.pin,
            ..BackupSpec::default()
        }),
    )?
    .changing(&chosen);
    let request = BackupRequest {
        app,
        environment: settings
            .environment
            .as_ref()
            .map(|e| e.value.clone())
            .unwrap_or_default(),
        kind: args.kind.into(),
        description: args.description.clone().unwrap_or_default(),
        tags: args.tag.clone(),
        pinned: args.pin,
        globals: !matches!(args.kind, KindArg::Database | KindArg::Files),
        jobs: settings.jobs.value,
        compression_level: settings.compression.value,
        exclude_table_data: or_file(&args.exclude_table_data, &settings.exclude_table_data),
        schemas: or_file(&args.schema, &settings.schemas),
        lock_timeout: args.lock_timeout,
        read_back_all: args.read_back == ReadBackArg::Full,
        application: Application {
            files: trees,
            hash_files: args.trees.hash_files,
            ..session.application(&settings, None)?
        },
        origin: Origin {
            job: recording.job(),
            ..Origin::default()
        },
        databases,
    };
    let context = recording.context(session.context(&settings));
    let made = session
        .repository(&settings, &context)
        .and_then(|repository| Ok(backup::run(&repository, &request, &context)?));
    let report = recording.finish(made, session)?;
    session.progress.finish();
    let document = serde_json::to_value(&report).expect("reports are plain values");
    answer(&report, &document, args.pin, session);
    Ok(Exit::Done)
}

/// Shows a new backup; `document` is what `--json` prints.
pub fn answer(report: &BackupReport, document: &Value, pinned: bool, session: &Session) {
    for database in report.databases.iter().filter(|db| db.tables == 0) {
        session.screen.warn(&format!(
            "database {} has no tables: make sure that it is the one that was meant",
            database.name
        ));
    }
    if session.screen.quiet && !session.screen.json {
        session.screen.raw(&format!("{}\n", report.id));
    } else {
        session
            .screen
            .answer(document, |text| render(text, report, pinned));
    }
}

/// The report as the commands that make a backup show it.
pub fn render(text: &mut Text, report: &BackupReport, pinned: bool) {
    let mut table = Rows::new(&[
        Column::Left("database"),
        Column::Left("server"),
        Column::Right("tables"),
        Column::Right("rows"),
        Column::Right("size"),
    ]);
    for database in &report.databases {
        let (tables, rows) = match database.counted {
            true => (
                human::count(database.tables as u64),
                human::count(database.rows),
            ),
            false => ("script".into(), "not counted".into()),
        };
        table.add([
            database.name.clone(),
            database.server_version.clone(),
            tables,
            rows,
            human::bytes(database.bytes),
        ]);
    }
    if !report.databases.is_empty() {
        text.table(&table);
        text.blank();
    }
    if !report.files.is_empty() {
        text.table(&tree_table(&report.files));
        text.blank();
    }
    let rate = report.bytes_read as f64 / report.seconds.max(0.001);
    let ratio = report
        .compression_ratio
        .map(|ratio| format!(", {ratio:.2} : 1 compressed"))
        .unwrap_or_default();
    let share = if report.bytes_read > 0 {
        report.bytes_added as f64 / report.bytes_read as f64 * 100.0
    } else {
        0.0
    };
    text.facts([
        (
            "backup",
            format!(
                "{}{}",
                &report.id[..8],
                if pinned { " (pinned)" } else { "" }
            ),
        ),
        (
            "read",
            format!(
                "{} in {}, {}/s",
                human::bytes(report.bytes_read),
                human::seconds(report.seconds),
                human::bytes(rate as u64)
            ),
        ),
        ("new", format!("{}{ratio}", human::bytes(report.bytes_new))),
        (
            "added",
            format!(
                "{} to the repository, {share:.1} % of what was read",
                human::bytes(report.bytes_added)
            ),
        ),
        (
            "checked",
            format!(
                "{}, {}",
                human::counted(report.objects_checked, "stored object"),
                match report.every_byte_read_back {
                    true => "every byte read back",
                    false => "all there with their full size",
                }
            ),
        ),
        ("evidence", report.evidence_digest.clone()),
    ]);
}

/// File trees, one a line.
pub fn tree_table(trees: &[FilesManifest]) -> Rows {
    let mut table = Rows::new(&[
        Column::Left("files"),
        Column::Right("number"),
        Column::Right("folders"),
        Column::Right("unchanged"),
        Column::Right("size"),
        Column::Left("remarks"),
    ]);
    for tree in trees {
        let mut remarks = Vec::new();
        let missing = tree.references.as_ref().map_or(0, |r| r.missing_count);
        for (count, what) in [
            (tree.unreadable_count, "unreadable"),
            (tree.changing_count, "changing"),
            (missing, "missing"),
        ] {
            if count > 0 {
                remarks.push(format!("{} {what}", human::count(count)));
            }
        }
        table.add([
            tree.name.clone(),
            human::count(tree.files),
            human::count(tree.folders),
            human::count(tree.files_unchanged),
            human::bytes(tree.bytes),
            remarks.join(", "),
        ]);
    }
    table
}
