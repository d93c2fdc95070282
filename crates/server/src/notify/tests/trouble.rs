use super::*;
use pgkeep_catalog::BackupRow;
use pgkeep_model::app::{AppDefinition, RepositoryDefinition};

#[tokio::test]
async fn a_backup_that_lost_its_content_is_told_once_and_that_it_is_well_again_too() {
    let scene = Scene::new().await;
    let repository = RepositoryDefinition {
        address: Some("/does/not/exist".into()),
        ..RepositoryDefinition::default()
    };
    let put = scene
        .catalog
        .put_repository("main", &repository, ManagedBy::Api, None);
    put.await.unwrap();
    let app = AppDefinition::default();
    let put = scene.catalog.put_app("shop", &app, ManagedBy::Api, None);
    put.await.unwrap();
    let backup = async |id: &str, shrunk: Option<&str>| {
        scene.clock.advance(SignedDuration::from_mins(1));
        let row = BackupRow {
            repository: "main".into(),
            id: id.into(),
            app: "shop".into(),
            kind: "full".into(),
            time: scene.catalog.now(),
            databases: vec!["shop".into()],
            shrunk: shrunk.map(str::to_owned),
            ..BackupRow::default()
        };
        scene.catalog.upsert_backup(&row).await.unwrap();
    };
    let heard = async || {
        let notifier = scene.notifier();
        notifier.look_for_trouble().await.unwrap();
        scene.sent(&notifier).await
    };
    backup("aaaaaaaa1", None).await;
    assert_eq!(heard().await, Vec::<String>::new());
    backup("bbbbbbbb1", Some("database shop holds no table")).await;
    let told = heard().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with(
            "/hook pgkeep.failure backup bbbbbbbb of shop, made just now, holds far less"
        ),
        "{told:?}"
    );
    assert_eq!(heard().await, Vec::<String>::new(), "not at every look");
    backup("cccccccc1", None).await;
    assert_eq!(
        heard().await,
        [
            "/hook pgkeep.recovery the backups of shop hold what they should, or somebody accepted what they hold"
        ]
    );
}
