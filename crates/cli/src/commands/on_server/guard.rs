//! A guarded command whose databases a server keeps: the command runs here, where the code is; the backup, its proof, the
//! comparison and the way back are jobs of the server, which also keeps the record.

use super::restore::{Planned, plan_of};
use super::rollback::one_by_one;
use super::{found_out, no_connection, one_app, read, report_of, repository_there};
use crate::{
    api::{Api, Call, encoded},
    args::{GuardArgs, OnFailure, ProofArg},
    commands::{
        guard::{self as here, GuardReport, KEEP_FAILED},
        restore as restoring,
    },
    error::{CliError, CliResult},
    interrupt::Relay,
    recording::code_of,
    session::Session,
};
use pgkeep_engine::{
    Context, Error, Result,
    backup::{BackupReport, BackupRequest},
    drill::DrillReport,
    guard::{Ground, GuardRequest},
    migrations::{self, MigrationsReport},
    restore::{PlanSummary, RestoreReport},
    schema_diff::SchemaDiffReport,
};
use serde_json::json;

pub fn guard(args: &GuardArgs, api: &Api, relay: &Relay, session: &Session) -> CliResult<u8> {
    no_connection(&args.connection)?;
    let settings = session.settings()?;
    let app = one_app(api, session)?;
    let application = session.application(&settings, None)?;
    let request = here::request_of(args, &settings, app.clone(), Vec::new(), application);
    let ground = OnServer {
        api,
        app: &app,
        args,
        session,
    };
    let context = session.context(&settings);
    let mut report = here::carry_out(args, &request, relay, &ground, &context, session)?;
    session.progress.finish();
    if let Err(error) = record(&report, &app, api) {
        let why = format!("this is not recorded on the server: {}", error.message);
        report.warnings.push(why);
    }
    Ok(here::finish(report, session, |report| {
        way_back(args, report, api, session)
    }))
}

/// An app whose databases and backups a server keeps.
struct OnServer<'a> {
    api: &'a Api,
    app: &'a str,
    args: &'a GuardArgs,
    session: &'a Session,
}

impl Ground for OnServer<'_> {
    fn versions(&self, request: &GuardRequest, context: &Context) -> Result<MigrationsReport> {
        let call = Call::get(format!("/apps/{}/migrations", encoded(self.app)));
        let report = self.api.raw(&call).and_then(|found| read(found, "answer"));
        let report = report.map_err(told_here)?;
        // Where nothing here says what the code holds, the server may know.
        Ok(match request.application.migrations {
            Some(_) => migrations::with_code_here(report, &request.application, context),
            None => report,
        })
    }

    fn back_up(&self, backup: &BackupRequest, _: &Context) -> Result<BackupReport> {
        let mut body = json!({
            "description": backup.description,
            "tags": backup.tags,
            "databases": self.args.dbname,
        });
        if let Some(name) = repository_there(self.api, self.session).map_err(told_here)? {
            body["repository"] = name.into();
        }
        if let Some(jobs) = self.args.jobs {
            body["jobs"] = jobs.into();
        }
        let path = format!("/apps/{}/guarded/backup", encoded(self.app));
        let call = Call::post(path).body(body);
        let made = report_of(self.api, &call, self.session).map_err(told_here)?;
        Ok(made.0)
    }

    fn prove(&self, backup: &str, _: &GuardRequest, _: &Context) -> Result<Option<DrillReport>> {
        let level = match self.args.prove {
            None | Some(ProofArg::None) => return Ok(None),
            Some(level) => restoring::prove_word(level),
        };
        let body = json!({ "app": self.app, "backup": backup, "prove": level });
        let call = Call::post("/drills").body(body);
        found_out(self.api, &call, self.session)
            .map(Some)
            .map_err(told_here)
    }

    fn schema_since(
        &self,
        backup: &BackupReport,
        _: &GuardRequest,
        _: &Context,
    ) -> Result<SchemaDiffReport> {
        let call = Call::post(format!("/backups/{}/compare-live", backup.id))
            .body(json!({ "app": self.app, "schema": true }));
        found_out(self.api, &call, self.session).map_err(told_here)
    }
}

/// What the server said, in the engine's terms.
fn told_here(error: CliError) -> Error {
    let mut told = Error::new(code_of(error.exit), error.message);
    told.hint = error.hint;
    told.details = error.details;
    told
}

/// Has the server keep the record, which is a job that has ended.
fn record(report: &GuardReport, app: &str, api: &Api) -> CliResult<()> {
    let backup = report.guarded.backup.as_ref().map(|backup| &backup.id);
    let failure =
        (report.status != 0).then(|| format!("`{}` {}", report.command.join(" "), report.ended()));
    let call = Call::post(format!("/apps/{}/guarded", encoded(app))).body(json!({
        "command": report.command,
        "backup": backup,
        "failure": failure,
        "result": report,
    }));
    api.send(&call).map(drop)
}

/// After a failure: swaps back, asks, or leaves everything as it is.
fn way_back(
    args: &GuardArgs,
    report: &GuardReport,
    api: &Api,
    session: &Session,
) -> CliResult<Vec<RestoreReport>> {
    let Some(backup) = &report.guarded.backup else {
        return Ok(Vec::new());
    };
    let Some(what) = here::wanted_way_back(args, session) else {
        return Ok(Vec::new());
    };
    let found = api.find_backup(&backup.id, None, None)?;
    let mut plans: Vec<Planned> = Vec::new();
    for database in &found.entry.databases {
        let body = json!({
            "mode": "replace",
            "name": database,
            "app": found.entry.app,
            "database": database,
            "keep_old_secs": KEEP_FAILED.as_secs(),
        });
        plans.push(plan_of(&found, body, api)?);
    }
    for plan in &plans {
        let summary: PlanSummary = read(plan.document["summary"].clone(), "plan")?;
        restoring::show(&summary, session)?;
    }
    if what == OnFailure::Ask && !here::is_agreed(report, session) {
        return Ok(Vec::new());
    }
    let reports = one_by_one(plans, api, session)?;
    session.progress.finish();
    Ok(reports)
}
