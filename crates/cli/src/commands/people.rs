//! `pgkeep user`, `pgkeep token` and `pgkeep audit`.

use crate::{
    api::{Api, Call, encoded},
    args::{AuditCommand, PermissionArg, RoleArg, TokenArgs, TokenCommand, UserArgs, UserCommand},
    asking::Asking,
    clock::SystemClock,
    commands::defined::{facts, table, word},
    config, confirm,
    error::{CliError, CliResult},
    exit::Exit,
    output::human,
    session::Session,
};
use pgkeep_model::{
    Clock,
    access::{Permission, Role},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::path::Path;

pub fn user(command: &UserCommand, session: &Session) -> CliResult<Exit> {
    let api = session.api()?;
    match command {
        UserCommand::Create(args) => create_user(args, &api, session),
        UserCommand::List => {
            let users = api.all(&Call::get("/users"))?;
            session.screen.answer(&json!({ "users": users }), |text| {
                let columns = [
                    ("name", "/name"),
                    ("role", "/role"),
                    ("may besides", "/grants"),
                    ("apps", "/apps"),
                    ("e-mail", "/email"),
                    ("disabled", "/disabled"),
                    ("last login", "/last_login_at"),
                ];
                table(text, "no accounts", columns, &users);
            });
            Ok(Exit::Done)
        }
        UserCommand::Disable { name } => {
            change_user(name, json!({ "disabled": true }), "disabled", &api, session)
        }
        UserCommand::Enable { name } => {
            change_user(name, json!({ "disabled": false }), "enabled", &api, session)
        }
        UserCommand::Passwd {
            name,
            password_file,
        } => {
            let user = find_user(name, &api)?;
            let password = new_password(password_file.as_deref(), session)?;
            let call = Call::put(format!("{}/password", user_path(&user)))
                .body(json!({ "password": password.expose_secret() }));
            api.send(&call)?;
            session.screen.answer(&json!({ "changed": name }), |text| {
                text.line(format!("set the password of {name}; its sessions are over"));
            });
            Ok(Exit::Done)
        }
        UserCommand::Delete(args) => {
            let user = find_user(&args.name, &api)?;
            let what = format!("delete account {} with its tokens", args.name);
            confirm::removal(&what, args.yes, session)?;
            api.send(&Call::delete(user_path(&user)))?;
            session
                .screen
                .answer(&json!({ "deleted": args.name }), |text| {
                    text.line(format!("deleted account {}", args.name));
                });
            Ok(Exit::Done)
        }
    }
}

fn role(arg: RoleArg) -> Value {
    Role::from(arg).as_str().into()
}

fn grants(args: &[PermissionArg]) -> Vec<Permission> {
    args.iter().map(|arg| Permission::from(*arg)).collect()
}

/// No app named means all.
fn apps(names: &[String]) -> Value {
    match names {
        [] => Value::Null,
        names => names.into(),
    }
}

fn create_user(args: &UserArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let password = new_password(args.password_file.as_deref(), session)?;
    let mut body = json!({
        "name": args.name,
        "role": role(args.role),
        "grants": grants(&args.grant),
        "password": password.expose_secret(),
    });
    if let Some(email) = &args.email {
        body["email"] = email.clone().into();
    }
    if !args.for_app.is_empty() {
        body["apps"] = apps(&args.for_app);
    }
    let user = api.document(&Call::post("/users").body(body))?;
    session.screen.answer(&user, |text| {
        text.line(format!("made account {}", args.name));
        text.blank();
        facts(text, &user);
    });
    Ok(Exit::Done)
}

fn find_user(name: &str, api: &Api) -> CliResult<Value> {
    let users = api.all(&Call::get("/users"))?;
    let same = |user: &&Value| {
        let found = user["name"].as_str().unwrap_or_default();
        found.eq_ignore_ascii_case(name)
    };
    users.iter().find(same).cloned().ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("there is no account {name}"))
            .with_hint("`pgkeep user list` shows them")
    })
}

fn user_path(user: &Value) -> String {
    format!(
        "/users/{}",
        encoded(user["id"].as_str().unwrap_or_default())
    )
}

fn change_user(
    name: &str,
    change: Value,
    done: &str,
    api: &Api,
    session: &Session,
) -> CliResult<Exit> {
    let user = find_user(name, api)?;
    let user = api.document(&Call::patch(user_path(&user)).body(change))?;
    session.screen.answer(&user, |text| {
        text.line(format!("account {name} is {done}"));
    });
    Ok(Exit::Done)
}

/// A password from a file, from a person at the terminal, or from standard input.
fn new_password(file: Option<&Path>, session: &Session) -> CliResult<SecretString> {
    if let Some(path) = file {
        return Ok(config::read_file(path, "password file")?);
    }
    if !confirm::is_somebody_there(session) {
        return Err(CliError::usage("there is no password")
            .with_hint("give --password-file, or run it on a terminal"));
    }
    let asking = Asking::unseen(session.relay.as_ref())
        .map_err(|e| confirm::unanswered(dialoguer::Error::IO(e)))?;
    let password = dialoguer::Password::new()
        .with_prompt("password")
        .with_confirmation("again", "the two differ")
        .interact()
        .map_err(confirm::unanswered)?;
    asking.answered();
    Ok(SecretString::from(password))
}

pub fn token(command: &TokenCommand, session: &Session) -> CliResult<Exit> {
    let api = session.api()?;
    match command {
        TokenCommand::Create(args) => create_token(args, &api, session),
        TokenCommand::List => {
            let tokens = list_tokens(&api)?;
            session.screen.answer(&json!({ "tokens": tokens }), |text| {
                let columns = [
                    ("token", "/id"),
                    ("name", "/name"),
                    ("owner", "/owner"),
                    ("begins with", "/prefix"),
                    ("role", "/role"),
                    ("may besides", "/grants"),
                    ("apps", "/apps"),
                    ("ends", "/expires_at"),
                    ("last used", "/last_used_at"),
                    ("revoked", "/revoked_at"),
                ];
                table(text, "no tokens", columns, &tokens);
            });
            Ok(Exit::Done)
        }
        TokenCommand::Revoke { token } => {
            let tokens = list_tokens(&api)?;
            let alive = tokens.iter().filter(|t| t["revoked_at"].is_null());
            let is_it = |t: &&Value| {
                let id = t["id"].as_str().unwrap_or_default();
                t["name"] == token.as_str() || (!token.is_empty() && id.starts_with(token.as_str()))
            };
            let found: Vec<&Value> = alive.filter(is_it).collect();
            let found = match found.as_slice() {
                [only] => *only,
                [] => {
                    return Err(CliError::new(
                        Exit::NotFound,
                        format!("there is no token {token} in force"),
                    )
                    .with_hint("`pgkeep token list` shows them"));
                }
                several => {
                    return Err(CliError::usage(format!(
                        "{} tokens are meant by {token}",
                        several.len()
                    ))
                    .with_hint("give its id"));
                }
            };
            let id = found["id"].as_str().unwrap_or_default();
            api.send(&Call::delete(format!("/tokens/{}", encoded(id))))?;
            session.screen.answer(&json!({ "revoked": id }), |text| {
                text.line(format!("revoked token {} ({id})", word(&found["name"])));
            });
            Ok(Exit::Done)
        }
    }
}

fn list_tokens(api: &Api) -> CliResult<Vec<Value>> {
    let everybodys = Call::get("/tokens").query("all", true);
    match api.all(&everybodys) {
        // Everybody's are for those who manage accounts; one's own are for everybody.
        Err(error) if error.exit == Exit::NoAccess => api.all(&Call::get("/tokens")),
        answered => answered,
    }
}

fn create_token(args: &TokenArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let mut body = json!({
        "name": args.name,
        "role": role(args.role),
        "grants": grants(&args.grant),
    });
    if !args.for_app.is_empty() {
        body["apps"] = apps(&args.for_app);
    }
    let owner = match &args.owner {
        Some(owner) => Some(owner.clone()),
        None if api.is_remote() => None,
        None => Some(only_admin(api)?),
    };
    if let Some(owner) = owner {
        body["owner"] = owner.into();
    }
    if let Some(time) = args.expires {
        let at = SystemClock.now().checked_add(time).map_err(|_| {
            CliError::usage("the token would end outside of the calendar")
                .with_hint("give a shorter time, such as --expires 365d")
        })?;
        body["expires_at"] = at.to_string().into();
    }
    let token = api.document(&Call::post("/tokens").body(body))?;
    session.screen.answer(&token, |text| {
        let secret = token["token"].as_str().unwrap_or_default();
        text.line(secret);
    });
    session.screen.note(
        "keep it well: it is not shown again. PGKEEP_TOKEN or --token-file gives it to pgkeep.",
    );
    Ok(Exit::Done)
}

/// Where nobody says whose token it is, there must be no doubt.
fn only_admin(api: &Api) -> CliResult<String> {
    let users = api.all(&Call::get("/users"))?;
    let admins: Vec<String> = users
        .iter()
        .filter(|user| user["role"] == "admin" && user["disabled"] != true)
        .filter_map(|user| user["name"].as_str().map(str::to_owned))
        .collect();
    match admins.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(CliError::new(
            Exit::NotFound,
            "there is no account that a token could belong to",
        )
        .with_hint("make one: pgkeep user create NAME --role admin")),
        several => Err(CliError::usage("nothing says whose token it is to be")
            .with_hint(format!("give --owner: {}", several.join(", ")))),
    }
}

pub fn audit(command: &AuditCommand, session: &Session) -> CliResult<Exit> {
    let api = session.api()?;
    match command {
        AuditCommand::List { limit } => {
            let entries = api.list(&Call::get("/audit"), *limit as usize)?;
            session
                .screen
                .answer(&json!({ "entries": entries }), |text| {
                    let shown: Vec<Value> = entries.iter().map(with_local_time).collect();
                    let columns = [
                        ("no.", "/seq"),
                        ("time", "/at"),
                        ("who", "/actor"),
                        ("from", "/from"),
                        ("did", "/action"),
                        ("on", "/object"),
                        ("result", "/result"),
                        ("reason", "/reason"),
                    ];
                    table(text, "nothing was done yet", columns, &shown);
                });
            Ok(Exit::Done)
        }
        AuditCommand::Verify => {
            let verdict = api.document(&Call::get("/audit/verify"))?;
            let intact = verdict["intact"] == true;
            session.screen.answer(&verdict, |text| match intact {
                true => text.line(format!(
                    "all {} entries are as they were written",
                    verdict["entries"]
                )),
                false => {
                    text.line("the audit log was CHANGED");
                    facts(text, &verdict);
                }
            });
            Ok(match intact {
                true => Exit::Done,
                false => Exit::NotProven,
            })
        }
    }
}

fn with_local_time(entry: &Value) -> Value {
    let mut entry = entry.clone();
    if let Some(at) = entry["at"].as_str().and_then(|at| at.parse().ok()) {
        entry["at"] = human::time(at).into();
    }
    entry
}
