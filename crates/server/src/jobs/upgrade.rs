//! Moves to another major and their way back, between the two servers that the app's definition names.
//!
//! A plan is a job of its own, for it may read whole databases. It ends with a hash of what was shown; the job that carries
//! it out plans again, and does nothing where the hash is another one by then.

use super::{
    Done, Failure, Work,
    backup::published_by,
    document,
    restore::{proof_of, refuse},
    rows, usual_jobs,
};
use crate::targets::Machine;
use pgkeep_engine::{
    Context, Error, ErrorCode,
    catalog::Origin,
    upgrade::{
        self, ClusterFacts, RollbackPlan, RollbackRequest, RollbackSummary, UpgradePlan,
        UpgradeReport, UpgradeRequest, UpgradeSummary,
    },
};
use pgkeep_model::{
    app::AppDefinition,
    job::{UpgradeSpec, UpgradeStep},
};
use pgkeep_postgres::connect::ConnectOptions;
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What the job of a plan ends with.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlannedUpgrade<T> {
    /// The document that the command prints with `--dry-run --json`.
    pub plan: T,
    /// Equal for plans that do the same: what only the passing time changes is left out.
    pub hash: String,
    /// Where the backup of a move goes to, or that of a way back lies; absent where nothing says it.
    pub repository: Option<String>,
}

pub(super) fn run(work: &Work<'_>, spec: &UpgradeSpec) -> Result<Done, Failure> {
    match (spec.step, spec.rollback) {
        (UpgradeStep::Plan, false) => plan(work, spec),
        (UpgradeStep::Plan, true) => plan_back(work, spec),
        (UpgradeStep::Run, false) => carry_out(work, spec),
        (UpgradeStep::Run, true) => go_back(work, spec),
        (UpgradeStep::Verify, _) => verify(work, spec),
        (UpgradeStep::Accept, _) => accept(work, spec),
    }
}

/// The new server of an app; only a definition names it.
pub fn new_server(
    machine: &Machine,
    name: &str,
    app: &AppDefinition,
) -> pgkeep_engine::Result<ConnectOptions> {
    match &app.upgrade.to {
        Some(text) => machine.connection(text, &format!("upgrade.to of app {name}")),
        None => Err(no_new_server(name)),
    }
}

/// Says how a server learns where an app moves to.
pub fn no_new_server(name: &str) -> Error {
    Error::invalid(format!(
        "nothing says which server app {name} is to move to"
    ))
    .hint(format!(
        "name it as `to` in [app.{name}.upgrade], and `pgkeep apply` that"
    ))
}

fn old_server(
    machine: &Machine,
    name: &str,
    app: &AppDefinition,
) -> pgkeep_engine::Result<ConnectOptions> {
    match &app.upgrade.from {
        Some(text) => machine.connection(text, &format!("upgrade.from of app {name}")),
        None => machine.admin(name, app),
    }
}

/// The app, its repository and what the engine needs for them.
struct Place {
    app: AppDefinition,
    context: Context,
}

impl Place {
    fn of(work: &Work<'_>, spec: &UpgradeSpec) -> Result<Self, Failure> {
        let app = work.app(&spec.app)?;
        let context = work.context(Some(&app));
        Ok(Self { app, context })
    }

    /// The name of the repository, and the repository.
    fn repository(
        &self,
        work: &Work<'_>,
        spec: &UpgradeSpec,
    ) -> Result<(String, Repository), Failure> {
        let named = Some(spec.repository.as_str()).filter(|name| !name.is_empty());
        let name = work.repository_name(named, &self.app)?;
        let repository = work.open(&name, &self.context)?;
        Ok((name, repository))
    }

    fn jobs(&self, spec: &UpgradeSpec) -> usize {
        (spec.jobs.or(self.app.jobs)).map_or_else(usual_jobs, usize::from)
    }

    fn request(&self, work: &Work<'_>, spec: &UpgradeSpec) -> Result<UpgradeRequest, Failure> {
        let app = &self.app;
        Ok(UpgradeRequest {
            from: old_server(work.machine, &spec.app, app)?,
            to: new_server(work.machine, &spec.app, app)?,
            databases: spec.only.clone(),
            app: spec.app.clone(),
            environment: app.environment.clone().unwrap_or_default(),
            jobs: self.jobs(spec),
            compression_level: app.compression.unwrap_or(1),
            prove: proof_of(spec.prove),
            fence: spec.fence,
            no_owner: spec.no_owner,
            commands: Some(app.commands.clone()).filter(|c| !c.check.is_empty()),
            origin: Origin {
                policy: None,
                job: Some(work.job.id.clone()),
            },
        })
    }

    fn back(
        &self,
        work: &Work<'_>,
        spec: &UpgradeSpec,
        repository: &Repository,
    ) -> Result<RollbackPlan, Failure> {
        let request = RollbackRequest {
            from: old_server(work.machine, &spec.app, &self.app)?,
            to: new_server(work.machine, &spec.app, &self.app)?,
            databases: spec.only.clone(),
            jobs: self.jobs(spec),
            keep_new: spec.keep_new,
            force: spec.force,
        };
        Ok(upgrade::plan_rollback(repository, &request, &self.context)?)
    }
}

fn plan(work: &Work<'_>, spec: &UpgradeSpec) -> Result<Done, Failure> {
    let place = Place::of(work, spec)?;
    let request = place.request(work, spec)?;
    // A plan needs no repository; with one it knows how fast the last restore was.
    let (name, repository) = place.repository(work, spec).ok().unzip();
    let plan = upgrade::plan(repository.as_ref(), &request, &place.context)?;
    work.done(&PlannedUpgrade {
        hash: hash_of(&plan),
        plan: plan.summary,
        repository: name,
    })
}

fn carry_out(work: &Work<'_>, spec: &UpgradeSpec) -> Result<Done, Failure> {
    let place = Place::of(work, spec)?;
    let request = place.request(work, spec)?;
    let (name, repository) = place.repository(work, spec)?;
    let plan = upgrade::plan(Some(&repository), &request, &place.context)?;
    refuse("upgrade", &plan.summary.refusals)?;
    as_shown(spec, &hash_of(&plan))?;
    (work.still_ours)()?;
    let done = upgrade::run(&repository, &plan, &place.context);
    // Its backup stays, whatever became of the rest.
    let listed = list_backup(work, &name, &repository);
    let report = done?;
    listed?;
    match report.succeeded {
        true => work.done(&report),
        false => Ok(found_wrong(&report)),
    }
}

fn list_backup(work: &Work<'_>, name: &str, repository: &Repository) -> Result<(), Failure> {
    let made = published_by(repository, &work.job.id)?;
    let ids: Vec<&str> = made.iter().map(|entry| entry.id.as_str()).collect();
    rows::refresh(work, name, repository, &ids)
}

fn found_wrong(report: &UpgradeReport) -> Done {
    let words = "something was found wrong on the new server; its report says what";
    Done::Found {
        report: document(report),
        failure: Failure::new(ErrorCode::ProofFailed, words),
    }
}

fn verify(work: &Work<'_>, spec: &UpgradeSpec) -> Result<Done, Failure> {
    let place = Place::of(work, spec)?;
    let report = upgrade::verify(&place.request(work, spec)?, &place.context)?;
    if report.equal {
        return work.done(&report);
    }
    Ok(Done::Found {
        report: document(&report),
        failure: Failure::new(ErrorCode::ProofFailed, "the two servers differ"),
    })
}

fn plan_back(work: &Work<'_>, spec: &UpgradeSpec) -> Result<Done, Failure> {
    let place = Place::of(work, spec)?;
    let (name, repository) = place.repository(work, spec)?;
    let plan = place.back(work, spec, &repository)?;
    work.done(&PlannedUpgrade {
        hash: hash_of_the_way_back(&plan.summary),
        plan: plan.summary,
        repository: Some(name),
    })
}

fn go_back(work: &Work<'_>, spec: &UpgradeSpec) -> Result<Done, Failure> {
    let place = Place::of(work, spec)?;
    let (_, repository) = place.repository(work, spec)?;
    let plan = place.back(work, spec, &repository)?;
    refuse("roll back", &plan.summary.refusals)?;
    as_shown(spec, &hash_of_the_way_back(&plan.summary))?;
    (work.still_ours)()?;
    work.done(&upgrade::execute_rollback(&plan, &place.context)?)
}

fn accept(work: &Work<'_>, spec: &UpgradeSpec) -> Result<Done, Failure> {
    let place = Place::of(work, spec)?;
    let to = new_server(work.machine, &spec.app, &place.app)?;
    (work.still_ours)()?;
    let accepted = upgrade::accept(&to, &spec.only, &place.context)?;
    Ok(Done::Succeeded(json!({ "accepted": accepted })))
}

/// Refuses what is not what somebody has seen and agreed to.
fn as_shown(spec: &UpgradeSpec, hash: &str) -> Result<(), Failure> {
    match spec.plan_hash.as_deref() == Some(hash) {
        true => Ok(()),
        false => Err(Failure::new(
            ErrorCode::Refused,
            "it would do something else than the plan that was shown",
        )
        .word("plan_changed")
        .hint("look at a new plan")),
    }
}

fn hash_of(plan: &UpgradePlan) -> String {
    let (summary, request) = (&plan.summary, &plan.request);
    hashed(&json!({
        "servers": servers(&summary.from, &summary.to),
        "databases": databases(summary),
        "new_roles": summary.new_roles,
        "shared_roles": summary.shared_roles,
        "steps": summary.steps,
        "refusals": summary.refusals,
        "no_owner": request.no_owner,
        "prove": request.prove,
    }))
}

/// What becomes of each, without how large and how busy it is just now.
fn databases(summary: &UpgradeSummary) -> Vec<Value> {
    let one =
        |d: &upgrade::DatabaseUpgrade| json!([d.name, d.owner, d.encoding, d.locale, d.extensions]);
    summary.databases.iter().map(one).collect()
}

/// What was written to a new database is lost: that it was must have been shown, but not which row was the last.
fn hash_of_the_way_back(plan: &RollbackSummary) -> String {
    let one = |d: &upgrade::FoundDatabase| {
        let written = d.written.as_ref().map(|written| !written.is_empty());
        json!([d.name, d.backup, d.finished_at, written])
    };
    let refused: Vec<&str> = plan.refusals.iter().map(|r| r.remedy.as_str()).collect();
    hashed(&json!({
        "servers": servers(&plan.from, &plan.to),
        "databases": plan.databases.iter().map(one).collect::<Vec<_>>(),
        "fenced": plan.fenced,
        "roles": plan.roles,
        "drops": plan.drops,
        "refusals": refused,
    }))
}

fn servers(from: &ClusterFacts, to: &ClusterFacts) -> Value {
    let one = |facts: &ClusterFacts| json!([facts.server, facts.version, facts.system_identifier]);
    json!([one(from), one(to)])
}

fn hashed(told: &Value) -> String {
    hex::encode(Sha256::digest(told.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_engine::upgrade::FoundDatabase;

    fn way_back(change: impl FnOnce(&mut RollbackSummary)) -> String {
        let mut plan = RollbackSummary {
            from: ClusterFacts::default(),
            to: ClusterFacts::default(),
            databases: vec![FoundDatabase {
                name: "shop".into(),
                backup: "abc".into(),
                finished_at: jiff::Timestamp::UNIX_EPOCH,
                size_bytes: 1,
                sessions: 0,
                written: Some(vec!["one row".into()]),
            }],
            fenced: vec!["shop".into()],
            roles: Vec::new(),
            steps: Vec::new(),
            refusals: Vec::new(),
            drops: true,
        };
        change(&mut plan);
        hash_of_the_way_back(&plan)
    }

    #[test]
    fn a_way_back_is_another_one_where_something_else_is_lost() {
        let shown = way_back(|_| {});
        let same: [fn(&mut RollbackSummary); 2] = [
            |plan| plan.databases[0].sessions = 3,
            |plan| plan.databases[0].written = Some(vec!["one row".into(), "another".into()]),
        ];
        for change in same {
            assert_eq!(way_back(change), shown);
        }
        let other: [fn(&mut RollbackSummary); 4] = [
            |plan| plan.databases[0].written = Some(Vec::new()),
            |plan| plan.databases[0].written = None,
            |plan| plan.to.system_identifier = "another".into(),
            |plan| plan.fenced.clear(),
        ];
        for change in other {
            assert_ne!(way_back(change), shown);
        }
    }

    #[test]
    fn what_was_not_shown_is_refused() {
        let spec = |hash: Option<&str>| UpgradeSpec {
            plan_hash: hash.map(str::to_owned),
            ..UpgradeSpec::default()
        };
        as_shown(&spec(Some("a")), "a").unwrap();
        for hash in [Some("b"), None] {
            let refused = as_shown(&spec(hash), "a").unwrap_err();
            assert_eq!(refused.to_job_error().code, "plan_changed");
        }
    }
}
