//! Errors reach a Sentry and spans reach a collector, both over the wire and neither with a secret. One test, as both are
//! set up once in a process.

use pgkeep_server::{
    logging::{self, LoggingError},
    settings::TelemetrySettings,
};
use pgkeep_testkit::HttpReceiver;
use std::time::Duration;

#[test]
fn errors_go_to_sentry_and_spans_to_the_collector() {
    let (sentry, collector) = (HttpReceiver::start(), HttpReceiver::start());
    let dsn = sentry.url("/42").replace("http://", "http://publickey@");
    let settings = TelemetrySettings {
        sentry_dsn: Some(dsn.into()),
        otlp_endpoint: Some(collector.url("").parse().expect("a valid address")),
        ..TelemetrySettings::default()
    };
    let running = logging::start(&settings, "pgkeep-test").expect("logging begins");
    tracing::info!(target: "pgkeep_server", token = "CANARY", "before it");
    tracing::error!(
        target: "pgkeep_server",
        error = "connecting by postgres://u:CANARY@db/shop failed",
        password = "CANARY",
        "backup of shop failed"
    );
    logging::request_answered(
        "GET",
        Some("/api/v1/status"),
        503,
        Duration::from_millis(12),
    );
    let again = logging::start(&TelemetrySettings::default(), "pgkeep-test");
    assert!(matches!(again, Err(LoggingError::Started)), "{again:?}");
    drop(running);

    let report = sentry.next_request();
    assert_eq!(
        (report.method.as_str(), report.target.as_str()),
        ("POST", "/api/42/envelope/")
    );
    assert!(
        report.body.contains("backup of shop failed"),
        "{}",
        report.body
    );
    assert!(
        report.body.contains("before it"),
        "what came before is told: {}",
        report.body
    );
    assert!(report.body.contains("@db/shop"), "{}", report.body);
    assert!(!report.body.contains("CANARY"), "{}", report.body);

    let spans = collector.next_request();
    assert_eq!(
        (spans.method.as_str(), spans.target.as_str()),
        ("POST", "/v1/traces")
    );
    assert!(spans.body.contains("GET /api/v1/status"), "{}", spans.body);
    assert!(spans.body.contains("pgkeep-test"), "{}", spans.body);
    assert!(!spans.body.contains("CANARY"), "{}", spans.body);
}
