//! `pgkeep init`: a repository, and a key where none is given.
//!
//! The key's file is written before the repository, so no repository can exist whose key was never kept.

use crate::{
    args::InitArgs,
    commands::on_server,
    config::{Key, RepositorySettings, write_new},
    error::{CliError, CliResult},
    exit::Exit,
    session::{Session, required_repository},
};
use pgkeep_engine::{
    recovery::kit,
    storage::{self, InitReport},
};
use pgkeep_repository::generate_key;
use secrecy::SecretString;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    report: InitReport,
    /// File that the new key was written to; absent when a key was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_kit: Option<PathBuf>,
}

pub fn run(args: &InitArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::init(args, &api, session);
    }
    refuse_written_kit(args)?;
    let settings = session.settings()?;
    let chosen = required_repository(&settings)?;
    let context = session.context(&settings);
    let (key, key_file) = key_for(chosen)?;
    let report = storage::init(
        &session.address(chosen, key.clone())?,
        args.label.as_deref().unwrap_or_default(),
        &context,
    );
    let report = match (report, &key_file) {
        (Ok(report), _) => report,
        (Err(error), Some(path)) => {
            // Nothing was made that this key opens, and a file left there would be taken for one that does.
            let _ = std::fs::remove_file(path);
            return Err(error.into());
        }
        (Err(error), None) => return Err(error.into()),
    };
    if let Some(path) = &args.recovery_kit {
        let kit = kit::text(
            &chosen.address.value,
            &report.id,
            &key,
            &report.key_file,
            context.clock.now(),
        );
        write_new(path, &kit)?;
    }
    answer(report, key_file, args.recovery_kit.clone(), session);
    Ok(Exit::Done)
}

/// A kit that could not be written would be missed once the repository is there.
pub fn refuse_written_kit(args: &InitArgs) -> CliResult<()> {
    match &args.recovery_kit {
        Some(path) if path.exists() => Err(CliError::usage(format!(
            "{} exists already and is not overwritten",
            path.display()
        ))
        .with_hint("give the name of a file that does not exist yet")),
        _ => Ok(()),
    }
}

pub fn answer(
    report: InitReport,
    key_file: Option<PathBuf>,
    recovery_kit: Option<PathBuf>,
    session: &Session,
) {
    let answer = Answer {
        report,
        key_file,
        recovery_kit,
    };
    if session.screen.quiet && !session.screen.json {
        return;
    }
    session.screen.answer(&answer, |text| {
        text.line(format!("made repository {} at {}", &answer.report.id[..answer.report.id.len().min(8)], answer.report.location));
        for lack in &answer.report.lacks {
            text.line(format!("the storage {lack}"));
        }
        if let Some(path) = &answer.key_file {
            text.line(format!("key written to {}", path.display()));
            text.blank();
            text.line("Keep a copy of the key away from this machine: without it nobody can read the backups.");
            if answer.recovery_kit.is_none() {
                text.line("`pgkeep key kit` prints a recovery kit to put in a password manager or a safe.");
            }
        }
        if let Some(path) = &answer.recovery_kit {
            text.line(format!("recovery kit written to {}; move it to a safe place", path.display()));
        }
    });
}

/// The key that is given, or a new one and the file that it was written to.
fn key_for(chosen: &RepositorySettings) -> CliResult<(SecretString, Option<PathBuf>)> {
    let path = match &chosen.key {
        Key::Known(key) => return Ok((key.value.clone(), None)),
        Key::MissingFile(file) => file.value.clone(),
        Key::None => chosen.key_place.0.clone(),
    };
    let key = generate_key();
    write_new(&path, &key)?;
    Ok((key, Some(path)))
}
