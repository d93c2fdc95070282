//! Letting backups of a repository go, by rule or by name: planned, confirmed by the plan's hash, done by a job.
//!
//! The plan is made from what the repository holds, as `pgkeep forget` makes it where the repository is. It is made again
//! when it is to be carried out, and must remove the same backups then.

use super::accepted::{Accepted, enqueue, new_job};
use super::backups::{Objection, bounded, look, objections};
use super::extract::{BackupId, Json, Name, Path};
use super::policies::KeepBody;
use super::problem::{Code, Problem};
use super::repositories;
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use jiff::tz::TimeZone;
use pgkeep_engine::catalog::ListFilter;
use pgkeep_engine::forget::{self, ForgetRequest};
use pgkeep_model::access::Permission;
use pgkeep_model::job::{ForgetSpec, JobSpec};
use pgkeep_model::retention::ForgetPlan;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("repositories")
        .add(needs(Permission::Delete).streams_out(), routes!(plan))
        .add(
            needs(Permission::Delete)
                .throttle(ThrottleScope::BackupDelete)
                .streams_out()
                .repeatable(),
            routes!(create),
        )
}

/// Which backups go: those that no rule keeps, or those that are named.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct ForgetBody {
    /// Backups to remove by id instead of by rule.
    #[schema(value_type = Vec<String>)]
    backups: Vec<BackupId>,
    /// The rules; a backup stays when any of them wants it.
    #[schema(inline)]
    keep: Option<KeepBody>,
    /// Only backups of this app are considered.
    app: Option<String>,
    /// Only backups with all of these tags are considered.
    tags: Vec<String>,
    /// IANA name of the zone by whose clock days, weeks and months begin; UTC where absent.
    time_zone: Option<String>,
    /// Frees the space afterwards.
    prune: bool,
    /// Also the newest good or newest proven backup of its app, where it is named; needs a reason.
    force: bool,
    /// Why; kept in the audit log.
    reason: Option<String>,
    /// The hash of the plan that was shown: it is refused where other backups would go now.
    plan_hash: Option<String>,
}

impl ForgetBody {
    fn request(&self) -> Result<ForgetRequest, Problem> {
        let keep = match (&self.keep, self.backups.is_empty()) {
            (None, false) => {
                let ids = self.backups.iter().map(|id| id.as_str().to_owned());
                return Ok(ForgetRequest::Named(ids.collect()));
            }
            (Some(_), false) => {
                return Err(Problem::invalid(
                    "backups",
                    "backups by id and rules exclude each other",
                ));
            }
            (None, true) => {
                return Err(Problem::invalid("keep", "nothing says what to forget"));
            }
            (Some(keep), true) => keep.clone(),
        };
        let policy = keep
            .into_rules()
            .map_err(|(field, message)| Problem::invalid(&field, message))?;
        if policy.is_empty() {
            return Err(Problem::invalid("keep", "no rule is set")
                .hint("set at least one: `last`, `daily`, `weekly`, `monthly` or `within`"));
        }
        bounded("tags", &self.tags)?;
        let zone = match &self.time_zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| {
                Problem::invalid("timeZone", "is no known time zone")
                    .hint("names are those of the IANA database: Europe/Berlin, UTC")
            })?,
        };
        Ok(ForgetRequest::Policy {
            policy,
            filter: ListFilter {
                app: self.app.clone(),
                tags: self.tags.clone(),
                ..ListFilter::default()
            },
            zone,
        })
    }
}

/// What would go, and what stays for which reason.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlannedForget {
    /// What `pgkeep forget --dry-run --json` prints as `plan`.
    #[schema(value_type = Object)]
    plan: ForgetPlan,
    /// What speaks against removing those that are named; each must be dealt with, or overruled by `force` where it says so.
    objections: Vec<Objection>,
    /// To be sent as `planHash`.
    hash: String,
}

async fn make_plan(
    state: &AppState,
    who: &Principal,
    repository: &Name,
    body: &ForgetBody,
) -> Result<PlannedForget, Problem> {
    let name = repository.as_str();
    if body.backups.len() > 1_000 {
        return Err(Problem::invalid("backups", "at most 1000"));
    }
    let request = body.request()?;
    repositories::seen(state, who, name).await?;
    // A rule that counts apps which the account does not see would tell of them.
    match (&body.app, &who.apps) {
        (Some(app), _) if !who.sees(app) => return Err(Problem::not_found("app", app)),
        (None, Some(_)) if body.backups.is_empty() => {
            return Err(Problem::invalid("app", "say whose backups are meant"));
        }
        _ => {}
    }
    let mut against = Vec::new();
    for id in &body.backups {
        let row = super::backups::load(state, who, Some(name), id).await?;
        against.extend(objections(state, &row).await?);
    }
    let plan = look(state, name, move |repository, context| {
        forget::plan(repository, &request, context)
    })
    .await?;
    let mut going: Vec<&str> = plan.remove.iter().map(|(id, _)| id.as_str()).collect();
    going.sort_unstable();
    Ok(PlannedForget {
        hash: hex::encode(Sha256::digest(format!("{name} {}", going.join(" ")))),
        plan: own_part(plan, who),
        objections: against,
    })
}

/// Of what stays when backups are named, an account learns only what it sees anyway: nothing of the others is told.
fn own_part(mut plan: ForgetPlan, who: &Principal) -> ForgetPlan {
    if who.apps.is_some() {
        plan.keep.retain(|(_, reasons)| !reasons.is_empty());
    }
    plan
}

/// Tells which backups of a repository would go, by rule or by name, and changes nothing.
#[utoipa::path(post, path = "/repositories/{name}/forget/plan", params(("name" = String, Path)), request_body = ForgetBody, responses((status = 200, description = "What would be done", body = PlannedForget)))]
async fn plan(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
    Json(body): Json<ForgetBody>,
) -> Result<Json<PlannedForget>, Problem> {
    make_plan(&state, &who, &name, &body).await.map(Json)
}

/// Removes backups of a repository, by a job.
#[utoipa::path(post, path = "/repositories/{name}/forget", params(("name" = String, Path)), request_body = ForgetBody, responses((status = 202, description = "The removal is a job now", body = Accepted)))]
async fn create(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Json(body): Json<ForgetBody>,
) -> Result<Accepted, Problem> {
    let planned = make_plan(&state, &who, &name, &body).await?;
    let act = |act: Act| {
        act.app(body.app.as_deref())
            .reason(body.reason.clone())
            .after(&body)
    };
    let object = format!("repository/{name}");
    if let Err(problem) = agreed(&planned, &body) {
        let why = problem.detail().to_owned();
        act(Act::refused("backup.forget", object, why))
            .by(&state.catalog, &who, &client)
            .await?;
        return Err(problem);
    }
    let spec = JobSpec::Forget(ForgetSpec {
        repository: name.as_str().to_owned(),
        backups: planned.plan.remove.into_iter().map(|(id, _)| id).collect(),
        prune: body.prune,
    });
    let mut job = new_job(&state, &who, spec);
    job.app = body.app.clone();
    let accepted = enqueue(&state, job).await?;
    act(Act::done("backup.forget", object))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}

fn agreed(planned: &PlannedForget, body: &ForgetBody) -> Result<(), Problem> {
    if let Some(shown) = &body.plan_hash
        && *shown != planned.hash
    {
        return Err(Problem::new(
            Code::PlanChanged,
            "other backups would go now than in the plan that was shown",
        )
        .hint("look at a new plan"));
    }
    let stands = |objection: &&Objection| !(objection.can_be_forced && body.force);
    if let Some(objection) = planned.objections.iter().find(stands) {
        let problem = Problem::new(Code::Conflict, objection.message.clone());
        return Err(match objection.can_be_forced {
            true => problem.hint("force it, with a reason, where it is really to go"),
            false => problem.hint("leave that backup out"),
        });
    }
    let reason = body.reason.as_deref().unwrap_or_default();
    if body.force && reason.trim().is_empty() {
        return Err(Problem::invalid("reason", "say why, where force is used"));
    }
    Ok(())
}
