//! The OpenAPI document: what it promises, and that nobody changes it unseen.

use crate::scene::{Scene, read};
use axum::body::Body;
use axum::http::Request;
use pgkeep_server::api;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

fn document() -> Value {
    serde_json::to_value(api::document()).unwrap()
}

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(|(method, operation)| (method.to_uppercase(), path.clone(), operation))
        })
        .collect()
}

/// The copy in the documentation, from which clients are made. `UPDATE_OPENAPI=1` writes it anew.
#[test]
fn the_document_is_the_one_that_is_written_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let now = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == now,
        "the API has changed: look at it, then run the test with UPDATE_OPENAPI=1 to write {} anew",
        path.display()
    );
}

#[test]
fn every_route_is_documented_with_its_answers() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let documented = operations(&document);
    assert_eq!(documented.len(), api::table().len());
    let mut ids = BTreeSet::new();
    for (method, path, operation) in &documented {
        let what = format!("{method} {path}");
        assert!(path.starts_with("/api/v1/"), "{what}");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_string()), "{what}: {id} twice");
        assert!(operation["summary"].is_string(), "{what}: no summary");
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses
                .keys()
                .any(|status| status.starts_with('2') || status.starts_with('3')),
            "{what}: no success"
        );
        for status in ["400", "500", "503"] {
            assert!(responses.contains_key(status), "{what}: {status}");
        }
        let is_public = operation["security"].as_array().is_some_and(Vec::is_empty);
        assert!(responses.contains_key("401") || is_public, "{what}");
        if path.contains('{') {
            assert!(responses.contains_key("404"), "{what}");
        }
        if operation["requestBody"].is_object() {
            assert!(
                responses.contains_key("413") && responses.contains_key("415"),
                "{what}"
            );
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        ("$ref", Value::String(target)) => found.push(target),
                        _ => walk(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut references = Vec::new();
    walk(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_document_and_its_pages_come_from_the_binary() {
    let scene = Scene::new().await;
    let ask = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        read(scene.front.answer_locally(request).await).await
    };
    let served = ask("/api/v1/openapi.json").await.expect(200);
    assert_eq!(served.json(), document());
    let page = ask("/api/docs/index.html").await.expect(200);
    assert!(page.header("content-type").starts_with("text/html"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self';"), "{policy}");
    for file in [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-initializer.js",
    ] {
        ask(&format!("/api/docs/{file}")).await.expect(200);
    }
    assert_eq!(ask("/api/docs").await.status.as_u16(), 308);
    ask("/api/docs/../../etc/passwd").await.expect(404);
}
