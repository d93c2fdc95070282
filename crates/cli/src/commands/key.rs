//! `pgkeep key`: the keys that open a repository.
//!
//! A new key's file is written before the repository learns of the key, so no key is ever lost that is in force.

use crate::{
    args::{KeyCommand, NewKeyArgs},
    clock::SystemClock,
    commands::on_server,
    config::{RepositorySettings, Settings, of_file, read_file, read_secret, write_new},
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, human},
    recovery_kit,
    session::{Session, known_key, required_repository},
};
use pgkeep_engine::{keys, recovery};
use pgkeep_model::Clock;
use pgkeep_repository::{KeyInfo, Repository, generate_key};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

pub fn run(command: &KeyCommand, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::key(command, &api, session);
    }
    let settings = session.settings()?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    match command {
        KeyCommand::List => answer_list(&repository.keys().list()?, session),
        KeyCommand::Add(args) => {
            let (key, written) = required_new_key(args, session)?;
            let id = repository.keys().add(&key, label(args))?;
            answer_added(&id, written.as_deref(), session);
        }
        KeyCommand::Remove { key } => answer_removed(&repository.keys().remove(key)?, session),
        KeyCommand::Rotate(args) => rotate(args, &repository, session, &settings)?,
        KeyCommand::Kit { output } => {
            refuse_kit_as_json(output.as_deref(), session)?;
            let chosen = required_repository(&settings)?;
            let (address, key) = (&chosen.address.value, known_key(chosen)?);
            let kit = recovery::kit::of(&repository, address, &key, SystemClock.now())?;
            hand_out_kit(&kit, output.as_deref(), session)?;
            recovery_kit::confirm(address, session);
        }
    }
    Ok(Exit::Done)
}

fn rotate(
    args: &NewKeyArgs,
    repository: &Repository,
    session: &Session,
    settings: &Settings,
) -> CliResult<()> {
    let chosen = required_repository(settings)?;
    if let Some((key, written)) = new_key(args, session)? {
        let id = repository.keys().rotate(&key, label(args))?;
        recovery_kit::outdate(&chosen.address.value, session);
        answer_rotated(&id, written.as_deref(), None, session);
        if let Some(place) = &chosen.key_file {
            let place = place.display();
            let told = format!(
                "{place}, which the key was read from, still holds the old one: put the new one there, or name its file by --key-file"
            );
            session.screen.note(&told);
        }
        return Ok(());
    }
    // The new key takes the place where commands look; the old one is kept beside it, for it may open copies.
    let place = changeable_file(chosen, session)?;
    let rotated = keys::rotate(repository, place, &known_key(chosen)?, None, label(args))?;
    recovery_kit::outdate(&chosen.address.value, session);
    match rotated.not_retired {
        Some(error) => Err(error.into()),
        None => {
            answer_rotated(&rotated.id, Some(place), Some(&rotated.old_file), session);
            Ok(())
        }
    }
}

/// The file that the key was read from, if a new one may be put there.
fn changeable_file<'a>(chosen: &'a RepositorySettings, session: &Session) -> CliResult<&'a Path> {
    let refused = |why: String| {
        CliError::new(Exit::Refused, why).with_hint(
            "give --new-key-file FILE or --new-key env:NAME, and put the new key where it is read from yourself",
        )
    };
    let Some(place) = &chosen.key_file else {
        return Err(refused(match &chosen.key {
            crate::config::Key::Known(key) => format!(
                "the repository's key comes from {}, not from a file of its own that could be replaced",
                key.source
            ),
            _ => "the repository's key comes from no file".to_owned(),
        }));
    };
    match also_opens(place, chosen, session)? {
        None => Ok(place),
        Some(other) => Err(refused(format!(
            "{} is the key file of repository {other}, too, which would not open with the new key",
            place.display()
        ))),
    }
}

/// Another repository of the file whose key lies in the same place.
fn also_opens(
    place: &Path,
    chosen: &RepositorySettings,
    session: &Session,
) -> CliResult<Option<String>> {
    let Some((path, raw)) = session.config_file()? else {
        return Ok(None);
    };
    let variable = |name| session.environment.get(name);
    let for_all = variable("PGKEEP_KEY_FILE").map(PathBuf::from);
    let own = fs::canonicalize(place).ok();
    for (name, other) in of_file(&raw, &path, &session.places)?.repositories {
        if other.address.as_deref() == Some(&*chosen.address.value) {
            continue;
        }
        let file = match &for_all {
            Some(file) => Some(file.clone()),
            None if variable("BACKUP_ENCRYPTION_KEY").is_some() => None,
            None => {
                let key = other
                    .key
                    .as_deref()
                    .and_then(|key| key.strip_prefix("file:"));
                key.map(PathBuf::from)
            }
        };
        if own.is_some() && file.and_then(|file| fs::canonicalize(file).ok()) == own {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

pub fn label(args: &NewKeyArgs) -> &str {
    args.label.as_deref().unwrap_or_default()
}

/// The new key that the options name, and the file that it was written to if it was made now.
pub fn new_key(
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
    let key = generate_key();
    write_new(path, &key)?;
    Ok(Some((key, Some(path.clone()))))
}

/// [`new_key`] where nothing says what else to do.
pub fn required_new_key(
    args: &NewKeyArgs,
    session: &Session,
) -> CliResult<(SecretString, Option<PathBuf>)> {
    new_key(args, session)?.ok_or_else(|| {
        CliError::usage("nothing says where the new key is").with_hint(
            "give --new-key-file FILE (made when it does not exist) or --new-key env:NAME",
        )
    })
}

pub fn answer_list(keys: &[KeyInfo], session: &Session) {
    session.screen.answer(&json!({ "keys": keys }), |text| {
        let mut table = Rows::new(&[
            Column::Left("key"),
            Column::Left("label"),
            Column::Left("made"),
            Column::Left("by"),
            Column::Left("in use"),
        ]);
        for key in keys {
            let by = format!("{}@{}", key.username, key.hostname);
            let in_use = if key.current { "yes" } else { "" };
            table.add([
                short(&key.id).to_owned(),
                key.label.clone(),
                human::time(key.created),
                by,
                in_use.to_owned(),
            ]);
        }
        text.table(&table);
    });
}

pub fn answer_added(id: &str, written: Option<&Path>, session: &Session) {
    let answer = json!({ "added": id, "key_file": written });
    session.screen.answer(&answer, |text| {
        text.line(format!("added key {}", short(id)));
        if let Some(path) = written {
            text.line(format!("key written to {}", path.display()));
        }
    });
}

pub fn answer_removed(id: &str, session: &Session) {
    let answer = json!({ "removed": id });
    session.screen.answer(&answer, |text| {
        text.line(format!("removed key {}", short(id)));
    });
}

/// `written` holds the new key, `kept` the old one.
pub fn answer_rotated(id: &str, written: Option<&Path>, kept: Option<&Path>, session: &Session) {
    let answer = json!({ "key": id, "key_file": written, "old_key_file": kept });
    session.screen.answer(&answer, |text| {
        text.line(format!(
            "the repository's key is now {}; the one used before opens it no more",
            short(id)
        ));
        if let Some(path) = written {
            text.line(format!("key written to {}", path.display()));
        }
        if let Some(path) = kept {
            text.line(format!("old key kept in {}", path.display()));
        }
        text.line("A recovery kit made before is out of date: pgkeep key kit");
    });
}

pub fn refuse_kit_as_json(output: Option<&Path>, session: &Session) -> CliResult<()> {
    match output {
        None if session.screen.json => Err(CliError::usage("a recovery kit is text, not JSON")
            .with_hint("give --output FILE with --json")),
        _ => Ok(()),
    }
}

/// Writes the kit to a new file, or prints it.
pub fn hand_out_kit(kit: &SecretString, output: Option<&Path>, session: &Session) -> CliResult<()> {
    let Some(path) = output else {
        session.screen.raw(kit.expose_secret());
        return Ok(());
    };
    write_new(path, kit)?;
    let done = format!(
        "recovery kit written to {}; move it to a safe place",
        path.display()
    );
    session
        .screen
        .answer(&json!({ "recovery_kit": path }), |text| text.line(done));
    Ok(())
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}
