use crate::place::Place;
use jiff::SignedDuration;
use pgkeep_catalog::{BackupRow, Catalog, CatalogError, ManagedBy};
use pgkeep_model::Clock;
use pgkeep_model::app::RepositoryDefinition;
use pgkeep_model::growth::Size;

async fn put(catalog: &Catalog, key: &str, retries: u32) {
    let definition = RepositoryDefinition {
        address: Some("/backups".to_owned()),
        key: Some(key.into()),
        retries: Some(retries),
        ..RepositoryDefinition::default()
    };
    let put = catalog.put_repository("main", &definition, ManagedBy::Api, None);
    put.await.expect("stored");
}

pub async fn a_recovery_kit_is_confirmed_until_the_key_changes(place: Place) {
    let catalog = place.open().await;
    let confirmed = async || {
        let kits = catalog.recovery_kits().await.expect("read");
        kits.get("main").copied()
    };
    let unknown = catalog.confirm_recovery_kit("main").await;
    assert!(
        matches!(unknown, Err(CatalogError::NotFound { .. })),
        "{unknown:?}"
    );
    put(&catalog, "literal key", 1).await;
    assert_eq!(confirmed().await, None);
    let at = catalog.confirm_recovery_kit("main").await.expect("known");
    assert_eq!(confirmed().await, Some(at));
    // Another setting, the same key.
    put(&catalog, "literal key", 2).await;
    assert_eq!(confirmed().await, Some(at));
    put(&catalog, "env:OTHER_KEY", 2).await;
    assert_eq!(confirmed().await, None);

    place.advance(60);
    let again = catalog.confirm_recovery_kit("main").await.expect("known");
    assert!(again > at);
    catalog
        .forget_recovery_kit("main")
        .await
        .expect("forgotten");
    assert_eq!(confirmed().await, None);
    catalog
        .forget_recovery_kit("other")
        .await
        .expect("no error");
}

pub async fn the_last_measurement_of_a_day_stands_for_it(place: Place) {
    let catalog = place.open().await;
    put(&catalog, "env:KEY", 1).await;
    let begin = place.clock.now().round(jiff::Unit::Second).expect("a time");
    let at = |hours: i64| begin + SignedDuration::from_hours(hours);
    let size = |hours: i64, stored_bytes: u64| Size {
        at: at(hours),
        stored_bytes,
        free_bytes: 1_000,
    };
    for measured in [size(0, 1), size(24, 2), size(24, 3), size(48, 4)] {
        let recorded = catalog.record_size("main", &measured);
        recorded.await.expect("recorded");
    }
    let since = async |hours| catalog.sizes_since(at(hours)).await.expect("read");
    let all = since(0).await;
    assert_eq!(all["main"], [size(0, 1), size(24, 3), size(48, 4)]);
    assert_eq!(since(20).await["main"], [size(24, 3), size(48, 4)]);
    assert!(since(49).await.is_empty());
    // After more than a year only the new one is left.
    let late = size(24 * 500, 9);
    catalog.record_size("main", &late).await.expect("recorded");
    assert_eq!(since(0).await["main"], [late]);
    let deleted = catalog.delete_repository("main", None);
    deleted.await.expect("deleted");
    assert!(since(0).await.is_empty());
}

pub async fn the_newest_good_backup_of_one_repository_is_known(place: Place) {
    let catalog = place.open().await;
    let now = place.clock.now();
    let row = |id: &str, repository: &str, hours: i64| BackupRow {
        id: id.to_owned(),
        repository: repository.to_owned(),
        app: "shop".to_owned(),
        kind: "full".to_owned(),
        time: now + SignedDuration::from_hours(hours),
        ..BackupRow::default()
    };
    let rows = [
        row("a1", "main", 1),
        row("a2", "offsite", 0),
        BackupRow {
            partial: true,
            ..row("a3", "offsite", 2)
        },
        BackupRow {
            damaged_at: Some(now),
            ..row("a4", "offsite", 3)
        },
        BackupRow {
            drill_failed_at: Some(now),
            ..row("a5", "offsite", 4)
        },
    ];
    catalog.upsert_backups(&rows).await.expect("stored");
    for (app, repository, expected) in [
        ("shop", "main", Some("a1")),
        ("shop", "offsite", Some("a2")),
        ("shop", "other", None),
        ("blog", "main", None),
    ] {
        let found = catalog.newest_good_backup_in(app, repository).await;
        let found = found.expect("read").map(|row| row.id);
        assert_eq!(found.as_deref(), expected, "{app} in {repository}");
    }
}
