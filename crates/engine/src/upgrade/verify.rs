//! Comparing both servers again, as they are now.

use super::{ClusterFacts, ExtensionUpgrade, UpgradeRequest, cluster, rollback};
use crate::{Context, Error, Result};
use pgkeep_model::evidence::{self, Difference, Proof};
use pgkeep_postgres::{connect::ConnectOptions, dump, inspect, prove, tools::Tools};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Whether the databases of both servers hold the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerifyReport {
    pub from: ClusterFacts,
    pub to: ClusterFacts,
    pub databases: Vec<ComparedDatabase>,
    /// Everything that was compared is equal.
    pub equal: bool,
    pub seconds: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ComparedDatabase {
    pub name: String,
    pub tables: usize,
    pub rows: u64,
    /// Expected is the old server, found the new one. What was written on either since the backup shows up here.
    pub differences: Vec<Difference>,
    /// Extensions in other versions, which is meant to be.
    pub extensions: Vec<ExtensionUpgrade>,
}

/// Reads every row of the databases that an upgrade moved (or of those named) on both servers, each in one snapshot.
pub fn verify(request: &UpgradeRequest, context: &Context) -> Result<VerifyReport> {
    let begun = Instant::now();
    let mut old = cluster::connect(&request.from, context)?;
    let mut new = cluster::connect(&request.to, context)?;
    let from = ClusterFacts::of(&mut old, &request.from)?;
    let to = ClusterFacts::of(&mut new, &request.to)?;
    let names = match request.databases.is_empty() {
        false => request.databases.clone(),
        true => rollback::marked(&mut new, &from, &[])?
            .into_iter()
            .map(|marked| marked.name)
            .collect(),
    };
    if names.is_empty() {
        return Err(Error::not_found(format!(
            "{} has no database that an upgrade from {} made",
            to.server, from.server
        ))
        .hint("name databases that are on both servers with --database"));
    }
    for name in &names {
        for (connection, server) in [(&mut old, &from.server), (&mut new, &to.server)] {
            if !inspect::database_exists(connection, name)? {
                return Err(Error::not_found(format!("{server} has no database {name}")));
            }
        }
    }
    let mut databases = Vec::new();
    for name in &names {
        context.cancel.check()?;
        databases.push(compare(
            &request.from.with_dbname(name),
            &request.to.with_dbname(name),
            request.jobs,
            to.major,
            context,
        )?);
    }
    Ok(VerifyReport {
        from,
        to,
        equal: databases.iter().all(|d| d.differences.is_empty()),
        databases,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

fn compare(
    old: &ConnectOptions,
    new: &ConnectOptions,
    jobs: usize,
    to_major: u32,
    context: &Context,
) -> Result<ComparedDatabase> {
    let options = dump::DumpOptions {
        jobs,
        ..dump::DumpOptions::default()
    };
    let frozen = dump::freeze(old, &options, &context.cancel, &*context.progress)?;
    let tools = Tools::for_dump(frozen.server_version_num() / 10_000, &context.tool_dirs)?;
    let dumped = dump::dump_database(
        &frozen,
        &tools,
        &dump::NullSink,
        &options,
        &context.cancel,
        &*context.progress,
    )?;
    drop(frozen);
    let expected = dumped.manifest;
    let tools = Tools::for_dump(to_major, &context.tool_dirs)?;
    let found = prove::collect(
        new,
        &expected,
        &tools,
        jobs,
        Proof::Full,
        &context.cancel,
        &*context.progress,
    )?;
    let before = |name: &str| {
        let all = &expected.evidence.extensions;
        all.iter()
            .find(|e| e.name == name)
            .map(|e| e.version.clone())
    };
    let extensions = found
        .extensions
        .iter()
        .filter_map(|now| {
            let from = before(&now.name).filter(|version| *version != now.version)?;
            Some(ExtensionUpgrade {
                name: now.name.clone(),
                from,
                to: Some(now.version.clone()),
            })
        })
        .collect();
    Ok(ComparedDatabase {
        name: old.dbname.clone(),
        tables: expected.evidence.tables.len(),
        rows: expected.evidence.rows(),
        differences: evidence::compare(&expected.evidence, &found, Proof::Full),
        extensions,
    })
}
