use crate::place::{LEASE, Place, backup_job, backup_row};
use pgkeep_catalog::{
    BackupFilter, BackupRow, BackupSort, Catalog, CatalogError, CopyFacts, KeySource, LogLevel,
    LogLine, ManagedBy, OpenOptions, Outcome, Page, key_id_in,
};
use pgkeep_model::app::AppDefinition;
use pgkeep_model::job::JobState;
use serde_json::json;

async fn fill(place: &Place, catalog: &Catalog) -> (String, String, String) {
    let shop = AppDefinition {
        databases: vec!["postgres://u:hunter2@h/db".into()],
        ..AppDefinition::default()
    };
    catalog
        .put_app("shop", &shop, ManagedBy::File, None)
        .await
        .expect("stored");
    catalog
        .put_setting("x", &json!([1, 2.5, null]))
        .await
        .expect("stored");
    let done = catalog
        .enqueue(backup_job(catalog, "shop"))
        .await
        .expect("queued")
        .job()
        .id
        .clone();
    let claim = catalog
        .claim("n", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    let line = LogLine {
        at: catalog.now(),
        level: LogLevel::Info,
        text: "'quoted'\n\"line\"".to_owned(),
    };
    catalog
        .log(&done, claim.fence, &[line])
        .await
        .expect("written");
    catalog
        .finish(&done, claim.fence, Outcome::Succeeded(json!({ "a": 1 })))
        .await
        .expect("ended");
    let running = catalog
        .enqueue(backup_job(catalog, "shop"))
        .await
        .expect("queued")
        .job()
        .id
        .clone();
    catalog
        .claim("n", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    let waiting = catalog
        .enqueue(backup_job(catalog, "shop"))
        .await
        .expect("queued")
        .job()
        .id
        .clone();
    let rows: Vec<BackupRow> = (0..1200)
        .map(|number| BackupRow {
            seconds: Some(f64::from(number)),
            proven_seconds: Some(0.1),
            ..backup_row(number, place)
        })
        .collect();
    catalog.upsert_backups(&rows).await.expect("written");
    (done, running, waiting)
}

/// A new catalog in an SQLite file, under the key of `place`.
fn another(place: &Place, name: &str) -> OpenOptions {
    OpenOptions {
        location: pgkeep_catalog::Location::Sqlite(place.dir.path().join(name)),
        ..place.options()
    }
}

pub async fn a_copy_goes_into_a_new_catalog_of_either_kind(place: Place) {
    let catalog = place.open().await;
    let (done, running, waiting) = fill(&place, &catalog).await;
    let copy = place.dir.path().join("copy");
    catalog.snapshot_to(&copy).await.expect("copied");
    let twice = catalog.snapshot_to(&copy).await;
    assert!(
        matches!(twice, Err(CatalogError::Io { .. })),
        "nothing is overwritten: {twice:?}"
    );
    let newest_event = catalog.newest_event_id().await.expect("a number");
    let key = std::fs::read(place.key_file()).expect("the key");

    // Into SQLite, and from there into a catalog of the same kind as the first.
    let second = Catalog::open(another(&place, "second.sqlite"))
        .await
        .expect("a new one");
    second.import_from(&copy).await.expect("taken in");
    let copy_of_copy = place.dir.path().join("copy-of-copy");
    second.snapshot_to(&copy_of_copy).await.expect("copied");
    catalog.close().await;
    match &place.location {
        pgkeep_catalog::Location::Sqlite(path) => {
            for end in ["sqlite", "sqlite-wal", "sqlite-shm"] {
                let _ = std::fs::remove_file(path.with_extension(end));
            }
        }
        pgkeep_catalog::Location::Postgres(_) => place.tamper("DROP SCHEMA pgkeep CASCADE").await,
    }
    let third = place.open().await;
    third.import_from(&copy_of_copy).await.expect("taken in");
    assert_eq!(std::fs::read(place.key_file()).expect("the key"), key);

    for catalog in [second, third] {
        let app = catalog.app("shop").await.expect("there");
        assert_eq!(app.value.databases, ["postgres://u:hunter2@h/db"]);
        assert_eq!((app.revision, app.managed_by), (1, ManagedBy::File));
        assert_eq!(
            catalog.setting("x").await.expect("an answer"),
            Some(json!([1, 2.5, null]))
        );
        let job = catalog.job(&done).await.expect("there");
        assert_eq!(
            (job.state, job.result),
            (JobState::Succeeded, Some(json!({ "a": 1 })))
        );
        let log = catalog.job_log(&done, 0, 10).await.expect("a log");
        assert_eq!(log[0].text, "'quoted'\n\"line\"");
        for lost in [&running, &waiting] {
            let job = catalog.job(lost).await.expect("there");
            assert_eq!(job.state, JobState::Failed);
            assert_eq!(job.error.expect("the reason").code, "catalog_restored");
        }
        let count = catalog
            .count_backups(&BackupFilter::default())
            .await
            .expect("numbers");
        assert_eq!(count, 1200);
        let page = Page {
            limit: 1,
            ..Page::default()
        };
        let newest = catalog
            .backups(&BackupFilter::default(), BackupSort::Time, &page)
            .await
            .expect("a page");
        let expected = BackupRow {
            seconds: Some(1199.0),
            proven_seconds: Some(0.1),
            revision: 1,
            ..backup_row(1199, &place)
        };
        assert_eq!(newest.items, [expected]);
        assert_eq!(
            catalog.newest_event_id().await.expect("a number"),
            newest_event
        );
        catalog
            .enqueue(backup_job(&catalog, "shop"))
            .await
            .expect("it goes on");
        assert!(catalog.newest_event_id().await.expect("a number") > newest_event);
    }
}

pub async fn a_copy_takes_the_place_of_all_that_a_catalog_holds_or_of_nothing(place: Place) {
    let catalog = place.open().await;
    fill(&place, &catalog).await;
    let copy = place.dir.path().join("copy");
    catalog.snapshot_to(&copy).await.expect("copied");
    let facts = CopyFacts::of(&copy).await.expect("told");
    assert_eq!(facts.key_id, catalog.key_id());
    assert_eq!(
        key_id_in(&place.key_file()).expect("read"),
        Some(facts.key_id.clone())
    );
    assert_eq!(facts.holds, catalog.holdings().await.expect("told"));
    let counts: Vec<_> = facts.holds.iter().filter(|(_, n)| *n > 0).collect();
    assert_eq!(
        counts,
        [("app", 1), ("job", 3), ("listed backup", 1200)],
        "and nothing else"
    );

    // What came later is gone; a setting that the copy does not have is gone as well.
    let later = AppDefinition::default();
    catalog
        .put_app("later", &later, ManagedBy::Api, None)
        .await
        .expect("stored");
    catalog.put_setting("y", &json!(1)).await.expect("stored");
    let instance = catalog.instance_id().to_owned();
    catalog.replace_from(&copy).await.expect("replaced");
    assert_eq!(facts.holds, catalog.holdings().await.expect("told"));
    let names: Vec<_> = catalog.apps().await.expect("a list");
    assert_eq!(names.len(), 1);
    assert_eq!(names[0].name, "shop");
    assert_eq!(catalog.setting("y").await.expect("an answer"), None);
    assert_eq!(
        catalog.setting("x").await.expect("an answer"),
        Some(json!([1, 2.5, null]))
    );
    assert_eq!(place.open().await.instance_id(), instance);

    // One that breaks off leaves everything as it was.
    let mut broken = std::fs::read(&copy).expect("ours");
    match &place.location {
        // Tables come first in the file, indexes after them.
        pgkeep_catalog::Location::Sqlite(_) => {
            let early = broken.len() / 8;
            broken[early..].fill(0xff);
        }
        pgkeep_catalog::Location::Postgres(_) => {
            broken.truncate(broken.len() / 2);
            broken.push(b'{');
        }
    }
    let torn = place.dir.path().join("torn");
    std::fs::write(&torn, broken).expect("ours");
    catalog.replace_from(&torn).await.expect_err("it is torn");
    assert_eq!(facts.holds, catalog.holdings().await.expect("told"));
    catalog
        .enqueue(backup_job(&catalog, "shop"))
        .await
        .expect("it goes on");
}

pub async fn a_copy_is_refused_by_a_catalog_that_is_in_use_or_has_another_key(place: Place) {
    let catalog = place.open().await;
    fill(&place, &catalog).await;
    let copy = place.dir.path().join("copy");
    catalog.snapshot_to(&copy).await.expect("copied");
    let outcome = catalog.import_from(&copy).await;
    assert!(
        matches!(outcome, Err(CatalogError::NotNow { .. })),
        "{outcome:?}"
    );
    let other_key = OpenOptions {
        key: KeySource::Key([9; 32]),
        ..another(&place, "other.sqlite")
    };
    let other = Catalog::open(other_key).await.expect("a new one");
    let outcome = other.import_from(&copy).await;
    assert!(
        matches!(outcome, Err(CatalogError::WrongKey { .. })),
        "{outcome:?}"
    );
    let rubbish = place.dir.path().join("rubbish");
    std::fs::write(&rubbish, "{\"format\": \"something\"}\n").expect("the folder is ours");
    let outcome = Catalog::open(another(&place, "third.sqlite"))
        .await
        .expect("a new one")
        .import_from(&rubbish)
        .await;
    assert!(
        matches!(outcome, Err(CatalogError::Invalid(_))),
        "{outcome:?}"
    );
}
