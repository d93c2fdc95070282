use super::*;
use crate::{Catalog, Result};
use std::time::Duration;
impl Catalog {
    pub async fn heartbeat(&self, _id: &str, _fence: i64, _lease: Duration) -> Result<Heartbeat> {
        todo!()
    }
    pub async fn progress(
        &self,
        _id: &str,
        _fence: i64,
        _phase: &str,
        _progress: Option<&JobProgress>,
    ) -> Result<()> {
        todo!()
    }
    pub async fn log(&self, _id: &str, _fence: i64, _lines: &[LogLine]) -> Result<()> {
        todo!()
    }
    pub async fn finish(&self, _id: &str, _fence: i64, _outcome: Outcome) -> Result<Job> {
        todo!()
    }
    pub async fn retry_later(
        &self,
        _id: &str,
        _fence: i64,
        _error: JobError,
        _run_at: Timestamp,
    ) -> Result<Job> {
        todo!()
    }
    pub async fn release(&self, _id: &str, _fence: i64) -> Result<Job> {
        todo!()
    }
}
