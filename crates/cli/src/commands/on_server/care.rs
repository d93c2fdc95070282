//! Looking after a server's apps and repositories: doctor, check and repair, prune.

use super::{
    found_by, found_out, keys, no_connection, one_app, one_repository, only_here, read, report_of,
};
use crate::{
    api::{Api, Call, encoded},
    args::{CheckArgs, DoctorArgs, InitArgs, PruneArgs},
    commands::{
        check as check_here, doctor as doctor_here, init as init_here, prune as prune_here,
    },
    config::write_new,
    error::CliResult,
    exit::Exit,
    session::Session,
};
use pgkeep_engine::{doctor::DoctorReport, storage::InitReport};
use pgkeep_repository::CheckReport;
use serde_json::json;
use std::path::PathBuf;

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

/// Makes the repository that a definition of the server names, with the key that the definition names or a new one.
pub fn init(args: &InitArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    init_here::refuse_written_kit(args)?;
    let name = one_repository(api, session)?;
    let mut call = Call::post(format!("/repositories/{}/init", encoded(&name)));
    if let Some(label) = &args.label {
        call = call.body(json!({ "label": label }));
    }
    let mut made = api.document(&call)?;
    let key_file: Option<PathBuf> = read(made["key_file"].take(), "answer")?;
    let report: InitReport = read(made, "answer")?;
    if let Some(path) = &args.recovery_kit {
        write_new(path, &keys::kit(&name, api)?)?;
        keys::confirm_kit(&name, api, session);
    }
    init_here::answer(report, key_file, args.recovery_kit.clone(), session);
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
