use crate::scene::{Browser, PASSWORD, Scene, of_apps, with_grants};
use pgkeep_model::access::{Access, Permission, Role};
use pgkeep_server::auth::audit::Act;
use serde_json::json;

#[tokio::test]
async fn what_is_done_to_accounts_is_written_down_without_secrets() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Admin)).await;
    Browser::at("203.0.113.9")
        .log_in(&scene, "ann", "CANARY-wrong")
        .await;
    let mut admin = scene.logged_in("ann").await;
    let body = json!({ "name": "ben", "role": "viewer", "password": "CANARY horse battery" });
    let ben = admin.post(&scene, "/users", body).await;
    let path = format!("/users/{}", ben.body["id"].as_str().unwrap());
    admin
        .request(
            &scene,
            "PATCH",
            &path,
            Some(json!({ "role": "operator" })),
            &[],
        )
        .await;
    let token = admin
        .post(&scene, "/tokens", json!({ "name": "ci", "role": "viewer" }))
        .await;
    let id = token.body["id"].as_str().unwrap();
    admin
        .request(&scene, "DELETE", &format!("/tokens/{id}"), None, &[])
        .await;
    admin.request(&scene, "DELETE", &path, None, &[]).await;
    assert_eq!(
        scene.trail().await,
        [
            "ann session.create user/ann refused".to_owned(),
            "ann session.create user/ann done".to_owned(),
            "ann user.create user/ben done".to_owned(),
            "ann user.update user/ben done".to_owned(),
            format!("ann token.create token/{id} done"),
            format!("ann token.revoke token/{id} done"),
            "ann user.delete user/ben done".to_owned(),
        ]
    );
    let list = admin.get(&scene, "/audit").await;
    let text = list.body.to_string();
    assert!(
        !text.contains("CANARY") && !text.contains("argon2"),
        "{text}"
    );
    assert!(
        !text.contains(token.body["token"].as_str().unwrap()),
        "{text}"
    );
    let entries = list.body["items"].as_array().unwrap();
    let update = entries
        .iter()
        .find(|entry| entry["action"] == "user.update")
        .unwrap();
    assert_eq!(
        (
            update["before"]["role"].clone(),
            update["after"]["role"].clone()
        ),
        (json!("viewer"), json!("operator"))
    );
    let refused = entries
        .iter()
        .find(|entry| entry["result"] == "refused")
        .unwrap();
    assert_eq!(
        (refused["actorKind"].clone(), refused["from"].clone()),
        (json!("nobody"), json!("203.0.113.9"))
    );

    let verdict = admin.get(&scene, "/audit/verify").await;
    assert_eq!(verdict.body, json!({ "intact": true, "entries": 7 }));
}

#[tokio::test]
async fn the_log_is_for_those_who_may_and_shows_their_apps_only() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Admin)).await;
    scene.account("ben", Access::of(Role::Operator)).await;
    let auditor = Access {
        grants: [Permission::Audit].into(),
        ..of_apps(Role::Viewer, &["shop"])
    };
    scene.account("cas", auditor).await;
    scene
        .account("dan", with_grants(Role::Viewer, &[Permission::Audit]))
        .await;
    for (object, app) in [
        ("backup/1", Some("shop")),
        ("backup/2", Some("blog")),
        ("setting/x", None),
    ] {
        Act::done("backup.delete", object)
            .app(app)
            .by_system(&scene.catalog)
            .await
            .unwrap();
    }
    assert_eq!(
        scene
            .logged_in("ben")
            .await
            .get(&scene, "/audit")
            .await
            .status,
        403
    );
    let seen = async |name: &str| {
        let answer = scene
            .logged_in(name)
            .await
            .get(&scene, "/audit?action=backup")
            .await;
        let items = answer.body["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|entry| entry["object"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(seen("cas").await, ["backup/1"]);
    assert_eq!(seen("dan").await, ["setting/x", "backup/2", "backup/1"]);
    assert_eq!(seen("ann").await.len(), 3);

    let mut dan = scene.logged_in("dan").await;
    let first = dan.get(&scene, "/audit?action=backup&limit=2").await;
    let cursor = first.body["nextCursor"].as_str().unwrap();
    let second = dan
        .get(
            &scene,
            &format!("/audit?action=backup&limit=2&cursor={cursor}"),
        )
        .await;
    assert_eq!(second.body["items"][0]["object"], "backup/1");
    assert_eq!(second.body["nextCursor"], json!(null));
    assert_eq!(dan.get(&scene, "/audit?cursor=nonsense").await.status, 400);
    assert_eq!(dan.get(&scene, "/audit?limit=0").await.status, 400);
}

#[tokio::test]
async fn an_entry_changed_behind_the_servers_back_is_reported() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Admin)).await;
    let mut admin = scene.logged_in("ann").await;
    assert_eq!(
        Browser::new().log_in(&scene, "ann", PASSWORD).await.status,
        200
    );
    let file = scene.dir.path().join("catalog.sqlite");
    let status = tamper(&file, "UPDATE audit SET actor = 'eve' WHERE seq = 1");
    assert!(status, "the row was changed");
    let verdict = admin.get(&scene, "/audit/verify").await;
    assert_eq!(verdict.body["intact"], false);
    assert_eq!(verdict.body["brokenAt"], 1);
}

/// Changes the file as somebody would who has it.
fn tamper(file: &std::path::Path, sql: &str) -> bool {
    // Starting a program is what the test is about: nothing of pgkeep is involved.
    #[expect(clippy::disallowed_methods, reason = "an attacker with a program of his own")]
    let output = std::process::Command::new("python3")
        .arg("-c")
        .arg("import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); n = c.execute(sys.argv[2]).rowcount; c.commit(); print(n)")
        .arg(file)
        .arg(sql)
        .output()
        .expect("python3 is installed");
    output.stdout.starts_with(b"1")
}

#[tokio::test]
async fn what_somebody_may_not_do_is_written_down_once_a_minute() {
    let scene = Scene::new().await;
    scene.account("vera", Access::of(Role::Viewer)).await;
    let mut vera = scene.logged_in("vera").await;
    let refused = async |scene: &Scene| {
        let trail = scene.trail().await;
        let refused = trail
            .into_iter()
            .filter(|entry| entry.contains("request.send"));
        refused.collect::<Vec<_>>()
    };
    for id in ["one", "two", "three"] {
        let path = format!("/users/{id}");
        let answer = vera.request(&scene, "DELETE", &path, None, &[]).await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert_eq!(vera.get(&scene, "/users").await.status, 403);
    let expected = [
        "vera request.send DELETE /api/v1/users/one refused",
        "vera request.send GET /api/v1/users refused",
    ];
    assert_eq!(refused(&scene).await, expected);
    scene.advance(61);
    assert_eq!(vera.get(&scene, "/users").await.status, 403);
    assert_eq!(refused(&scene).await.len(), 3);
    assert_eq!(vera.get(&scene, "/session").await.status, 200);
    let out = vera.request(&scene, "DELETE", "/session", None, &[]).await;
    assert_eq!(out.status, 204, "{out:?}");
    let trail = scene.trail().await;
    assert!(
        trail.last().unwrap().contains("vera session.end session/"),
        "{trail:#?}"
    );
}
