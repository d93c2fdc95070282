//! Single sign-on against a real provider.

use crate::scene::{Answer, Browser, PASSWORD, Scene};
use pgkeep_model::access::{Access, Permission, Role};
use pgkeep_server::settings::{AuthSettings, HttpSettings, OidcSettings, ServerSettings};
use pgkeep_testkit::OidcProvider;
use serde_json::json;

/// Nothing listens there: the test carries the browser's requests to the server itself.
const PUBLIC: &str = "https://keep.example.org/";
const CALLBACK: &str = "https://keep.example.org/api/v1/session/oidc/callback";

fn provider() -> OidcProvider {
    let provider = OidcProvider::start(CALLBACK);
    provider.people(
        r#"{"s-ann": {"preferred_username": "ann", "email": "ann@example.org", "groups": ["staff", "dba"]},
            "s-ben": {"preferred_username": "ben", "groups": ["ops", "restorers"]},
            "s-eve": {"preferred_username": "eve", "groups": ["visitors"]}}"#,
    );
    provider
}

fn settings(provider: &OidcProvider) -> ServerSettings {
    let oidc = OidcSettings {
        name: "Example".to_owned(),
        issuer: provider.issuer().parse().unwrap(),
        client_id: OidcProvider::CLIENT_ID.to_owned(),
        client_secret: Some(OidcProvider::CLIENT_SECRET.into()),
        scopes: ["profile", "email", "groups"].map(String::from).into(),
        role_claim: "groups".to_owned(),
        roles: [
            ("staff".to_owned(), Role::Viewer),
            ("ops".to_owned(), Role::Operator),
            ("dba".to_owned(), Role::Admin),
        ]
        .into(),
        default_role: None,
        grants: [("restorers".to_owned(), vec![Permission::Restore])].into(),
    };
    ServerSettings {
        http: HttpSettings {
            public_url: Some(PUBLIC.parse().unwrap()),
            ..HttpSettings::default()
        },
        auth: AuthSettings {
            oidc: Some(oidc),
            ..AuthSettings::default()
        },
        ..ServerSettings::default()
    }
}

/// Goes to the provider and comes back; returns the path with which the browser is sent to the server.
async fn come_back(scene: &Scene, provider: &OidcProvider, browser: &mut Browser) -> String {
    let away = browser
        .get(scene, "/session/oidc/login?returnTo=/backups")
        .await;
    assert_eq!(away.status, 303, "{away:?}");
    let url = away.headers["location"].to_str().unwrap().to_owned();
    for part in [
        "code_challenge_method=S256",
        "nonce=",
        "state=",
        "response_type=code",
    ] {
        assert!(url.contains(part), "{url}");
    }
    let back = tokio::task::block_in_place(|| provider.walk(&url));
    let path = back.strip_prefix("https://keep.example.org/api/v1");
    path.unwrap_or_else(|| panic!("the provider leads to {back}"))
        .to_owned()
}

async fn sign_on(scene: &Scene, provider: &OidcProvider, subject: &str) -> (Browser, Answer) {
    provider.log_in_as(Some(subject));
    let mut browser = Browser::new();
    let path = come_back(scene, provider, &mut browser).await;
    let answer = browser.get(scene, &path).await;
    (browser, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_become_role_and_grants_at_every_login() {
    let provider = provider();
    let scene = Scene::with(settings(&provider)).await;
    scene.account("root-admin", Access::of(Role::Admin)).await;
    let options = Browser::new().get(&scene, "/session/options").await;
    assert_eq!(options.body["signOn"]["name"], "Example");

    let (mut ann, answer) = sign_on(&scene, &provider, "s-ann").await;
    assert_eq!(
        (answer.status, answer.headers["location"].to_str().unwrap()),
        (303, "/backups"),
        "{answer:?}"
    );
    assert_eq!(
        ann.cookies.keys().collect::<Vec<_>>(),
        ["__Host-pgkeep"],
        "the other cookie is gone"
    );
    let me = ann.get(&scene, "/session").await;
    assert_eq!(
        (me.body["name"].clone(), me.body["role"].clone()),
        (json!("ann"), json!("admin"))
    );
    let (mut ben, _) = sign_on(&scene, &provider, "s-ben").await;
    let me = ben.get(&scene, "/session").await;
    assert_eq!(
        me.body["permissions"],
        json!(["view", "operate", "manage_jobs", "restore"])
    );

    provider.people(r#"{"s-ann": {"preferred_username": "renamed", "groups": "staff"}}"#);
    let (mut again, _) = sign_on(&scene, &provider, "s-ann").await;
    let me = again.get(&scene, "/session").await;
    assert_eq!(
        (me.body["name"].clone(), me.body["role"].clone()),
        (json!("ann"), json!("viewer"))
    );
    let me = ann.get(&scene, "/session").await;
    assert_eq!(me.body["role"], "viewer", "sessions that are open follow");
    assert_eq!(
        scene.catalog.users().await.unwrap().len(),
        3,
        "it is the same account"
    );
    assert!(
        scene
            .trail()
            .await
            .contains(&"ann session.create user/ann done".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_role_or_is_refused_does_not_get_in() {
    let provider = provider();
    let scene = Scene::with(settings(&provider)).await;
    let (browser, answer) = sign_on(&scene, &provider, "s-eve").await;
    assert_eq!(
        (answer.status, answer.code()),
        (401, "login_refused"),
        "{answer:?}"
    );
    assert!(!browser.cookies.contains_key("__Host-pgkeep"));
    assert_eq!(scene.catalog.users().await.unwrap(), []);

    provider.log_in_as(None);
    let mut browser = Browser::new();
    let path = come_back(&scene, &provider, &mut browser).await;
    let answer = browser.get(&scene, &path).await;
    assert_eq!((answer.status, answer.code()), (401, "login_refused"));
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("access_denied"),
        "{answer:?}"
    );

    // A person sees the login page, not a document for programs.
    let path = come_back(&scene, &provider, &mut browser).await;
    let page = [("accept", "text/html,*/*;q=0.8".to_owned())];
    let answer = browser.request(&scene, "GET", &path, None, &page).await;
    assert_eq!(
        (answer.status, answer.headers["location"].to_str().unwrap()),
        (303, "/login?refused=login_refused"),
        "{answer:?}"
    );
    assert!(!browser.cookies.contains_key("__Host-pgkeep"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_ends_once_in_time_and_in_the_browser_where_it_began() {
    let provider = provider();
    let scene = Scene::with(settings(&provider)).await;
    provider.log_in_as(Some("s-ann"));
    let refused = |answer: Answer| {
        assert_eq!(
            (answer.status, answer.code()),
            (401, "login_refused"),
            "{answer:?}"
        );
    };
    let mut browser = Browser::new();
    let path = come_back(&scene, &provider, &mut browser).await;
    // Somebody else's browser is led to it: it would be logged in as the attacker.
    refused(Browser::new().get(&scene, &path).await);

    let path = come_back(&scene, &provider, &mut browser).await;
    let mut other = Browser::new();
    come_back(&scene, &provider, &mut other).await;
    refused(other.get(&scene, &path).await);
    refused(browser.get(&scene, &path).await);

    let path = come_back(&scene, &provider, &mut browser).await;
    let changed = path.replace("state=", "state=x");
    refused(browser.get(&scene, &changed).await);

    let path = come_back(&scene, &provider, &mut browser).await;
    let before = browser.clone();
    assert_eq!(browser.get(&scene, &path).await.status, 303);
    refused(before.clone().get(&scene, &path).await);

    let path = come_back(&scene, &provider, &mut browser).await;
    scene.advance(10 * 60);
    refused(browser.get(&scene, &path).await);
    refused(browser.get(&scene, "/session/oidc/callback").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_account_of_the_same_name_is_another_one() {
    let provider = provider();
    let scene = Scene::with(settings(&provider)).await;
    scene.account("ann", Access::of(Role::Admin)).await;
    let (mut browser, _) = sign_on(&scene, &provider, "s-ann").await;
    let me = browser.get(&scene, "/session").await;
    assert_eq!(me.body["name"], "ann-2");
    let password = Browser::new().log_in(&scene, "ann-2", PASSWORD).await;
    assert_eq!(password.status, 401, "it has no password");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_account_does_not_get_in() {
    let provider = provider();
    let scene = Scene::with(settings(&provider)).await;
    scene.account("root-admin", Access::of(Role::Admin)).await;
    sign_on(&scene, &provider, "s-ben").await;
    let ben = scene.catalog.user_named("ben").await.unwrap().unwrap();
    let disable = pgkeep_catalog::people::UserChange {
        disabled: Some(true),
        ..Default::default()
    };
    scene
        .catalog
        .update_user(&ben.id, &disable, None)
        .await
        .unwrap();
    let (browser, answer) = sign_on(&scene, &provider, "s-ben").await;
    assert_eq!((answer.status, answer.code()), (401, "login_refused"));
    assert!(!browser.cookies.contains_key("__Host-pgkeep"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_takes_a_new_key_is_asked_for_it() {
    let provider = provider();
    let scene = Scene::with(settings(&provider)).await;
    assert_eq!(sign_on(&scene, &provider, "s-ann").await.1.status, 303);
    provider.rotate_key();
    assert_eq!(sign_on(&scene, &provider, "s-ann").await.1.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_said_to_be() {
    let provider = provider();
    let settings = settings(&provider);
    drop(provider);
    let scene = Scene::with(settings).await;
    let answer = Browser::new().get(&scene, "/session/oidc/login").await;
    assert_eq!((answer.status, answer.code()), (503, "busy"), "{answer:?}");
    let said = answer.body["detail"].as_str().unwrap();
    assert!(said.contains("cannot be reached: "), "{said}");
    assert!(said.to_lowercase().contains("refused"), "{said}");
    let hint = answer.body["hint"].as_str().unwrap();
    assert!(hint.contains("password"), "{hint}");
    let none = Scene::new().await;
    assert_eq!(
        Browser::new()
            .get(&none, "/session/oidc/login")
            .await
            .status,
        404
    );
}
