//! What an upgrade would do, and what stands in its way.

use super::{
    UpgradeRequest,
    cluster::{self, ClusterFacts},
    examine::{Examination, Offer, Remarks, listed},
};
use crate::{
    Context, Error, Result,
    catalog::{self, ListFilter},
    restore::Refusal,
};
use pgkeep_model::{Phase, evidence::quote_literal};
use pgkeep_postgres::{
    inspect::{self, DatabaseEntry},
    restore::Mark,
    tools::Tools,
    wire::Connection,
};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Bytes of a database that a backup reads in a second, where nothing better is known.
const BACKUP_RATE: u64 = 80 << 20;
/// Bytes of a database that are restored and proven in a second, where nothing better is known.
const RESTORE_RATE: u64 = 25 << 20;

/// An upgrade as it will be carried out.
#[derive(Serialize)]
pub struct UpgradePlan {
    #[serde(flatten)]
    pub summary: UpgradeSummary,
    #[serde(skip)]
    pub request: UpgradeRequest,
}

/// What a user sees of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpgradeSummary {
    pub from: ClusterFacts,
    pub to: ClusterFacts,
    pub databases: Vec<DatabaseUpgrade>,
    /// Roles that will be made on the new server.
    pub new_roles: Vec<String>,
    /// Roles that both servers have; those of the new one are left as they are.
    pub shared_roles: Vec<String>,
    pub bytes: u64,
    /// Free space of the new server's disk, where it can be told.
    pub free_bytes: Option<u64>,
    pub window: Window,
    pub tools: ToolVersions,
    pub steps: Vec<String>,
    pub warnings: Vec<String>,
    /// [`super::run()`] refuses a plan that has any.
    pub refusals: Vec<Refusal>,
}

/// One database that moves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabaseUpgrade {
    pub name: String,
    pub owner: String,
    pub encoding: String,
    pub locale: String,
    pub size_bytes: u64,
    pub tables: u64,
    pub large_objects: u64,
    pub extensions: Vec<ExtensionUpgrade>,
    pub publications: Vec<String>,
    pub subscriptions: Vec<String>,
    pub replication_slots: Vec<String>,
    pub sessions: u64,
}

/// An extension's version on both servers; `None` where the new one does not offer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionUpgrade {
    pub name: String,
    pub from: String,
    pub to: Option<String>,
}

/// How long the app would have to wait, roughly.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Window {
    pub backup_seconds: f64,
    pub restore_seconds: f64,
    /// Bytes of database a second.
    pub restore_rate: u64,
    /// Where the rate is from, in words.
    pub restore_rate_from: String,
}

impl Window {
    pub fn seconds(&self) -> f64 {
        self.backup_seconds + self.restore_seconds
    }

    fn estimate(bytes: u64, measured: Option<(u64, String)>) -> Self {
        let (restore_rate, restore_rate_from) = measured.unwrap_or_else(|| {
            (
                RESTORE_RATE,
                "a usual one, nothing was measured here".into(),
            )
        });
        Self {
            backup_seconds: bytes as f64 / BACKUP_RATE as f64,
            restore_seconds: bytes as f64 / restore_rate.max(1) as f64,
            restore_rate,
            restore_rate_from,
        }
    }
}

/// Versions of the client programs that would be used.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ToolVersions {
    pub dump: String,
    pub restore: String,
}

/// Looks at both servers; changes nothing. With a repository, the rate of the app's last proven restore is used.
pub fn plan(
    repository: Option<&Repository>,
    request: &UpgradeRequest,
    context: &Context,
) -> Result<UpgradePlan> {
    context.progress.phase(Phase::Check, None);
    let mut old = cluster::connect(&request.from, context)?;
    let mut new = cluster::connect(&request.to, context)?;
    let from = ClusterFacts::of(&mut old, &request.from)?;
    let to = ClusterFacts::of(&mut new, &request.to)?;
    let mut remarks = Remarks::default();
    compare_clusters(&from, &to, &mut remarks);
    let tools = find_tools(&from, &to, &mut remarks, context);
    let names = choose(request, &mut old, &mut remarks, context)?;
    let old_dialect = inspect::dialect(&mut old)?;
    let offer = Offer::of(&mut new)?;
    let examination = Examination {
        from: &from,
        to: &to,
        old_dialect: &old_dialect,
        offer: &offer,
    };
    let mut databases = Vec::new();
    for name in &names {
        context.cancel.check()?;
        if inspect::database_exists(&mut new, name)? {
            remarks.refuse(
                format!("database {name} exists already on the new server"),
                "drop it there, `pgkeep upgrade rollback` if an earlier upgrade made it, or leave it out with --database",
            );
        }
        let options = request.from.with_dbname(name);
        databases.push(examination.run(&options, &mut new, &mut remarks, context)?);
    }
    let (new_roles, shared_roles) = compare_roles(&mut old, &mut new, &mut remarks)?;
    compare_settings(&mut old, &mut new, &names, &mut remarks)?;
    look_at_preloaded(&mut old, &mut new, &mut remarks)?;
    look_at_rights(&mut new, &to, &mut remarks)?;
    let bytes = databases.iter().map(|d| d.size_bytes).sum();
    let free_bytes = cluster::free_bytes(&mut new, &request.to);
    check_space(bytes, free_bytes, &mut remarks);
    if !request.fence {
        let sessions: u64 = databases.iter().map(|d| d.sessions).sum();
        remarks.warn(format!(
            "what is written to the old server after the backup's snapshot is not on the new one ({} there now); stop the app first, or use --fence",
            crate::counted(sessions as usize, "session")
        ));
    }
    let measured = repository.and_then(|repository| measured_rate(repository, &request.app));
    let summary = UpgradeSummary {
        steps: steps(request, &from, &to, &databases),
        window: Window::estimate(bytes, measured),
        from,
        to,
        databases,
        new_roles,
        shared_roles,
        bytes,
        free_bytes,
        tools,
        warnings: remarks.warnings,
        refusals: remarks.refusals,
    };
    Ok(UpgradePlan {
        summary,
        request: request.clone(),
    })
}

fn compare_clusters(from: &ClusterFacts, to: &ClusterFacts, remarks: &mut Remarks) {
    let same = !from.system_identifier.is_empty() && from.system_identifier == to.system_identifier;
    if same {
        remarks.refuse(
            format!(
                "{} and {} are one and the same server",
                from.server, to.server
            ),
            "give the new server's address with --to",
        );
    }
    if to.major < from.major {
        remarks.refuse(
            format!(
                "the new server is PostgreSQL {}, the old one {}",
                to.major, from.major
            ),
            "exchange --from and --to, or install a newer server",
        );
    }
    if to.major == from.major && !same {
        remarks.warn(format!(
            "both servers are PostgreSQL {}: this is a move, not an upgrade",
            to.major
        ));
    }
    if to.in_recovery {
        remarks.refuse(
            "the new server is a standby, which takes no writes",
            "give its primary with --to",
        );
    }
    if from.in_recovery {
        remarks.warn(
            "the old server is a standby: what its primary has not sent yet is not in the backup",
        );
    }
    if !to.superuser {
        remarks.warn("the role on the new server is no superuser: roles with more rights than its own, and some extensions, cannot be made by it");
    }
    if from.data_checksums && !to.data_checksums {
        remarks.warn("the old server has data checksums and the new one has not: initdb --data-checksums makes a server with them");
    }
}

fn find_tools(
    from: &ClusterFacts,
    to: &ClusterFacts,
    remarks: &mut Remarks,
    context: &Context,
) -> ToolVersions {
    let mut version = |found: pgkeep_postgres::Result<Tools>| match found {
        Ok(tools) => tools.version().to_owned(),
        Err(e) => {
            let e = Error::from(e);
            remarks.refuse(e.message, e.hint.unwrap_or_default());
            String::new()
        }
    };
    ToolVersions {
        dump: version(Tools::for_dump(from.major, &context.tool_dirs)),
        restore: version(Tools::find(to.major, &context.tool_dirs)),
    }
}

/// The databases that move: those named, or all that are not templates, not pgkeep's own left-overs, and hold something.
fn choose(
    request: &UpgradeRequest,
    old: &mut Connection,
    remarks: &mut Remarks,
    context: &Context,
) -> Result<Vec<String>> {
    let all = inspect::databases(old)?;
    if !request.databases.is_empty() {
        for name in &request.databases {
            if !all.iter().any(|d| d.name == *name) {
                return Err(
                    Error::not_found(format!("the old server has no database {name}")).hint(
                        format!(
                            "it has {}",
                            listed(&all.iter().map(|d| d.name.clone()).collect::<Vec<_>>())
                        ),
                    ),
                );
            }
        }
        return Ok(request.databases.clone());
    }
    let mut chosen = Vec::new();
    for database in all.iter().filter(|d| !d.is_template) {
        if is_left_over(database) {
            remarks.warn(format!(
                "database {} was left by a restore and stays behind; `pgkeep undo --list` shows it",
                database.name
            ));
        } else if !database.allow_connections || !database.may_connect {
            remarks.refuse(
                format!("database {} lets nobody in", database.name),
                "allow it with ALTER DATABASE … ALLOW_CONNECTIONS true, or choose the others with --database",
            );
        } else if database.name == "postgres" {
            let mut inside = cluster::connect(&request.from.with_dbname("postgres"), context)?;
            if inspect::relations(&mut inside)?
                .iter()
                .any(|r| r.extension.is_none())
            {
                remarks.warn("database postgres holds tables, and every server has one of that name: it stays behind; move it with `pgkeep restore --in-place`");
            }
        } else {
            chosen.push(database.name.clone());
        }
    }
    if chosen.is_empty() {
        remarks.refuse(
            "the old server has no database to move",
            "name one with --database, or look at the address given with --from",
        );
    }
    Ok(chosen)
}

fn is_left_over(database: &DatabaseEntry) -> bool {
    let mark = database.comment.as_deref().and_then(Mark::parse);
    matches!(mark, Some(Mark::Kept { .. } | Mark::Restoring { .. }))
}

fn compare_roles(
    old: &mut Connection,
    new: &mut Connection,
    remarks: &mut Remarks,
) -> Result<(Vec<String>, Vec<String>)> {
    let names = |connection: &mut Connection| -> Result<BTreeSet<String>> {
        let roles = inspect::roles(connection)?;
        let own = roles
            .into_iter()
            .map(|r| r.name)
            .filter(|n| !n.starts_with("pg_"));
        Ok(own.collect())
    };
    let (there, here) = (names(old)?, names(new)?);
    let shared: Vec<String> = there.intersection(&here).cloned().collect();
    let changed: Vec<String> = shared
        .iter()
        .filter(|name| name.as_str() != "postgres")
        .cloned()
        .collect();
    if !changed.is_empty() {
        remarks.warn(format!(
            "roles that the new server has already are left as they are, passwords and rights included: {}",
            listed(&changed)
        ));
    }
    Ok((there.difference(&here).cloned().collect(), shared))
}

fn compare_settings(
    old: &mut Connection,
    new: &mut Connection,
    names: &[String],
    remarks: &mut Remarks,
) -> Result<()> {
    let (there, here) = (inspect::settings(old)?, inspect::settings(new)?);
    let gone: Vec<String> = there
        .iter()
        .filter(|(name, s)| s.chosen && !here.contains_key(*name) && !name.contains('.'))
        .map(|(name, _)| name.clone())
        .collect();
    if !gone.is_empty() {
        remarks.warn(format!(
            "settings of the old server that PostgreSQL no longer has: {}",
            listed(&gone)
        ));
    }
    let changed = inspect::changed_settings(&there, &here);
    if !changed.is_empty() {
        remarks.warn(format!(
            "configuration files do not move, and these settings differ: {}; pg_hba.conf does not move either",
            changed.join(", ")
        ));
    }
    let mut stored = inspect::stored_settings(old)?;
    stored.retain(|s| s.database.is_empty() || names.contains(&s.database));
    for (setting, why) in inspect::refused_values(new, &stored)? {
        remarks.warn(format!(
            "the setting {} of {} will be left out: {why}",
            setting.name,
            setting.place()
        ));
    }
    Ok(())
}

/// Extensions that work only when their library is loaded at the server's start.
fn look_at_preloaded(
    old: &mut Connection,
    new: &mut Connection,
    remarks: &mut Remarks,
) -> Result<()> {
    let libraries = |connection: &mut Connection| -> Result<BTreeSet<String>> {
        let list = connection
            .query_value("SELECT pg_catalog.current_setting('shared_preload_libraries', true)")?
            .unwrap_or_default();
        Ok(list
            .split(',')
            .map(|name| name.trim().trim_matches('"').to_owned())
            .filter(|name| !name.is_empty())
            .collect())
    };
    let (there, here) = (libraries(old)?, libraries(new)?);
    let lacking: Vec<String> = there.difference(&here).cloned().collect();
    if !lacking.is_empty() {
        remarks.warn(format!(
            "the new server does not load {}: add it to shared_preload_libraries there and start it again",
            lacking.join(", ")
        ));
    }
    Ok(())
}

fn look_at_rights(new: &mut Connection, to: &ClusterFacts, remarks: &mut Remarks) -> Result<()> {
    let user = inspect::current_user(new)?;
    if !user.create_db {
        remarks.refuse(
            format!(
                "role {} may not create databases on the new server",
                user.name
            ),
            format!(
                "ALTER ROLE {} CREATEDB, or give another role with --to",
                user.name
            ),
        );
    }
    let read_only = new.query_value(&format!(
        "SELECT pg_catalog.current_setting({})",
        quote_literal("default_transaction_read_only")
    ))?;
    if read_only.as_deref() == Some("on") {
        remarks.refuse(
            format!("{} is set to read-only", to.server),
            "reset default_transaction_read_only there",
        );
    }
    Ok(())
}

fn check_space(bytes: u64, free: Option<u64>, remarks: &mut Remarks) {
    let Some(free) = free else {
        remarks.warn("how much room the new server's disk has cannot be told from here");
        return;
    };
    let mib = |n: u64| n >> 20;
    if free < bytes {
        remarks.refuse(
            format!(
                "the new server's disk has {} MiB free, the databases take {} MiB",
                mib(free),
                mib(bytes)
            ),
            "make room there",
        );
    } else if free < bytes + bytes / 2 {
        remarks.warn(format!(
            "the new server's disk has {} MiB free for databases of {} MiB: building indexes takes room as well",
            mib(free),
            mib(bytes)
        ));
    }
}

/// What the newest proven restore of the app's backups reached.
fn measured_rate(repository: &Repository, app: &str) -> Option<(u64, String)> {
    let filter = ListFilter {
        app: Some(app.to_owned()),
        ..ListFilter::default()
    };
    let backups = catalog::list(repository, &filter).ok()?;
    let proven = backups
        .into_iter()
        .filter(|b| b.validity.proven_seconds.is_some_and(|s| s > 0.0))
        .max_by_key(|b| b.validity.proven_at)?;
    let bytes = catalog::manifest(repository, &proven).ok()?.bytes();
    let rate = bytes as f64 / proven.validity.proven_seconds?;
    Some((
        rate as u64,
        format!("measured when backup {} was proven", proven.short_id()),
    ))
}

fn steps(
    request: &UpgradeRequest,
    from: &ClusterFacts,
    to: &ClusterFacts,
    databases: &[DatabaseUpgrade],
) -> Vec<String> {
    let count = crate::counted(databases.len(), "database");
    let mut steps = Vec::new();
    if request.fence {
        steps.push(format!(
            "make {count} of the old server read-only and end their sessions"
        ));
    }
    steps.push(format!(
        "back up {count} of PostgreSQL {} with roles and tablespaces",
        from.major
    ));
    steps.push("make the roles that the new server does not have".into());
    steps.push(format!(
        "restore {count} into PostgreSQL {} and gather statistics",
        to.major
    ));
    steps.push("prove: every row count and content hash, sequences and large objects against the backup's evidence".into());
    steps.push(
        "update extensions, look at indexes and tables with amcheck where it is there".into(),
    );
    if request
        .commands
        .as_ref()
        .is_some_and(|c| !c.check.is_empty())
    {
        steps.push("run the app's check commands against each new database".into());
    }
    steps.push("mark the new databases, so that `pgkeep upgrade rollback` knows them; the old server stays as it is".into());
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_made_of_what_was_measured() {
        let usual = Window::estimate(RESTORE_RATE * 10, None);
        assert!((usual.restore_seconds - 10.0).abs() < 0.01);
        let measured = Window::estimate(1_000_000, Some((100_000, "a drill".into())));
        assert!((measured.restore_seconds - 10.0).abs() < 0.01);
        assert!(measured.seconds() > measured.restore_seconds);
    }
}
