//! `pgkeep export --package` and `pgkeep import` of one: a whole backup as one portable file.

use crate::{
    args::{ExportArgs, ImportArgs},
    commands::{backup, list::app_filter},
    config::{Settings, Source},
    error::{CliError, CliResult},
    exit::Exit,
    output::human,
    recording::Recording,
    session::{Session, required_repository, s3_options},
};
use pgkeep_engine::{
    Context,
    catalog::Origin,
    package::{self, PackageReport, PackageRequest, PackageSource, PackageTarget, TakeInRequest},
};
use pgkeep_model::job::{ExportSpec, JobSpec};
use pgkeep_repository::storage::StorageOptions;
use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

pub fn export(args: &ExportArgs, session: &Session) -> CliResult<Exit> {
    let settings = session.settings()?;
    let to = target(args.to.as_deref(), session, || {
        let address = args.to.clone().unwrap_or_default();
        Ok(PackageTarget::Bucket {
            options: Box::new(bucket_options(&address, session, &settings)?),
            address,
        })
    })?;
    let mut recipients = args.recipient.clone();
    if let Some(file) = &args.recipients_file {
        recipients.extend(package::read_recipients(file)?);
    }
    let chosen = required_repository(&settings)?.address.value.clone();
    let spec = ExportSpec {
        repository: chosen,
        backup: args.backup.clone(),
        to: args.to.clone().unwrap_or_default(),
        package: true,
        recipients: recipients.clone(),
        zstd: args.zstd,
        ..ExportSpec::default()
    };
    let request = PackageRequest {
        backup: args.backup.clone(),
        app: app_filter(&settings),
        recipients,
        compress: args.zstd,
    };
    let recording = Recording::begin(session, JobSpec::Export(spec))?;
    let context = recording.context(session.context(&settings));
    let written = session
        .repository(&settings, &context)
        .and_then(|repository| {
            Ok(match &to {
                Some(to) => package::write(&repository, &request, to, &context)?,
                None => {
                    let mut out = io::stdout();
                    package::stream(&repository, &request, &mut out, |_| {}, &context)?
                }
            })
        });
    let report = recording.finish(written, session)?;
    session.progress.finish();
    answer(&report, to.is_none(), session);
    Ok(Exit::Done)
}

/// Shows what was written where.
pub fn answer(report: &PackageReport, to_stdout: bool, session: &Session) {
    for warning in &report.warnings {
        session.screen.warn(warning);
    }
    if to_stdout {
        session.screen.note(&format!(
            "wrote {}, SHA-256 {}",
            human::bytes(report.size),
            report.sha256
        ));
        return;
    }
    session.screen.answer(report, |text| {
        text.facts([
            ("wrote", report.location.clone().unwrap_or_default()),
            ("size", human::bytes(report.size)),
            ("databases", report.databases.join(", ")),
            ("rows", human::count(report.rows)),
            (
                "encrypted",
                match report.encrypted {
                    true => "for the given recipients".into(),
                    false => "no: whoever has the file can read it".into(),
                },
            ),
            ("SHA-256", report.sha256.clone()),
        ]);
    });
}

/// Where a package is to go, `None` for standard output; `bucket` is asked where it is an address in object storage.
pub fn target(
    to: Option<&str>,
    session: &Session,
    bucket: impl FnOnce() -> CliResult<PackageTarget>,
) -> CliResult<Option<PackageTarget>> {
    let here = &session.places.current_dir;
    Ok(Some(match to {
        None => PackageTarget::Folder(here.clone()),
        Some("-") => {
            if session.screen.json || io::stdout().is_terminal() {
                return Err(CliError::usage(
                    "a package belongs neither into JSON nor on a terminal",
                )
                .with_hint("redirect standard output, or give --to FOLDER"));
            }
            return Ok(None);
        }
        Some(address) if address.starts_with("s3://") => bucket()?,
        Some(path) => {
            let place = here.join(path);
            let is_file = [".tar", ".zst", ".age"]
                .iter()
                .any(|end| path.ends_with(end));
            match is_file && !place.is_dir() {
                true => PackageTarget::File(place),
                false => PackageTarget::Folder(place),
            }
        }
    }))
}

/// Whether what is to be imported is a package: what comes as a stream is nothing else.
pub fn is_package(args: &ImportArgs) -> bool {
    args.file == Path::new("-")
        || bucket_address(args).is_some()
        || package::looks_like_package(&args.file)
}

fn bucket_address(args: &ImportArgs) -> Option<&str> {
    args.file.to_str().filter(|text| text.starts_with("s3://"))
}

fn source(args: &ImportArgs, session: &Session, settings: &Settings) -> CliResult<PackageSource> {
    if args.file == Path::new("-") {
        return Ok(PackageSource::Stdin);
    }
    let Some(address) = bucket_address(args) else {
        return Ok(PackageSource::File(args.file.clone()));
    };
    Ok(PackageSource::Bucket {
        address: address.to_owned(),
        options: Box::new(bucket_options(address, session, settings)?),
    })
}

/// A bucket of packages is reached with the credentials of the repository.
fn bucket_options(
    address: &str,
    session: &Session,
    settings: &Settings,
) -> CliResult<StorageOptions> {
    let chosen = required_repository(settings)?;
    Ok(StorageOptions {
        s3: s3_options(address, &chosen.s3)?,
        cancel: session.cancel.clone(),
        ..StorageOptions::default()
    })
}

pub fn import(
    args: &ImportArgs,
    session: &Session,
    settings: &Settings,
    recording: Recording,
    context: &Context,
) -> CliResult<Exit> {
    let given = |source: &Source| matches!(source, Source::Flag(_));
    let request = TakeInRequest {
        from: source(args, session, settings)?,
        identities: args.identity.iter().map(PathBuf::from).collect(),
        app: settings
            .app
            .as_ref()
            .filter(|app| given(&app.source))
            .map(|app| app.value.clone()),
        environment: args.environment.clone(),
        description: args.description.clone().unwrap_or_default(),
        tags: args.tag.clone(),
        compression_level: settings.compression.value,
        from_afar: false,
        max_bytes: None,
        origin: Origin {
            job: recording.job(),
            ..Origin::default()
        },
    };
    let made = session
        .repository(settings, context)
        .and_then(|repository| Ok(package::take_in(&repository, &request, context)?));
    let report = recording.finish(made, session)?;
    session.progress.finish();
    session
        .screen
        .answer(&report, |text| backup::render(text, &report, false));
    Ok(Exit::Done)
}
