use crate::scene::{Browser, PASSWORD, Scene, of_apps, with_grants};
use pgkeep_model::access::{Access, Permission, Role};
use serde_json::json;

#[tokio::test]
async fn an_admin_makes_changes_and_removes_accounts() {
    let scene = Scene::new().await;
    scene.account("root-admin", Access::of(Role::Admin)).await;
    let mut admin = scene.logged_in("root-admin").await;
    let body = json!({
        "name": "ben", "email": "ben@example.org", "role": "operator", "grants": ["restore"], "apps": ["shop"],
        "password": PASSWORD,
    });
    let made = admin.post(&scene, "/users", body.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(
        !made.body.to_string().contains("argon2"),
        "hashes stay inside"
    );
    let again = admin.post(&scene, "/users", body).await;
    assert_eq!((again.status, again.code()), (409, "exists"));
    let path = format!("/users/{}", made.body["id"].as_str().unwrap());

    let mut ben = scene.logged_in("ben").await;
    let me = ben.get(&scene, "/session").await;
    assert_eq!(
        me.body["permissions"],
        json!(["view", "operate", "manage_jobs", "restore"])
    );
    assert_eq!(me.body["apps"], json!(["shop"]));
    let refused = ben.get(&scene, "/users").await;
    assert_eq!((refused.status, refused.code()), (403, "forbidden"));

    let etag = made.headers["etag"].to_str().unwrap().to_owned();
    let matching = |tag: &str| [("if-match", tag.to_owned())];
    let change = json!({ "role": "viewer", "grants": [], "apps": null });
    let changed = admin
        .request(&scene, "PATCH", &path, Some(change), &matching(&etag))
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.body["apps"], json!(null));
    let stale = admin
        .request(
            &scene,
            "PATCH",
            &path,
            Some(json!({ "disabled": true })),
            &matching(&etag),
        )
        .await;
    assert_eq!((stale.status, stale.code()), (412, "precondition_failed"));
    let me = ben.get(&scene, "/session").await;
    assert_eq!(me.body["permissions"], json!(["view"]), "it counts at once");

    let disabled = admin
        .request(
            &scene,
            "PATCH",
            &path,
            Some(json!({ "disabled": true })),
            &[],
        )
        .await;
    assert_eq!(disabled.status, 200, "{disabled:?}");
    assert_eq!(ben.get(&scene, "/session").await.status, 401);
    let refused = Browser::new().log_in(&scene, "ben", PASSWORD).await;
    assert_eq!((refused.status, refused.code()), (401, "login_refused"));
    assert_eq!(
        admin
            .request(&scene, "DELETE", &path, None, &[])
            .await
            .status,
        204
    );
    assert_eq!(admin.get(&scene, &path).await.status, 404);
}

#[tokio::test]
async fn the_last_admin_is_neither_removed_nor_demoted_nor_disabled() {
    let scene = Scene::new().await;
    let id = scene.account("ann", Access::of(Role::Admin)).await;
    let mut admin = scene.logged_in("ann").await;
    let path = format!("/users/{id}");
    let gone = admin.request(&scene, "DELETE", &path, None, &[]).await;
    assert_eq!((gone.status, gone.code()), (409, "wrong_state"), "{gone:?}");
    for change in [
        json!({ "role": "operator" }),
        json!({ "disabled": true }),
        json!({ "apps": ["shop"] }),
    ] {
        let answer = admin
            .request(&scene, "PATCH", &path, Some(change.clone()), &[])
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (409, "wrong_state"),
            "{change}"
        );
    }
    assert_eq!(admin.get(&scene, "/session").await.status, 200);
}

#[tokio::test]
async fn nobody_grants_more_than_they_have() {
    let scene = Scene::new().await;
    let admin = scene.account("ann", Access::of(Role::Admin)).await;
    scene
        .account(
            "clerk",
            with_grants(Role::Operator, &[Permission::ManageUsers]),
        )
        .await;
    let mut clerk = scene.logged_in("clerk").await;
    let user = |role: &str, grants: serde_json::Value| json!({ "name": "eve", "role": role, "grants": grants });
    for body in [user("admin", json!([])), user("viewer", json!(["restore"]))] {
        let refused = clerk.post(&scene, "/users", body.clone()).await;
        assert_eq!(
            (refused.status, refused.code()),
            (403, "forbidden"),
            "{body}"
        );
    }
    let made = clerk
        .post(&scene, "/users", user("operator", json!(["manage_users"])))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    // And takes over nobody who has more.
    let path = format!("/users/{admin}/password");
    let taken = clerk
        .request(
            &scene,
            "PUT",
            &path,
            Some(json!({ "password": PASSWORD })),
            &[],
        )
        .await;
    assert_eq!((taken.status, taken.code()), (403, "forbidden"));
    let path = format!("/users/{admin}");
    assert_eq!(
        clerk
            .request(&scene, "DELETE", &path, None, &[])
            .await
            .status,
        403
    );
    let raise = json!({ "grants": ["manage_users", "restore"] });
    let own = format!("/users/{}", made.body["id"].as_str().unwrap());
    assert_eq!(
        clerk
            .request(&scene, "PATCH", &own, Some(raise), &[])
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn a_manager_of_some_apps_grants_only_those() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Admin)).await;
    let shop = Access {
        grants: [Permission::ManageUsers].into(),
        ..of_apps(Role::Operator, &["shop"])
    };
    scene.account("clerk", shop).await;
    let mut clerk = scene.logged_in("clerk").await;
    let user = |name: &str, apps: serde_json::Value| json!({ "name": name, "role": "viewer", "apps": apps });
    assert_eq!(
        clerk
            .post(&scene, "/users", user("a1", json!(null)))
            .await
            .status,
        403
    );
    assert_eq!(
        clerk
            .post(&scene, "/users", user("a2", json!(["shop", "blog"])))
            .await
            .status,
        403
    );
    assert_eq!(
        clerk
            .post(&scene, "/users", user("a3", json!(["shop"])))
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn what_is_no_account_is_refused_with_its_field() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Admin)).await;
    let mut admin = scene.logged_in("ann").await;
    for (body, field) in [
        (json!({ "name": "../x", "role": "viewer" }), "name"),
        (json!({ "name": "ben", "role": "king" }), "role"),
        (
            json!({ "name": "ben", "role": "viewer", "email": "no address" }),
            "email",
        ),
        (
            json!({ "name": "ben", "role": "viewer", "password": "short" }),
            "password",
        ),
        (
            json!({ "name": "ben", "role": "viewer", "password": "ben-ben-ben-ben" }),
            "password",
        ),
        (
            json!({ "name": "ben", "role": "viewer", "passwort": "x" }),
            "passwort",
        ),
    ] {
        let answer = admin.post(&scene, "/users", body.clone()).await;
        assert_eq!(answer.status, 422, "{body} {answer:?}");
        assert!(
            answer.body["detail"].as_str().unwrap().contains(field),
            "{body} {answer:?}"
        );
        assert!(
            !answer.body.to_string().contains("ben-ben"),
            "values of secrets are not repeated"
        );
    }
}

#[tokio::test]
async fn who_lost_the_phone_gets_in_again_through_an_admin() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Admin)).await;
    let ben = scene.account("ben", Access::of(Role::Viewer)).await;
    scene
        .catalog
        .begin_totp(&ben, &"JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP".into())
        .await
        .unwrap();
    scene.catalog.confirm_totp(&ben, 1, &[]).await.unwrap();
    assert_eq!(
        Browser::new().log_in(&scene, "ben", PASSWORD).await.code(),
        "second_factor_needed"
    );
    let mut admin = scene.logged_in("ann").await;
    let path = format!("/users/{ben}/totp");
    assert_eq!(
        admin
            .request(&scene, "DELETE", &path, None, &[])
            .await
            .status,
        204
    );
    assert_eq!(
        Browser::new().log_in(&scene, "ben", PASSWORD).await.status,
        200
    );
}
