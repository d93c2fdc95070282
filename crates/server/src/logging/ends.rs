//! What is over: a job is a line in the log (an error where it failed, so that Sentry hears of it) and a span; a request is
//! a span, its line being written by the listener.

use super::watchers::{Span, record};
use opentelemetry::{KeyValue, trace::SpanKind};
use pgkeep_catalog::Job;
use pgkeep_model::job::JobState;
use std::time::{Duration, SystemTime};

/// Writes down that a job is over. Called once for each, by the server, wherever the job was done.
pub fn job_ended(job: &Job) {
    let (id, kind) = (job.id.as_str(), job.kind.as_str());
    let of = subject(job.app.as_deref(), job.repository.as_deref());
    match (&job.state, &job.error) {
        (JobState::Failed, Some(error)) => tracing::error!(
            job = id,
            policy = job.policy,
            attempts = job.attempts,
            code = error.code,
            error = error.message,
            "{kind} of {of} failed"
        ),
        (state, _) => tracing::info!(
            job = id,
            policy = job.policy,
            attempts = job.attempts,
            "{kind} of {of} {}",
            state.as_str()
        ),
    }
    let (Some(from), Some(to)) = (job.started_at, job.finished_at) else {
        return;
    };
    record(|| Span {
        name: format!("job {kind}"),
        kind: SpanKind::Internal,
        from: from.into(),
        to: to.into(),
        attributes: [
            ("pgkeep.job", Some(id)),
            ("pgkeep.app", job.app.as_deref()),
            ("pgkeep.repository", job.repository.as_deref()),
            ("pgkeep.policy", job.policy.as_deref()),
            ("pgkeep.node", job.node.as_deref()),
            ("pgkeep.state", Some(job.state.as_str())),
            ("pgkeep.request", job.correlation.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| {
            let value = value.filter(|value| !value.is_empty())?;
            Some(KeyValue::new(name, value.to_owned()))
        })
        .collect(),
        failed: job.state == JobState::Failed,
    });
}

/// What a job is about. A job that finds out by itself which app a backup is of begins with an empty name.
fn subject<'a>(app: Option<&'a str>, repository: Option<&'a str>) -> &'a str {
    [app, repository]
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty())
        .unwrap_or("the server")
}

/// Sends a span for a request that was answered just now.
pub fn request_answered(method: &'static str, route: Option<&str>, status: u16, took: Duration) {
    record(|| {
        let to: SystemTime = opentelemetry::time::now();
        let route = route.unwrap_or("none");
        Span {
            name: format!("{method} {route}"),
            kind: SpanKind::Server,
            from: to.checked_sub(took).unwrap_or(to),
            to,
            attributes: vec![
                KeyValue::new("http.request.method", method),
                KeyValue::new("http.route", route.to_owned()),
                KeyValue::new("http.response.status_code", i64::from(status)),
            ],
            failed: status >= 500,
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_by_its_app_then_by_its_repository() {
        for (app, repository, expected) in [
            (Some("shop"), Some("main"), "shop"),
            (Some(""), Some("main"), "main"),
            (None, Some("main"), "main"),
            (Some(""), None, "the server"),
            (Some(""), Some(""), "the server"),
            (None, None, "the server"),
        ] {
            assert_eq!(subject(app, repository), expected, "{app:?} {repository:?}");
        }
    }
}
