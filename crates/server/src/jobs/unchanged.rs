//! A policy may leave out a run when the server proves that nothing was written since its newest backup. Whatever is not
//! clear is a reason to back up.

use super::{Failure, Work, document};
use crate::scheduler::unchanged::{self, Mark, Noted};
use pgkeep_engine::catalog::{self, ListFilter};
use pgkeep_model::{app::AppDefinition, job::BackupSpec, policy::PolicyKind};
use pgkeep_postgres::connect::ConnectOptions;
use pgkeep_repository::Repository;
use serde::Serialize;

/// Whether there is anything to back up.
pub(super) enum Look {
    Unchanged(Unneeded),
    /// The mark was read before the backup begins, and is to be noted with it.
    BackUp(Option<Mark>),
}

/// Why there was nothing to back up.
#[derive(Debug, Serialize)]
pub(super) struct Unneeded {
    skipped: bool,
    reason: &'static str,
    /// The backup that holds all there is.
    backup: String,
    app: String,
    repository: String,
}

pub(super) fn look(
    work: &Work<'_>,
    spec: &BackupSpec,
    app: &AppDefinition,
    databases: &[ConnectOptions],
    name: &str,
    repository: &Repository,
) -> Result<Look, Failure> {
    let Some(policy) = spec.policy.as_deref().filter(|_| spec.skip_if_unchanged) else {
        return Ok(Look::BackUp(None));
    };
    // No server tells whether files were written; that takes a scan, which is what a backup of them is.
    if spec.backup_kind != PolicyKind::Database && !app.files.is_empty() {
        return Ok(Look::BackUp(None));
    }
    let mark = match unchanged::read(databases, app, spec) {
        Ok(mark) => mark,
        Err(why) => {
            work.progress.warn(&format!(
                "whether anything was written cannot be proven, so a backup is made: {why}"
            ));
            return Ok(Look::BackUp(None));
        }
    };
    let key = unchanged::key(policy, name);
    let noted = work.wait(|catalog| async move { catalog.setting(&key).await })?;
    let Some(noted) = noted.and_then(|value| serde_json::from_value::<Noted>(value).ok()) else {
        return Ok(Look::BackUp(Some(mark)));
    };
    if let Some(why) = unchanged::difference(&noted.mark, &mark) {
        work.progress.item(&why);
        return Ok(Look::BackUp(Some(mark)));
    }
    // The backup that holds what has not changed must still be there, and whole as far as is known.
    let entries = catalog::list(repository, &ListFilter::default())?;
    let there = entries.iter().any(|entry| {
        entry.id == noted.backup
            && entry.origin.policy.as_deref() == Some(policy)
            && entry.validity.damaged_at.is_none()
            && entry.validity.drill_failed_at.is_none()
    });
    if !there {
        return Ok(Look::BackUp(Some(mark)));
    }
    Ok(Look::Unchanged(Unneeded {
        skipped: true,
        reason: "nothing was written since the newest backup",
        backup: noted.backup,
        app: spec.app.clone(),
        repository: name.to_owned(),
    }))
}

/// Remembers the mark with the backup that was made after it was read.
pub(super) fn note(
    work: &Work<'_>,
    spec: &BackupSpec,
    name: &str,
    backup: &str,
    mark: Option<Mark>,
) -> Result<(), Failure> {
    let (Some(policy), Some(mark)) = (spec.policy.as_deref(), mark) else {
        return Ok(());
    };
    let noted = document(&Noted {
        backup: backup.to_owned(),
        mark,
    });
    let key = unchanged::key(policy, name);
    work.wait(|catalog| async move { catalog.put_setting(&key, &noted).await })
}
