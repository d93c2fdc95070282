//! That two people agree to a restore that overwrites, and not one in two roles.

use crate::scene::{Browser, Scene};
use pgkeep_catalog::NewJob;
use pgkeep_model::access::{Access, Role};
use pgkeep_model::app::AppDefinition;
use pgkeep_model::job::{JobSpec, RestoreMode, RestoreSpec, Trigger};
use serde_json::json;

const CHOSEN: &str = "seven loud herons at dusk";

/// A restore that an account asks for, which waits for a second person.
async fn asked(scene: &Scene, account: &str) -> String {
    let target = RestoreMode::Replace("shop".into());
    let spec = JobSpec::Restore(RestoreSpec::new("shop", "store", "deadbeef", target));
    let job = NewJob {
        app: Some("shop".into()),
        needs_approval: true,
        asked_by: Some(account.to_owned()),
        ..NewJob::new(spec, Trigger::Api, "ann", scene.now())
    };
    let job = scene.catalog.enqueue(job).await.expect("queued");
    format!("/jobs/{}/approve", job.job().id)
}

async fn logged_in_with(scene: &Scene, name: &str, password: &str) -> Browser {
    let mut browser = Browser::new();
    let answer = browser.log_in(scene, name, password).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    browser
}

#[tokio::test]
async fn who_asked_is_no_second_person_under_another_name_or_account() {
    let scene = Scene::new().await;
    let app = AppDefinition {
        databases: vec!["postgres://db/shop".into()],
        ..AppDefinition::default()
    };
    let by = pgkeep_catalog::ManagedBy::Api;
    scene.catalog.put_app("shop", &app, by, None).await.unwrap();
    let admin = Access::of(Role::Admin);
    let ann = scene.account("ann", admin.clone()).await;
    let ben = scene.account("ben", admin.clone()).await;
    let cid = scene.account("cid", admin.clone()).await;
    let own_token = scene.token(&cid, admin, None).await;
    let mut browser = scene.logged_in("ann").await;
    let approve = asked(&scene, &ann).await;

    // Renamed.
    let path = format!("/users/{ann}");
    let renamed = json!({ "name": "anna" });
    let answer = browser
        .request(&scene, "PATCH", &path, Some(renamed), &[])
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let own = browser.post(&scene, &approve, json!({})).await;
    assert_eq!((own.status, own.code()), (403, "forbidden"), "{own:?}");

    // With a token that she makes for another one.
    let token = json!({ "name": "x", "role": "admin", "owner": "ben" });
    let made = browser.post(&scene, "/tokens", token).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.body["token"].as_str().unwrap();
    let foreign = scene.ask(token, "POST", &approve, None).await;
    assert_eq!(foreign.status, 403, "{foreign:?}");
    assert!(foreign.body["hint"].is_string(), "{foreign:?}");

    // As another one whose password she sets, and who changes it then; and as one that she makes.
    let password = json!({ "password": CHOSEN });
    let path = format!("/users/{ben}/password");
    let set = browser
        .request(&scene, "PUT", &path, Some(password), &[])
        .await;
    assert_eq!(set.status, 204, "{set:?}");
    let mut as_ben = logged_in_with(&scene, "ben", CHOSEN).await;
    let next = json!({ "current": CHOSEN, "new": "eight calm herons at dawn" });
    let changed = as_ben
        .request(&scene, "PUT", "/session/password", Some(next), &[])
        .await;
    assert!(changed.status < 300, "{changed:?}");
    let new = json!({ "name": "dot", "role": "admin", "password": CHOSEN });
    let made = browser.post(&scene, "/users", new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut as_dot = logged_in_with(&scene, "dot", CHOSEN).await;
    for other in [&mut as_ben, &mut as_dot] {
        let refused = other.post(&scene, &approve, json!({})).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        let said = refused.body["detail"].as_str().unwrap();
        assert!(said.contains("anna"), "{said}");
    }

    // The log says who tried, and that nobody agreed.
    let trail = scene.trail().await;
    let tried = |who: &str| {
        let entry = trail
            .iter()
            .find(|e| e.starts_with(who) && e.contains("job.approve"));
        assert!(
            entry.is_some_and(|e| e.ends_with("refused")),
            "{who}: {trail:#?}"
        );
    };
    ["anna ", "ben (token x)", "ben ", "dot "]
        .into_iter()
        .for_each(tried);

    // A day later they may agree to what is asked for then, and still not to what was asked for before.
    scene.advance(25 * 3_600);
    let later = asked(&scene, &ann).await;
    let mut as_ben = logged_in_with(&scene, "ben", "eight calm herons at dawn").await;
    assert_eq!(as_ben.post(&scene, &later, json!({})).await.status, 200);
    let newer = asked(&scene, &ann).await;
    let (mut anna, path) = (scene.logged_in("anna").await, format!("/users/{ben}/totp"));
    let cleared = anna.request(&scene, "DELETE", &path, None, &[]).await;
    assert_eq!(cleared.status, 204, "{cleared:?}");
    scene.advance(25 * 3_600);
    let mut as_ben = logged_in_with(&scene, "ben", "eight calm herons at dawn").await;
    assert_eq!(as_ben.post(&scene, &newer, json!({})).await.status, 403);

    // Somebody whom nobody has touched may, by a token of their own, too.
    let yes = scene.ask(&own_token, "POST", &approve, None).await;
    assert_eq!(yes.status, 200, "{yes:?}");
}
