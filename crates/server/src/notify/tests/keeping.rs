use super::*;
use pgkeep_catalog::BackupRow;
use pgkeep_model::app::{AppDefinition, RepositoryDefinition};
use pgkeep_model::growth::Size;

async fn backup(scene: &Scene, repository: &str) {
    let time = scene.catalog.now();
    let row = BackupRow {
        repository: repository.into(),
        id: format!("{repository}{}", time.as_second()),
        app: "shop".into(),
        kind: "full".into(),
        time,
        ..BackupRow::default()
    };
    scene.catalog.upsert_backup(&row).await.unwrap();
}

#[tokio::test]
async fn copies_that_stay_away_and_disks_that_fill_are_told_until_they_are_well() {
    let scene = Scene::new().await;
    for (name, address) in [("main", "/does/not/exist"), ("offsite", "s3://bucket/x")] {
        let repository = RepositoryDefinition {
            address: Some(address.into()),
            ..RepositoryDefinition::default()
        };
        let put = scene
            .catalog
            .put_repository(name, &repository, ManagedBy::Api, None);
        put.await.unwrap();
    }
    let app = AppDefinition {
        repository: Some("offsite".into()),
        ..AppDefinition::default()
    };
    let put = scene.catalog.put_app("shop", &app, ManagedBy::Api, None);
    put.await.unwrap();
    let heard = async || {
        scene.clock.advance(SignedDuration::from_mins(10));
        let notifier = scene.notifier();
        notifier.look_at_disks().await.unwrap();
        let heard = scene.sent(&notifier).await;
        // The disk of the machine that runs the tests is its own affair.
        let own = |line: &String| !line.contains("the data folder");
        heard.into_iter().filter(own).collect::<Vec<_>>()
    };
    backup(&scene, "main").await;
    backup(&scene, "offsite").await;
    assert_eq!(heard().await, Vec::<String>::new());

    for day in 1..=3 {
        scene.clock.advance(SignedDuration::from_hours(24));
        let size = Size {
            at: scene.catalog.now(),
            stored_bytes: day << 30,
            free_bytes: 5 << 30,
        };
        scene.catalog.record_size("main", &size).await.unwrap();
    }
    backup(&scene, "main").await;
    let bad = [
        "/hook pgkeep.overdue the copies of shop in offsite are behind: the newest is of 3 days ago, the newest good backup of 10 minutes ago",
        "/hook pgkeep.storage_nearly_full the disk of repository main will be full in 5 days as it grows now",
    ];
    assert_eq!(heard().await, bad);
    assert_eq!(heard().await, Vec::<String>::new(), "not at every look");

    backup(&scene, "offsite").await;
    let roomy = Size {
        at: scene.catalog.now(),
        stored_bytes: 3 << 30,
        free_bytes: 500 << 30,
    };
    scene.catalog.record_size("main", &roomy).await.unwrap();
    let good = [
        "/hook pgkeep.recovery the copies of shop in offsite follow again",
        "/hook pgkeep.recovery the disk of repository main no longer fills up so fast",
    ];
    assert_eq!(heard().await, good);
    assert_eq!(heard().await, Vec::<String>::new());
}
