//! `pgkeep key`: the keys that open a repository.
//!
//! A new key's file is written before the repository learns of the key, so no key is ever lost that is in force.

use crate::{
    args::{KeyCommand, NewKeyArgs},
    clock::SystemClock,
    config::{RepositorySettings, Settings, generate_key, read_file, read_secret, write_new},
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, human},
    recovery_kit,
    session::{Session, known_key, required_repository},
};
use pgkeep_model::Clock;
use pgkeep_repository::Repository;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn run(command: &KeyCommand, session: &Session) -> CliResult<Exit> {
    session.only_here("key")?;
    let settings = session.settings()?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    match command {
        KeyCommand::List => list(&repository, session),
        KeyCommand::Add(args) => add(args, &repository, session),
        KeyCommand::Remove { key } => {
            let removed = repository.keys().remove(key)?;
            session
                .screen
                .answer(&json!({ "removed": removed }), |text| {
                    text.line(format!("removed key {}", &removed[..8]))
                });
            Ok(Exit::Done)
        }
        KeyCommand::Rotate(args) => rotate(args, &repository, session, &settings),
        KeyCommand::Kit { output } => {
            let chosen = required_repository(&settings)?;
            kit(output.as_deref(), &repository, chosen, session)
        }
    }
}

fn kit(
    output: Option<&Path>,
    repository: &Repository,
    chosen: &RepositorySettings,
    session: &Session,
) -> CliResult<Exit> {
    if output.is_none() && session.screen.json {
        return Err(CliError::usage("a recovery kit is text, not JSON")
            .with_hint("give --output FILE with --json"));
    }
    let kit = recovery_kit::text(
        &chosen.address.value,
        &repository.id(),
        &known_key(chosen)?,
        &repository.keys().current_file()?,
        SystemClock.now(),
    );
    match output {
        Some(path) => {
            write_new(path, &kit)?;
            let done = format!(
                "recovery kit written to {}; move it to a safe place",
                path.display()
            );
            session
                .screen
                .answer(&json!({ "recovery_kit": path }), |text| text.line(done));
        }
        None => session.screen.raw(kit.expose_secret()),
    }
    recovery_kit::confirm(&chosen.address.value, session);
    Ok(Exit::Done)
}

fn list(repository: &Repository, session: &Session) -> CliResult<Exit> {
    let keys = repository.keys().list()?;
    session.screen.answer(&json!({ "keys": keys }), |text| {
        let mut table = Rows::new(&[
            Column::Left("key"),
            Column::Left("label"),
            Column::Left("made"),
            Column::Left("by"),
            Column::Left("in use"),
        ]);
        for key in &keys {
            let by = format!("{}@{}", key.username, key.hostname);
            let in_use = if key.current { "yes" } else { "" };
            table.add([
                key.id[..8].to_owned(),
                key.label.clone(),
                human::time(key.created),
                by,
                in_use.to_owned(),
            ]);
        }
        text.table(&table);
    });
    Ok(Exit::Done)
}

fn add(args: &NewKeyArgs, repository: &Repository, session: &Session) -> CliResult<Exit> {
    let (key, written) = new_key(args, session)?.ok_or_else(|| {
        CliError::usage("nothing says where the new key is").with_hint(
            "give --new-key-file FILE (made when it does not exist) or --new-key env:NAME",
        )
    })?;
    let id = repository
        .keys()
        .add(&key, args.label.as_deref().unwrap_or_default())?;
    session
        .screen
        .answer(&json!({ "added": id, "key_file": written }), |text| {
            text.line(format!("added key {}", &id[..8]));
            if let Some(path) = &written {
                text.line(format!("key written to {}", path.display()));
            }
        });
    Ok(Exit::Done)
}

fn rotate(
    args: &NewKeyArgs,
    repository: &Repository,
    session: &Session,
    settings: &Settings,
) -> CliResult<Exit> {
    let (key, written) = match new_key(args, session)? {
        Some(given) => given,
        None => {
            let place = &required_repository(settings)?.key_place.0;
            let path = unused_beside(place);
            let key = generate_key()?;
            write_new(&path, &key)?;
            (key, Some(path))
        }
    };
    let id = repository
        .keys()
        .rotate(&key, args.label.as_deref().unwrap_or_default())?;
    let chosen = required_repository(settings)?;
    recovery_kit::outdate(&chosen.address.value, session);
    let place = &chosen.key_place.0;
    let (written, kept_old) = match written {
        // The new key takes the place where commands look; the old one is kept beside it, for it may open copies.
        Some(path) if args.new_key_file.is_none() && place.exists() => {
            let old = unused_beside(&place.with_extension("old.key"));
            std::fs::rename(place, &old)
                .and_then(|()| std::fs::rename(&path, place))
                .map_err(|e| {
                    CliError::new(
                        Exit::Failed,
                        format!(
                            "the repository has its new key, which lies in {}; cannot move it: {e}",
                            path.display()
                        ),
                    )
                    .with_hint(format!(
                        "move it to {} by hand, or give --key-file",
                        place.display()
                    ))
                })?;
            (Some(place.clone()), Some(old))
        }
        other => (other, None),
    };
    session.screen.answer(
        &json!({ "key": id, "key_file": written, "old_key_file": kept_old }),
        |text| {
            text.line(format!(
                "the repository's key is now {}; the one used before opens it no more",
                &id[..8]
            ));
            if let Some(path) = &written {
                text.line(format!("key written to {}", path.display()));
            }
            if let Some(path) = &kept_old {
                text.line(format!("old key kept in {}", path.display()));
            }
            text.line("A recovery kit made before is out of date: pgkeep key kit");
        },
    );
    Ok(Exit::Done)
}

/// The new key that the options name, and the file that it was written to if it was made now.
fn new_key(
    args: &NewKeyArgs,
    session: &Session,
) -> CliResult<Option<(SecretString, Option<PathBuf>)>> {
    if let Some(text) = &args.new_key {
        let (key, literal) = read_secret(
            text,
            &session.places.current_dir,
            &session.environment,
            "new key",
        )?;
        if literal {
            return Err(CliError::usage(
                "a key on the command line can be seen by every user of this machine",
            )
            .with_hint("use --new-key env:NAME or file:PATH"));
        }
        return Ok(Some((key, None)));
    }
    let Some(path) = &args.new_key_file else {
        return Ok(None);
    };
    if path.exists() {
        return Ok(Some((read_file(path, "new key file")?, None)));
    }
    let key = generate_key()?;
    write_new(path, &key)?;
    Ok(Some((key, Some(path.clone()))))
}

/// `path`, or the first of `path.2`, `path.3`, … that does not exist.
fn unused_beside(path: &Path) -> PathBuf {
    let mut candidate = path.to_owned();
    let mut number = 2;
    while candidate.exists() {
        candidate = PathBuf::from(format!("{}.{number}", path.display()));
        number += 1;
    }
    candidate
}
