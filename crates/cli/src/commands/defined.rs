//! `pgkeep app`, `pgkeep repository` and `pgkeep notify`: what the server knows, secrets masked.

use crate::{
    api::{Api, Call, encoded},
    args::{AppCommand, DeleteArgs, NotifyCommand, RepositoryCommand},
    confirm,
    error::CliResult,
    exit::Exit,
    output::{Column, Rows, Text},
    session::Session,
};
use pgkeep_server::notify::{Asked, ask_server};
use serde_json::{Value, json};

pub fn app(command: &AppCommand, session: &Session) -> CliResult<Exit> {
    let api = session.api()?;
    match command {
        AppCommand::List => {
            let apps = api.all(&Call::get("/apps"))?;
            session.screen.answer(&json!({ "apps": apps }), |text| {
                let columns = [
                    ("app", "/name"),
                    ("environment", "/definition/environment"),
                    ("databases", "/definition/databases"),
                    ("repository", "/definition/repository"),
                    ("made by", "/managed_by"),
                ];
                table(
                    text,
                    "no apps; describe one in pgkeep.toml and run `pgkeep apply`",
                    columns,
                    &apps,
                );
            });
            Ok(Exit::Done)
        }
        AppCommand::Show { name } => show(&format!("/apps/{}", encoded(name)), &api, session),
        AppCommand::Delete(args) => {
            let what = format!("no longer protect app {}; its backups stay", args.name);
            delete("/apps", args, &what, &api, session)
        }
    }
}

pub fn repository(command: &RepositoryCommand, session: &Session) -> CliResult<Exit> {
    let api = session.api()?;
    match command {
        RepositoryCommand::List => {
            let repositories = api.all(&Call::get("/repositories"))?;
            session
                .screen
                .answer(&json!({ "repositories": repositories }), |text| {
                    let columns = [
                        ("repository", "/name"),
                        ("address", "/definition/address"),
                        ("key", "/definition/key"),
                        ("endpoint", "/definition/endpoint"),
                        ("made by", "/managed_by"),
                    ];
                    let none =
                        "no repositories; describe one in pgkeep.toml and run `pgkeep apply`";
                    table(text, none, columns, &repositories);
                });
            Ok(Exit::Done)
        }
        RepositoryCommand::Show { name } => {
            show(&format!("/repositories/{}", encoded(name)), &api, session)
        }
        RepositoryCommand::Delete(args) => {
            let what = format!("forget about repository {}; what it holds stays", args.name);
            delete("/repositories", args, &what, &api, session)
        }
        RepositoryCommand::Test { name } => {
            let call = Call::post(format!("/repositories/{}/test", encoded(name)));
            let answer = api.document(&call)?;
            session.screen.answer(&answer, |text| facts(text, &answer));
            Ok(match answer["usable"] == true {
                true => Exit::Done,
                false => Exit::Storage,
            })
        }
        RepositoryCommand::AcceptLoss { name } => {
            let call = Call::post(format!("/repositories/{}/accept-loss", encoded(name)));
            let answer = api.document(&call)?;
            session.screen.answer(&answer, |text| {
                let gone = answer["backups"].as_array().map_or(0, Vec::len);
                text.line(match gone {
                    0 => format!("nothing is known to have vanished from {name}"),
                    1 => format!("1 backup that vanished from {name} is no alarm any more"),
                    gone => {
                        format!("{gone} backups that vanished from {name} are no alarm any more")
                    }
                });
            });
            Ok(Exit::Done)
        }
        RepositoryCommand::ConfirmKit { name } => {
            let path = format!("/repositories/{}/recovery-kit/confirm", encoded(name));
            let answer = api.document(&Call::post(path))?;
            session.screen.answer(&answer, |text| {
                text.line(format!(
                    "it is noted that the recovery kit of {name} is in a safe place"
                ));
            });
            Ok(Exit::Done)
        }
    }
}

pub fn notify(command: &NotifyCommand, session: &Session) -> CliResult<Exit> {
    const TARGETS: &str = "/notifications/targets";
    let api = session.api()?;
    match command {
        NotifyCommand::List => {
            let targets = api.all(&Call::get(TARGETS))?;
            session.screen.answer(&json!({ "targets": targets }), |text| {
                let columns = [
                    ("target", "/name"),
                    ("channel", "/definition/channel/type"),
                    ("to", "/definition/channel/to"),
                    ("address", "/definition/channel/url"),
                    ("tells of", "/definition/on"),
                    ("default", "/definition/default"),
                    ("enabled", "/definition/enabled"),
                ];
                let none = "nobody is told anything; describe a target as [notify.NAME] in pgkeep.toml and run `pgkeep apply`";
                table(text, none, columns, &targets);
            });
            Ok(Exit::Done)
        }
        NotifyCommand::Test { name } => {
            let answer = tested(name, &api).map_err(|error| match error.hint {
                None if error.exit == Exit::NotFound => {
                    error.with_hint("`pgkeep notify list` shows the targets")
                }
                _ => error,
            })?;
            let sent = answer["delivered"] == true;
            let by_server = answer["sent_by"] == "server";
            session.screen.answer(&answer, |text| match sent {
                true if by_server => text.line(format!(
                    "the server sent a message to {name}: look whether it arrives"
                )),
                true => {
                    text.line(format!("sent a message to {name}: look whether it arrives"));
                    text.line(OF_THIS_SHELL);
                }
                false => {
                    text.line(format!("{name} could not be reached"));
                    facts(text, &answer);
                    if !by_server {
                        text.line(OF_THIS_SHELL);
                    }
                    text.line(format!(
                        "until this works, nobody hears of failures through {name}: look at its address (`pgkeep notify list`), whether this machine may reach it, and its password or token; `pgkeep apply` takes in a change"
                    ));
                }
            });
            Ok(match sent {
                true => Exit::Done,
                false => Exit::Failed,
            })
        }
    }
}

const OF_THIS_SHELL: &str = "no server works with this catalog at the moment, so this command tried it itself, with the variables of this shell: the server has its own";

/// Has the server send a test message, for it is the one that sends the alarms; where none is there, it is sent from here.
fn tested(name: &str, api: &Api) -> CliResult<Value> {
    let by_server = |delivered: bool, message: Option<String>| {
        let hint = message.is_some().then_some(
            "it was tried by the server, with the server's own variables and files: what is put there counts from its next start",
        );
        json!({ "delivered": delivered, "message": message, "hint": hint, "sent_by": "server" })
    };
    if let Api::Here(local) = api {
        let asked = local.catalog().block_on(|catalog| async move {
            let target = catalog.target(name).await?.value;
            ask_server(&catalog, &target).await
        })?;
        match asked {
            Asked::Arrived => return Ok(by_server(true, None)),
            Asked::Failed(why) => return Ok(by_server(false, Some(why))),
            Asked::NobodyThere => {}
        }
    }
    let call = Call::post(format!("/notifications/targets/{}/test", encoded(name)));
    let mut answer = api.document(&call)?;
    answer["sent_by"] = match api {
        Api::Here(_) => "this command",
        Api::There(_) => "server",
    }
    .into();
    Ok(answer)
}

fn show(path: &str, api: &Api, session: &Session) -> CliResult<Exit> {
    let document = api.document(&Call::get(path))?;
    session.screen.answer(&document, |text| {
        let mut shown = document.clone();
        if let Value::Object(fields) = &mut shown
            && let Some(Value::Object(definition)) = fields.remove("definition")
        {
            fields.extend(definition);
        }
        facts(text, &shown);
    });
    Ok(Exit::Done)
}

fn delete(
    folder: &str,
    args: &DeleteArgs,
    what: &str,
    api: &Api,
    session: &Session,
) -> CliResult<Exit> {
    let path = format!("{folder}/{}", encoded(&args.name));
    let (_, etag) = api.with_etag(&Call::get(&path))?;
    confirm::removal(what, args.yes, session)?;
    api.send(&Call::delete(path).if_match(etag))?;
    session
        .screen
        .answer(&json!({ "deleted": args.name }), |text| {
            text.line(format!("deleted {}", args.name));
        });
    Ok(Exit::Done)
}

/// A field in words; what is absent or empty is nothing.
pub fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| format!("{name}: {}", word(value)))
            .collect::<Vec<_>>()
            .join(", "),
        number => number.to_string(),
    }
}

/// A document's fields under each other.
pub fn facts(text: &mut Text, document: &Value) {
    let fields = document.as_object().into_iter().flatten();
    let fields: Vec<(String, String)> = fields
        .map(|(name, value)| (name.replace('_', " "), word(value)))
        .collect();
    text.facts(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
}

/// Items in a table; each column is a title and the place of its value in an item.
pub fn table<const N: usize>(
    text: &mut Text,
    none: &str,
    columns: [(&'static str, &str); N],
    items: &[Value],
) {
    if items.is_empty() {
        text.line(none);
        return;
    }
    let mut table = Rows::new(&columns.map(|(title, _)| Column::Left(title)));
    for item in items {
        table.add(columns.map(|(_, place)| item.pointer(place).map(word).unwrap_or_default()));
    }
    text.table(&table);
}
