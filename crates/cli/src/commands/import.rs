//! `pgkeep import`: a dump made elsewhere becomes a backup.

use crate::{
    args::ImportArgs, commands::backup, config::Flags, error::CliResult, exit::Exit,
    session::Session,
};
use pgkeep_engine::import::{self, ImportRequest};

pub fn run(args: &ImportArgs, session: &Session) -> CliResult<Exit> {
    let flags = Flags {
        environment: args.environment.clone(),
        compression: args.compression,
        ..Flags::default()
    };
    let settings = session.settings_with(flags)?;
    let context = session.context(&settings);
    let by_name = args
        .database
        .clone()
        .unwrap_or_else(|| file_stem(&args.file));
    let request = ImportRequest {
        path: args.file.clone(),
        app: settings
            .app
            .as_ref()
            .map_or(by_name, |app| app.value.clone()),
        environment: settings
            .environment
            .as_ref()
            .map(|e| e.value.clone())
            .unwrap_or_default(),
        database: args.database.clone(),
        description: args.description.clone().unwrap_or_default(),
        tags: args.tag.clone(),
        compression_level: settings.compression.value,
        origin: pgkeep_engine::catalog::Origin::default(),
    };
    let repository = session.repository(&settings, &context)?;
    let report = import::run(&repository, &request, &context)?;
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
