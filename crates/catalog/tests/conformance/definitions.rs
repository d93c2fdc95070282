use crate::place::Place;
use pgkeep_catalog::{Catalog, CatalogError, ManagedBy};
use pgkeep_model::app::{AppDefinition, RepositoryDefinition};
use pgkeep_model::notice::{Channel, NotificationTarget};
use pgkeep_model::policy::Policy;

fn app(url: &str) -> AppDefinition {
    AppDefinition {
        databases: vec![url.into(), "env:SECOND".into()],
        admin_url: Some("file:/run/admin".into()),
        repository: Some("main".to_owned()),
        ..AppDefinition::default()
    }
}

/// What [`app`] and [`policy`] name: the repository `main` and the target `chat`.
async fn surroundings(catalog: &Catalog) {
    let main = RepositoryDefinition::default();
    let put = catalog.put_repository("main", &main, ManagedBy::Api, None);
    put.await.expect("stored");
    let chat = target("https://chat");
    let put = catalog.put_target("chat", &chat, ManagedBy::Api, None);
    put.await.expect("stored");
}

fn policy(app: &str) -> Policy {
    serde_json::from_value(
        serde_json::json!({ "app": app, "repositories": ["main"], "notify": ["chat"] }),
    )
    .expect("a policy")
}

fn target(url: &str) -> NotificationTarget {
    serde_json::from_value(serde_json::json!({ "channel": "webhook", "url": url, "secret": "whsec_c2VjcmV0LWNhbmFyeQ" }))
        .expect("a target")
}

pub async fn a_definition_carries_a_revision_that_guards_it(place: Place) {
    let catalog = place.open().await;
    surroundings(&catalog).await;
    let first = catalog
        .put_app("shop", &app("postgres://a"), ManagedBy::File, None)
        .await
        .expect("stored");
    assert_eq!((first.revision, first.managed_by), (1, ManagedBy::File));
    place.advance(60);
    let second = catalog
        .put_app("shop", &app("postgres://b"), ManagedBy::Api, Some(1))
        .await
        .expect("the revision fits");
    assert_eq!((second.revision, second.managed_by), (2, ManagedBy::Api));
    assert_eq!(second.created_at, first.created_at);
    assert!(second.updated_at > first.updated_at);

    let stale = catalog
        .put_app("shop", &app("postgres://c"), ManagedBy::Api, Some(1))
        .await;
    assert!(
        matches!(stale, Err(CatalogError::Conflict { .. })),
        "{stale:?}"
    );
    let stale = catalog.delete_app("shop", Some(1)).await;
    assert!(
        matches!(stale, Err(CatalogError::Conflict { .. })),
        "{stale:?}"
    );
    assert_eq!(
        catalog.app("shop").await.expect("there").value,
        app("postgres://b")
    );

    catalog
        .delete_app("shop", Some(2))
        .await
        .expect("the revision fits");
    for gone in [
        catalog.app("shop").await.map(drop),
        catalog.delete_app("shop", None).await,
    ] {
        assert!(
            matches!(gone, Err(CatalogError::NotFound { what: "app", .. })),
            "{gone:?}"
        );
    }
    let absent = catalog
        .put_app("shop", &app("postgres://b"), ManagedBy::Api, Some(2))
        .await;
    assert!(
        matches!(absent, Err(CatalogError::NotFound { .. })),
        "{absent:?}"
    );
}

pub async fn a_definition_that_must_be_new_is_refused_when_it_is_there(place: Place) {
    let catalog = place.open().await;
    surroundings(&catalog).await;
    let any = app("postgres://a");
    for name in ["shop", "other"] {
        let put = catalog.put_app(name, &any, ManagedBy::Api, None);
        put.await.expect("stored");
    }
    let first = catalog
        .put_policy("nightly", &policy("shop"), ManagedBy::Api, Some(0))
        .await
        .expect("it is new");
    assert_eq!(
        (first.value.name.as_str(), first.value.app.as_str()),
        ("nightly", "shop")
    );
    let again = catalog
        .put_policy("nightly", &policy("other"), ManagedBy::Api, Some(0))
        .await;
    assert!(
        matches!(again, Err(CatalogError::Exists { .. })),
        "{again:?}"
    );
    let all = catalog.policies().await.expect("a list");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].value.app, "shop");
}

pub async fn secrets_come_back_and_references_stay_as_they_are(place: Place) {
    let catalog = place.open().await;
    surroundings(&catalog).await;
    let shop = app("postgres://u:hunter2@h/shop");
    catalog
        .put_app("shop", &shop, ManagedBy::Api, None)
        .await
        .expect("stored");
    let main = RepositoryDefinition {
        address: Some("s3://bucket".to_owned()),
        key: Some("env:REPOSITORY_KEY".into()),
        secret_access_key: Some("AKIA/secret".into()),
        ..RepositoryDefinition::default()
    };
    catalog
        .put_repository("main", &main, ManagedBy::Api, None)
        .await
        .expect("stored");
    let mail: NotificationTarget = serde_json::from_value(serde_json::json!({
        "channel": "email", "to": ["a@b"], "from": "c@d", "host": "h", "password": "mail-pass", "name": "mail",
    }))
    .expect("a target");
    catalog
        .put_target("mail", &mail, ManagedBy::Api, None)
        .await
        .expect("stored");

    let other = place.open().await;
    assert_eq!(other.app("shop").await.expect("there").value, shop);
    assert_eq!(other.repository("main").await.expect("there").value, main);
    assert_eq!(other.repositories().await.expect("a list")[0].value, main);
    let back = other.target("mail").await.expect("there").value;
    assert!(matches!(&back.channel, Channel::Email { password: Some(p), .. } if p == "mail-pass"));
    assert_eq!(back, mail);
}

pub async fn no_secret_lies_readable_in_the_catalog(place: Place) {
    let catalog = place.open().await;
    surroundings(&catalog).await;
    let canaries = [
        "canary-one-7f3a",
        "canary-two-91bc",
        "canary-three-2d",
        "whsec_c2VjcmV0LWNhbmFyeQ",
    ];
    catalog
        .put_app(
            "shop",
            &app(&format!("postgres://u:{}@h/db", canaries[0])),
            ManagedBy::Api,
            None,
        )
        .await
        .expect("stored");
    let main = RepositoryDefinition {
        key: Some(canaries[1].into()),
        ..RepositoryDefinition::default()
    };
    catalog
        .put_repository("main", &main, ManagedBy::Api, None)
        .await
        .expect("stored");
    let url = format!("https://hooks/{}", canaries[2]);
    catalog
        .put_target("chat", &target(&url), ManagedBy::Api, None)
        .await
        .expect("stored");

    let bytes = place.stored_bytes().await;
    let holds = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(
        holds("enc:v1:") && holds("env:SECOND"),
        "the definitions are among what was read"
    );
    for canary in canaries {
        assert!(!holds(canary), "{canary} lies readable");
    }
}

pub async fn what_is_in_use_is_not_deleted(place: Place) {
    let catalog = place.open().await;
    let (shop, nightly) = (app("x"), policy("shop"));
    let early = catalog.put_app("shop", &shop, ManagedBy::Api, None);
    let early = early.await.expect_err("its repository is not there");
    assert_eq!(
        early.to_string(),
        "app shop names the repository main, which is not there"
    );
    surroundings(&catalog).await;
    let early = catalog.put_policy("nightly", &nightly, ManagedBy::Api, None);
    let early = early.await.expect_err("its app is not there");
    assert_eq!(
        early.to_string(),
        "policy nightly names the app shop, which is not there"
    );
    assert_eq!(catalog.policies().await.expect("a list"), []);
    catalog
        .put_app("shop", &app("x"), ManagedBy::Api, None)
        .await
        .expect("stored");
    catalog
        .put_policy("nightly", &policy("shop"), ManagedBy::Api, None)
        .await
        .expect("stored");
    for refused in [
        catalog.delete_app("shop", None).await,
        catalog.delete_repository("main", None).await,
        catalog.delete_target("chat", None).await,
    ] {
        assert!(
            matches!(refused, Err(CatalogError::InUse { .. })),
            "{refused:?}"
        );
    }
    catalog
        .delete_policy("nightly", None)
        .await
        .expect("nothing uses it");
    catalog
        .delete_target("chat", None)
        .await
        .expect("nothing uses it any more");
    let by_app = catalog.delete_repository("main", None).await;
    assert!(
        matches!(&by_app, Err(CatalogError::InUse { by, .. }) if by == "app shop"),
        "{by_app:?}"
    );
    catalog
        .delete_app("shop", None)
        .await
        .expect("nothing uses it any more");
    catalog
        .delete_repository("main", None)
        .await
        .expect("nothing uses it any more");
}

pub async fn settings_are_kept(place: Place) {
    let catalog = place.open().await;
    assert_eq!(
        catalog.setting("two_person").await.expect("an answer"),
        None
    );
    let (yes, limit) = (
        serde_json::json!(true),
        serde_json::json!({ "per": "hour", "n": 2 }),
    );
    catalog
        .put_setting("two_person", &serde_json::json!(false))
        .await
        .expect("stored");
    catalog
        .put_setting("two_person", &yes)
        .await
        .expect("stored");
    catalog.put_setting("limit", &limit).await.expect("stored");
    let other = place.open().await;
    assert_eq!(
        other.setting("two_person").await.expect("an answer"),
        Some(yes.clone())
    );
    let all = other.settings().await.expect("an answer");
    assert_eq!(
        all.into_iter().collect::<Vec<_>>(),
        [("limit".to_owned(), limit), ("two_person".to_owned(), yes)]
    );
}
