use crate::scene::{Scene, of_apps, with_grants};
use jiff::SignedDuration;
use pgkeep_model::access::{Access, Permission, Role};
use pgkeep_model::app::AppDefinition;
use serde_json::json;

async fn two_apps(scene: &Scene) {
    for name in ["shop", "blog"] {
        let app = AppDefinition {
            databases: vec!["env:DATABASE_URL".into()],
            ..AppDefinition::default()
        };
        scene
            .catalog
            .put_app(name, &app, pgkeep_catalog::ManagedBy::Api, None)
            .await
            .expect("stored");
    }
}

#[tokio::test]
async fn a_token_is_shown_once_and_stored_as_a_hash() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Operator)).await;
    let mut browser = scene.logged_in("ann").await;
    let expires_at = scene.now() + SignedDuration::from_hours(24);
    let body = json!({ "name": "ci", "role": "viewer", "expiresAt": expires_at.to_string() });
    let made = browser.post(&scene, "/tokens", body.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.body["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("pgk_"), "{token}");
    let again = browser.post(&scene, "/tokens", body).await;
    assert_eq!((again.status, again.code()), (409, "exists"));

    let me = scene.ask(&token, "GET", "/session", None).await;
    assert_eq!(
        (
            me.status,
            me.body["kind"].as_str(),
            me.body["permissions"].clone()
        ),
        (200, Some("token"), json!(["view"]))
    );
    let list = browser.get(&scene, "/tokens").await;
    assert_eq!(list.body["items"][0]["prefix"], token[..10]);
    assert!(list.body["items"][0]["lastUsedAt"].is_string());
    assert!(!list.body.to_string().contains(&token));
    let mut stored = std::fs::read(scene.dir.path().join("catalog.sqlite")).unwrap();
    stored.extend(std::fs::read(scene.dir.path().join("catalog.sqlite-wal")).unwrap());
    assert!(
        !stored
            .windows(token.len())
            .any(|bytes| bytes == token.as_bytes())
    );

    scene.advance(24 * 3600);
    let expired = scene.ask(&token, "GET", "/session", None).await;
    assert_eq!((expired.status, expired.code()), (401, "unauthenticated"));
}

#[tokio::test]
async fn a_token_sees_its_apps_only() {
    let scene = Scene::new().await;
    two_apps(&scene).await;
    let ann = scene.account("ann", Access::of(Role::Admin)).await;
    let token = scene
        .token(&ann, of_apps(Role::Viewer, &["shop"]), None)
        .await;
    let apps = scene.ask(&token, "GET", "/apps", None).await;
    let names: Vec<&str> = apps.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|app| app["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["shop"]);
    assert_eq!(
        scene.ask(&token, "GET", "/apps/shop", None).await.status,
        200
    );
    let hidden = scene.ask(&token, "GET", "/apps/blog", None).await;
    let absent = scene.ask(&token, "GET", "/apps/none", None).await;
    assert_eq!((hidden.status, hidden.code()), (404, "not_found"));
    assert_eq!(
        hidden.body["detail"]
            .as_str()
            .unwrap()
            .replace("blog", "none"),
        absent.body["detail"].as_str().unwrap(),
        "hidden is like absent"
    );
}

#[tokio::test]
async fn a_token_never_does_more_than_its_owner_may_at_that_moment() {
    let scene = Scene::new().await;
    scene.account("root-admin", Access::of(Role::Admin)).await;
    let ann = scene.account("ann", Access::of(Role::Admin)).await;
    let token = scene.token(&ann, Access::of(Role::Admin), None).await;
    assert_eq!(scene.ask(&token, "GET", "/users", None).await.status, 200);
    let viewer = pgkeep_catalog::people::UserChange {
        access: Some(of_apps(Role::Viewer, &["shop"])),
        ..Default::default()
    };
    scene
        .catalog
        .update_user(&ann, &viewer, None)
        .await
        .unwrap();
    assert_eq!(scene.ask(&token, "GET", "/users", None).await.status, 403);
    let me = scene.ask(&token, "GET", "/session", None).await;
    assert_eq!(
        (me.body["role"].clone(), me.body["apps"].clone()),
        (json!("viewer"), json!(["shop"]))
    );
    let disabled = pgkeep_catalog::people::UserChange {
        disabled: Some(true),
        ..Default::default()
    };
    scene
        .catalog
        .update_user(&ann, &disabled, None)
        .await
        .unwrap();
    assert_eq!(scene.ask(&token, "GET", "/session", None).await.status, 401);
}

#[tokio::test]
async fn a_token_cannot_be_made_for_more_than_one_has() {
    let scene = Scene::new().await;
    scene
        .account("ann", with_grants(Role::Operator, &[Permission::Download]))
        .await;
    scene
        .account("ben", of_apps(Role::Operator, &["shop"]))
        .await;
    let mut ann = scene.logged_in("ann").await;
    let mut ben = scene.logged_in("ben").await;
    let body = |name: &str, role: &str, grants: serde_json::Value| json!({ "name": name, "role": role, "grants": grants });
    assert_eq!(
        ann.post(&scene, "/tokens", body("t1", "admin", json!([])))
            .await
            .status,
        403
    );
    assert_eq!(
        ann.post(&scene, "/tokens", body("t2", "viewer", json!(["restore"])))
            .await
            .status,
        403
    );
    assert_eq!(
        ann.post(&scene, "/tokens", body("t3", "viewer", json!(["download"])))
            .await
            .status,
        201
    );
    let blog = json!({ "name": "t4", "role": "viewer", "apps": ["blog"] });
    assert_eq!(ben.post(&scene, "/tokens", blog).await.status, 403);
    let made = ben
        .post(&scene, "/tokens", body("t5", "viewer", json!([])))
        .await;
    assert_eq!(
        (made.status, made.body["apps"].clone()),
        (201, json!(["shop"]))
    );
    let past = json!({ "name": "t6", "role": "viewer", "expiresAt": "2026-01-01T00:00:00Z" });
    assert_eq!(ann.post(&scene, "/tokens", past).await.status, 422);
    let foreign = json!({ "name": "t7", "role": "viewer", "owner": "ben" });
    assert_eq!(ann.post(&scene, "/tokens", foreign).await.status, 403);

    let token = made.body["token"].as_str().unwrap();
    let bred = scene
        .ask(
            token,
            "POST",
            "/tokens",
            Some(body("t8", "viewer", json!([]))),
        )
        .await;
    assert_eq!(
        (bred.status, bred.code()),
        (403, "forbidden"),
        "tokens make no tokens"
    );
    let session = scene
        .ask(
            token,
            "POST",
            "/session/totp",
            Some(json!({ "password": "x" })),
        )
        .await;
    assert_eq!(session.status, 403);
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_only_its_owner_or_a_manager_revokes() {
    let scene = Scene::new().await;
    let ann = scene.account("ann", Access::of(Role::Operator)).await;
    scene.account("ben", Access::of(Role::Operator)).await;
    scene.account("root-admin", Access::of(Role::Admin)).await;
    let token = scene.token(&ann, Access::of(Role::Viewer), None).await;
    let id = scene.catalog.tokens(None).await.unwrap().remove(0).id;
    let path = format!("/tokens/{id}");
    let mut ben = scene.logged_in("ben").await;
    assert_eq!(
        ben.request(&scene, "DELETE", &path, None, &[]).await.status,
        404
    );
    assert_eq!(ben.get(&scene, "/tokens?all=true").await.status, 403);
    assert_eq!(ben.get(&scene, "/tokens").await.body["items"], json!([]));
    assert_eq!(scene.ask(&token, "GET", "/session", None).await.status, 200);
    let mut admin = scene.logged_in("root-admin").await;
    let all = admin.get(&scene, "/tokens?all=true").await;
    assert_eq!(all.body["items"][0]["owner"], "ann");
    assert_eq!(
        admin
            .request(&scene, "DELETE", &path, None, &[])
            .await
            .status,
        204
    );
    assert_eq!(scene.ask(&token, "GET", "/session", None).await.status, 401);
}

#[tokio::test]
async fn who_may_do_less_ends_nothing_of_who_may_do_more() {
    let scene = Scene::new().await;
    let root = scene.account("root-admin", Access::of(Role::Admin)).await;
    let strong = scene.token(&root, Access::of(Role::Admin), None).await;
    let strong_id = scene.catalog.tokens(None).await.unwrap().remove(0).id;
    let strong_path = format!("/tokens/{strong_id}");

    // An administrator of one app, and a token of the first one's own that may do less than its account.
    let limited = of_apps(Role::Admin, &["shop"]);
    let ann = scene.account("ann", limited.clone()).await;
    let of_ann = scene.token(&ann, limited.clone(), None).await;
    let of_root = scene.token(&root, limited, None).await;
    let mut browser = scene.logged_in("root-admin").await;
    for token in [&of_ann, &of_root] {
        let refused = scene.ask(token, "DELETE", &strong_path, None).await;
        assert_eq!(
            (refused.status, refused.code()),
            (403, "forbidden"),
            "{refused:?}"
        );
        assert!(refused.body["hint"].is_string(), "{refused:?}");
    }
    let sessions = browser.get(&scene, "/sessions").await;
    let session = sessions.body["items"][0]["id"].as_str().unwrap().to_owned();
    for path in ["/sessions".to_owned(), format!("/sessions/{session}")] {
        let refused = scene.ask(&of_root, "DELETE", &path, None).await;
        assert_eq!(refused.status, 403, "{path}: {refused:?}");
    }
    let me = scene.ask(&strong, "GET", "/session", None).await;
    assert_eq!(me.status, 200, "{me:?}");
    assert_eq!(browser.get(&scene, "/session").await.status, 200);

    // Nor does she learn who they are.
    let users = scene.ask(&of_ann, "GET", "/users", None).await;
    assert_eq!(users.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(users.body["items"][0]["name"], "ann");
    let path = format!("/users/{root}");
    assert_eq!(scene.ask(&of_ann, "GET", &path, None).await.status, 404);
    let tokens = scene.ask(&of_ann, "GET", "/tokens?all=true", None).await;
    assert!(!tokens.body.to_string().contains(&strong_id), "{tokens:?}");

    // What may do no more is within reach: her own, and an account of her app.
    let ben = scene
        .account("ben", of_apps(Role::Operator, &["shop"]))
        .await;
    let of_ben = scene
        .token(&ben, of_apps(Role::Viewer, &["shop"]), None)
        .await;
    let found = scene.catalog.tokens(Some(&ben)).await.unwrap().remove(0);
    let path = format!("/tokens/{}", found.id);
    assert_eq!(scene.ask(&of_ann, "DELETE", &path, None).await.status, 204);
    assert_eq!(
        scene.ask(&of_ben, "GET", "/session", None).await.status,
        401
    );
    let own = scene.catalog.tokens(Some(&ann)).await.unwrap().remove(0);
    let path = format!("/tokens/{}", own.id);
    assert_eq!(scene.ask(&of_ann, "DELETE", &path, None).await.status, 204);
}

#[tokio::test]
async fn a_wrong_authorization_is_refused_even_beside_a_good_cookie() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Admin)).await;
    let mut browser = scene.logged_in("ann").await;
    for value in ["Bearer pgk_wrong", "Bearer", "Basic YW5uOng=", "pgk_x", ""] {
        let more = [("authorization", format!("{value} ").trim_start().to_owned())];
        let more = if value.is_empty() {
            [("authorization", " ".to_owned())]
        } else {
            more
        };
        let answer = browser
            .request(&scene, "GET", "/session", None, &more)
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (401, "unauthenticated"),
            "{value}"
        );
        assert_eq!(
            answer.headers["www-authenticate"],
            "Bearer realm=\"pgkeep\""
        );
    }
}
