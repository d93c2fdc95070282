//! The id under which one request is found in the log.

use std::future::Future;

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

/// A new id.
pub fn make() -> String {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    hex::encode(bytes)
}

/// An id that came from a trusted proxy, if it may stand in a log line.
pub fn accept(text: &str) -> Option<String> {
    ((8..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)))
    .then(|| text.to_string())
}
