//! Errors are problems, whatever goes wrong.

use crate::scene::{Scene, read};
use axum::body::Body;
use axum::http::Request;
use pgkeep_server::api::problem::Code;
use pgkeep_server::settings::{Rate, ThrottleScope};
use serde_json::json;

#[tokio::test]
async fn every_error_is_a_problem() {
    let scene = Scene::new().await;
    let admin = Some(scene.admin.as_str());
    for (method, path, body, status, code) in [
        ("GET", "/nowhere", None, 404, "not_found"),
        ("GET", "/apps/shop", None, 404, "not_found"),
        ("GET", "/apps/..%2f..%2fetc", None, 404, "not_found"),
        ("GET", "/jobs/latest", None, 404, "not_found"),
        ("POST", "/apps", None, 405, "method_not_allowed"),
        ("GET", "/jobs?limit=0", None, 400, "invalid_request"),
        ("GET", "/jobs?limit=x", None, 400, "invalid_request"),
        ("GET", "/jobs?state=sleeping", None, 400, "invalid_request"),
        ("GET", "/jobs?cursor=nonsense", None, 400, "invalid_request"),
        ("GET", "/policies?wrong=1", None, 400, "invalid_request"),
        ("PUT", "/apps/shop", None, 415, "unsupported_media_type"),
        (
            "PUT",
            "/apps/shop",
            Some(json!({"databases": 3})),
            422,
            "invalid",
        ),
        (
            "PUT",
            "/apps/shop",
            Some(json!({"databses": []})),
            422,
            "invalid",
        ),
        (
            "PUT",
            "/apps/shop",
            Some(json!({"databases": []})),
            422,
            "invalid",
        ),
        (
            "POST",
            "/policies/preview",
            Some(json!({"app": "a", "schedule": {"at": "25:00"}})),
            422,
            "invalid",
        ),
    ] {
        let answer = scene
            .ask(method, path, admin, &[], body)
            .await
            .expect(status);
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{path}"
        );
        let body = answer.json();
        assert_eq!(body["code"], code, "{method} {path}: {body}");
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["type"], format!("urn:pgkeep:problem:{code}"), "{body}");
        assert_eq!(body["requestId"], answer.header("x-request-id"), "{body}");
        assert!(!body["detail"].as_str().unwrap().is_empty(), "{body}");
        let hint = body["hint"].as_str().unwrap_or_default();
        assert!(!hint.is_empty(), "{method} {path}: no next step in {body}");
        for (part, words) in [
            ("state=sleeping", "known are queued, running"),
            ("cursor=nonsense", "`nextCursor` of a page"),
            ("wrong=1", "known are"),
        ] {
            assert!(
                !path.contains(part) || hint.contains(words),
                "{path}: {hint}"
            );
        }
    }
    for (path, list) in [
        ("/apps/nothing", "/apps"),
        ("/policies/nothing", "/policies"),
        ("/repositories/nothing", "/repositories"),
        ("/notifications/targets/nothing", "/notifications/targets"),
        ("/jobs/0191f7a0-7c1b-7aaa-8000-0123456789ab", "/jobs"),
        ("/users/0191f7a0-7c1b-7aaa-8000-0123456789ab", "/users"),
        ("/backups/deadbeefdeadbeef", "/backups"),
        (
            "/restores/0191f7a0-7c1b-7aaa-8000-0123456789ab",
            "/restores",
        ),
    ] {
        let hint = scene.get(path).await.expect(404).json()["hint"].clone();
        let expected = format!("GET /api/v1{list} lists those that there are");
        assert_eq!(hint, expected, "{path}");
    }
    // What is to be changed is not there, or has changed.
    for (headers, words) in [
        ([("if-match", "*")], "`If-None-Match: *`"),
        ([("if-match", "\"7\"")], "`If-None-Match: *`"),
        ([("if-match", "nonsense")], "send the `ETag`"),
    ] {
        let body = Some(json!({"databases": ["postgres://db/shop"]}));
        let answer = scene.ask("PUT", "/apps/shop", admin, &headers, body).await;
        let hint = answer.expect(412).json()["hint"].clone();
        assert!(hint.as_str().unwrap_or_default().contains(words), "{hint}");
    }
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let scene = Scene::new().await;
    let body = json!({"app": "a", "schedule": {"at": "25:00"}, "retention": {"maxBackups": 0}});
    let answer = scene
        .post("/policies/preview", Some(body))
        .await
        .expect(422);
    let fields: Vec<String> = answer.json()["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["field"].as_str().unwrap().to_string())
        .collect();
    assert!(fields.contains(&"schedule.at".to_string()), "{fields:?}");
    assert!(
        fields.contains(&"retention.maxBackups".to_string()),
        "{fields:?}"
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_and_without_its_length() {
    let scene = Scene::with(|settings| settings.http.max_body_bytes = 1_000).await;
    let text = json!({ "databases": ["x".repeat(2_000)] }).to_string();
    let told = Body::from(text.clone());
    let chunks = text
        .into_bytes()
        .chunks(100)
        .map(|c| Ok::<_, std::io::Error>(c.to_vec()))
        .collect::<Vec<_>>();
    let untold = Body::from_stream(futures_util::stream::iter(chunks));
    for body in [told, untold] {
        let request = Request::put("/api/v1/apps/shop")
            .header("authorization", format!("Bearer {}", scene.admin))
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let answer = read(scene.front.answer_locally(request).await)
            .await
            .expect(413);
        assert_eq!(answer.json()["code"], "too_large");
    }
}

#[tokio::test]
async fn a_limit_says_when_to_come_again_and_counts_accounts_apart() {
    let scene = Scene::with(|settings| {
        settings
            .throttles
            .rates
            .insert(ThrottleScope::Status, Rate::per_hour(2));
    })
    .await;
    let access = Scene::access(pgkeep_model::access::Role::Viewer, &[], None);
    let other = scene.token("vera", access).await;
    let first = scene.get("/status").await.expect(200);
    assert_eq!(first.header("ratelimit-policy"), "\"status\";q=2;w=3600");
    assert!(first.header("ratelimit").starts_with("\"status\";r=1;"));
    scene.get("/status").await.expect(200);
    let refused = scene.get("/status").await.expect(429);
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=1_800).contains(&seconds), "{seconds}");
    assert_eq!(refused.json()["code"], "throttled");
    scene
        .ask("GET", "/status", Some(&other), &[], None)
        .await
        .expect(200);
    // Another token of the same account counts as the first one.
    let again = scene.another_token("vera").await;
    let status = async || scene.ask("GET", "/status", Some(&again), &[], None).await;
    status().await.expect(200);
    status().await.expect(429);
    // What counts under no scope, or under another one, goes on.
    scene.get("/apps").await.expect(200);
}

#[tokio::test]
async fn answers_carry_the_safety_headers() {
    let scene = Scene::new().await;
    let answer = scene.get("/apps").await.expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(
        answer
            .header("content-security-policy")
            .contains("frame-ancestors 'none'")
    );
    assert!(!answer.headers.contains_key("strict-transport-security"));
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn head_and_options_are_answered() {
    let scene = Scene::new().await;
    let admin = Some(scene.admin.as_str());
    let head = scene
        .ask("HEAD", "/apps", admin, &[], None)
        .await
        .expect(200);
    assert!(head.text.is_empty());
    let options = scene
        .ask("OPTIONS", "/apps", None, &[], None)
        .await
        .expect(204);
    assert!(
        options.header("allow").contains("GET"),
        "{:?}",
        options.headers
    );
}

/// The table that clients and the documentation rely on.
#[test]
fn codes_keep_their_status() {
    let table: Vec<String> = Code::ALL
        .iter()
        .map(|code| {
            let retry = if code.retry_helps() { "  retry" } else { "" };
            format!("{} {}{retry}", code.status().as_u16(), code.as_str())
        })
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}
