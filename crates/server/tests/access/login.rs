use crate::scene::{Browser, PASSWORD, Scene};
use pgkeep_model::access::{Access, Role};
use secrecy::ExposeSecret as _;
use serde_json::json;

#[tokio::test]
async fn the_setup_token_makes_one_admin_once() {
    let scene = Scene::new().await;
    let token = scene
        .state
        .auth
        .offer_setup()
        .await
        .unwrap()
        .expect("nobody is there");
    let mut browser = Browser::new();
    let options = browser.get(&scene, "/session/options").await;
    assert_eq!(options.body["setupNeeded"], true);
    let body = |token: &str, name: &str, password: &str| json!({ "token": token, "name": name, "password": password });
    let wrong = browser
        .post(&scene, "/setup", body("guess", "ann", PASSWORD))
        .await;
    assert_eq!((wrong.status, wrong.code()), (401, "login_refused"));
    let weak = browser
        .post(
            &scene,
            "/setup",
            body(token.expose_secret(), "ann", "password1234"),
        )
        .await;
    assert_eq!((weak.status, weak.code()), (422, "invalid"));
    let made = browser
        .post(
            &scene,
            "/setup",
            body(token.expose_secret(), "ann", PASSWORD),
        )
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.body["role"], "admin");
    let me = browser.get(&scene, "/session").await;
    assert_eq!((me.status, me.body["name"].as_str()), (200, Some("ann")));

    let again = Browser::new()
        .post(
            &scene,
            "/setup",
            body(token.expose_secret(), "eve", PASSWORD),
        )
        .await;
    assert_eq!((again.status, again.code()), (401, "login_refused"));
    assert!(scene.state.auth.offer_setup().await.unwrap().is_none());
    let options = browser.get(&scene, "/session/options").await;
    assert_eq!(options.body["setupNeeded"], false);
}

#[tokio::test]
async fn only_the_right_password_lets_in_and_the_answer_tells_nothing_else() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Viewer)).await;
    let mut browser = Browser::new();
    assert_eq!(browser.get(&scene, "/session").await.status, 401);
    let wrong = browser.log_in(&scene, "ann", "wrong password").await;
    let unknown = browser.log_in(&scene, "nobody", "wrong password").await;
    assert_eq!((wrong.status, wrong.code()), (401, "login_refused"));
    assert_eq!(
        (unknown.status, &unknown.body["detail"]),
        (401, &wrong.body["detail"])
    );
    assert!(browser.cookies.is_empty());

    let right = browser.log_in(&scene, "ANN", PASSWORD).await;
    assert_eq!(right.status, 200, "{right:?}");
    assert_eq!(right.body["permissions"], json!(["view"]));
    assert_eq!(right.body["kind"], "user");
    let secret = browser.cookies["__Host-pgkeep"].clone();
    assert!(!right.body.to_string().contains(&secret));
    let me = browser.get(&scene, "/session").await;
    assert_eq!((me.status, me.body["name"].as_str()), (200, Some("ann")));
}

#[tokio::test]
async fn guessing_locks_out_for_longer_and_longer_whether_the_account_exists_or_not() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Viewer)).await;
    for name in ["ann", "nobody"] {
        let mut browser = Browser::at("203.0.113.1");
        for _ in 0..5 {
            assert_eq!(
                browser.log_in(&scene, name, "wrong password").await.status,
                401
            );
        }
        let blocked = browser.log_in(&scene, name, PASSWORD).await;
        assert_eq!(
            (blocked.status, blocked.code()),
            (429, "throttled"),
            "{name}"
        );
        assert_eq!(blocked.headers["retry-after"], "30");
        // From anywhere else, too: it is the account that is guessed.
        let elsewhere = Browser::at("203.0.113.2")
            .log_in(&scene, name, PASSWORD)
            .await;
        assert_eq!(elsewhere.status, 429, "{name}");
    }
    scene.advance(30);
    let mut browser = Browser::at("203.0.113.1");
    assert_eq!(
        browser.log_in(&scene, "ann", "wrong password").await.status,
        401
    );
    let blocked = browser.log_in(&scene, "ann", PASSWORD).await;
    assert_eq!(blocked.headers["retry-after"], "60", "it doubles");
    scene.advance(60);
    assert_eq!(browser.log_in(&scene, "ann", PASSWORD).await.status, 200);
    // What succeeded wipes the slate of the account.
    for _ in 0..4 {
        assert_eq!(
            Browser::at("203.0.113.3")
                .log_in(&scene, "ann", "wrong password")
                .await
                .status,
            401
        );
    }
    assert_eq!(
        Browser::at("203.0.113.3")
            .log_in(&scene, "ann", PASSWORD)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn an_address_that_tries_many_names_is_locked_out() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Viewer)).await;
    let mut guesser = Browser::at("203.0.113.1");
    for guess in 0..20 {
        let answer = guesser
            .log_in(&scene, &format!("name{guess}"), "wrong password")
            .await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(guesser.log_in(&scene, "ann", PASSWORD).await.status, 429);
    assert_eq!(
        Browser::at("203.0.113.2")
            .log_in(&scene, "ann", PASSWORD)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn guesses_sent_side_by_side_are_counted_one_after_another() {
    let scene = std::sync::Arc::new(Scene::new().await);
    scene.account("ann", Access::of(Role::Viewer)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let scene = scene.clone();
        tasks.spawn(async move {
            Browser::new()
                .log_in(&scene, "ann", "wrong password")
                .await
                .status
        });
    }
    let answers = tasks.join_all().await;
    let tried = answers.iter().filter(|status| **status == 401).count();
    // Five, and what was under way beside the fifth.
    assert!((5..=6).contains(&tried), "{answers:?}");
}

#[tokio::test]
async fn a_session_ends_when_idle_and_when_old() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Viewer)).await;
    let mut browser = scene.logged_in("ann").await;
    for _ in 0..10 {
        scene.advance(11 * 3600);
        assert_eq!(
            browser.get(&scene, "/session").await.status,
            200,
            "used within 12 hours"
        );
    }
    scene.advance(12 * 3600);
    let idle = browser.get(&scene, "/session").await;
    assert_eq!((idle.status, idle.code()), (401, "unauthenticated"));

    let mut browser = scene.logged_in("ann").await;
    for hour in 0..7 * 24 - 1 {
        scene.advance(3600);
        assert_eq!(browser.get(&scene, "/session").await.status, 200, "{hour}");
    }
    scene.advance(3600);
    assert_eq!(
        browser.get(&scene, "/session").await.status,
        401,
        "a week is over"
    );
}

#[tokio::test]
async fn logging_in_again_makes_another_session_and_logging_out_ends_it() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Viewer)).await;
    let mut browser = scene.logged_in("ann").await;
    let before = browser.clone();
    assert_eq!(browser.log_in(&scene, "ann", PASSWORD).await.status, 200);
    assert_ne!(browser.cookies, before.cookies);
    assert_eq!(
        before.clone().get(&scene, "/session").await.status,
        401,
        "the old one is over"
    );

    let stolen = browser.clone();
    let out = browser
        .request(&scene, "DELETE", "/session", None, &[])
        .await;
    assert_eq!(out.status, 204);
    assert!(browser.cookies.is_empty());
    assert_eq!(stolen.clone().get(&scene, "/session").await.status, 401);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_owner_only() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Viewer)).await;
    scene.account("ben", Access::of(Role::Admin)).await;
    let mut one = scene.logged_in("ann").await;
    let mut other = scene.logged_in("ann").await;
    let list = one.get(&scene, "/sessions").await;
    let items = list.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let id = |current: bool| {
        let found = items.iter().find(|item| item["current"] == current);
        found.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let path = format!("/sessions/{}", id(false));
    let foreign = scene
        .logged_in("ben")
        .await
        .request(&scene, "DELETE", &path, None, &[])
        .await;
    assert_eq!(foreign.status, 404);
    assert_eq!(other.get(&scene, "/session").await.status, 200);
    assert_eq!(
        one.request(&scene, "DELETE", &path, None, &[]).await.status,
        204
    );
    assert_eq!(other.get(&scene, "/session").await.status, 401);

    let mut third = scene.logged_in("ann").await;
    assert_eq!(
        one.request(&scene, "DELETE", "/sessions", None, &[])
            .await
            .status,
        204
    );
    assert_eq!(third.get(&scene, "/session").await.status, 401);
    assert_eq!(one.get(&scene, "/session").await.status, 200);
}

#[tokio::test]
async fn what_another_site_sends_with_the_cookie_changes_nothing() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Viewer)).await;
    let mut browser = scene.logged_in("ann").await;
    let csrf = browser.csrf.clone().unwrap();
    let cases: [&[(&str, &str)]; 6] = [
        &[("x-csrf-token", "")],
        &[("x-csrf-token", "wrong")],
        &[("origin", "https://evil.example.org")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ];
    for case in cases {
        let more: Vec<(&str, String)> = case
            .iter()
            .map(|(name, value)| (*name, value.to_string()))
            .collect();
        let answer = browser
            .request(&scene, "DELETE", "/sessions", None, &more)
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (403, "csrf_refused"),
            "{case:?}"
        );
    }
    // Another session's token does not do.
    let other = scene.logged_in("ann").await;
    let more = [("x-csrf-token", other.csrf.clone().unwrap())];
    assert_eq!(
        browser
            .request(&scene, "DELETE", "/sessions", None, &more)
            .await
            .status,
        403
    );
    // Reading needs none, and what one's own pages send passes.
    let more = [
        ("x-csrf-token", String::new()),
        ("sec-fetch-site", "cross-site".to_owned()),
    ];
    assert_eq!(
        browser
            .request(&scene, "GET", "/sessions", None, &more)
            .await
            .status,
        200
    );
    let more = [
        ("x-csrf-token", csrf),
        ("origin", "https://keep.example.org".to_owned()),
        ("sec-fetch-site", "same-origin".to_owned()),
    ];
    assert_eq!(
        browser
            .request(&scene, "DELETE", "/sessions", None, &more)
            .await
            .status,
        204
    );
    // A login that another site sends is refused, too: it would log in as the attacker.
    let more = [("origin", "https://evil.example.org".to_owned())];
    let body = json!({ "name": "ann", "password": PASSWORD });
    let forged = Browser::new()
        .request(&scene, "POST", "/session", Some(body), &more)
        .await;
    assert_eq!((forged.status, forged.code()), (403, "csrf_refused"));
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_needs_the_old_one() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Viewer)).await;
    let mut browser = scene.logged_in("ann").await;
    let mut other = scene.logged_in("ann").await;
    let change = |current: &str, new: &str| Some(json!({ "current": current, "new": new }));
    let path = "/session/password";
    let wrong = browser
        .request(
            &scene,
            "PUT",
            path,
            change("wrong password", "another horse battery"),
            &[],
        )
        .await;
    assert_eq!((wrong.status, wrong.code()), (401, "login_refused"));
    let weak = browser
        .request(&scene, "PUT", path, change(PASSWORD, "short"), &[])
        .await;
    assert_eq!((weak.status, weak.code()), (422, "invalid"));
    let done = browser
        .request(
            &scene,
            "PUT",
            path,
            change(PASSWORD, "another horse battery"),
            &[],
        )
        .await;
    assert_eq!(done.status, 204, "{done:?}");
    assert_eq!(browser.get(&scene, "/session").await.status, 200);
    assert_eq!(other.get(&scene, "/session").await.status, 401);
    assert_eq!(
        Browser::new().log_in(&scene, "ann", PASSWORD).await.status,
        401
    );
    assert_eq!(
        Browser::new()
            .log_in(&scene, "ann", "another horse battery")
            .await
            .status,
        200
    );
}

/// Sets up a second factor; returns its secret and the recovery codes.
async fn with_totp(scene: &Scene, browser: &mut Browser) -> (secrecy::SecretString, Vec<String>) {
    let offer = browser
        .post(scene, "/session/totp", json!({ "password": PASSWORD }))
        .await;
    assert_eq!(offer.status, 200, "{offer:?}");
    let secret: secrecy::SecretString = offer.body["secret"].as_str().unwrap().into();
    assert!(
        offer.body["url"]
            .as_str()
            .unwrap()
            .starts_with("otpauth://totp/pgkeep:ann?")
    );
    let code = code(scene, &secret);
    let confirmed = browser
        .post(scene, "/session/totp/confirm", json!({ "code": code }))
        .await;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    let codes = confirmed.body["recoveryCodes"].as_array().unwrap();
    let codes = codes
        .iter()
        .map(|code| code.as_str().unwrap().to_owned())
        .collect();
    (secret, codes)
}

/// What the authenticator app shows now.
fn code(scene: &Scene, secret: &secrecy::SecretString) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret.expose_secret()).unwrap();
    let app = totp_rs::Builder::new()
        .with_secret(secret)
        .with_account_name("ann")
        .build()
        .unwrap();
    app.generate(scene.now().as_second().try_into().unwrap())
        .to_string()
}

#[tokio::test]
async fn with_a_second_factor_the_password_is_not_enough() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Viewer)).await;
    let mut browser = scene.logged_in("ann").await;
    let (secret, recovery) = with_totp(&scene, &mut browser).await;

    let mut fresh = Browser::new();
    let asked = fresh.log_in(&scene, "ann", PASSWORD).await;
    assert_eq!((asked.status, asked.code()), (401, "second_factor_needed"));
    let wrong_password = fresh.log_in(&scene, "ann", "wrong password").await;
    assert_eq!(
        wrong_password.code(),
        "login_refused",
        "the factor is not told to guessers"
    );
    let used = code(&scene, &secret);
    let replayed = fresh.log_in_with_code(&scene, "ann", &used).await;
    assert_eq!(
        (replayed.status, replayed.code()),
        (401, "login_refused"),
        "it confirmed the set-up"
    );

    scene.advance(60);
    let now = code(&scene, &secret);
    assert_eq!(
        fresh.log_in_with_code(&scene, "ann", &now).await.status,
        200
    );
    let again = Browser::new().log_in_with_code(&scene, "ann", &now).await;
    assert_eq!(
        (again.status, again.code()),
        (401, "login_refused"),
        "a code counts once"
    );

    let typed = recovery[0].to_uppercase().replace('-', " ");
    assert_eq!(
        Browser::new()
            .log_in_with_code(&scene, "ann", &typed)
            .await
            .status,
        200
    );
    assert_eq!(
        Browser::new()
            .log_in_with_code(&scene, "ann", &recovery[0])
            .await
            .status,
        401
    );

    let disable = json!({ "password": PASSWORD, "code": recovery[1] });
    assert_eq!(
        browser
            .post(&scene, "/session/totp/disable", disable)
            .await
            .status,
        204
    );
    assert_eq!(
        Browser::new().log_in(&scene, "ann", PASSWORD).await.status,
        200
    );
}

#[tokio::test]
async fn guessing_the_second_factor_locks_out_as_well() {
    let scene = Scene::new().await;
    scene.account("ann", Access::of(Role::Viewer)).await;
    let mut browser = scene.logged_in("ann").await;
    let (secret, _) = with_totp(&scene, &mut browser).await;
    scene.advance(60);
    let right = code(&scene, &secret);
    let wrong = if right == "000000" {
        "000001"
    } else {
        "000000"
    };
    for _ in 0..5 {
        let answer = Browser::new().log_in_with_code(&scene, "ann", wrong).await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(
        Browser::new()
            .log_in_with_code(&scene, "ann", &right)
            .await
            .status,
        429
    );
}
