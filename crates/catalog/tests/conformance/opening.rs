use crate::place::Place;
use pgkeep_catalog::{
    Catalog, CatalogError, KeySource, Location, OpenOptions, Presence, SCHEMA_VERSION,
    blocking::Blocking,
};
use secrecy::ExposeSecret as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

pub async fn a_new_catalog_gets_a_key_file_that_others_cannot_read(place: Place) {
    let catalog = place.open().await;
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path)
            .expect("it was made")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&place.key_file()), 0o600);
    if let Location::Sqlite(path) = &place.location {
        assert_eq!(mode(path), 0o600);
        assert_eq!(mode(&path.with_extension("sqlite-wal")), 0o600);
        assert_eq!(mode(path.parent().expect("it lies in a folder")), 0o700);
    }
    let key = std::fs::read(place.key_file()).expect("it was made");
    let instance = catalog.instance_id().to_owned();
    catalog.close().await;
    let again = place.open().await;
    assert_eq!(again.instance_id(), instance);
    assert_eq!(std::fs::read(place.key_file()).expect("it is there"), key);
}

pub async fn looking_for_a_catalog_does_not_make_one(place: Place) {
    let look = OpenOptions {
        create: false,
        ..place.options()
    };
    let error = place.refusal(look).await;
    assert!(matches!(error, CatalogError::Missing { .. }), "{error}");
    assert!(!place.key_file().exists());
    if let Location::Sqlite(path) = &place.location {
        assert!(!path.exists());
    }
    place.open().await.close().await;
    let look = OpenOptions {
        create: false,
        ..place.options()
    };
    Catalog::open(look).await.expect("now it is there");
}

pub async fn a_missing_key_file_is_refused_and_never_made_again(place: Place) {
    place.open().await.close().await;
    std::fs::remove_file(place.key_file()).expect("it was made");
    let error = place.refusal(place.options()).await;
    assert!(matches!(error, CatalogError::KeyMissing { .. }), "{error}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("put the key file back"))
    );
    assert!(!place.key_file().exists(), "no new key in silence");
}

pub async fn a_catalog_under_another_key_is_refused(place: Place) {
    place.open().await.close().await;
    let other = OpenOptions {
        key: KeySource::Key([7; 32]),
        ..place.options()
    };
    let error = place.refusal(other).await;
    assert!(matches!(error, CatalogError::WrongKey { .. }), "{error}");
    std::fs::write(place.key_file(), "something else\n").expect("the folder is ours");
    let error = place.refusal(place.options()).await;
    assert!(matches!(error, CatalogError::BadKey { .. }), "{error}");
}

pub async fn a_newer_schema_is_refused_naming_both_versions(place: Place) {
    place.open().await.close().await;
    place
        .tamper("INSERT INTO schema_versions (version, name, applied_at) VALUES (9000, 'later', 0)")
        .await;
    let error = place.refusal(place.options()).await;
    let CatalogError::NewerSchema { found, known } = error else {
        panic!("{error}");
    };
    assert_eq!((found, known), (9000, SCHEMA_VERSION));
    let text = error_text(found, known);
    assert!(
        text.contains("9000") && text.contains(&SCHEMA_VERSION.to_string()),
        "{text}"
    );
}

fn error_text(found: i64, known: i64) -> String {
    CatalogError::NewerSchema { found, known }.to_string()
}

pub async fn programs_that_start_at_once_make_one_catalog(place: Place) {
    let (a, b, c, d) = tokio::join!(
        Catalog::open(place.options()),
        Catalog::open(place.options()),
        Catalog::open(place.options()),
        Catalog::open(place.options()),
    );
    let ids: Vec<String> = [a, b, c, d]
        .into_iter()
        .map(|catalog| catalog.expect("each opens it").instance_id().to_owned())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

pub async fn a_sealed_value_opens_only_in_its_own_place(place: Place) {
    let catalog = place.open().await;
    let sealed = catalog.seal("apps/shop/admin_url", "postgres://u:hunter2@h/db");
    assert!(sealed.starts_with("enc:v1:") && !sealed.contains("hunter2"));
    assert_ne!(
        sealed,
        catalog.seal("apps/shop/admin_url", "postgres://u:hunter2@h/db"),
        "equal secrets do not look equal"
    );
    let opened = catalog
        .reveal("apps/shop/admin_url", &sealed)
        .expect("it is whole");
    assert_eq!(opened.expose_secret(), "postgres://u:hunter2@h/db");
    let other = if &sealed[30..31] == "A" { "B" } else { "A" };
    let altered = format!("{}{other}{}", &sealed[..30], &sealed[31..]);
    for (context, text) in [
        ("apps/other/admin_url", sealed.clone()),
        ("apps/shop/admin_url", altered),
        ("apps/shop/admin_url", sealed[..20].to_owned()),
        ("apps/shop/admin_url", "plain text".to_owned()),
    ] {
        let outcome = catalog.reveal(context, &text);
        assert!(
            matches!(outcome, Err(CatalogError::Unsealable { .. })),
            "{text}"
        );
    }
    for reference in ["env:DATABASE_URL", "file:/run/secrets/url"] {
        assert_eq!(catalog.seal("x", reference), reference);
        assert_eq!(
            catalog
                .reveal("x", reference)
                .expect("a reference")
                .expose_secret(),
            reference
        );
    }
}

pub async fn the_blocking_bridge_opens_the_same_catalog(place: Place) {
    let instance = place.open().await.instance_id().to_owned();
    let options = place.options();
    let seen = tokio::task::spawn_blocking(move || {
        let blocking = Blocking::open(options).expect("it opens");
        let newest = blocking.block_on(|catalog| async move { catalog.newest_event_id().await });
        assert_eq!(newest.expect("it answers"), 0);
        blocking.catalog().instance_id().to_owned()
    })
    .await
    .expect("no panic");
    assert_eq!(seen, instance);
}

pub async fn a_shared_catalog_is_replaced_by_nobody_while_servers_are_there(place: Place) {
    let catalog = place.open().await;
    let mut server = catalog.join().await.expect("it joins");
    let worker = place.open().await.join().await.expect("several may");
    server.confirm().await.expect("it stands");
    if !catalog.is_shared() {
        let alone = catalog.alone().await;
        alone.expect("servers of a file are kept away by the file beside it");
        return;
    }
    let busy = |answer: Result<Presence, CatalogError>| match answer {
        Err(CatalogError::Busy(why)) => why,
        other => panic!("{other:?}"),
    };
    let why = busy(place.open().await.alone().await);
    assert!(why.contains("server"), "{why}");
    worker.leave().await;
    busy(place.open().await.alone().await);

    // Whose connection was cut notices it, and is in nobody's way any more.
    place
        .tamper(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .await;
    let noticed = async {
        while server.confirm().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let noticed = tokio::time::timeout(Duration::from_secs(60), noticed).await;
    noticed.expect("the cut is noticed");
    let restoring = catalog.alone().await.expect("nobody is there");
    let why = busy(place.open().await.join().await);
    assert!(why.contains("replaced"), "{why}");
    restoring.leave().await;
    let server = catalog.join().await.expect("it is over");
    server.leave().await;
    catalog.alone().await.expect("nobody is there");
}
