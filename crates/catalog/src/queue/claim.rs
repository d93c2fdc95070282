use super::Claim;
use crate::{Catalog, Result};
use pgkeep_model::job::JobKind;
use std::time::Duration;
#[derive(Debug, Default)]
pub(crate) struct ClaimDesk {}
impl Catalog {
    pub async fn claim(
        &self,
        _node: &str,
        _kinds: &[JobKind],
        _lease: Duration,
    ) -> Result<Option<Claim>> {
        todo!()
    }
}
