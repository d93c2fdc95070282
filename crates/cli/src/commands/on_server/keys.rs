//! The keys of a repository that a server keeps. A new key is made or read here and sent there; where the server's own key is
//! changed, the server puts the new one where it reads it.

use super::{one_repository, read};
use crate::{
    api::{Api, Call, encoded},
    args::{KeyCommand, NewKeyArgs},
    commands::key::{self as here},
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use pgkeep_repository::KeyInfo;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::path::Path;

pub fn key(command: &KeyCommand, api: &Api, session: &Session) -> CliResult<Exit> {
    if let KeyCommand::Kit { output } = command {
        here::refuse_kit_as_json(output.as_deref(), session)?;
    }
    let name = one_repository(api, session)?;
    let path = format!("/repositories/{}/keys", encoded(&name));
    match command {
        KeyCommand::List => here::answer_list(&list(&path, api)?, session),
        KeyCommand::Add(args) => {
            let (key, written) = here::required_new_key(args, session)?;
            let body = json!({ "key": key.expose_secret(), "label": here::label(args) });
            let added = api.document(&Call::post(path).body(body))?;
            here::answer_added(text(&added, "id")?, written.as_deref(), session);
        }
        KeyCommand::Remove { key } => {
            let removed = api.document(&Call::delete(format!("{path}/{}", encoded(key))))?;
            here::answer_removed(text(&removed, "id")?, session);
        }
        KeyCommand::Rotate(args) => rotate(args, &path, api, session)?,
        KeyCommand::Kit { output } => {
            let kit = kit(&name, api)?;
            here::hand_out_kit(&kit, output.as_deref(), session)?;
            confirm_kit(&name, api, session);
        }
    }
    Ok(Exit::Done)
}

fn list(path: &str, api: &Api) -> CliResult<Vec<KeyInfo>> {
    let keys = api.all(&Call::get(path))?.into_iter();
    let in_repository = |mut key: Value| {
        key["created"] = key["created_at"].take();
        read(key, "key")
    };
    keys.map(in_repository).collect()
}

fn rotate(args: &NewKeyArgs, path: &str, api: &Api, session: &Session) -> CliResult<()> {
    let given = here::new_key(args, session)?;
    let mut body = json!({ "label": here::label(args) });
    if let Some((key, _)) = &given {
        body["key"] = key.expose_secret().into();
    }
    let rotated = api.document(&Call::post(format!("{path}/rotate")).body(body))?;
    let (there, kept) = (text(&rotated, "key_file")?, text(&rotated, "old_key_file")?);
    let written = given.as_ref().and_then(|(_, written)| written.as_deref());
    let shown = match written {
        Some(here) => here,
        None => Path::new(there),
    };
    here::answer_rotated(
        text(&rotated, "id")?,
        Some(shown),
        Some(Path::new(kept)),
        session,
    );
    if given.is_some() {
        let told = format!("the server keeps it in {there}");
        session.screen.note(&told);
    }
    Ok(())
}

/// The recovery kit of a repository, made where its key is.
pub fn kit(repository: &str, api: &Api) -> CliResult<SecretString> {
    let path = format!("/repositories/{}/recovery-kit", encoded(repository));
    let kit = String::from_utf8(api.send(&Call::post(path))?.body);
    let kit =
        kit.map_err(|e| CliError::strange_answer(format!("the recovery kit is no text: {e}")));
    Ok(kit?.into())
}

/// Has the server know that the kit is in somebody's hands. That it cannot be told is a warning: the kit is what matters.
pub fn confirm_kit(repository: &str, api: &Api, session: &Session) {
    let path = format!("/repositories/{}/recovery-kit/confirm", encoded(repository));
    if let Err(error) = api.send(&Call::post(path)) {
        session.screen.warn(&format!(
            "the server does not know of the recovery kit: {}",
            error.message
        ));
    }
}

fn text<'a>(answer: &'a Value, field: &str) -> CliResult<&'a str> {
    answer[field]
        .as_str()
        .ok_or_else(|| CliError::strange_answer(format!("the server's answer has no {field}")))
}
