use super::*;
use crate::{Catalog, Result};
impl Catalog {
    pub async fn reconcile(&self, _now: Timestamp) -> Result<Vec<Reconciled>> {
        todo!()
    }
    /// Removes final jobs that ended before; returns how many.
    pub async fn trim_jobs(&self, _before: Timestamp) -> Result<u64> {
        todo!()
    }
}
