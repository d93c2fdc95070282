//! Taking an upgrade back: the old databases are let be written to again, and those that the upgrade made are dropped.
//!
//! The old server holds everything that was there when the backup was taken, so what a rollback loses is what was written
//! to the new server since. That is found out by reading the new databases against the backup's evidence, and told by name;
//! a database that was written to is dropped only when that is asked for expressly. Last go the roles that the upgrade made
//! and nothing else uses.

use super::{
    ClusterFacts, cluster,
    roles::{self, FoundRole},
    run::schema_of,
};
use crate::{
    Context, Error, Result,
    catalog::{self, ListFilter},
    restore::Refusal,
};
use jiff::Timestamp;
use pgkeep_model::{
    Phase,
    evidence::{self, Proof},
};
use pgkeep_postgres::{
    connect::ConnectOptions,
    inspect, prove, read_only,
    restore::{self as pg, Mark, MarkedDatabase},
    tools::Tools,
    wire::Connection,
};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};

/// Which upgrade to take back.
#[derive(Clone)]
pub struct RollbackRequest {
    pub from: ConnectOptions,
    pub to: ConnectOptions,
    /// Empty for all that the upgrade made.
    pub databases: Vec<String>,
    pub jobs: usize,
    /// Only lift the fence: the new databases stay.
    pub keep_new: bool,
    /// Drop databases that were written to as well.
    pub force: bool,
}

/// A rollback as it will be carried out.
pub struct RollbackPlan {
    pub summary: RollbackSummary,
    request: RollbackRequest,
    /// The databases of the summary, as they are known again.
    marked: Vec<MarkedDatabase>,
}

/// What a user sees of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RollbackSummary {
    pub from: ClusterFacts,
    pub to: ClusterFacts,
    /// Databases of the new server that the upgrade made.
    pub databases: Vec<FoundDatabase>,
    /// Databases of the old server that are read-only by pgkeep's fence.
    pub fenced: Vec<String>,
    /// Roles of the new server that the upgrade made.
    pub roles: Vec<FoundRole>,
    pub steps: Vec<String>,
    pub refusals: Vec<Refusal>,
    /// True when databases are dropped, for which the phrase is needed.
    pub drops: bool,
}

/// A database that an upgrade made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundDatabase {
    pub name: String,
    pub backup: String,
    pub finished_at: Timestamp,
    pub size_bytes: u64,
    pub sessions: u64,
    /// What was written since, by name; `None` when that cannot be told.
    pub written: Option<Vec<String>>,
}

/// What a rollback did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackReport {
    pub dropped: Vec<String>,
    /// Databases that changed between plan and execution, and stay.
    pub left: Vec<String>,
    pub roles_dropped: Vec<String>,
    /// Roles that stay because something uses them.
    pub roles_left: Vec<FoundRole>,
    /// Databases of the old server that can be written to again.
    pub unfenced: Vec<String>,
    pub next: String,
}

/// Looks at both servers; changes nothing.
pub fn plan_rollback(
    repository: &Repository,
    request: &RollbackRequest,
    context: &Context,
) -> Result<RollbackPlan> {
    context.progress.phase(Phase::Check, None);
    let mut old = cluster::connect(&request.from, context)?;
    let mut new = cluster::connect(&request.to, context)?;
    let from = ClusterFacts::of(&mut old, &request.from)?;
    let to = ClusterFacts::of(&mut new, &request.to)?;
    let mut databases = Vec::new();
    let mut going = Vec::new();
    let mut refusals = Vec::new();
    for marked in marked(&mut new, &from, &request.databases)? {
        let Mark::Upgraded {
            backup,
            finished_at,
            ..
        } = &marked.mark
        else {
            continue;
        };
        let written = match request.keep_new {
            true => None,
            false => written_since(repository, request, &marked, to.major, context)?,
        };
        if !request.keep_new && !request.force {
            refusals.extend(refusal(&marked.name, written.as_deref()));
        }
        databases.push(FoundDatabase {
            name: marked.name.clone(),
            backup: backup.clone(),
            finished_at: *finished_at,
            size_bytes: marked.size_bytes,
            sessions: marked.sessions,
            written,
        });
        going.push(marked);
    }
    let fenced = fenced(&mut old, &request.databases)?;
    if databases.is_empty() && fenced.is_empty() {
        return Err(Error::not_found(format!(
            "{} has no database that an upgrade from {} made, and nothing there is fenced",
            to.server, from.server
        ))
        .hint("`pgkeep undo --list` shows what else pgkeep left on a server"));
    }
    let roles = match request.keep_new {
        true => Vec::new(),
        false => {
            let names: Vec<String> = databases.iter().map(|d| d.name.clone()).collect();
            roles::look(&mut new, &roles::of_marks(going.iter()), &names)?
        }
    };
    Ok(RollbackPlan {
        summary: RollbackSummary {
            steps: steps(request, &from, &databases, &fenced, &roles),
            roles,
            drops: !request.keep_new && !databases.is_empty(),
            from,
            to,
            databases,
            fenced,
            refusals,
        },
        request: request.clone(),
        marked: going,
    })
}

fn refusal(name: &str, written: Option<&[String]>) -> Option<Refusal> {
    let remedy = "copy what is needed to the old server first; --force drops it all the same, --keep-new leaves it";
    let message = match written {
        Some([]) => return None,
        Some(written) => format!(
            "database {name} was written to since the upgrade: {}",
            super::examine::listed(written)
        ),
        None => format!(
            "whether database {name} was written to since the upgrade cannot be told: its backup is gone"
        ),
    };
    Some(Refusal {
        message,
        remedy: remedy.into(),
    })
}

/// The databases that an upgrade from this old server made and that are still the same ones. Empty names are all.
pub(super) fn marked(
    new: &mut Connection,
    from: &ClusterFacts,
    names: &[String],
) -> Result<Vec<MarkedDatabase>> {
    let oids = inspect::databases(new)?;
    let mut all = pg::list_marked(new)?;
    all.retain(|marked| {
        let Mark::Upgraded { system, oid, .. } = &marked.mark else {
            return false;
        };
        let same = oids.iter().any(|d| d.name == marked.name && d.oid == *oid);
        same && *system == from.system_identifier
            && (names.is_empty() || names.contains(&marked.name))
    });
    Ok(all)
}

fn fenced(old: &mut Connection, names: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for database in inspect::databases(old)? {
        let meant = names.is_empty() || names.contains(&database.name);
        if meant && read_only::is_fenced(old, &database.name)? {
            all.push(database.name);
        }
    }
    Ok(all)
}

fn written_since(
    repository: &Repository,
    request: &RollbackRequest,
    marked: &MarkedDatabase,
    major: u32,
    context: &Context,
) -> Result<Option<Vec<String>>> {
    let Mark::Upgraded {
        backup,
        schema_sha256,
        ..
    } = &marked.mark
    else {
        return Ok(None);
    };
    let Ok(detail) = catalog::show(repository, backup, &ListFilter::default()) else {
        return Ok(None);
    };
    let Some(database) = detail.manifest.database(&marked.name) else {
        return Ok(None);
    };
    let target = request.to.with_dbname(&marked.name);
    let tools = Tools::for_dump(major, &context.tool_dirs)?;
    let found = prove::collect(
        &target,
        database,
        &tools,
        request.jobs,
        Proof::Full,
        &context.cancel,
        &*context.progress,
    )?;
    // Definitions are compared with what they were when the upgrade was done, not with the old server's words for them.
    let mut expected = database.evidence.clone();
    expected.objects.clone_from(&found.objects);
    let mut written: Vec<String> = evidence::compare(&expected, &found, Proof::Full)
        .iter()
        .map(ToString::to_string)
        .collect();
    if schema_of(&target, database, context)? != *schema_sha256 {
        written.push("definitions of objects".into());
    }
    Ok(Some(written))
}

fn steps(
    request: &RollbackRequest,
    from: &ClusterFacts,
    databases: &[FoundDatabase],
    fenced: &[String],
    roles: &[FoundRole],
) -> Vec<String> {
    let mut steps = Vec::new();
    if !fenced.is_empty() {
        steps.push(format!(
            "let {} of the old server be written to again",
            fenced.join(", ")
        ));
    }
    steps.push(format!(
        "point the app at {} (that is yours to do)",
        from.server
    ));
    if !request.keep_new {
        for database in databases {
            let sessions = match database.sessions {
                0 => String::new(),
                n => format!(" and end its {}", crate::counted(n as usize, "session")),
            };
            steps.push(format!(
                "drop {} on the new server{sessions}",
                database.name
            ));
        }
    }
    let going: Vec<&str> = roles
        .iter()
        .filter(|role| role.stays_because.is_none())
        .map(|role| role.name.as_str())
        .collect();
    if !going.is_empty() {
        steps.push(format!(
            "drop what the upgrade made besides, and nothing else uses: {} {}",
            if going.len() == 1 { "role" } else { "roles" },
            going.join(", ")
        ));
    }
    for role in roles {
        if let Some(why) = &role.stays_because {
            steps.push(format!("leave role {}: {why}", role.name));
        }
    }
    steps
}

/// Does what the plan says: the fence first, so that the app can go back while databases are dropped.
pub fn execute_rollback(plan: &RollbackPlan, context: &Context) -> Result<RollbackReport> {
    if let Some(refusal) = plan.summary.refusals.first() {
        return Err(Error::refused(refusal.message.clone()).hint(refusal.remedy.clone()));
    }
    let mut report = RollbackReport {
        dropped: Vec::new(),
        left: Vec::new(),
        roles_dropped: Vec::new(),
        roles_left: Vec::new(),
        unfenced: Vec::new(),
        next: format!("point the app at {}", plan.summary.from.server),
    };
    let mut old = cluster::connect(&plan.request.from, context)?;
    for name in &plan.summary.fenced {
        if read_only::lift(&mut old, name)? {
            report.unfenced.push(name.clone());
        }
    }
    if plan.request.keep_new {
        return Ok(report);
    }
    context.progress.phase(Phase::Cleanup, None);
    for marked in &plan.marked {
        let mut admin = pg::connect_beside(&plan.request.to, &[&marked.name])?;
        match pg::drop_marked(&mut admin, marked)? {
            true => report.dropped.push(marked.name.clone()),
            false => report.left.push(marked.name.clone()),
        }
    }
    drop_unused_roles(plan, &mut report, context)?;
    Ok(report)
}

/// The databases are gone, so what is used now is used by others.
fn drop_unused_roles(
    plan: &RollbackPlan,
    report: &mut RollbackReport,
    context: &Context,
) -> Result<()> {
    let mut new = cluster::connect(&plan.request.to, context)?;
    let made = roles::of_marks(plan.marked.iter());
    let found = roles::look(&mut new, &made, &[])?;
    let (left, going): (Vec<FoundRole>, Vec<FoundRole>) = found
        .into_iter()
        .partition(|role| role.stays_because.is_some());
    let names: Vec<String> = going.into_iter().map(|role| role.name).collect();
    report.roles_left = left;
    report
        .roles_left
        .extend(roles::drop_roles(&mut new, names.clone()));
    report.roles_dropped = names;
    report
        .roles_dropped
        .retain(|name| report.roles_left.iter().all(|left| left.name != *name));
    Ok(())
}

/// Makes what an upgrade made ordinary databases: no rollback knows them any more. Returns their names.
pub fn accept(to: &ConnectOptions, databases: &[String], context: &Context) -> Result<Vec<String>> {
    let mut new = cluster::connect(to, context)?;
    let mut names = Vec::new();
    for marked in pg::list_marked(&mut new)? {
        let meant = databases.is_empty() || databases.contains(&marked.name);
        if meant && matches!(marked.mark, Mark::Upgraded { .. }) {
            pg::unmark_database(to, &marked.name)?;
            names.push(marked.name);
        }
    }
    if names.is_empty() {
        return Err(Error::not_found(format!(
            "{} has no database that an upgrade made",
            to.describe()
        ))
        .hint("`pgkeep upgrade run` makes them; one that was accepted is an ordinary database"));
    }
    Ok(names)
}
