//! Upgrades on a server: planned there by a job, shown and agreed to here, carried out there as they were shown.
//!
//! The two servers are those of the app's definition there: a token must not make it connect to any other.

use super::{found_by, found_out, one_app, repository_there};
use crate::{
    api::{Api, Call, encoded},
    args::{UpgradeAcceptArgs, UpgradeArgs, UpgradeCommand, UpgradeRollbackArgs, UpgradeRunArgs},
    commands::{restore::prove_word, upgrade as here},
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use pgkeep_engine::upgrade::{
    RollbackReport, RollbackSummary, UpgradeReport, UpgradeSummary, VerifyReport,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub fn upgrade(command: &UpgradeCommand, api: &Api, session: &Session) -> CliResult<Exit> {
    match command {
        UpgradeCommand::Plan(args) => plan(args, api, session),
        UpgradeCommand::Run(args) => carry_out(args, api, session),
        UpgradeCommand::Verify(args) => verify(args, api, session),
        UpgradeCommand::Rollback(args) => rollback(args, api, session),
        UpgradeCommand::Accept(args) => accept(args, api, session),
    }
}

fn plan(args: &UpgradeArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    defined_there(args)?;
    let app = one_app(api, session)?;
    let body = of_move(args, "full", api, session)?;
    let planned: Planned<UpgradeSummary> = planned(&app, "plan", body, api, session)?;
    Ok(here::answer_plan(&planned.plan, session))
}

fn carry_out(args: &UpgradeRunArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    defined_there(&args.upgrade)?;
    here::may_write_report(args)?;
    let app = one_app(api, session)?;
    let body = of_move(&args.upgrade, prove_word(args.prove), api, session)?;
    let planned: Planned<UpgradeSummary> = planned(&app, "plan", body, api, session)?;
    if args.dry_run {
        return Ok(here::answer_plan(&planned.plan, session));
    }
    here::show(&planned.plan, session)?;
    let call = call(&app, "").body(json!({ "plan": planned.job }));
    let report: UpgradeReport = found_out(api, &call, session)?;
    here::answer(&report, args, session)
}

fn verify(args: &UpgradeArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    defined_there(args)?;
    let app = one_app(api, session)?;
    let body = json!({ "databases": args.database, "jobs": args.jobs });
    let report: VerifyReport = found_out(api, &call(&app, "/verify").body(body), session)?;
    Ok(here::answer_verify(&report, session))
}

fn rollback(args: &UpgradeRollbackArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    defined_there(&args.upgrade)?;
    let app = one_app(api, session)?;
    let body = json!({
        "repository": repository_there(api, session)?,
        "databases": args.upgrade.database,
        "jobs": args.upgrade.jobs,
        "keep_new": args.keep_new,
        "force": args.force,
    });
    let planned: Planned<RollbackSummary> = planned(&app, "rollback/plan", body, api, session)?;
    if args.dry_run {
        return Ok(here::answer_rollback_plan(&planned.plan, session));
    }
    here::agree(&planned.plan, args.confirm.as_deref(), session)?;
    let mut body = json!({ "plan": planned.job });
    if planned.plan.drops {
        body["confirm"] = confirm::PHRASE.into();
    }
    let report: RollbackReport = found_out(api, &call(&app, "/rollback").body(body), session)?;
    Ok(here::answer_rolled_back(&report, session))
}

fn accept(args: &UpgradeAcceptArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    not_here(&[(TO, args.to.is_some())])?;
    let app = one_app(api, session)?;
    let call = call(&app, "/accept").body(json!({ "databases": args.database }));
    let done: Accepted = found_out(api, &call, session)?;
    Ok(here::answer_accepted(&done.accepted, session))
}

#[derive(Deserialize)]
struct Accepted {
    accepted: Vec<String>,
}

/// A plan, and the job that made it: by that the server knows it again.
struct Planned<T> {
    job: String,
    plan: T,
}

fn planned<T: DeserializeOwned>(
    app: &str,
    what: &str,
    body: Value,
    api: &Api,
    session: &Session,
) -> CliResult<Planned<T>> {
    #[derive(Deserialize)]
    struct Document<T> {
        plan: T,
    }
    let call = call(app, &format!("/{what}")).body(body);
    let (job, Document { plan }) = found_by(api, &call, session)?;
    Ok(Planned { job, plan })
}

fn call(app: &str, part: &str) -> Call {
    Call::post(format!("/apps/{}/upgrade{part}", encoded(app)))
}

fn of_move(args: &UpgradeArgs, prove: &str, api: &Api, session: &Session) -> CliResult<Value> {
    Ok(json!({
        "repository": repository_there(api, session)?,
        "databases": args.database,
        "jobs": args.jobs,
        "prove": prove,
        "fence": args.fence,
        "no_owner": args.no_owner,
    }))
}

const FROM: &str = "--from";
const TO: &str = "--to";

fn defined_there(args: &UpgradeArgs) -> CliResult<()> {
    not_here(&[
        (FROM, args.from.is_some()),
        (TO, args.to.is_some()),
        ("--bin-dir", !args.bin_dir.is_empty()),
    ])
}

/// Refuses options that the app's definition on the server decides on.
fn not_here(given: &[(&str, bool)]) -> CliResult<()> {
    let Some((option, _)) = given.iter().find(|(_, given)| *given) else {
        return Ok(());
    };
    let place = match *option {
        FROM => "`from` in [app.NAME.upgrade]",
        TO => "`to` in [app.NAME.upgrade]",
        _ => "`bin_dirs` in [app.NAME]",
    };
    Err(CliError::usage(format!(
        "{option} says nothing to a server: what an app moves between is defined there"
    ))
    .with_hint(format!(
        "it is {place} of the server's definition, which `pgkeep apply` changes; or unset PGKEEP_SERVER to work here"
    )))
}
