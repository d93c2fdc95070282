use crate::place::{LEASE, Place, backup_job};
use pgkeep_catalog::{
    Catalog, JobProgress, LogLevel, LogLine, ManagedBy, NewEvent, NewJob, Outcome,
};
use pgkeep_model::app::AppDefinition;
use serde_json::json;

async fn topics(catalog: &Catalog) -> Vec<(String, String)> {
    let events = catalog.events_after(0, 1000).await.expect("events");
    let change = |e: &pgkeep_catalog::Event| e.data["change"].as_str().unwrap_or("").to_owned();
    events
        .iter()
        .map(|e| (e.topic.clone(), change(e)))
        .collect()
}

pub async fn a_change_and_its_event_are_one(place: Place) {
    let catalog = place.open().await;
    let job = NewJob {
        policy: Some("nightly".to_owned()),
        ..backup_job(&catalog, "shop")
    };
    let id = catalog.enqueue(job).await.expect("queued").job().id.clone();
    catalog.set_priority(&id, 4).await.expect("moved");
    let claim = catalog
        .claim("n", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    for done_bytes in [1, 2, 3] {
        let progress = JobProgress {
            done_bytes,
            ..JobProgress::default()
        };
        catalog
            .progress(&id, claim.fence, "data", Some(&progress))
            .await
            .expect("written");
        let line = LogLine {
            at: catalog.now(),
            level: LogLevel::Info,
            text: "x".to_owned(),
        };
        catalog
            .log(&id, claim.fence, &[line])
            .await
            .expect("written");
    }
    catalog.cancel(&id).await.expect("asked");
    place.advance(3);
    catalog
        .finish(&id, claim.fence, Outcome::Succeeded(json!({})))
        .await
        .expect("ended");
    catalog
        .put_app("shop", &AppDefinition::default(), ManagedBy::Api, None)
        .await
        .expect("stored");

    let expected: Vec<(String, String)> = [
        ("job", "queued"),
        ("job", "priority"),
        ("job", "claimed"),
        // Only the newest progress and the newest line of the log.
        ("progress", ""),
        ("log", ""),
        ("job", "cancel_requested"),
        ("job", "succeeded"),
        ("app", "put"),
    ]
    .map(|(topic, change)| (topic.to_owned(), change.to_owned()))
    .into();
    assert_eq!(topics(&catalog).await, expected);
    let events = catalog.events_after(0, 1000).await.expect("events");
    assert_eq!(events[3].data["done_bytes"], 3);
    assert_eq!(events[4].data["line"], 3);
    let end = &events[6];
    assert_eq!(
        (end.subject.as_str(), end.app.as_deref(), end.at),
        (id.as_str(), Some("shop"), catalog.now())
    );
    assert_eq!(
        (&end.data["kind"], &end.data["state"], &end.data["policy"]),
        (&json!("backup"), &json!("succeeded"), &json!("nightly"))
    );

    let newest = events.last().map_or(0, |event| event.id);
    let progress = NewEvent::new("progress", &id);
    catalog.publish(progress).await.expect("written");
    assert!(catalog.newest_event_id().await.expect("a number") > newest);
    assert_eq!(catalog.newest_change_id().await.expect("a number"), newest);
}

pub async fn a_change_that_fails_leaves_no_event(place: Place) {
    let catalog = place.open().await;
    let before = catalog.newest_event_id().await.expect("a number");
    catalog
        .cancel("nothing")
        .await
        .expect_err("there is no such job");
    catalog
        .hold("nothing")
        .await
        .expect_err("there is no such job");
    catalog
        .delete_policy("nothing", None)
        .await
        .expect_err("there is no such policy");
    catalog.claim("n", &[], LEASE).await.expect("an answer");
    catalog.resume_queue().await.expect("it was not paused");
    assert_eq!(catalog.newest_event_id().await.expect("a number"), before);
}

pub async fn events_come_in_order_and_none_is_missed(place: Place) {
    let programs = [place.open().await, place.open().await];
    let reader = place.open().await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let catalog = programs[number % 2].clone();
        writers.spawn(async move {
            for _ in 0..25 {
                catalog
                    .enqueue(backup_job(&catalog, "shop"))
                    .await
                    .expect("queued");
            }
        });
    }
    // Whoever follows the stream sees each number once, and never one below those that it has seen.
    let mut seen: Vec<i64> = Vec::new();
    while seen.len() < 200 {
        let last = seen.last().copied().unwrap_or(0);
        let fresh = reader.events_after(last, 7).await.expect("events");
        seen.extend(fresh.iter().map(|event| event.id));
    }
    while let Some(done) = writers.join_next().await {
        done.expect("no panic");
    }
    let all: Vec<i64> = reader
        .events_after(0, 1000)
        .await
        .expect("events")
        .iter()
        .map(|event| event.id)
        .collect();
    assert_eq!(seen, all);
}

pub async fn the_newest_events_are_kept(place: Place) {
    let catalog = place.open().await;
    catalog
        .publish(NewEvent::new("queue", "first"))
        .await
        .expect("written");
    let insert =
        "INSERT INTO events (id, at, topic, subject, data) VALUES (30000, 0, 'queue', 'x', 'null')";
    place.tamper(insert).await;
    if catalog.is_shared() {
        place
            .tamper("SELECT setval(pg_get_serial_sequence('events', 'id'), 30498)")
            .await;
    } else {
        place
            .tamper("UPDATE sqlite_sequence SET seq = 30498 WHERE name = 'events'")
            .await;
    }
    catalog
        .publish(NewEvent::new("queue", "second"))
        .await
        .expect("written");
    assert_eq!(catalog.oldest_event_id().await.expect("a number"), 1);
    catalog
        .publish(NewEvent::new("queue", "third"))
        .await
        .expect("written");
    assert_eq!(
        catalog.oldest_event_id().await.expect("a number"),
        30000,
        "the first is out of reach"
    );
    assert_eq!(catalog.newest_event_id().await.expect("a number"), 30500);
}

pub async fn whoever_waits_is_told_of_changes(place: Place) {
    let catalog = place.open().await;
    let mut changed = catalog.changed();
    let waits = tokio::spawn(async move {
        changed.changed().await.expect("the catalog is open");
        *changed.borrow()
    });
    catalog
        .enqueue(backup_job(&catalog, "shop"))
        .await
        .expect("queued");
    let told = waits.await.expect("no panic");
    assert_eq!(told, catalog.newest_event_id().await.expect("a number"));
}

pub async fn a_stamp_ends_with_any_commit(place: Place) {
    let catalog = place.open().await;
    let other = place.open().await;
    // By its own clock the catalog was written to long ago.
    place.advance(100 * 365 * 24 * 3600);
    let stamp = catalog.stamp();
    assert_eq!(stamp.is_none(), catalog.is_shared());
    catalog.newest_event_id().await.expect("a number");
    assert_eq!(catalog.stamp(), stamp, "reading changes nothing");
    other
        .enqueue(backup_job(&other, "shop"))
        .await
        .expect("queued");
    assert!(stamp.is_none() || catalog.stamp() != stamp);
}
