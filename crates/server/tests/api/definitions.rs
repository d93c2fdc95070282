//! Apps, repositories, policies and notification targets: made, changed, shown without secrets, removed.

use crate::scene::Scene;
use pgkeep_model::access::Role;
use serde_json::{Value, json};

#[tokio::test]
async fn an_app_is_made_shown_changed_and_forgotten() {
    let scene = Scene::new().await;
    let body = json!({
        "databases": ["postgres://app:canary@db:5433/shop"],
        "adminUrl": "env:ADMIN_URL",
        "environment": "production",
    });
    let made = scene.put("/apps/shop", body.clone()).await.expect(201);
    assert_eq!(made.header("etag"), "\"1\"");
    let shown = scene.get("/apps/shop").await.expect(200);
    assert!(!shown.text.contains("canary"), "{}", shown.text);
    let mut definition = shown.json()["definition"].clone();
    assert_eq!(
        definition["databases"][0],
        "postgres://app:***@db:5433/shop"
    );
    assert_eq!(definition["adminUrl"], "env:ADMIN_URL");

    // Sent back as it was shown, with one change: the password stays.
    definition["environment"] = "staging".into();
    let changed = scene.put("/apps/shop", definition).await.expect(200);
    assert_eq!(changed.json()["revision"], 2);
    let stored = scene.state.catalog.app("shop").await.unwrap().value;
    assert_eq!(stored.databases, ["postgres://app:canary@db:5433/shop"]);
    assert_eq!(stored.environment.as_deref(), Some("staging"));

    scene.delete("/apps/shop").await.expect(204);
    scene.get("/apps/shop").await.expect(404);
    let log = scene.get("/audit").await.expect(200);
    assert!(!log.text.contains("canary"), "{}", log.text);
    let actions: Vec<String> = log.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(actions, ["app.delete", "app.put", "app.put"]);
}

#[tokio::test]
async fn an_administrator_of_one_app_changes_nothing_that_reaches_beyond_it() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    scene.app("blog").await;
    let access = Scene::access(Role::Admin, &[], Some(&["shop", "new"]));
    let token = scene.token("ann", access).await;
    let ann = Some(token.as_str());
    let shown = scene.ask("GET", "/apps/shop", ann, &[], None).await;
    let shown = shown.expect(200).json()["definition"].clone();
    let with = |change: Value| {
        let mut body = shown.clone();
        let (body_fields, fields) = (body.as_object_mut().unwrap(), change);
        for (name, value) in fields.as_object().unwrap() {
            body_fields.insert(name.clone(), value.clone());
        }
        body
    };
    for change in [
        json!({ "databases": ["env:BETA_URL"] }),
        json!({ "databases": ["postgres://app:***@db/shop", "postgres://app@db/blog"] }),
        json!({ "adminUrl": "postgres://root@db/postgres" }),
        json!({ "repository": "blog-store" }),
        json!({ "repository": null }),
        json!({ "binDirs": ["/tmp/evil"] }),
        json!({ "files": [{ "name": "all", "path": "/etc" }] }),
        json!({ "migrations": { "query": "SELECT pg_read_file('/etc/passwd')" } }),
        json!({ "commands": { "check": [["/bin/sh", "-c", "id"]] } }),
        json!({ "hooks": [{ "on": "before_backup", "command": ["/bin/sh", "-c", "id"] }] }),
        json!({ "fence": { "lockDir": "/etc" } }),
        json!({ "fence": { "pgbouncer": "postgres://root@db/pgbouncer" } }),
        json!({ "drill": { "adminUrl": "postgres://root@db/postgres" } }),
        json!({ "drill": { "assertions": ["SELECT true"] } }),
        json!({ "drill": { "scratch": "/etc" } }),
        json!({ "upgrade": { "to": "postgres://root@db/postgres" } }),
    ] {
        let body = with(change.clone());
        let answer = scene.ask("PUT", "/apps/shop", ann, &[], Some(body)).await;
        let answer = answer.expect(403).json();
        assert_eq!(answer["code"], "forbidden", "{change}");
        assert!(answer["hint"].is_string(), "{change}: {answer}");
    }
    let body = json!({ "databases": ["env:BETA_URL"] });
    let answer = scene.ask("PUT", "/apps/new", ann, &[], Some(body)).await;
    answer.expect(403);
    let before = scene.state.catalog.app("shop").await.unwrap();
    assert_eq!(before.revision, 1, "nothing was stored");

    // What is her app's own business.
    let body = with(json!({
        "environment": "staging", "jobs": 3, "compression": 5, "schemas": ["public"],
        "excludeTableData": ["sessions"], "fence": { "readOnly": true, "grace": "20s" },
        "drill": { "every": "7d", "amcheck": true, "objective": "30m" },
    }));
    let answer = scene.ask("PUT", "/apps/shop", ann, &[], Some(body)).await;
    answer.expect(200);
    let stored = scene.state.catalog.app("shop").await.unwrap().value;
    assert_eq!(stored.databases, before.value.databases);
    assert_eq!(stored.drill.every.as_deref(), Some("7d"));
    let policy = json!({ "app": "shop", "description": "hers", "retention": { "days": 9 } });
    let answer = scene
        .ask("PUT", "/policies/nightly", ann, &[], Some(policy))
        .await;
    answer.expect(201);
}

#[tokio::test]
async fn a_password_that_was_only_masked_is_not_stored() {
    let scene = Scene::new().await;
    let body = json!({ "databases": ["postgres://app:***@db/shop"] });
    scene.put("/apps/shop", body).await.expect(422);
    let body = json!({ "address": "/backups", "key": "***" });
    scene.put("/repositories/main", body).await.expect(422);
    let body = json!({ "channel": { "type": "slack", "url": "https://hooks.slack.com/***" } });
    scene
        .put("/notifications/targets/chat", body)
        .await
        .expect(422);
}

#[tokio::test]
async fn two_people_do_not_overwrite_each_other() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    let admin = Some(scene.admin.as_str());
    let policy = |days: u32| json!({ "app": "shop", "retention": { "days": days } });
    let put = async |headers: &[(&str, &str)], days| {
        scene
            .ask(
                "PUT",
                "/policies/nightly",
                admin,
                headers,
                Some(policy(days)),
            )
            .await
    };
    put(&[("if-match", "\"1\"")], 1).await.expect(412);
    put(&[("if-none-match", "*")], 1).await.expect(201);
    put(&[("if-none-match", "*")], 2).await.expect(409);
    let first = scene.get("/policies/nightly").await.expect(200);
    let tag = first.header("etag").to_string();
    put(&[("if-match", &tag)], 2).await.expect(200);
    let late = put(&[("if-match", &tag)], 3).await.expect(412);
    assert_eq!(late.json()["code"], "precondition_failed");
    put(&[("if-match", "*")], 4).await.expect(200);
    put(&[("if-match", "nonsense")], 5).await.expect(412);
    let now = scene.get("/policies/nightly").await.expect(200).json();
    assert_eq!(now["definition"]["retention"]["days"], 4);
    let delete = async |tag: &str| {
        let headers = [("if-match", tag)];
        scene
            .ask("DELETE", "/policies/nightly", admin, &headers, None)
            .await
    };
    delete("\"1\"").await.expect(412);
    delete("\"3\"").await.expect(204);
}

#[tokio::test]
async fn what_is_used_is_not_forgotten() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    scene
        .put("/policies/nightly", json!({ "app": "shop" }))
        .await
        .expect(201);
    for path in ["/apps/shop", "/repositories/shop-store"] {
        let answer = scene.delete(path).await.expect(409);
        assert_eq!(answer.json()["code"], "in_use", "{path}");
    }
    scene.delete("/policies/nightly").await.expect(204);
    scene.delete("/apps/shop").await.expect(204);
    scene.delete("/repositories/shop-store").await.expect(204);
}

#[tokio::test]
async fn a_policy_names_only_what_is_there() {
    let scene = Scene::new().await;
    let body = json!({ "app": "shop", "repositories": ["main"], "notify": ["chat"] });
    let answer = scene.put("/policies/nightly", body).await.expect(422);
    let fields: Vec<Value> = answer.json()["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["field"].clone())
        .collect();
    assert_eq!(fields, ["app", "repositories", "notify"]);
}

#[tokio::test]
async fn the_ready_policies_are_made_once() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    let made = |answer: &Value| -> Vec<bool> {
        answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["made"].as_bool().unwrap())
            .collect()
    };
    let body = || Some(json!({ "app": "shop" }));
    let plan = Some(json!({ "app": "shop", "dryRun": true }));
    assert_eq!(
        made(
            &scene
                .post("/policies/defaults", plan)
                .await
                .expect(200)
                .json()
        ),
        [false; 5]
    );
    assert_eq!(
        made(
            &scene
                .post("/policies/defaults", body())
                .await
                .expect(200)
                .json()
        ),
        [true; 5]
    );
    assert_eq!(
        made(
            &scene
                .post("/policies/defaults", body())
                .await
                .expect(200)
                .json()
        ),
        [false; 5]
    );
    let next = scene
        .get("/policies/production_daily_full/next?count=3")
        .await
        .expect(200)
        .json();
    let starts: Vec<&str> = next["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["scheduled"].as_str().unwrap())
        .collect();
    assert_eq!(
        starts,
        [
            "2026-03-03T02:00:00Z",
            "2026-03-04T02:00:00Z",
            "2026-03-05T02:00:00Z"
        ]
    );
    let calendar = scene.get("/calendar.ics?days=7").await.expect(200);
    assert_eq!(
        calendar.header("content-type"),
        "text/calendar; charset=utf-8"
    );
    assert!(
        calendar.text.contains("DTSTART:20260303T020000Z"),
        "{}",
        calendar.text
    );
}

#[tokio::test]
async fn a_policy_is_switched_off_and_on() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    scene
        .put("/policies/nightly", json!({ "app": "shop" }))
        .await
        .expect(201);
    let off = scene
        .post("/policies/nightly/disable", None)
        .await
        .expect(200)
        .json();
    assert_eq!(off["definition"]["enabled"], false);
    assert_eq!(off["nextRun"], Value::Null);
    let on = scene
        .post("/policies/nightly/enable", None)
        .await
        .expect(200)
        .json();
    assert_eq!(on["definition"]["enabled"], true);
    assert_eq!(on["nextRun"], "2026-03-03T02:00:00Z");
}

#[tokio::test]
async fn a_repository_is_tried_out_made_and_tried_out_again() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let address = folder.path().join("store");
    let body = json!({ "address": address, "key": "correct horse battery staple" });
    let before = scene
        .post("/repositories/test", Some(body.clone()))
        .await
        .expect(200)
        .json();
    assert_eq!(before["usable"], false, "{before}");
    assert_eq!(before["exists"], false, "{before}");
    scene.put("/repositories/main", body).await.expect(201);
    let shown = scene.get("/repositories/main").await.expect(200);
    assert!(!shown.text.contains("battery"), "{}", shown.text);
    scene
        .post("/repositories/main/init", None)
        .await
        .expect(201);
    let after = scene
        .post("/repositories/main/test", None)
        .await
        .expect(200)
        .json();
    assert_eq!(after["usable"], true, "{after}");
    assert_eq!(after["backups"], 0, "{after}");
    let twice = scene.post("/repositories/main/init", None).await;
    assert!(twice.status.is_client_error(), "{}", twice.text);
    let wrong = json!({ "address": address, "key": "another" });
    let wrong = scene
        .post("/repositories/test", Some(wrong))
        .await
        .expect(200)
        .json();
    assert_eq!(wrong["usable"], false, "{wrong}");
    assert!(!wrong["findings"].as_array().unwrap().is_empty(), "{wrong}");
}

#[tokio::test]
async fn a_target_keeps_its_secret_and_tells_what_became_of_a_test() {
    let scene = Scene::new().await;
    let receiver = pgkeep_testkit::HttpReceiver::start();
    let url = receiver.url("/canary-path");
    let body = json!({ "channel": { "type": "webhook", "url": url, "secret": "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5" } });
    scene
        .put("/notifications/targets/hook", body)
        .await
        .expect(201);
    let shown = scene.get("/notifications/targets/hook").await.expect(200);
    assert!(
        !shown.text.contains("canary") && !shown.text.contains("Y2Fu"),
        "{}",
        shown.text
    );
    let mut definition = shown.json()["definition"].clone();
    definition["repeatSecs"] = 60.into();
    scene
        .put("/notifications/targets/hook", definition)
        .await
        .expect(200);
    let test = scene
        .post("/notifications/targets/hook/test", None)
        .await
        .expect(200)
        .json();
    assert_eq!(test["delivered"], true, "{test}");
    assert_eq!(receiver.next_request().target, "/canary-path");
    let nowhere = json!({ "channel": { "type": "slack", "url": "http://127.0.0.1:1/canary" } });
    let test = scene
        .post("/notifications/test", Some(nowhere))
        .await
        .expect(200);
    assert_eq!(test.json()["delivered"], false, "{}", test.text);
    assert!(!test.text.contains("canary"), "{}", test.text);
}

#[tokio::test]
async fn settings_are_shown_and_the_changeable_ones_changed() {
    let scene = Scene::new().await;
    let shown = scene.get("/settings").await.expect(200).json();
    assert_eq!(shown["throttles"]["backup_create"], "off");
    assert_eq!(shown["workers"], 0);
    let admin = Some(scene.admin.as_str());
    let change = async |days: u32| {
        let body = Some(json!({ "proveEveryDays": days }));
        scene.ask("PATCH", "/settings", admin, &[], body).await
    };
    assert_eq!(change(14).await.expect(200).json()["proveEveryDays"], 14);
    change(0).await.expect(422);
    assert_eq!(
        scene.get("/settings").await.expect(200).json()["proveEveryDays"],
        14
    );
}

#[tokio::test]
async fn a_recovery_kit_is_confirmed_and_growth_is_shown() {
    let scene = Scene::new().await;
    let body = json!({ "address": "/backups", "key": "first key" });
    let made = scene.put("/repositories/main", body).await.expect(201);
    assert_eq!(made.json()["recoveryKit"]["confirmedAt"], Value::Null);
    assert_eq!(made.json()["growth"], Value::Null);
    let confirm = "/repositories/main/recovery-kit/confirm";
    let confirmed = scene.post(confirm, None).await.expect(200).json();
    assert!(confirmed["confirmedAt"].is_string(), "{confirmed}");
    let catalog = &scene.state.catalog;
    let now = catalog.now();
    for day in 0..3_u64 {
        let size = pgkeep_model::growth::Size {
            at: now - jiff::SignedDuration::from_hours(24 * (2 - day as i64)),
            stored_bytes: 1_000_000 * day,
            free_bytes: 7_500_000,
        };
        catalog.record_size("main", &size).await.unwrap();
    }
    let listed = scene.get("/repositories").await.expect(200).json();
    let main = &listed["items"][0];
    assert_eq!(main["recoveryKit"], confirmed);
    assert_eq!(
        main["growth"],
        json!({ "bytesPerDay": 1_000_000, "freeBytes": 7_500_000, "fullInDays": 7.5 })
    );

    // Who may only look may not say so, and another key has another kit.
    let viewer = Scene::access(pgkeep_model::access::Role::Viewer, &[], None);
    let viewer = scene.token("viewer", viewer).await;
    let refused = scene.ask("POST", confirm, Some(&viewer), &[], None).await;
    refused.expect(403);
    let body = json!({ "address": "/backups", "key": "second key" });
    scene.put("/repositories/main", body).await.expect(200);
    let shown = scene.get("/repositories/main").await.expect(200).json();
    assert_eq!(shown["recoveryKit"]["confirmedAt"], Value::Null);
    scene
        .post("/repositories/other/recovery-kit/confirm", None)
        .await
        .expect(404);
}
