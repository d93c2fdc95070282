//! The id under which one request is found in the log.

use std::future::Future;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

tokio::task_local! {
    static REQUEST_ID: String;
}

/// The id of the request that the calling task answers, if it answers one.
pub fn current() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}

/// Runs `work` as part of the request `id`.
pub async fn scope<T>(id: String, work: impl Future<Output = T>) -> T {
    REQUEST_ID.scope(id, work).await
}

/// A new id: random for the process, counted within it.
pub fn make() -> String {
    static PROCESS: LazyLock<u64> =
        LazyLock::new(|| getrandom::u64().expect("the system gives random bytes"));
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}{count:08x}", *PROCESS)
}

/// An id that came from a trusted proxy, if it may stand in a log line.
pub fn accept(text: &str) -> Option<String> {
    ((8..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)))
    .then(|| text.to_string())
}
