//! The figures of a real catalog, read back by a parser of the format.

use super::{Requests, render};
use crate::{http::front::RequestWatcher as _, status};
use axum::http::Method;
use jiff::SignedDuration;
use pgkeep_catalog::{BackupRow, Catalog, KeySource, Location, ManagedBy, NewJob, OpenOptions};
use pgkeep_model::{
    app::AppDefinition,
    job::{BackupSpec, JobSpec, Trigger},
};
use pgkeep_testkit::ManualClock;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Samples by name and labels as written, after checking all that the format asks for.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families = BTreeMap::new();
    let mut current = String::new();
    assert!(text.ends_with('\n'), "the last line ends");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && is_name(name), "{line}");
            assert!(!families.contains_key(name), "{name} begins twice");
            current = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert_eq!(name, current, "type after help");
            families.insert(name.to_owned(), kind.to_owned());
        } else {
            let (key, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
            let kind = &families[&current];
            let parts: &[&str] = if kind == "histogram" {
                &["_bucket", "_sum", "_count"]
            } else {
                &[""]
            };
            assert!(
                parts.iter().any(|part| name == format!("{current}{part}")),
                "{line} in {current}"
            );
            assert_eq!(
                kind == "counter",
                current.ends_with("_total"),
                "{current} is a {kind}"
            );
            check_labels(labels.strip_suffix('}').expect("labels end"), line);
            let value: f64 = value.parse().expect("a number");
            assert!(
                samples.insert(key.to_owned(), value).is_none(),
                "{key} is there twice"
            );
        }
    }
    samples
}

fn is_name(name: &str) -> bool {
    name.chars()
        .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
}

fn check_labels(mut labels: &str, line: &str) {
    let mut names = BTreeSet::new();
    while !labels.is_empty() {
        let (name, rest) = labels.split_once("=\"").expect(line);
        assert!(is_name(name) && names.insert(name.to_owned()), "{line}");
        let mut escaped = false;
        let end = rest
            .char_indices()
            .find(|(_, letter)| {
                let ends = *letter == '"' && !escaped;
                escaped = *letter == '\\' && !escaped;
                ends
            })
            .expect(line)
            .0;
        labels = rest[end + 1..].trim_start_matches(',');
    }
}

async fn catalog(folder: &tempfile::TempDir, clock: &Arc<ManualClock>) -> Catalog {
    Catalog::open(OpenOptions::new(
        Location::Sqlite(folder.path().join("catalog.sqlite")),
        KeySource::Key([7; 32]),
        clock.clone(),
    ))
    .await
    .unwrap()
}

#[tokio::test]
async fn figures_follow_the_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at("2026-03-02T03:00:00Z"));
    let catalog = catalog(&folder, &clock).await;
    let odd = "sh\"op\\\n";
    for app in ["shop", odd] {
        catalog
            .put_app(app, &AppDefinition::default(), ManagedBy::Api, None)
            .await
            .unwrap();
    }
    let policy = serde_json::from_value(serde_json::json!({
        "app": "shop", "schedule": { "at": "02:00" }
    }))
    .unwrap();
    catalog
        .put_policy("nightly", &policy, ManagedBy::Api, None)
        .await
        .unwrap();
    let backup = BackupRow {
        repository: "main".into(),
        id: "8c1f02aa".repeat(8),
        app: "shop".into(),
        kind: "full".into(),
        time: "2026-03-02T02:00:00Z".parse().unwrap(),
        proven_at: Some("2026-03-02T02:30:00Z".parse().unwrap()),
        proven_seconds: Some(12.5),
        bytes: Some(1_000),
        bytes_added: Some(10),
        seconds: Some(7.25),
        ..BackupRow::default()
    };
    catalog.upsert_backup(&backup).await.unwrap();
    let job = |app: &str| NewJob {
        app: Some(app.to_owned()),
        ..NewJob::new(
            JobSpec::Backup(BackupSpec {
                app: app.to_owned(),
                ..BackupSpec::default()
            }),
            Trigger::Api,
            "ann",
            catalog.now(),
        )
    };
    catalog.enqueue(job("shop")).await.unwrap();
    clock.advance(SignedDuration::from_secs(90));

    let requests = Requests::default();
    let backups = Some("/api/v1/backups/{id}");
    requests.answered(&Method::GET, backups, 200, Duration::from_millis(3));
    requests.answered(&Method::GET, backups, 404, Duration::from_millis(70));
    requests.answered(
        &Method::from_bytes(b"BREW").unwrap(),
        None,
        404,
        Duration::from_secs(60),
    );

    let report = status::report(&catalog).await.unwrap();
    let text = render(&requests, &catalog, &report, folder.path())
        .await
        .unwrap();
    let samples = parse(&text);
    let made: jiff::Timestamp = "2026-03-02T02:00:00Z".parse().unwrap();
    for (sample, expected) in [
        (
            r#"pgkeep_last_success_timestamp_seconds{app="shop"}"#,
            made.as_second() as f64,
        ),
        (
            r#"pgkeep_last_proven_timestamp_seconds{app="shop"}"#,
            made.as_second() as f64 + 1_800.0,
        ),
        (r#"pgkeep_last_proof_duration_seconds{app="shop"}"#, 12.5),
        (r#"pgkeep_rpo_seconds{app="shop"}"#, 3_690.0),
        (r#"pgkeep_backup_duration_seconds{app="shop"}"#, 7.25),
        (r#"pgkeep_backup_bytes{app="shop"}"#, 1_000.0),
        (r#"pgkeep_backup_added_bytes{app="shop"}"#, 10.0),
        (r#"pgkeep_overdue{app="shop",policy="nightly"}"#, 0.0),
        (r#"pgkeep_alarm{app="sh\"op\\\n"}"#, 1.0),
        (r#"pgkeep_jobs{state="queued",kind="backup"}"#, 1.0),
        (r#"pgkeep_queue_depth{waits_for="worker"}"#, 1.0),
        ("pgkeep_queue_oldest_age_seconds", 90.0),
        ("pgkeep_queue_paused", 0.0),
        ("pgkeep_workers", 0.0),
        (
            r#"pgkeep_http_requests_total{method="GET",route="/api/v1/backups/{id}",status="404"}"#,
            1.0,
        ),
        (
            r#"pgkeep_http_requests_total{method="other",route="none",status="404"}"#,
            1.0,
        ),
        (
            r#"pgkeep_http_request_duration_seconds_bucket{method="GET",route="/api/v1/backups/{id}",le="0.005"}"#,
            1.0,
        ),
        (
            r#"pgkeep_http_request_duration_seconds_bucket{method="GET",route="/api/v1/backups/{id}",le="0.1"}"#,
            2.0,
        ),
        (
            r#"pgkeep_http_request_duration_seconds_bucket{method="other",route="none",le="30"}"#,
            0.0,
        ),
        (
            r#"pgkeep_http_request_duration_seconds_bucket{method="other",route="none",le="+Inf"}"#,
            1.0,
        ),
        (
            r#"pgkeep_http_request_duration_seconds_count{method="GET",route="/api/v1/backups/{id}"}"#,
            2.0,
        ),
    ] {
        assert_eq!(samples.get(sample), Some(&expected), "{sample} in\n{text}");
    }
    let unknown = r#"pgkeep_rpo_seconds{app="sh\"op\\\n"}"#;
    assert!(
        !samples.contains_key(unknown),
        "an app without a backup has no such age"
    );
    assert!(samples[r#"pgkeep_disk_free_bytes{place="the data folder"}"#] > 0.0);
    assert!(samples["process_resident_memory_bytes"] > 1e6);

    clock.advance(SignedDuration::from_hours(24));
    let report = status::report(&catalog).await.unwrap();
    let late = render(&requests, &catalog, &report, folder.path())
        .await
        .unwrap();
    assert_eq!(
        parse(&late)[r#"pgkeep_overdue{app="shop",policy="nightly"}"#],
        1.0
    );
}
