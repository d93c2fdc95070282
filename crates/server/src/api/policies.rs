//! Policies: which app is backed up how, when, where to, and what is kept.

mod body;

pub use body::{KeepBody, Policy, PolicyBody, ScheduleBody};

use super::accepted::{Accepted, enqueue};
use super::apps::exists;
use super::definitions::{By, Put, PutQuery, app_in_field, seen, wrong_fields};
use super::etag::{Expected, Tagged};
use super::extract::{Json, Name, OptionalJson, Path, Query};
use super::folders::may_export_to;
use super::paging::PageOf;
use super::problem::{Code, Problem};
use super::repositories::known_in_field;
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::{Client, request_id};
use crate::scheduler;
use crate::state::AppState;
use axum::http::StatusCode;
use jiff::Timestamp;
use pgkeep_catalog::Stored;
use pgkeep_model::access::Permission;
use pgkeep_model::job::Trigger;
use pgkeep_model::policy as model;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("policies")
        .add(needs(Permission::View), routes!(list))
        .add(needs(Permission::View), routes!(get))
        .add(needs(Permission::EditPolicies).edits(), routes!(put))
        .add(needs(Permission::EditPolicies).edits(), routes!(delete))
        .add(needs(Permission::EditPolicies).edits(), routes!(enable))
        .add(needs(Permission::EditPolicies).edits(), routes!(disable))
        .add(
            needs(Permission::EditPolicies).repeatable(),
            routes!(defaults),
        )
        .add(needs(Permission::View), routes!(preview))
        .add(needs(Permission::View), routes!(next))
        .add(needs(Permission::View), routes!(cleanup_plan))
        .add(needs(Permission::Operate).repeatable(), routes!(run_now))
        .add(needs(Permission::Delete).repeatable(), routes!(cleanup))
}

/// Which policies are listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Of this app only.
    #[param(nullable = false)]
    app: Option<String>,
}

/// Lists the policies.
#[utoipa::path(get, path = "/policies", params(ListQuery), responses((status = 200, description = "All policies of apps that the account sees", body = PageOf<Policy>)))]
async fn list(
    state: AppState,
    who: Principal,
    Query(query): Query<ListQuery>,
) -> Result<Json<PageOf<Policy>>, Problem> {
    let now = state.catalog.now();
    let policies = state.catalog.policies().await?;
    let items = policies
        .iter()
        .filter(|policy| who.sees(&policy.value.app))
        .filter(|policy| {
            query
                .app
                .as_ref()
                .is_none_or(|app| *app == policy.value.app)
        })
        .map(|policy| Policy::of(policy, now))
        .collect();
    Ok(Json(PageOf::whole(items)))
}

/// The policy, if the account sees its app.
async fn load(
    state: &AppState,
    who: &Principal,
    name: &Name,
) -> Result<Stored<model::Policy>, Problem> {
    let stored = state.catalog.policy(name.as_str()).await?;
    seen(who, &stored.value.app, "policy", name.as_str())?;
    Ok(stored)
}

/// Shows a policy.
#[utoipa::path(get, path = "/policies/{name}", params(("name" = String, Path)), responses((status = 200, description = "The policy", body = Policy)))]
async fn get(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
) -> Result<Tagged<Policy>, Problem> {
    let stored = load(&state, &who, &name).await?;
    Ok(tagged(&state, &stored))
}

fn tagged(state: &AppState, stored: &Stored<model::Policy>) -> Tagged<Policy> {
    Tagged::ok(stored.revision, Policy::of(stored, state.catalog.now()))
}

/// Makes or changes a policy.
#[utoipa::path(put, path = "/policies/{name}", params(("name" = String, Path), PutQuery), request_body = PolicyBody, responses(
    (status = 200, description = "Changed", body = Policy),
    (status = 201, description = "Made", body = Policy),
))]
async fn put(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Query(query): Query<PutQuery>,
    expected: Expected,
    Json(body): Json<PolicyBody>,
) -> Result<Tagged<Policy>, Problem> {
    let put = Put::begin(state.catalog.policy(name.as_str()).await, &query, expected)?;
    if let Some(before) = put.before() {
        seen(&who, &before.app, "policy", name.as_str())?;
    }
    let policy = read(body, name.as_str())?;
    if !who.sees(&policy.app) {
        wrong_fields(vec![(
            "app".into(),
            format!("there is no app '{}'", policy.app),
        )])?;
    }
    check(&state, &policy).await?;
    within(&state, &who, put.before(), &policy).await?;
    let by = By {
        state: &state,
        who: &who,
        client: &client,
    };
    store(put, policy, &by).await
}

/// Where the policy writes to, as far as it is not written there already, is a place that the account may choose.
async fn within(
    state: &AppState,
    who: &Principal,
    before: Option<&model::Policy>,
    policy: &model::Policy,
) -> Result<(), Problem> {
    let stored = before.map_or(&[][..], |before| &before.repositories[..]);
    let named = policy.repositories.iter();
    for name in named.filter(|name| !stored.contains(name)) {
        known_in_field(state, who, "repositories", name).await?;
    }
    match &policy.export_to {
        Some(to) if before.and_then(|before| before.export_to.as_ref()) != Some(to) => {
            may_export_to("exportTo", to, who, &state.settings.places)
        }
        _ => Ok(()),
    }
}

/// The policy of the domain, with everything in order that can be seen without the catalog.
fn read(body: PolicyBody, name: &str) -> Result<model::Policy, Problem> {
    let policy = match body.into_policy(name) {
        Ok(policy) => policy,
        Err(wrong) => return Err(wrong_fields(vec![wrong]).expect_err("one field is wrong")),
    };
    match policy.validate() {
        Ok(()) => Ok(policy),
        Err(errors) => {
            let fields = errors
                .into_iter()
                .map(|error| (camel_case(&error.field), error.message))
                .collect();
            wrong_fields(fields).map(|()| policy)
        }
    }
}

/// `retention.max_backups` as the API writes it.
fn camel_case(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut upper = false;
    for c in field.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.extend(c.to_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

/// Whether everything that the policy names is there.
async fn check(state: &AppState, policy: &model::Policy) -> Result<(), Problem> {
    let mut wrong = Vec::new();
    match state.catalog.app(&policy.app).await {
        Ok(app) if policy.kind == model::PolicyKind::Files && app.value.files.is_empty() => wrong
            .push((
                "kind".into(),
                format!("is \"files\", but app '{}' has no file trees", policy.app),
            )),
        app => {
            if !exists(app)? {
                wrong.push(("app".into(), format!("there is no app '{}'", policy.app)));
            }
        }
    }
    for name in &policy.repositories {
        if !exists(state.catalog.repository(name).await)? {
            wrong.push((
                "repositories".into(),
                format!("there is no repository '{name}'"),
            ));
        }
    }
    for name in &policy.notify {
        if !exists(state.catalog.target(name).await)? {
            wrong.push((
                "notify".into(),
                format!("there is no notification target '{name}'"),
            ));
        }
    }
    wrong_fields(wrong)
}

async fn store(
    put: Put<model::Policy>,
    policy: model::Policy,
    by: &By<'_>,
) -> Result<Tagged<Policy>, Problem> {
    let catalog = &by.state.catalog;
    let stored = catalog
        .put_policy(&policy.name, &policy, put.managed_by, put.revision)
        .await?;
    by.state.schedule.notify_one();
    let act = Act::done("policy.put", format!("policy/{}", policy.name)).app(Some(&policy.app));
    let answer = Policy::of(&stored, catalog.now());
    put.done(act, &stored, by, |policy| PolicyBody::from(policy), answer)
        .await
}

/// Removes a policy. The backups that it made stay, and nothing removes them by rule any more.
#[utoipa::path(delete, path = "/policies/{name}", params(("name" = String, Path)), responses((status = 204, description = "Removed")))]
async fn delete(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    expected: Expected,
) -> Result<StatusCode, Problem> {
    let before = load(&state, &who, &name).await?;
    state
        .catalog
        .delete_policy(name.as_str(), expected.revision())
        .await?;
    Act::done("policy.delete", format!("policy/{name}"))
        .app(Some(&before.value.app))
        .before(PolicyBody::from(&before.value))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn switch(
    state: &AppState,
    who: &Principal,
    client: Client,
    name: &Name,
    expected: Expected,
    enabled: bool,
) -> Result<Tagged<Policy>, Problem> {
    let before = load(state, who, name).await?;
    if let Some(revision) = expected.revision()
        && revision != before.revision
    {
        return Err(Problem::new(
            Code::PreconditionFailed,
            format!("policy {name} was changed by somebody else in the meantime"),
        ));
    }
    if before.value.enabled == enabled {
        return Ok(tagged(state, &before));
    }
    let mut policy = before.value.clone();
    policy.enabled = enabled;
    let by = By {
        state,
        who,
        client: &client,
    };
    store(Put::change(before), policy, &by).await
}

/// Lets a policy run by its schedule.
#[utoipa::path(post, path = "/policies/{name}/enable", params(("name" = String, Path)), responses((status = 200, description = "The policy is on", body = Policy)))]
async fn enable(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    expected: Expected,
) -> Result<Tagged<Policy>, Problem> {
    switch(&state, &who, client, &name, expected, true).await
}

/// Keeps a policy from running by its schedule.
#[utoipa::path(post, path = "/policies/{name}/disable", params(("name" = String, Path)), responses((status = 200, description = "The policy is off", body = Policy)))]
async fn disable(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    expected: Expected,
) -> Result<Tagged<Policy>, Problem> {
    switch(&state, &who, client, &name, expected, false).await
}

/// For which app the ready policies are made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DefaultsBody {
    app: String,
    /// Only shows them.
    #[serde(default)]
    #[schema(default = false)]
    dry_run: bool,
}

/// A ready policy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReadyPolicy {
    name: String,
    definition: PolicyBody,
    /// False where one of this name is there already and stays as it is.
    made: bool,
}

/// Makes the five ready policies of an app: daily, weekly, monthly, hourly (off) and before deployments.
#[utoipa::path(post, path = "/policies/defaults", request_body = DefaultsBody, responses((status = 200, description = "The ready policies", body = PageOf<ReadyPolicy>)))]
async fn defaults(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<DefaultsBody>,
) -> Result<Json<PageOf<ReadyPolicy>>, Problem> {
    app_in_field(&state, &who, &body.app).await?;
    let there = state.catalog.policies().await?;
    // Only those of other apps are in the way: those of this app are the ones that were made before.
    let taken = |name: &str| {
        there
            .iter()
            .any(|policy| policy.name == name && policy.value.app != body.app)
    };
    let by = By {
        state: &state,
        who: &who,
        client: &client,
    };
    let mut items = Vec::new();
    for policy in model::defaults(&body.app, taken) {
        let is_there = there.iter().any(|stored| stored.name == policy.name);
        let made = !is_there && !body.dry_run;
        let name = policy.name.clone();
        let definition = PolicyBody::from(&policy);
        if made {
            store(Put::fresh(), policy, &by).await?;
        }
        items.push(ReadyPolicy {
            name,
            definition,
            made,
        });
    }
    Ok(Json(PageOf::whole(items)))
}

/// How many runs are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct NextQuery {
    /// 1 to 100, 10 where absent.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    count: Option<u32>,
}

impl NextQuery {
    fn count(&self) -> Result<usize, Problem> {
        match self.count.unwrap_or(10) {
            count @ 1..=100 => Ok(count as usize),
            count => Err(Problem::new(
                Code::InvalidRequest,
                format!("count: {count} is not between 1 and 100"),
            )),
        }
    }
}

/// The coming runs of a schedule.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComingRuns {
    /// The schedule in words.
    pub words: String,
    pub time_zone: String,
    /// False of a policy that is off: these are the runs that it would make.
    pub enabled: bool,
    pub runs: Vec<ComingRun>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComingRun {
    /// By which the run is known.
    pub scheduled: Timestamp,
    /// When it is to start: scheduled and the jitter.
    pub start: Timestamp,
    /// The start in the schedule's time zone.
    pub local: String,
}

fn coming(policy: &model::Policy, count: usize, now: Timestamp) -> Result<ComingRuns, Problem> {
    let runs = policy.runs().map_err(|error| {
        Problem::invalid(
            &format!("schedule.{}", camel_case(error.field)),
            error.message,
        )
    })?;
    let zone = runs.time_zone().clone();
    Ok(ComingRuns {
        words: runs.describe().to_string(),
        time_zone: zone.iana_name().unwrap_or("UTC").to_string(),
        enabled: policy.enabled,
        runs: runs
            .next(count, now)
            .into_iter()
            .map(|run| ComingRun {
                scheduled: run.scheduled,
                start: run.start,
                local: run
                    .start
                    .to_zoned(zone.clone())
                    .strftime("%a %Y-%m-%d %H:%M %Z")
                    .to_string(),
            })
            .collect(),
    })
}

/// Tells the next runs of a policy.
#[utoipa::path(get, path = "/policies/{name}/next", params(("name" = String, Path), NextQuery), responses((status = 200, description = "The coming runs", body = ComingRuns)))]
async fn next(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
    Query(query): Query<NextQuery>,
) -> Result<Json<ComingRuns>, Problem> {
    let count = query.count()?;
    let stored = load(&state, &who, &name).await?;
    coming(&stored.value, count, state.catalog.now()).map(Json)
}

/// Tells the runs that a policy would make which is not stored.
#[utoipa::path(post, path = "/policies/preview", params(NextQuery), request_body = PolicyBody, responses((status = 200, description = "The coming runs", body = ComingRuns)))]
async fn preview(
    state: AppState,
    Query(query): Query<NextQuery>,
    Json(body): Json<PolicyBody>,
) -> Result<Json<ComingRuns>, Problem> {
    let count = query.count()?;
    let policy = read(body, "preview")?;
    coming(&policy, count, state.catalog.now()).map(Json)
}

/// Runs a policy now: one job for each of its repositories.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRun {
    #[serde(flatten)]
    pub accepted: Accepted,
    /// All jobs of the run; the first is `jobId`.
    pub jobs: Vec<Accepted>,
}

/// Runs a policy now, whatever its schedule says; also one that is off.
#[utoipa::path(post, path = "/policies/{name}/run-now", params(("name" = String, Path)), responses((status = 202, description = "Jobs run it", body = PolicyRun)))]
async fn run_now(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
) -> Result<(StatusCode, Json<PolicyRun>), Problem> {
    let stored = load(&state, &who, &name).await?;
    let now = state.catalog.now();
    let limits = &state.settings.work.limits;
    let label = who.label();
    let mut jobs = Vec::new();
    for mut job in scheduler::jobs_of_policy(&stored.value, now, Trigger::Api, &label, limits) {
        job.correlation = request_id::current();
        jobs.push(enqueue(&state, job).await?);
    }
    Act::done("policy.run", format!("policy/{name}"))
        .app(Some(&stored.value.app))
        .by(&state.catalog, &who, &client)
        .await?;
    let accepted = jobs
        .first()
        .cloned()
        .ok_or_else(|| Problem::internal("a policy without a repository has no job"))?;
    Ok((StatusCode::ACCEPTED, Json(PolicyRun { accepted, jobs })))
}

/// What retention would do in one repository.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanupPlan {
    pub repository: String,
    pub keep: Vec<KeptBackup>,
    pub remove: Vec<RemovedBackup>,
    /// Why nothing is removed at present although the rules say so.
    pub held: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptBackup {
    pub id: String,
    pub time: Timestamp,
    pub reasons: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemovedBackup {
    pub id: String,
    pub time: Timestamp,
    pub why: String,
}

/// Shows what a policy's retention would remove now, and why.
#[utoipa::path(get, path = "/policies/{name}/cleanup", params(("name" = String, Path)), responses((status = 200, description = "One plan for each repository", body = PageOf<CleanupPlan>)))]
async fn cleanup_plan(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
) -> Result<Json<PageOf<CleanupPlan>>, Problem> {
    let stored = load(&state, &who, &name).await?;
    let plans = scheduler::retention::preview(&state.catalog, &stored.value).await?;
    let plans = plans
        .into_iter()
        .map(|plan| CleanupPlan {
            repository: plan.repository,
            keep: plan
                .keep
                .into_iter()
                .map(|kept| KeptBackup {
                    id: kept.id,
                    time: kept.time,
                    reasons: kept.reasons,
                })
                .collect(),
            remove: plan
                .remove
                .into_iter()
                .map(|removed| RemovedBackup {
                    id: removed.id,
                    time: removed.time,
                    why: removed.why,
                })
                .collect(),
            held: plan.held,
        })
        .collect();
    Ok(Json(PageOf::whole(plans)))
}

/// Whether a cleanup removes anything.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct CleanupBody {
    /// Plans from the repositories themselves, and removes nothing.
    dry_run: bool,
}

/// Applies a policy's retention now.
#[utoipa::path(post, path = "/policies/{name}/cleanup", params(("name" = String, Path)), request_body(content = Option<CleanupBody>), responses((status = 202, description = "A job cleans up", body = Accepted)))]
async fn cleanup(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    OptionalJson(body): OptionalJson<CleanupBody>,
) -> Result<Accepted, Problem> {
    let stored = load(&state, &who, &name).await?;
    let mut job = scheduler::retention::cleanup_job(
        &stored.value,
        body.dry_run,
        Trigger::Api,
        &who.label(),
        state.catalog.now(),
        &state.settings.work.limits,
    );
    job.correlation = request_id::current();
    let accepted = enqueue(&state, job).await?;
    Act::done("policy.cleanup", format!("policy/{name}"))
        .app(Some(&stored.value.app))
        .after(body)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}
