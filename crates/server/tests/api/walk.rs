//! Every route for every kind of account, and for none.

use crate::scene::{Scene, read};
use axum::body::Body;
use axum::http::Request;
use pgkeep_model::access::{Permission, Role};
use pgkeep_server::api::{self, routes::Access as RouteAccess};
use serde_json::json;
use std::collections::BTreeSet;

/// A path with something that is not there in the place of each name.
fn filled(path: &str) -> String {
    path.split('/')
        .map(|part| match part {
            "{id}" => "0191f7a0-7c1b-7aaa-8000-0123456789ab",
            part if part.starts_with('{') => "nothing",
            part => part,
        })
        .collect::<Vec<_>>()
        .join("/")
}

fn body_of(method: &str) -> Option<serde_json::Value> {
    matches!(method, "POST" | "PUT" | "PATCH").then(|| json!({}))
}

/// Streams that go on are looked at by tests of their own.
fn goes_on(path: &str) -> bool {
    path == "/events"
}

#[tokio::test]
async fn no_route_answers_without_an_account_unless_it_says_so() {
    let scene = Scene::new().await;
    for route in api::table() {
        let path = filled(&route.path);
        for token in [None, Some("pgk_of-nobody")] {
            let answer = scene
                .ask(route.method, &path, token, &[], body_of(route.method))
                .await;
            match route.access {
                RouteAccess::Public => assert_ne!(
                    answer.json_code().as_deref(),
                    Some("unauthenticated"),
                    "{} {path}",
                    route.method
                ),
                _ => assert_eq!(
                    answer.status.as_u16(),
                    401,
                    "{} {path}: {}",
                    route.method,
                    answer.text
                ),
            }
        }
    }
}

#[tokio::test]
async fn every_route_asks_for_its_permission() {
    let scene = Scene::new().await;
    scene.worker().await;
    let accounts = [
        ("viewer", Scene::access(Role::Viewer, &[], None)),
        ("operator", Scene::access(Role::Operator, &[], None)),
        (
            "restorer",
            Scene::access(
                Role::Operator,
                &[Permission::Restore, Permission::Download],
                None,
            ),
        ),
        ("admin", Scene::access(Role::Admin, &[], None)),
        (
            "scoped",
            Scene::access(Role::Admin, &[], Some(&["another"])),
        ),
    ];
    for (name, access) in accounts {
        let token = scene.token(name, access.clone()).await;
        let permissions = access.permissions();
        for route in api::table() {
            let RouteAccess::Needs(permission) = route.access else {
                continue;
            };
            let path = filled(&route.path);
            let may = permissions.contains(&permission);
            if may && goes_on(&route.path) {
                continue;
            }
            let answer = scene
                .ask(
                    route.method,
                    &path,
                    Some(&token),
                    &[],
                    body_of(route.method),
                )
                .await;
            let status = answer.status.as_u16();
            let what = format!("{name}: {} {path}: {status} {}", route.method, answer.text);
            match may {
                false => assert_eq!(status, 403, "{what}"),
                // An account that sees one app only is refused what is about the whole server.
                true if name == "scoped" => assert!(status < 500, "{what}"),
                true => assert!(!matches!(status, 401 | 403 | 405) && status < 500, "{what}"),
            }
        }
    }
}

#[tokio::test]
async fn what_belongs_to_another_app_is_not_there() {
    let scene = Scene::new().await;
    scene.worker().await;
    scene.app("shop").await;
    scene.app("blog").await;
    scene
        .put("/policies/nightly", json!({ "app": "shop" }))
        .await
        .expect(201);
    let run = scene
        .post("/policies/nightly/run-now", None)
        .await
        .expect(202);
    let job = run.json()["jobId"].as_str().unwrap().to_string();
    let access = Scene::access(Role::Admin, &[], Some(&["blog"]));
    let token = scene.token("bea", access).await;
    let token = Some(token.as_str());

    for path in [
        "/apps/shop",
        "/policies/nightly",
        "/policies/nightly/next",
        "/policies/nightly/cleanup",
        "/repositories/shop-store",
        "/status/shop",
        &format!("/jobs/{job}"),
        &format!("/jobs/{job}/log"),
    ] {
        let answer = scene.ask("GET", path, token, &[], None).await;
        assert_eq!(answer.status.as_u16(), 404, "{path}: {}", answer.text);
    }
    for path in [
        "/apps/shop/doctor",
        "/policies/nightly/run-now",
        "/policies/nightly/disable",
        "/policies/nightly/cleanup",
        &format!("/jobs/{job}/cancel"),
    ] {
        let answer = scene.ask("POST", path, token, &[], None).await;
        assert_eq!(answer.status.as_u16(), 404, "{path}: {}", answer.text);
    }
    for (path, own) in [("/apps", "blog"), ("/repositories", "blog-store")] {
        let answer = scene.ask("GET", path, token, &[], None).await.expect(200);
        let names: Vec<String> = answer.json()["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_string())
            .collect();
        assert_eq!(names, [own], "{path}");
    }
    for path in ["/policies", "/jobs", "/jobs?app=shop", "/calendar"] {
        let answer = scene.ask("GET", path, token, &[], None).await.expect(200);
        assert_eq!(answer.json()["items"], json!([]), "{path}");
    }
    let moved = json!({ "app": "shop" });
    let answer = scene
        .ask("PUT", "/policies/mine", token, &[], Some(moved))
        .await;
    assert_eq!(answer.status.as_u16(), 422, "{}", answer.text);
}

#[tokio::test]
async fn an_account_of_one_app_names_no_place_and_no_sql_beyond_it() {
    let scene = Scene::new().await;
    scene.worker().await;
    scene.app("shop").await;
    scene.app("blog").await;
    let limited = Scene::access(Role::Admin, &[], Some(&["blog"]));
    let bea = scene.token("bea", limited).await;
    let operator = Scene::access(Role::Operator, &[Permission::EditPolicies], None);
    let otto = scene.token("otto", operator).await;
    let ask = async |token: &str, method: &str, path: &str, body: serde_json::Value| {
        scene.ask(method, path, Some(token), &[], Some(body)).await
    };

    // Repositories that only others use are not there.
    let to = |repository: &str| json!({ "app": "blog", "repositories": [repository] });
    let mine = "/policies/mine";
    ask(&bea, "PUT", mine, to("shop-store")).await.expect(422);
    ask(&bea, "PUT", mine, to("blog-store")).await.expect(201);
    let backup = |repository: &str| json!({ "app": "blog", "repository": repository });
    let made = ask(&bea, "POST", "/backups", backup("shop-store")).await;
    made.expect(422);
    let made = ask(&bea, "POST", "/backups", backup("blog-store")).await;
    made.expect(202);
    let guarded = json!({ "repository": "shop-store" });
    let guarded = ask(&bea, "POST", "/apps/blog/guarded/backup", guarded).await;
    guarded.expect(404);
    for repository in ["nothing", "shop-store"] {
        let path = format!("/backups?repository={repository}");
        let answer = scene.ask("GET", &path, Some(&bea), &[], None).await;
        let hint = answer.expect(404).json()["hint"].to_string();
        assert!(hint.contains("blog-store"), "{hint}");
        assert!(!hint.contains("shop-store"), "{hint}");
    }
    // What is said of a repository is said for all who use it.
    for what in ["accept-loss", "recovery-kit/confirm"] {
        let path = format!("/repositories/blog-store/{what}");
        let answer = scene.ask("POST", &path, Some(&bea), &[], None).await;
        answer.expect(403);
    }

    // Only new folders below the server's own, and no bucket.
    let own = scene.state.settings.places.exports();
    let export = |to: &str| json!({ "app": "blog", "kind": "export", "exportTo": to });
    let below = own.join("mine").display().to_string();
    for token in [&bea, &otto] {
        for to in ["/etc/cron.d", "s3://bucket/folder"] {
            let answer = ask(token, "PUT", "/policies/out", export(to)).await;
            let answer = answer.expect(403).json();
            assert!(answer["hint"].is_string(), "{answer}");
        }
        let answer = ask(token, "PUT", "/policies/out", export(&below)).await;
        assert!(answer.status.is_success(), "{}", answer.text);
    }
    let elsewhere = scene.put("/policies/out", export("/srv/packages")).await;
    elsewhere.expect(200);
    // What somebody else has said already is not said anew.
    let answer = ask(&otto, "PUT", "/policies/out", export("/srv/packages")).await;
    answer.expect(200);

    // SQL runs with the rights of the privileged connection.
    let drill = json!({ "app": "blog", "assertions": ["SELECT true"] });
    for token in [&bea, &otto] {
        let answer = ask(token, "POST", "/drills", drill.clone()).await;
        answer.expect(403);
    }
}

/// Bodies and queries that no good client sends.
const CLUMSY: [(&str, Option<&str>); 9] = [
    ("", None),
    ("", Some("")),
    ("", Some("null")),
    ("", Some("[]")),
    ("", Some("{}")),
    ("", Some("{\"unknown\":1}")),
    (
        "",
        Some("{\"name\":\"\\u0000\",\"app\":\"../..\",\"definition\":[]}"),
    ),
    (
        "?limit=-1&cursor=%00&days=0&count=99999999999&since=yesterday&after=-3",
        Some("{"),
    ),
    (
        "?limit=3&cursor=AAAA&state=%F0%9F%92%A9&topics=&text=%27%3B--",
        Some("{}"),
    ),
];

#[tokio::test]
async fn whatever_a_client_sends_gets_a_documented_answer() {
    let scene = Scene::new().await;
    scene.worker().await;
    scene.app("shop").await;
    let document = serde_json::to_value(api::document()).unwrap();
    for route in api::table() {
        if goes_on(&route.path) || route.path == "/session" || route.path == "/logout" {
            continue;
        }
        let documented = &document["paths"][format!("/api/v1{}", route.path)]
            [route.method.to_lowercase()]["responses"];
        for name in ["nothing", "shop", "%00", "-", "..."] {
            let path = filled(&route.path).replace("nothing", name);
            for (query, body) in CLUMSY {
                let mut request = Request::builder()
                    .method(route.method)
                    .uri(format!("/api/v1{path}{query}"))
                    .header("authorization", format!("Bearer {}", scene.admin));
                if body.is_some() {
                    request = request.header("content-type", "application/json");
                }
                let body = body.map_or_else(Body::empty, Body::from);
                let answer = read(
                    scene
                        .front
                        .answer_locally(request.body(body).unwrap())
                        .await,
                )
                .await;
                let status = answer.status.as_u16();
                let what = format!("{} {path}{query}: {status} {}", route.method, answer.text);
                assert!(
                    documented[status.to_string()].is_object(),
                    "not documented: {what}"
                );
                assert!(status != 500, "{what}");
                if status >= 400 {
                    assert_eq!(
                        answer.header("content-type"),
                        "application/problem+json",
                        "{what}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_permission_is_asked_for_somewhere() {
    let asked: BTreeSet<Permission> = api::table()
        .into_iter()
        .filter_map(|route| match route.access {
            RouteAccess::Needs(permission) => Some(permission),
            _ => None,
        })
        .collect();
    let missing: Vec<_> = Permission::ALL
        .into_iter()
        .filter(|permission| !asked.contains(permission))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

impl crate::scene::Answer {
    fn json_code(&self) -> Option<String> {
        let value: serde_json::Value = serde_json::from_str(&self.text).ok()?;
        value["code"].as_str().map(str::to_string)
    }
}
