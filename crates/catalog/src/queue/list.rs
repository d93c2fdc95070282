use super::*;
use crate::{Catalog, Page, Paged, Result};
impl Catalog {
    pub async fn job(&self, _id: &str) -> Result<Job> {
        todo!()
    }
    pub async fn jobs(&self, _filter: &JobFilter, _page: &Page) -> Result<Paged<Job>> {
        todo!()
    }
    pub async fn job_log(
        &self,
        _id: &str,
        _after_line: i64,
        _limit: u32,
    ) -> Result<Vec<StoredLogLine>> {
        todo!()
    }
    pub async fn queue_depth(&self) -> Result<QueueDepth> {
        todo!()
    }
    pub async fn running_jobs_of_app(&self, _app: &str) -> Result<Vec<Job>> {
        todo!()
    }
    /// Newest finished job of a policy; `good` counts succeeded and skipped ones only.
    pub async fn newest_job_of_policy(&self, _policy: &str, _good: bool) -> Result<Option<Job>> {
        todo!()
    }
    pub async fn policy_runs(&self) -> Result<Vec<PolicyRuns>> {
        todo!()
    }
}
