use super::{Claim, Enqueued, NewJob};
use crate::{Catalog, Result};
use std::time::Duration;
impl Catalog {
    pub async fn enqueue(&self, _job: NewJob) -> Result<Enqueued> {
        todo!()
    }
    pub async fn begin_by_hand(
        &self,
        _job: NewJob,
        _node: &str,
        _lease: Duration,
    ) -> Result<Claim> {
        todo!()
    }
}
