//! The catalog's own backup: a consistent copy of it, stored in a repository beside the backups.

use super::{Done, Failure, Work};
use pgkeep_engine::catalog_copy;
use pgkeep_model::job::RepositorySpec;

/// Copies of one server that a repository keeps.
const KEPT: usize = 7;

pub(super) fn run(work: &Work<'_>, spec: &RepositorySpec) -> Result<Done, Failure> {
    let context = work.context(None);
    let repository = work.open(&spec.repository, &context)?;
    super::copies::make_private_folder(work, &work.places.data_dir)?;
    let folder = tempfile::Builder::new()
        .prefix("catalog-copy-")
        .tempdir_in(&work.places.data_dir)
        .map_err(|e| {
            Failure::from(pgkeep_engine::Error::from(e).context(work.places.data_dir.display()))
        })?;
    let copy = folder.path().join("catalog");
    work.wait(|catalog| {
        let copy = &copy;
        async move { catalog.snapshot_to(copy).await }
    })?;
    let server = work.catalog.catalog().instance_id();
    work.done(&catalog_copy::store(
        &repository,
        &copy,
        server,
        KEPT,
        &context,
    )?)
}
