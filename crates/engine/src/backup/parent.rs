//! The backup that an incremental or differential one is measured against, and what is taken over from it unread.
//!
//! A backup never needs its parent again: what is taken over are the parent's chunks and evidence, and the new snapshot
//! lists them as its own. So the parent may be forgotten and pruned at any time after.
//!
//! A whole database is taken over where its server proves that nothing was written ([`WriteMark`]). The order is what
//! makes it a proof: a backup reads its mark *before* it freezes its databases, and the next one reads another *after* it
//! froze them. Where both are equal, nothing was written between the first and the second, so both froze the same.

use super::{BackupRequest, sources::Source, store::folder_for};
use crate::{
    Context, Result,
    catalog::{self, BackupEntry, ListFilter},
};
use pgkeep_model::manifest::{BackupKind, DatabaseContent, DatabaseManifest, Manifest, WriteMark};
use pgkeep_postgres::unchanged;
use pgkeep_repository::{Node, Repository, SnapshotReader, Writer};

/// A backup to measure against.
pub(super) struct Parent {
    pub(super) id: String,
    pub(super) manifest: Manifest,
    pub(super) reader: SnapshotReader,
}

/// Finds the parent for the kind: of an incremental backup the newest that is good, of a differential one the newest full,
/// of files the newest that may hold them. Without one everything is read. One that cannot be opened is told and passed over.
/// Call it under a lock.
pub(super) fn choose(
    repository: &Repository,
    request: &BackupRequest,
    context: &Context,
) -> Result<Option<Parent>> {
    let kinds: &[&str] = match request.kind {
        BackupKind::Incremental => &["full", "incremental", "differential"],
        BackupKind::Differential => &["full"],
        BackupKind::Files => &["full", "incremental", "differential", "files"],
        BackupKind::Full | BackupKind::Database | BackupKind::Import => return Ok(None),
    };
    let entries = catalog::list(
        repository,
        &ListFilter {
            app: Some(request.app.clone()),
            ..ListFilter::default()
        },
    )?;
    let good = |entry: &&BackupEntry| {
        kinds.contains(&entry.kind.as_str())
            && entry.environment == request.environment
            && entry.validity.damaged_at.is_none()
            && entry.validity.drill_failed_at.is_none()
    };
    for entry in entries.iter().rev().filter(good) {
        let opened = repository
            .open_snapshot(&entry.snapshot)
            .map_err(crate::Error::from)
            .and_then(|reader| Ok((catalog::manifest(repository, entry)?, reader)));
        match opened {
            Ok((manifest, reader)) => {
                return Ok(Some(Parent {
                    id: entry.id.clone(),
                    manifest,
                    reader,
                }));
            }
            Err(e) => context.progress.warn(&format!(
                "backup {} is passed over as a parent, for it cannot be read: {e}",
                &entry.id[..8.min(entry.id.len())]
            )),
        }
    }
    context
        .progress
        .item("there is no backup to measure against: everything is read");
    Ok(None)
}

/// Reads the marks of all databases, each with what is to be backed up of it.
pub(super) fn marks(sources: &[Source], request: &BackupRequest) -> Vec<Result<WriteMark, String>> {
    sources
        .iter()
        .map(|source| {
            let mut mark = unchanged::read(&source.options)?;
            let schemas = request.schemas.iter().map(|s| format!("schema {s}"));
            let without = request.exclude_table_data.iter();
            mark.selection = schemas
                .chain(without.map(|t| format!("without rows of {t}")))
                .chain(
                    request
                        .application
                        .migrations
                        .iter()
                        .map(|m| format!("migrations {m:?}")),
                )
                .collect();
            Ok(mark)
        })
        .collect()
}

impl Parent {
    /// Takes a database over if it is provably what this backup holds; tells why where it must be read.
    pub(super) fn take_over(
        &self,
        writer: &Writer,
        name: &str,
        now: &Result<WriteMark, String>,
        earlier: &[DatabaseManifest],
        context: &Context,
    ) -> Result<Option<DatabaseManifest>> {
        let known = match self.unchanged(name, now) {
            Ok(known) => known,
            Err(why) => {
                context
                    .progress
                    .item(&format!("database {name} is read: {why}"));
                return Ok(None);
            }
        };
        let nodes = match self.reader.node(&known.path)? {
            Some(folder) => Some((self.reader.children(&folder)?, folder)),
            None => None,
        };
        let whole = |(nodes, _): &(Vec<Node>, Node)| nodes.iter().all(|n| writer.holds(&n.content));
        let Some((nodes, mut folder)) = nodes.filter(whole) else {
            context.progress.warn(&format!(
                "database {name} is read: backup {} does not hold all of it any more",
                self.short_id()
            ));
            return Ok(None);
        };
        let path = folder_for(name, earlier);
        folder.subtree = Some(writer.store_folder(nodes)?);
        writer.graft(&path, folder);
        context.progress.item(&format!(
            "database {name} is taken over from backup {}: nothing was written since",
            self.short_id()
        ));
        Ok(Some(DatabaseManifest {
            path,
            taken_over_from: Some(self.id.clone()),
            ..known.clone()
        }))
    }

    /// What this backup holds of a database, if nothing was written to it since.
    fn unchanged(
        &self,
        name: &str,
        now: &Result<WriteMark, String>,
    ) -> Result<&DatabaseManifest, String> {
        let now = now
            .as_ref()
            .map_err(|why| format!("nothing can be proven, for {why}"))?;
        let short = self.short_id();
        let known = self
            .manifest
            .database(name)
            .filter(|known| known.content == DatabaseContent::Directory)
            .ok_or_else(|| format!("backup {short} does not hold it"))?;
        let mark = known
            .mark
            .as_ref()
            .ok_or_else(|| format!("backup {short} carries no mark of it"))?;
        match mark.difference(now) {
            Some(why) => Err(why.to_owned()),
            None => Ok(known),
        }
    }

    fn short_id(&self) -> &str {
        &self.id[..8.min(self.id.len())]
    }
}
