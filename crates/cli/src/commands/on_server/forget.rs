//! Letting a server's backups go: planned there by the same rules, shown here, done there as it was shown.

use super::{found_out, one_repository, read, repository_there};
use crate::{
    api::{Api, Call, encoded},
    args::ForgetArgs,
    commands::forget::{self as here, Answer, Wanted},
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

pub fn forget(args: &ForgetArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let app = session.named_app();
    let (repository, mut body) = match here::wanted(args)? {
        Wanted::Named(names) => named(names, app, api, session)?,
        Wanted::ByRule(policy) => {
            let zone = TimeZone::system();
            let body = json!({
                "keep": policy,
                "app": app,
                "tags": args.tag,
                "time_zone": zone.iana_name(),
            });
            (one_repository(api, session)?, body)
        }
    };
    body["prune"] = args.prune.into();
    body["force"] = args.force.into();
    body["reason"] = args.reason.clone().into();
    let path = format!("/repositories/{}/forget", encoded(&repository));
    let mut planned = api.document(&Call::post(format!("{path}/plan")).body(body.clone()))?;
    let call = Call::get("/backups").query("repository", &repository);
    let entries = api.backups(&call, usize::MAX)?;
    let entries: Vec<_> = entries.into_iter().map(|found| found.entry).collect();
    let mut answer = Answer {
        plan: read(planned["plan"].take(), "plan")?,
        report: None,
        pruned: None,
    };
    if !args.dry_run {
        // What speaks against it is the server's to say, before anybody is asked.
        if objections(&planned).is_empty() || args.force {
            here::agreed(&answer.plan, &entries, args, session)?;
        }
        body["plan_hash"] = planned["hash"].take();
        let done: Answer = found_out(api, &Call::post(path).body(body), session).map_err(forced)?;
        answer.report = done.report;
        answer.pruned = done.pruned;
    }
    let objections = match args.dry_run {
        true => objections(&planned),
        false => Vec::new(),
    };
    Ok(here::answer(&answer, &objections, &entries, args, session))
}

/// All backups that are named, and the one repository that holds them.
fn named(
    names: &[String],
    app: Option<String>,
    api: &Api,
    session: &Session,
) -> CliResult<(String, Value)> {
    let repository = repository_there(api, session)?;
    let mut found = Vec::new();
    for wanted in names {
        found.push(api.find_backup(wanted, app.as_deref(), repository.as_deref())?);
    }
    let first = found[0].repository.clone();
    if let Some(other) = found.iter().find(|found| found.repository != first) {
        return Err(CliError::usage(format!(
            "the backups lie in several repositories: {first}, {}",
            other.repository
        ))
        .with_hint("forget those of one repository at a time: --repo NAME"));
    }
    let ids: Vec<&str> = found.iter().map(|found| found.entry.id.as_str()).collect();
    Ok((first, json!({ "backups": ids })))
}

/// What speaks against it, as the server says it.
fn objections(planned: &Value) -> Vec<String> {
    let all = planned["objections"].as_array().into_iter().flatten();
    all.filter_map(|objection| objection["message"].as_str().map(str::to_owned))
        .collect()
}

/// The way out in the command line's words.
fn forced(mut error: CliError) -> CliError {
    if error
        .hint
        .as_deref()
        .is_some_and(|hint| hint.starts_with("force it"))
    {
        error.hint = Some("`--force --reason WHY` removes it all the same".into());
    }
    error
}
