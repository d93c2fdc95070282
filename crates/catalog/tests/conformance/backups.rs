use crate::place::{Place, backup_row};
use pgkeep_catalog::{
    BackupFilter, BackupRow, BackupSort, BackupState, Catalog, CatalogError, Page,
};
use pgkeep_model::Clock as _;
use std::collections::BTreeSet;
use std::time::Duration;

async fn all(catalog: &Catalog, filter: BackupFilter) -> Vec<BackupRow> {
    let page = Page {
        limit: 500,
        ..Page::default()
    };
    catalog
        .backups(&filter, BackupSort::Time, &page)
        .await
        .expect("a list")
        .items
}

pub async fn a_backup_keeps_what_only_its_job_knew(place: Place) {
    let catalog = place.open().await;
    let known = BackupRow {
        job: Some("job-1".to_owned()),
        policy: Some("nightly".to_owned()),
        rows: Some(1000),
        bytes: Some(2000),
        bytes_added: Some(300),
        seconds: Some(1.5),
        ..backup_row(1, &place)
    };
    catalog.upsert_backup(&known).await.expect("written");
    let from_repository = BackupRow {
        description: "before the release".to_owned(),
        tags: vec!["keep".to_owned()],
        pinned: true,
        checked_at: Some(place.clock.now()),
        ..backup_row(1, &place)
    };
    catalog
        .upsert_backup(&from_repository)
        .await
        .expect("written");
    let expected = BackupRow {
        description: "before the release".to_owned(),
        tags: vec!["keep".to_owned()],
        pinned: true,
        checked_at: Some(place.clock.now()),
        revision: 2,
        ..known
    };
    let back = catalog
        .backup(Some("main"), &expected.id)
        .await
        .expect("there");
    assert_eq!(back, expected);
    assert_eq!(back.state(), BackupState::Checked);
    catalog
        .remove_backup("main", &expected.id)
        .await
        .expect("removed");
    catalog
        .remove_backup("main", &expected.id)
        .await
        .expect("it is no error that it is gone");
    assert!(all(&catalog, BackupFilter::default()).await.is_empty());
}

pub async fn backups_are_listed_by_what_is_asked(place: Place) {
    let catalog = place.open().await;
    let now = place.clock.now();
    let rows = [
        BackupRow {
            description: "Größe 100%".to_owned(),
            ..backup_row(0, &place)
        },
        BackupRow {
            checked_at: Some(now),
            tags: vec!["a".to_owned(), "ab".to_owned()],
            ..backup_row(1, &place)
        },
        BackupRow {
            checked_at: Some(now),
            proven_at: Some(now),
            tags: vec!["ab".to_owned()],
            ..backup_row(2, &place)
        },
        BackupRow {
            proven_at: Some(now),
            drill_failed_at: Some(now),
            ..backup_row(3, &place)
        },
        BackupRow {
            proven_at: Some(now),
            damaged_at: Some(now),
            drill_failed_at: Some(now),
            ..backup_row(4, &place)
        },
        BackupRow {
            app: "blog".to_owned(),
            kind: "database".to_owned(),
            pinned: true,
            ..backup_row(5, &place)
        },
        BackupRow {
            repository: "offsite".to_owned(),
            environment: "staging".to_owned(),
            policy: Some("nightly".to_owned()),
            ..backup_row(6, &place)
        },
    ];
    catalog.upsert_backups(&rows).await.expect("written");
    let any = BackupFilter::default;
    for (filter, expected) in [
        (any(), vec![6, 5, 4, 3, 2, 1, 0]),
        (
            BackupFilter {
                apps: Some(vec!["blog".into(), "x".into()]),
                ..any()
            },
            vec![5],
        ),
        (
            BackupFilter {
                apps: Some(vec![]),
                ..any()
            },
            vec![],
        ),
        (
            BackupFilter {
                repository: Some("offsite".into()),
                ..any()
            },
            vec![6],
        ),
        (
            BackupFilter {
                environment: Some("staging".into()),
                ..any()
            },
            vec![6],
        ),
        (
            BackupFilter {
                kind: Some("database".into()),
                ..any()
            },
            vec![5],
        ),
        (
            BackupFilter {
                policy: Some("nightly".into()),
                ..any()
            },
            vec![6],
        ),
        (
            BackupFilter {
                pinned: Some(true),
                ..any()
            },
            vec![5],
        ),
        (
            BackupFilter {
                pinned: Some(false),
                ..any()
            },
            vec![6, 4, 3, 2, 1, 0],
        ),
        (
            BackupFilter {
                state: Some(BackupState::Stored),
                ..any()
            },
            vec![6, 5, 0],
        ),
        (
            BackupFilter {
                state: Some(BackupState::Checked),
                ..any()
            },
            vec![1],
        ),
        (
            BackupFilter {
                state: Some(BackupState::Proven),
                ..any()
            },
            vec![2],
        ),
        (
            BackupFilter {
                state: Some(BackupState::DrillFailed),
                ..any()
            },
            vec![3],
        ),
        (
            BackupFilter {
                state: Some(BackupState::Damaged),
                ..any()
            },
            vec![4],
        ),
        (
            BackupFilter {
                since: Some(rows[5].time),
                ..any()
            },
            vec![6, 5],
        ),
        (
            BackupFilter {
                until: Some(rows[1].time),
                ..any()
            },
            vec![0],
        ),
        (
            BackupFilter {
                tag: Some("a".into()),
                ..any()
            },
            vec![1],
        ),
        (
            BackupFilter {
                tag: Some("ab".into()),
                ..any()
            },
            vec![2, 1],
        ),
        (
            BackupFilter {
                tag: Some("%".into()),
                ..any()
            },
            vec![],
        ),
        (
            BackupFilter {
                text: Some("100%".into()),
                ..any()
            },
            vec![0],
        ),
        (
            BackupFilter {
                text: Some("GRÖSSE".into()),
                ..any()
            },
            vec![],
        ),
        (
            BackupFilter {
                text: Some("NIGHT".into()),
                ..any()
            },
            vec![6],
        ),
        (
            BackupFilter {
                text: Some("00000003".into()),
                ..any()
            },
            vec![3],
        ),
    ] {
        let found = all(&catalog, filter.clone()).await;
        let ids: Vec<&str> = found.iter().map(|row| row.id.as_str()).collect();
        let expected: Vec<&str> = expected
            .iter()
            .map(|i: &usize| rows[*i].id.as_str())
            .collect();
        assert_eq!(ids, expected, "{filter:?}");
        let count = catalog.count_backups(&filter).await.expect("a number");
        assert_eq!(count, expected.len() as u64);
    }
}

pub async fn every_order_pages_through_each_backup_once(place: Place) {
    let catalog = place.open().await;
    let rows: Vec<BackupRow> = (0..120)
        .map(|number| BackupRow {
            // Many are equal in what they are sorted by, and some do not know it.
            time: place.clock.now() + Duration::from_millis(u64::from(number / 10)),
            bytes: (number % 7 != 0).then_some(u64::from(number % 5) * 1_000_000_007),
            bytes_added: Some(10),
            seconds: (number % 3 != 0).then_some(f64::from(number % 4) / 3.0),
            repository: if number % 2 == 0 { "main" } else { "offsite" }.to_owned(),
            ..backup_row(number / 2, &place)
        })
        .collect();
    catalog.upsert_backups(&rows).await.expect("written");
    assert_eq!(
        catalog
            .count_backups(&BackupFilter::default())
            .await
            .expect("a number"),
        120
    );
    for sort in [BackupSort::Time, BackupSort::Bytes, BackupSort::Seconds] {
        for descending in [true, false] {
            let mut seen = Vec::new();
            let mut page = Page {
                after: None,
                limit: 11,
                descending,
            };
            loop {
                let found = catalog
                    .backups(&BackupFilter::default(), sort, &page)
                    .await
                    .expect("a page");
                assert!(found.items.len() <= 11);
                seen.extend(found.items);
                match found.next {
                    Some(next) => page.after = Some(next),
                    None => break,
                }
            }
            let distinct: BTreeSet<_> = seen.iter().map(|r| (&r.repository, &r.id)).collect();
            assert_eq!(
                (seen.len(), distinct.len()),
                (120, 120),
                "{sort:?} {descending}"
            );
            let key = |row: &BackupRow| match sort {
                BackupSort::Time => row.time.as_millisecond() as f64,
                BackupSort::Bytes => row.bytes.map_or(-1.0, |n| n as f64),
                BackupSort::Seconds => row.seconds.unwrap_or(-1.0),
            };
            let sorted = seen.windows(2).all(|pair| {
                let (a, b) = (key(&pair[0]), key(&pair[1]));
                if descending { a >= b } else { a <= b }
            });
            assert!(sorted, "{sort:?} {descending}");
        }
    }
    let by_bytes = catalog
        .backups(
            &BackupFilter::default(),
            BackupSort::Bytes,
            &Page {
                limit: 1,
                ..Page::default()
            },
        )
        .await
        .expect("a page");
    let page = Page {
        after: by_bytes.next,
        ..Page::default()
    };
    let mixed = catalog
        .backups(&BackupFilter::default(), BackupSort::Time, &page)
        .await
        .map(drop);
    assert!(
        matches!(mixed, Err(CatalogError::BadCursor)),
        "a cursor of another order: {mixed:?}"
    );
}

pub async fn a_backup_is_found_by_the_begin_of_its_id(place: Place) {
    let catalog = place.open().await;
    let (a, b) = (
        backup_row(0x1111_0001, &place),
        backup_row(0x1111_0002, &place),
    );
    let copy = BackupRow {
        repository: "offsite".to_owned(),
        ..a.clone()
    };
    catalog
        .upsert_backups(&[a.clone(), b.clone(), copy])
        .await
        .expect("written");
    assert_eq!(
        catalog.backup(None, "11110002").await.expect("one").id,
        b.id
    );
    assert_eq!(
        catalog
            .backup(None, "1111000")
            .await
            .map(drop)
            .map_err(|e| matches!(e, CatalogError::Invalid(_))),
        Err(true)
    );
    assert_eq!(
        catalog
            .backup(None, "11110001")
            .await
            .expect("a copy is the same backup")
            .id,
        a.id
    );
    assert_eq!(
        catalog
            .backup(Some("offsite"), "1111")
            .await
            .expect("one there")
            .id,
        a.id
    );
    for absent in ["", "2", "%", "1111000_"] {
        let outcome = catalog.backup(None, absent).await;
        assert!(
            matches!(outcome, Err(CatalogError::NotFound { .. })),
            "{absent}: {outcome:?}"
        );
    }
}

pub async fn a_sync_makes_the_list_be_what_the_repository_says(place: Place) {
    let catalog = place.open().await;
    let known = BackupRow {
        bytes: Some(5),
        job: Some("j".to_owned()),
        ..backup_row(1, &place)
    };
    let elsewhere = BackupRow {
        repository: "offsite".to_owned(),
        ..backup_row(9, &place)
    };
    catalog
        .upsert_backups(&[known.clone(), backup_row(2, &place), elsewhere.clone()])
        .await
        .expect("written");
    place.advance(10);
    let fresh = [
        BackupRow {
            pinned: true,
            ..backup_row(1, &place)
        },
        backup_row(3, &place),
    ];
    catalog
        .replace_backups("main", &fresh, place.clock.now())
        .await
        .expect("synced");
    let rows = all(
        &catalog,
        BackupFilter {
            repository: Some("main".into()),
            ..BackupFilter::default()
        },
    )
    .await;
    assert_eq!(
        rows.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(),
        [&fresh[1].id, &fresh[0].id]
    );
    assert_eq!(
        (rows[1].pinned, rows[1].bytes, rows[1].job.as_deref()),
        (true, Some(5), Some("j"))
    );
    assert!(
        catalog.backup(Some("offsite"), &elsewhere.id).await.is_ok(),
        "others stay"
    );
    let before = catalog.newest_event_id().await.expect("a number");
    catalog
        .replace_backups("main", &fresh, place.clock.now())
        .await
        .expect("synced");
    assert_eq!(
        catalog.newest_event_id().await.expect("a number"),
        before,
        "nothing changed"
    );
}

pub async fn a_sync_keeps_what_was_written_after_it_looked(place: Place) {
    let catalog = place.open().await;
    catalog
        .upsert_backup(&backup_row(1, &place))
        .await
        .expect("written");
    place.advance(10);
    let listed_at = place.clock.now();
    place.advance(10);
    let made_since = backup_row(2, &place);
    catalog.upsert_backup(&made_since).await.expect("written");
    catalog
        .replace_backups("main", &[], listed_at)
        .await
        .expect("synced");
    let rows = all(&catalog, BackupFilter::default()).await;
    assert_eq!(
        rows.iter().map(|r| &r.id).collect::<Vec<_>>(),
        [&made_since.id]
    );
}

pub async fn the_newest_good_and_the_newest_proven_backup_are_known(place: Place) {
    let catalog = place.open().await;
    let now = place.clock.now();
    assert_eq!(
        catalog.newest_good_backup("shop").await.expect("an answer"),
        None
    );
    let rows = [
        BackupRow {
            proven_at: Some(now),
            ..backup_row(1, &place)
        },
        BackupRow {
            proven_at: Some(now),
            drill_failed_at: Some(now),
            ..backup_row(2, &place)
        },
        backup_row(3, &place),
        BackupRow {
            partial: true,
            proven_at: Some(now),
            ..backup_row(4, &place)
        },
        BackupRow {
            damaged_at: Some(now),
            proven_at: Some(now),
            ..backup_row(5, &place)
        },
        BackupRow {
            app: "blog".to_owned(),
            proven_at: Some(now),
            ..backup_row(6, &place)
        },
    ];
    catalog.upsert_backups(&rows).await.expect("written");
    let good = catalog
        .newest_good_backup("shop")
        .await
        .expect("an answer")
        .expect("one");
    let proven = catalog
        .newest_proven_backup("shop")
        .await
        .expect("an answer")
        .expect("one");
    assert_eq!(
        (good.id, proven.id),
        (rows[2].id.clone(), rows[0].id.clone())
    );
}

pub async fn what_each_repository_and_policy_has_of_an_app_is_counted(place: Place) {
    let catalog = place.open().await;
    let row = |number, app: &str, repository: &str, policy: Option<&str>| BackupRow {
        app: app.to_owned(),
        repository: repository.to_owned(),
        policy: policy.map(str::to_owned),
        ..backup_row(number, &place)
    };
    let rows = [
        row(1, "shop", "main", Some("nightly")),
        row(2, "shop", "main", None),
        row(2, "shop", "offsite", Some("nightly")),
        row(3, "shop", "offsite", Some("weekly")),
        row(9, "blog", "main", Some("nightly")),
    ];
    catalog.upsert_backups(&rows).await.expect("written");

    let held = catalog.holdings_of("shop").await.expect("an answer");
    let held: Vec<_> = held
        .iter()
        .map(|holding| (holding.repository.as_str(), holding.backups, holding.newest))
        .collect();
    assert_eq!(
        held,
        [("main", 2, rows[1].time), ("offsite", 2, rows[3].time)]
    );
    let made = catalog.backups_by_policy("shop").await.expect("an answer");
    let expected = [("nightly".to_owned(), 2), ("weekly".to_owned(), 1)];
    assert_eq!(made, expected.into());
    let nothing = catalog.holdings_of("nope").await.expect("an answer");
    assert_eq!(nothing, []);
}
