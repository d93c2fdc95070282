//! Looking after a server's apps and repositories: doctor, check and repair, prune.

use super::{
    found_by, found_out, no_connection, one_app, one_repository, only_here, read, report_of,
};
use crate::{
    api::{Api, Call, encoded},
    args::{CheckArgs, DoctorArgs, InitArgs, PruneArgs},
    commands::{check as check_here, doctor as doctor_here, prune as prune_here},
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use pgkeep_engine::doctor::DoctorReport;
use pgkeep_repository::CheckReport;
use serde_json::json;

pub fn doctor(args: &DoctorArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    no_connection(&args.connection)?;
    only_here(&[("--target-url", args.target_url.is_some())])?;
    let app = one_app(api, session)?;
    let call = Call::post(format!("/apps/{}/doctor", encoded(&app)));
    let mut report: DoctorReport = found_out(api, &call, session)?;
    report
        .findings
        .extend(doctor_here::troubles(api, Some(&app)));
    Ok(doctor_here::answer(&report, session))
}

/// Makes the repository that a definition of the server names, with the key that the definition names.
pub fn init(args: &InitArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    if args.label.is_some() || args.recovery_kit.is_some() {
        let option = match args.label.is_some() {
            true => "--label",
            false => "--recovery-kit",
        };
        return Err(CliError::usage(format!(
            "{option} is about the key, which stays on the server's machine"
        ))
        .with_hint(
            "leave it out; `pgkeep key kit` prints the recovery kit on the server's machine",
        ));
    }
    let name = one_repository(api, session)?;
    let made = api.document(&Call::post(format!(
        "/repositories/{}/init",
        encoded(&name)
    )))?;
    session.screen.answer(&made, |text| {
        let said = |field: &str| made[field].as_str().unwrap_or_default().to_owned();
        let id = said("id");
        text.line(format!(
            "made repository {} at {}",
            id.get(..8).unwrap_or(&id),
            said("location")
        ));
        for lack in made["lacks"].as_array().into_iter().flatten() {
            text.line(format!("the storage {}", lack.as_str().unwrap_or_default()));
        }
        text.line("Keep a copy of its key away from the server's machine: `pgkeep key kit` there prints a recovery kit.");
    });
    Ok(Exit::Done)
}

pub fn check(args: &CheckArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let path = format!("/repositories/{}", encoded(&one_repository(api, session)?));
    // A repair is only as good as what was looked at.
    let usual = if args.repair { 100.0 } else { 0.0 };
    let percent = args.read_data.map_or(usual, |share| share.0);
    let call = Call::post(format!("{path}/check")).body(json!({ "read_data_percent": percent }));
    let (job, found): (String, CheckReport) = found_by(api, &call, session)?;
    if !args.repair {
        return Ok(check_here::answer(&found, session));
    }
    if args.dry_run || check_here::nothing_to_repair(&found) {
        return Ok(check_here::answer_plan(found, session));
    }
    check_here::agree(&found, session)?;
    let call = Call::post(format!("{path}/repair")).body(json!({ "check": job }));
    let answer = found_out(api, &call, session)?;
    Ok(check_here::answer_repaired(&answer, session))
}

pub fn prune(args: &PruneArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let path = format!(
        "/repositories/{}/prune",
        encoded(&one_repository(api, session)?)
    );
    let body = json!({
        "grace_secs": args.grace.as_secs(),
        "max_unused_percent": args.max_unused.0,
    });
    if args.dry_run {
        let mut planned = api.document(&Call::post(format!("{path}/plan")).body(body))?;
        let is_empty = planned["is_empty"] == true;
        let plan = read(planned["plan"].take(), "plan")?;
        session.screen.answer(&plan, |text| {
            prune_here::render_plan(text, &plan, is_empty);
        });
        return Ok(Exit::Done);
    }
    let (report, document) = report_of(api, &Call::post(path).body(body), session)?;
    session
        .screen
        .answer(&document, |text| prune_here::render_report(text, &report));
    Ok(Exit::Done)
}
