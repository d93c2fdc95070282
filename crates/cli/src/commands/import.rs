//! `pgkeep import`: a dump made elsewhere becomes a backup.

use crate::{
    args::ImportArgs,
    commands::{backup, on_server},
    config::Flags,
    error::CliResult,
    exit::Exit,
    recording::Recording,
    session::{Session, required_repository},
};
use pgkeep_engine::{
    catalog::Origin,
    import::{self, ImportRequest},
};
use pgkeep_model::job::{ImportSpec, JobSpec};

pub fn run(args: &ImportArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::import(args, &api, session);
    }
    let flags = Flags {
        environment: args.environment.clone(),
        compression: args.compression,
        ..Flags::default()
    };
    let settings = session.settings_with(flags)?;
    let by_name = args
        .database
        .clone()
        .unwrap_or_else(|| file_stem(&args.file));
    let app = settings
        .app
        .as_ref()
        .map_or(by_name, |app| app.value.clone());
    let chosen = required_repository(&settings)?.address.value.clone();
    let spec = ImportSpec {
        app: app.clone(),
        repository: chosen.clone(),
        file_name: args.file.display().to_string(),
        database: args.database.clone(),
        description: args.description.clone().unwrap_or_default(),
        tags: args.tag.clone(),
        ..ImportSpec::default()
    };
    let recording = Recording::begin(session, JobSpec::Import(spec))?.changing(&chosen);
    let context = recording.context(session.context(&settings));
    if super::package::is_package(args) {
        return super::package::import(args, session, &settings, recording, &context);
    }
    let request = ImportRequest {
        path: args.file.clone(),
        app,
        environment: settings
            .environment
            .as_ref()
            .map(|e| e.value.clone())
            .unwrap_or_default(),
        database: args.database.clone(),
        description: args.description.clone().unwrap_or_default(),
        tags: args.tag.clone(),
        compression_level: settings.compression.value,
        max_bytes: None,
        origin: Origin {
            job: recording.job(),
            ..Origin::default()
        },
    };
    let made = session
        .repository(&settings, &context)
        .and_then(|repository| Ok(import::run(&repository, &request, &context)?));
    let report = recording.finish(made, session)?;
    session.progress.finish();
    session
        .screen
        .answer(&report, |text| backup::render(text, &report, false));
    Ok(Exit::Done)
}

/// The file's name up to its first dot.
fn file_stem(path: &std::path::Path) -> String {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    name.split('.')
        .next()
        .filter(|stem| !stem.is_empty())
        .unwrap_or("import")
        .to_owned()
}
