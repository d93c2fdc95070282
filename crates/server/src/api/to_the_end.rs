//! Work that a client who hangs up does not stop half-way.

use super::problem::Problem;
use crate::http::request_id;
use crate::state::AppState;
use tracing::Instrument;

/// Runs `work`, part of the request that the calling task answers, to its end, even where nobody waits for it any more.
///
/// # Errors
///
/// The work panicked.
pub async fn to_the_end<T: Send + 'static>(
    state: &AppState,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    let work = work.in_current_span();
    let task = match request_id::current() {
        Some(id) => state.tasks.spawn(request_id::scope(id, work)),
        None => state.tasks.spawn(work),
    };
    task.await.map_err(Problem::internal)
}
