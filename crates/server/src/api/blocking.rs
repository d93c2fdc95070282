//! Calls into the engine that a request waits for: few at a time, on threads of their own, cancelled when they take too
//! long or when nobody waits any more.

use super::problem::{Code, Problem};
use pgkeep_model::CancelToken;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Room for blocking calls.
#[derive(Clone)]
pub struct BlockingRoom(Arc<Semaphore>);

impl BlockingRoom {
    pub fn new(calls: usize) -> Self {
        Self(Arc::new(Semaphore::new(calls)))
    }

    /// Runs `call` on a thread where blocking is allowed. It gets a token that is cancelled after `limit`, and when the
    /// client goes away.
    pub async fn run<T, E>(
        &self,
        limit: Duration,
        call: impl FnOnce(CancelToken) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        let wait = self.0.clone().acquire_owned();
        let place = tokio::time::timeout(Duration::from_secs(5), wait)
            .await
            .map_err(|_| {
                Problem::new(Code::Busy, "other requests of this kind are being answered")
            })?
            .map_err(Problem::internal)?;
        let cancel = CancelToken::new();
        let _gone = CancelOnDrop(cancel.clone());
        let inner = cancel.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            call(inner)
        });
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(result)) => result.map_err(Into::into),
            Ok(Err(panic)) => Err(Problem::internal(panic)),
            Err(_) => Err(Problem::new(
                Code::TimedOut,
                format!("it took longer than {} seconds", limit.as_secs()),
            )),
        }
    }
}

/// The token is cancelled when the request's future ends, however it ends; after an answer that changes nothing.
pub(super) struct CancelOnDrop(pub(super) CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
