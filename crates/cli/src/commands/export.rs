//! `pgkeep export`: a backup as a file for stock PostgreSQL tools.

use crate::{
    args::{ExportArgs, ExportFormat as Arg},
    commands::{list::app_filter, on_server},
    error::{CliError, CliResult},
    exit::Exit,
    output::human,
    recording::Recording,
    session::{Session, required_repository},
};
use pgkeep_engine::export::{self, ExportFormat, ExportReport, ExportRequest, ExportTarget};
use pgkeep_model::job::{ExportSpec, JobSpec};
use std::{
    io::{self, IsTerminal},
    path::Path,
};

pub fn run(args: &ExportArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::export(args, &api, session);
    }
    if args.package {
        return super::package::export(args, session);
    }
    let settings = session.settings()?;
    // `None` is standard output.
    let to = match args.output.as_deref() {
        Some(path) if path == Path::new("-") => {
            if session.screen.json {
                return Err(
                    CliError::usage("--json and --output - both want standard output")
                        .with_hint("write to a file"),
                );
            }
            if io::stdout().is_terminal() {
                return Err(CliError::usage("a dump does not belong on a terminal")
                    .with_hint("redirect standard output, or give --output FILE"));
            }
            None
        }
        Some(path) if path.is_dir() && args.format != Arg::Directory => {
            Some(ExportTarget::Folder(path.to_owned()))
        }
        Some(path) => Some(ExportTarget::Path(path.to_owned())),
        None => Some(ExportTarget::Folder(session.places.current_dir.clone())),
    };
    let request = ExportRequest {
        backup: args.backup.clone(),
        app: app_filter(&settings),
        database: args.database.clone(),
        format: format_of(args),
    };
    let spec = ExportSpec {
        repository: required_repository(&settings)?.address.value.clone(),
        backup: args.backup.clone(),
        database: args.database.clone(),
        ..ExportSpec::default()
    };
    let recording = Recording::begin(session, JobSpec::Export(spec))?;
    let context = recording.context(session.context(&settings));
    let written = session
        .repository(&settings, &context)
        .and_then(|repository| {
            Ok(match &to {
                Some(to) => export::run(&repository, &request, to, &context)?,
                None => export::stream(&repository, &request, &mut io::stdout(), &context)?,
            })
        });
    let report = recording.finish(written, session)?;
    session.progress.finish();
    answer(&report, session);
    Ok(Exit::Done)
}

/// The format in the engine's terms.
pub fn format_of(args: &ExportArgs) -> ExportFormat {
    match args.format {
        Arg::Custom => ExportFormat::Custom,
        Arg::Plain => ExportFormat::Plain,
        Arg::Directory => ExportFormat::Directory,
        Arg::Tar => ExportFormat::Tar,
    }
}

/// Shows what was written where.
pub fn answer(report: &ExportReport, session: &Session) {
    if report.path.is_none() {
        session.screen.note(&format!(
            "wrote {}, SHA-256 {}",
            human::bytes(report.meta.size),
            report.meta.sha256
        ));
        return;
    }
    session.screen.answer(report, |text| {
        let shown = |path: &Option<std::path::PathBuf>| {
            path.as_ref()
                .map(|p| p.display().to_string())
                .unwrap_or_default()
        };
        text.facts([
            ("wrote", shown(&report.path)),
            ("facts", shown(&report.meta_path)),
            ("size", human::bytes(report.meta.size)),
            ("rows", human::count(report.meta.rows.values().sum())),
            (
                match (report.meta.format, &report.path) {
                    // From afar it comes as one file.
                    (ExportFormat::Directory, Some(path)) if path.is_dir() => "SHA-256 of toc.dat",
                    _ => "SHA-256",
                },
                report.meta.sha256.clone(),
            ),
        ]);
    });
}
