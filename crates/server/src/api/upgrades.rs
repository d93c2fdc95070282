//! Moves of an app's databases to a server of another major: planned, carried out, compared, taken back, accepted.
//!
//! Both servers are those of the app's definition; no request names one. Every part is a job, for even a plan may read whole
//! databases. What changes something names the job of the plan that was shown: it is carried out as it was planned, with the
//! same options, or not at all.

use super::accepted::{Accepted, enqueue, new_job};
use super::backups::bounded;
use super::definitions::{seen, sees_everything};
use super::extract::{Id, Json, Name, OptionalJson, Path};
use super::problem::{Code, Problem};
use super::restores::{Prove, job_of};
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::jobs::{PlannedUpgrade, no_new_server};
use crate::settings::ThrottleScope;
use crate::state::AppState;
use pgkeep_engine::restore::{PHRASE, Refusal};
use pgkeep_model::access::Permission;
use pgkeep_model::job::{JobKind, JobSpec, JobState, UpgradeSpec, UpgradeStep};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    let look = || needs(Permission::Operate).repeatable();
    let change = || needs(Permission::Restore).repeatable();
    Routes::new("upgrades")
        .add(look(), routes!(plan))
        .add(change().throttle(ThrottleScope::Restore), routes!(run))
        .add(look(), routes!(verify))
        .add(look(), routes!(plan_rollback))
        .add(change().throttle(ThrottleScope::Restore), routes!(rollback))
        .add(change(), routes!(accept))
}

/// What is moved, and how.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct UpgradeBody {
    /// Where the backup goes to; the app's own where absent.
    repository: Option<String>,
    /// Only these databases; all of the old server where empty.
    databases: Vec<String>,
    /// Tables and indexes worked on at once; the app's where absent.
    #[schema(minimum = 1, maximum = 256)]
    jobs: Option<u16>,
    #[schema(inline)]
    prove: Prove,
    /// Makes the old databases read-only before the backup, and ends their sessions.
    fence: bool,
    /// Everything belongs to the restoring role.
    no_owner: bool,
}

/// What is taken back, and how.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct UpgradeRollbackBody {
    /// Where the backup of the upgrade lies; the app's own where absent.
    repository: Option<String>,
    /// Only these databases; all that the upgrade made where empty.
    databases: Vec<String>,
    /// Tables read at once; the app's where absent.
    #[schema(minimum = 1, maximum = 256)]
    jobs: Option<u16>,
    /// Leaves the new databases; only lets the old ones be written to again.
    keep_new: bool,
    /// Drops databases that were written to since as well.
    force: bool,
}

/// What is compared.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct UpgradeVerifyBody {
    /// Only these databases; all that the upgrade made where empty.
    databases: Vec<String>,
    /// Tables read at once; the app's where absent.
    #[schema(minimum = 1, maximum = 256)]
    jobs: Option<u16>,
}

/// What becomes ordinary.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct UpgradeAcceptBody {
    /// Only these databases; all that an upgrade made where empty.
    databases: Vec<String>,
    /// Why; kept in the audit log.
    reason: Option<String>,
}

/// The plan that is carried out.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlannedBody {
    /// Id of the job that made the plan.
    #[schema(value_type = String)]
    plan: Id,
    /// The exact phrase, where databases are dropped.
    #[serde(default)]
    confirm: Option<String>,
    /// Why; kept in the audit log.
    #[serde(default)]
    reason: Option<String>,
}

/// Plans the move of an app's databases to the new server that its definition names; a job looks, and changes nothing. It
/// ends with the plan, which is carried out by naming that job.
#[utoipa::path(post, path = "/apps/{name}/upgrade/plan", params(("name" = String, Path)), request_body(content = Option<UpgradeBody>), responses((status = 202, description = "A job plans", body = Accepted)))]
async fn plan(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
    OptionalJson(body): OptionalJson<UpgradeBody>,
) -> Result<Accepted, Problem> {
    let app = app_that_moves(&state, &who, &name).await?;
    let spec = UpgradeSpec {
        app,
        step: UpgradeStep::Plan,
        repository: known(&state, body.repository).await?,
        only: named(body.databases)?,
        jobs: bounded_jobs(body.jobs)?,
        prove: body.prove.into(),
        fence: body.fence,
        no_owner: body.no_owner,
        ..UpgradeSpec::default()
    };
    enqueue(&state, new_job(&state, &who, JobSpec::Upgrade(spec))).await
}

/// Moves an app's databases as they were planned: backs them up, restores and proves them on the new server. The old server
/// is only read, but for the fence that was asked for. A job does it, or nothing where the plan would be another one by then.
#[utoipa::path(post, path = "/apps/{name}/upgrade", params(("name" = String, Path)), request_body = PlannedBody, responses((status = 202, description = "The move is a job now", body = Accepted)))]
async fn run(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Json(body): Json<PlannedBody>,
) -> Result<Accepted, Problem> {
    let app = app_that_moves(&state, &who, &name).await?;
    let shown = shown(&state, &who, &app, &body.plan, false).await?;
    carried_out(
        "upgrade.run",
        "upgrade",
        shown,
        &body,
        &state,
        &who,
        &client,
    )
    .await
}

/// Compares the databases that an upgrade moved on both servers, row by row, by a job.
#[utoipa::path(post, path = "/apps/{name}/upgrade/verify", params(("name" = String, Path)), request_body(content = Option<UpgradeVerifyBody>), responses((status = 202, description = "A job compares", body = Accepted)))]
async fn verify(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
    OptionalJson(body): OptionalJson<UpgradeVerifyBody>,
) -> Result<Accepted, Problem> {
    let spec = UpgradeSpec {
        app: app_that_moves(&state, &who, &name).await?,
        step: UpgradeStep::Verify,
        only: named(body.databases)?,
        jobs: bounded_jobs(body.jobs)?,
        ..UpgradeSpec::default()
    };
    enqueue(&state, new_job(&state, &who, JobSpec::Upgrade(spec))).await
}

/// Plans the way back from an upgrade; a job looks, and changes nothing. It reads the new databases against the backup to
/// tell what would be lost.
#[utoipa::path(post, path = "/apps/{name}/upgrade/rollback/plan", params(("name" = String, Path)), request_body(content = Option<UpgradeRollbackBody>), responses((status = 202, description = "A job plans", body = Accepted)))]
async fn plan_rollback(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
    OptionalJson(body): OptionalJson<UpgradeRollbackBody>,
) -> Result<Accepted, Problem> {
    if body.keep_new && body.force {
        return Err(Problem::invalid(
            "force",
            "nothing is dropped where the new databases are kept",
        ));
    }
    let spec = UpgradeSpec {
        app: app_that_moves(&state, &who, &name).await?,
        rollback: true,
        step: UpgradeStep::Plan,
        repository: known(&state, body.repository).await?,
        only: named(body.databases)?,
        jobs: bounded_jobs(body.jobs)?,
        keep_new: body.keep_new,
        force: body.force,
        ..UpgradeSpec::default()
    };
    enqueue(&state, new_job(&state, &who, JobSpec::Upgrade(spec))).await
}

/// Takes an upgrade back as it was planned: lets the old databases be written to again, and drops those that the upgrade
/// made, which needs the exact phrase. A job does it, or nothing where the plan would be another one by then.
#[utoipa::path(post, path = "/apps/{name}/upgrade/rollback", params(("name" = String, Path)), request_body = PlannedBody, responses((status = 202, description = "The way back is a job now", body = Accepted)))]
async fn rollback(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Json(body): Json<PlannedBody>,
) -> Result<Accepted, Problem> {
    let app = app_that_moves(&state, &who, &name).await?;
    let shown = shown(&state, &who, &app, &body.plan, true).await?;
    let action = "upgrade.rollback";
    carried_out(action, "roll back", shown, &body, &state, &who, &client).await
}

/// Makes what an upgrade made ordinary databases, which no way back drops, by a job.
#[utoipa::path(post, path = "/apps/{name}/upgrade/accept", params(("name" = String, Path)), request_body(content = Option<UpgradeAcceptBody>), responses((status = 202, description = "The acceptance is a job now", body = Accepted)))]
async fn accept(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    OptionalJson(body): OptionalJson<UpgradeAcceptBody>,
) -> Result<Accepted, Problem> {
    let app = app_that_moves(&state, &who, &name).await?;
    let spec = UpgradeSpec {
        app: app.clone(),
        step: UpgradeStep::Accept,
        only: named(body.databases.clone())?,
        ..UpgradeSpec::default()
    };
    let accepted = enqueue(&state, new_job(&state, &who, JobSpec::Upgrade(spec))).await?;
    Act::done("upgrade.accept", format!("app/{app}"))
        .app(Some(&app))
        .reason(body.reason.clone())
        .after(&body)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}

/// The app's name, where the account sees it and its definition names a new server. A move is of the whole of a server, with
/// its roles and the databases of other apps.
async fn app_that_moves(state: &AppState, who: &Principal, name: &Name) -> Result<String, Problem> {
    seen(who, name.as_str(), "app", name.as_str())?;
    sees_everything(who)?;
    let app = state.catalog.app(name.as_str()).await?;
    match app.value.upgrade.to {
        Some(_) => Ok(app.name),
        None => Err(no_new_server(&app.name).into()),
    }
}

async fn known(state: &AppState, repository: Option<String>) -> Result<String, Problem> {
    match repository {
        None => Ok(String::new()),
        Some(name) => Ok(state.catalog.repository(&name).await?.name),
    }
}

fn named(databases: Vec<String>) -> Result<Vec<String>, Problem> {
    bounded("databases", &databases)?;
    Ok(databases)
}

fn bounded_jobs(jobs: Option<u16>) -> Result<Option<u16>, Problem> {
    match jobs {
        Some(jobs) if !(1..=256).contains(&jobs) => Err(Problem::invalid("jobs", "1 to 256")),
        jobs => Ok(jobs),
    }
}

/// What of a plan's document counts when it is carried out; the same fields for both ways.
#[derive(Debug, Deserialize)]
struct Facts {
    from: Server,
    to: Server,
    databases: Vec<Database>,
    refusals: Vec<Refusal>,
    /// Databases are dropped.
    #[serde(default)]
    drops: bool,
}

#[derive(Debug, Deserialize)]
struct Server {
    server: String,
}

#[derive(Debug, Deserialize)]
struct Database {
    name: String,
}

/// A plan that was made, and what it asked for.
struct Shown {
    spec: UpgradeSpec,
    planned: PlannedUpgrade<Facts>,
}

/// The plan that this job made, of the move or of the way back.
async fn shown(
    state: &AppState,
    who: &Principal,
    app: &str,
    id: &Id,
    rollback: bool,
) -> Result<Shown, Problem> {
    let job = job_of(state, who, &[JobKind::Upgrade], "plan", id).await?;
    let spec = match job.spec {
        JobSpec::Upgrade(spec)
            if spec.app == app && spec.step == UpgradeStep::Plan && spec.rollback == rollback =>
        {
            spec
        }
        _ => return Err(Problem::invalid("plan", "this job made no plan for that")),
    };
    let result = job.result.filter(|_| job.state == JobState::Succeeded);
    let Some(planned) = result.and_then(|result| serde_json::from_value(result).ok()) else {
        return Err(
            Problem::new(Code::WrongState, format!("job {} has made no plan", job.id))
                .hint("wait for it, or look at a new plan"),
        );
    };
    Ok(Shown { spec, planned })
}

/// Queues what was shown.
async fn carried_out(
    action: &'static str,
    verb: &str,
    shown: Shown,
    body: &PlannedBody,
    state: &AppState,
    who: &Principal,
    client: &Client,
) -> Result<Accepted, Problem> {
    let plan = shown.planned.plan;
    let app = shown.spec.app.clone();
    let object = format!("app/{app}");
    let act = |act: Act| act.app(Some(&app)).reason(body.reason.clone());
    if let Err(problem) = agreed(&plan, verb, body) {
        let why = problem.detail().to_owned();
        act(Act::refused(action, object, why))
            .by(&state.catalog, who, client)
            .await?;
        return Err(problem);
    }
    let spec = UpgradeSpec {
        step: UpgradeStep::Run,
        repository: shown.planned.repository.unwrap_or(shown.spec.repository),
        from: plan.from.server,
        to: plan.to.server,
        databases: plan.databases.into_iter().map(|d| d.name).collect(),
        plan_hash: Some(shown.planned.hash),
        ..shown.spec
    };
    let mut job = new_job(state, who, JobSpec::Upgrade(spec.clone()));
    job.needs_approval = plan.drops && state.settings.auth.two_person_restore;
    let accepted = enqueue(state, job).await?;
    act(Act::done(action, object))
        .after(&spec)
        .by(&state.catalog, who, client)
        .await?;
    Ok(accepted)
}

/// Refuses what cannot be done, and what nobody has confirmed.
fn agreed(plan: &Facts, verb: &str, body: &PlannedBody) -> Result<(), Problem> {
    if let Some(first) = plan.refusals.first() {
        return Err(Problem::new(
            Code::Conflict,
            format!("cannot {verb} as asked: {}", first.message),
        )
        .hint(first.remedy.clone()));
    }
    if plan.drops && body.confirm.as_deref() != Some(PHRASE) {
        return Err(Problem::invalid(
            "confirm",
            format!("this drops databases: it must be exactly \"{PHRASE}\""),
        ));
    }
    Ok(())
}
