use super::*;
use crate::{Catalog, Result};
impl Catalog {
    pub async fn cancel(&self, _id: &str) -> Result<CancelOutcome> {
        todo!()
    }
    pub async fn hold(&self, _id: &str) -> Result<Job> {
        todo!()
    }
    pub async fn unhold(&self, _id: &str) -> Result<Job> {
        todo!()
    }
    pub async fn set_priority(&self, _id: &str, _priority: i32) -> Result<Job> {
        todo!()
    }
    pub async fn approve(&self, _id: &str, _by: &str) -> Result<Job> {
        todo!()
    }
    pub async fn pause_queue(&self, _by: &str) -> Result<()> {
        todo!()
    }
    pub async fn resume_queue(&self) -> Result<()> {
        todo!()
    }
    pub async fn queue_paused(&self) -> Result<Option<QueuePause>> {
        todo!()
    }
}
