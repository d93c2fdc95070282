//! Copies of the whole catalog, for its own backup.

use crate::{Catalog, Result};
use std::path::Path;

impl Catalog {
    /// Writes a copy that is as of one moment: an SQLite file, or JSON lines where the catalog is in PostgreSQL.
    pub async fn snapshot_to(&self, _path: &Path) -> Result<()> {
        todo!()
    }
    /// Takes in a copy, into a catalog that has no apps yet. Needs the key file of the catalog that was copied.
    pub async fn import_from(&self, _path: &Path) -> Result<()> {
        todo!()
    }
}
