use crate::place::{LEASE, Place, backup_job, spec_of};
use pgkeep_catalog::{
    Approval, CancelOutcome, Catalog, CatalogError, JobError, JobFilter, NewJob, NodeBeat, Outcome,
    Page,
};
use pgkeep_model::job::{JobKind, JobState, Trigger};
use serde_json::json;
use std::time::Duration;

async fn queued(catalog: &Catalog, job: NewJob) -> String {
    catalog.enqueue(job).await.expect("queued").job().id.clone()
}

pub async fn a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked(place: Place) {
    let catalog = place.open().await;
    let id = queued(&catalog, backup_job(&catalog, "shop")).await;
    let outcome = catalog.cancel(&id).await.expect("an answer");
    let CancelOutcome::Cancelled(job) = &outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        (job.state, job.finished_at),
        (JobState::Cancelled, Some(catalog.now()))
    );
    assert_eq!(
        catalog.claim("n", &[], LEASE).await.expect("an answer"),
        None
    );
    assert!(matches!(
        catalog.cancel(&id).await.expect("an answer"),
        CancelOutcome::AlreadyOver(_)
    ));

    let id = queued(&catalog, backup_job(&catalog, "shop")).await;
    let claim = catalog
        .claim("n", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    let outcome = place.open().await.cancel(&id).await.expect("an answer");
    assert!(matches!(&outcome, CancelOutcome::Asked(job) if job.state == JobState::Running));
    let beat = catalog
        .heartbeat(&id, claim.fence, LEASE)
        .await
        .expect("ours");
    assert!(beat.cancel_requested, "the worker hears of it");
    let job = catalog
        .finish(&id, claim.fence, Outcome::Cancelled)
        .await
        .expect("ended");
    assert_eq!(job.state, JobState::Cancelled);
    let unknown = catalog.cancel("nothing").await;
    assert!(
        matches!(unknown, Err(CatalogError::NotFound { .. })),
        "{unknown:?}"
    );
}

pub async fn a_held_job_waits(place: Place) {
    let catalog = place.open().await;
    let id = queued(&catalog, backup_job(&catalog, "shop")).await;
    assert!(catalog.hold(&id).await.expect("held").held);
    assert_eq!(
        catalog.claim("n", &[], LEASE).await.expect("an answer"),
        None
    );
    assert!(!catalog.unhold(&id).await.expect("let go").held);
    assert!(
        catalog
            .claim("n", &[], LEASE)
            .await
            .expect("an answer")
            .is_some()
    );
    let late = catalog.hold(&id).await;
    assert!(
        matches!(&late, Err(CatalogError::NotNow { why, .. }) if why.contains("running")),
        "{late:?}"
    );
}

pub async fn a_job_moves_ahead_by_priority(place: Place) {
    let catalog = place.open().await;
    let first = queued(&catalog, backup_job(&catalog, "shop")).await;
    place.advance(1);
    let second = queued(&catalog, backup_job(&catalog, "blog")).await;
    let job = catalog.set_priority(&second, 3).await.expect("moved");
    assert_eq!((job.priority, job.revision), (3, 2));
    let claim = catalog
        .claim("n", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    assert_eq!(claim.job.id, second);
    assert_ne!(claim.job.id, first);
}

pub async fn a_job_that_needs_approval_waits_for_somebody_else(place: Place) {
    let catalog = place.open().await;
    let job = NewJob {
        needs_approval: true,
        asked_by: Some("account-1".to_owned()),
        ..backup_job(&catalog, "shop")
    };
    let id = queued(&catalog, job).await;
    assert_eq!(
        catalog.claim("n", &[], LEASE).await.expect("an answer"),
        None
    );
    for name in ["ann", "anna", "bob"] {
        let own = catalog.approve(&id, "account-1", name).await;
        assert!(
            matches!(&own, Err(CatalogError::NotNow { why, .. }) if why.contains("the one who asked")),
            "{name}: {own:?}"
        );
    }
    let job = catalog
        .approve(&id, "account-2", "bob")
        .await
        .expect("approved");
    assert_eq!(job.approval, Approval::ApprovedBy("bob".to_owned()));
    let twice = catalog.approve(&id, "account-3", "cid").await;
    assert!(
        matches!(twice, Err(CatalogError::NotNow { .. })),
        "{twice:?}"
    );
    assert!(
        catalog
            .claim("n", &[], LEASE)
            .await
            .expect("an answer")
            .is_some()
    );
}

pub async fn a_paused_queue_hands_out_nothing(place: Place) {
    let catalog = place.open().await;
    queued(&catalog, backup_job(&catalog, "shop")).await;
    assert_eq!(catalog.queue_paused().await.expect("an answer"), None);
    catalog.pause_queue("ann").await.expect("paused");
    let pause = place
        .open()
        .await
        .queue_paused()
        .await
        .expect("an answer")
        .expect("paused");
    assert_eq!((pause.by.as_str(), pause.at), ("ann", catalog.now()));
    assert_eq!(
        catalog.claim("n", &[], LEASE).await.expect("an answer"),
        None
    );
    catalog.resume_queue().await.expect("resumed");
    assert!(
        catalog
            .claim("n", &[], LEASE)
            .await
            .expect("an answer")
            .is_some()
    );
}

pub async fn jobs_are_listed_by_what_is_asked_and_page_by_page(place: Place) {
    let catalog = place.open().await;
    let mut ids = Vec::new();
    for number in 0..25 {
        let app = if number % 2 == 0 { "shop" } else { "blog_x" };
        let job = NewJob {
            policy: (number % 5 == 0).then(|| "nightly".to_owned()),
            repository: Some("main".to_owned()),
            trigger: if number < 10 {
                Trigger::Api
            } else {
                Trigger::Schedule
            },
            ..backup_job(&catalog, app)
        };
        ids.push(queued(&catalog, job).await);
        place.advance(1);
    }
    let restore = NewJob::new(
        spec_of(JobKind::Doctor, "shop"),
        Trigger::Cli,
        "50%_off",
        catalog.now(),
    );
    let doctor = queued(&catalog, restore).await;
    catalog.cancel(&ids[3]).await.expect("cancelled");

    let count = |filter: JobFilter| {
        let catalog = catalog.clone();
        async move {
            let page = Page {
                limit: 500,
                ..Page::default()
            };
            catalog
                .jobs(&filter, &page)
                .await
                .expect("a list")
                .items
                .len()
        }
    };
    let all = JobFilter::default;
    assert_eq!(count(all()).await, 26);
    assert_eq!(
        count(JobFilter {
            apps: Some(vec!["shop".into()]),
            ..all()
        })
        .await,
        13
    );
    assert_eq!(
        count(JobFilter {
            apps: Some(Vec::new()),
            ..all()
        })
        .await,
        0
    );
    assert_eq!(
        count(JobFilter {
            states: vec![JobState::Cancelled],
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        count(JobFilter {
            states: vec![JobState::Queued, JobState::Cancelled],
            ..all()
        })
        .await,
        26
    );
    assert_eq!(
        count(JobFilter {
            kinds: vec![JobKind::Doctor],
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        count(JobFilter {
            policy: Some("nightly".into()),
            ..all()
        })
        .await,
        5
    );
    assert_eq!(
        count(JobFilter {
            repository: Some("main".into()),
            ..all()
        })
        .await,
        25
    );
    assert_eq!(
        count(JobFilter {
            trigger: Some(Trigger::Schedule),
            ..all()
        })
        .await,
        15
    );
    let middle = catalog.job(&ids[10]).await.expect("there").created_at;
    assert_eq!(
        count(JobFilter {
            until: Some(middle),
            ..all()
        })
        .await,
        10
    );
    assert_eq!(
        count(JobFilter {
            since: Some(middle),
            ..all()
        })
        .await,
        16
    );
    assert_eq!(
        count(JobFilter {
            text: Some("BLOG_".into()),
            ..all()
        })
        .await,
        12
    );
    assert_eq!(
        count(JobFilter {
            text: Some("%_o".into()),
            ..all()
        })
        .await,
        1,
        "signs of patterns are plain"
    );
    assert_eq!(
        count(JobFilter {
            text: Some(doctor.clone()),
            ..all()
        })
        .await,
        1
    );

    for descending in [true, false] {
        let mut seen = Vec::new();
        let mut page = Page {
            after: None,
            limit: 7,
            descending,
        };
        loop {
            let found = catalog.jobs(&all(), &page).await.expect("a page");
            seen.extend(found.items.into_iter().map(|job| job.id));
            match found.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        let mut expected = ids.clone();
        expected.push(doctor.clone());
        if descending {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
    let page = Page {
        after: Some("nonsense".to_owned()),
        ..Page::default()
    };
    let wrong = catalog.jobs(&all(), &page).await.map(drop);
    assert!(matches!(wrong, Err(CatalogError::BadCursor)), "{wrong:?}");
}

pub async fn the_depth_of_the_queue_says_what_waits_for_what(place: Place) {
    let catalog = place.open().await;
    let base = || backup_job(&catalog, "shop");
    let oldest = catalog.now();
    queued(&catalog, base()).await;
    place.advance(10);
    queued(&catalog, base()).await;
    queued(
        &catalog,
        NewJob {
            run_at: catalog.now() + Duration::from_secs(60),
            ..base()
        },
    )
    .await;
    queued(
        &catalog,
        NewJob {
            needs_approval: true,
            ..base()
        },
    )
    .await;
    let held = queued(&catalog, base()).await;
    catalog.hold(&held).await.expect("held");
    let running = queued(
        &catalog,
        NewJob {
            priority: 9,
            ..base()
        },
    )
    .await;
    let claim = catalog
        .claim("n", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    assert_eq!(claim.job.id, running);
    let depth = catalog.queue_depth().await.expect("an answer");
    assert_eq!(
        (
            depth.ready,
            depth.later,
            depth.held,
            depth.waiting_for_approval,
            depth.running
        ),
        (2, 1, 1, 1, 1)
    );
    assert_eq!(depth.oldest_ready, Some(oldest));
    assert_eq!(
        depth.counts,
        [
            (JobState::Queued, JobKind::Backup, 5),
            (JobState::Running, JobKind::Backup, 1)
        ]
    );
    let of_app = catalog.running_jobs_of_app("shop").await.expect("a list");
    assert_eq!(of_app.len(), 1);
    assert_eq!(
        catalog.running_jobs_of_app("blog").await.expect("a list"),
        []
    );
}

async fn run_of(
    catalog: &Catalog,
    policy: &str,
    kind: JobKind,
    outcome: Option<Outcome>,
) -> String {
    let job = NewJob {
        policy: Some(policy.to_owned()),
        scheduled_for: Some(catalog.now()),
        ..NewJob::new(
            spec_of(kind, "shop"),
            Trigger::Schedule,
            "server",
            catalog.now(),
        )
    };
    let id = queued(catalog, job).await;
    if let Some(outcome) = outcome {
        let claim = catalog
            .claim("n", &[], LEASE)
            .await
            .expect("an answer")
            .expect("a job");
        assert_eq!(claim.job.id, id);
        catalog
            .finish(&id, claim.fence, outcome)
            .await
            .expect("ended");
    }
    id
}

pub async fn the_runs_of_policies_are_known_in_one_question(place: Place) {
    let catalog = place.open().await;
    run_of(
        &catalog,
        "nightly",
        JobKind::Backup,
        Some(Outcome::Succeeded(json!({}))),
    )
    .await;
    let good_at = catalog.now();
    place.advance(100);
    let failure = Outcome::Failed(JobError::new("x", "y"));
    let bad = run_of(&catalog, "nightly", JobKind::Backup, Some(failure)).await;
    let bad_at = catalog.now();
    place.advance(100);
    run_of(
        &catalog,
        "nightly",
        JobKind::Cleanup,
        Some(Outcome::Succeeded(json!({}))),
    )
    .await;
    let waits = run_of(&catalog, "weekly", JobKind::Backup, None).await;

    let runs = catalog.policy_runs().await.expect("an answer");
    assert_eq!(
        runs.iter().map(|r| r.policy.as_str()).collect::<Vec<_>>(),
        ["nightly", "weekly"]
    );
    assert_eq!(
        (runs[0].last_success_at, runs[0].last_failure_at),
        (Some(good_at), Some(bad_at))
    );
    assert_eq!(
        runs[0].last_scheduled_for,
        Some(bad_at),
        "a cleanup is no run of the policy"
    );
    assert_eq!(
        runs[0].last_finished.as_ref().map(|job| &job.id),
        Some(&bad)
    );
    assert_eq!(runs[0].active, None);
    assert_eq!(runs[1].active.as_ref().map(|job| &job.id), Some(&waits));
    assert_eq!(runs[1].last_finished, None);
}

pub async fn old_jobs_are_forgotten_but_for_what_the_scheduler_needs(place: Place) {
    let catalog = place.open().await;
    let done = || Some(Outcome::Succeeded(json!({})));
    let old = run_of(&catalog, "nightly", JobKind::Backup, done()).await;
    place.advance(1);
    let newest_good = run_of(&catalog, "nightly", JobKind::Backup, done()).await;
    place.advance(1);
    let failure = Outcome::Failed(JobError::new("x", "y"));
    let newest = run_of(&catalog, "nightly", JobKind::Backup, Some(failure)).await;
    let waits = queued(&catalog, backup_job(&catalog, "shop")).await;
    place.advance(1000);
    assert_eq!(catalog.trim_jobs(catalog.now()).await.expect("done"), 1);
    assert!(matches!(
        catalog.job(&old).await,
        Err(CatalogError::NotFound { .. })
    ));
    for kept in [newest_good, newest, waits] {
        catalog.job(&kept).await.expect("kept");
    }
}

pub async fn workers_are_known_while_they_live(place: Place) {
    let catalog = place.open().await;
    let beat = |node: &str| NodeBeat {
        node: node.to_owned(),
        host: "db1".to_owned(),
        pid: 4711,
        slots: 2,
        kinds: vec!["backup".to_owned(), "verify".to_owned()],
        version: "0.1.0".to_owned(),
    };
    assert_eq!(catalog.live_workers().await.expect("an answer"), 0);
    catalog.node_beat(&beat("a")).await.expect("written");
    place.advance(20);
    catalog.node_beat(&beat("b")).await.expect("written");
    assert_eq!(catalog.live_workers().await.expect("an answer"), 2);
    place.advance(20);
    assert_eq!(catalog.live_workers().await.expect("an answer"), 1);
    // A worker is no server.
    assert!(!catalog.is_server_alive().await.expect("an answer"));
    let events = catalog.newest_event_id().await.expect("a number");
    catalog.server_beat().await.expect("written");
    assert!(catalog.is_server_alive().await.expect("an answer"));
    let seen = catalog.server_seen_at().await.expect("an answer");
    let nodes = catalog.nodes().await.expect("a list");
    let alive: Vec<_> = nodes
        .iter()
        .map(|n| (n.node.as_str(), n.alive, n.slots))
        .collect();
    assert_eq!(alive, [("a", false, 2), ("b", true, 2)]);
    assert_eq!(nodes[1].kinds, ["backup", "verify"]);
    catalog.drop_node("b").await.expect("left");
    assert_eq!(catalog.live_workers().await.expect("an answer"), 0);
    place.advance(2 * 24 * 3600);
    assert!(!catalog.is_server_alive().await.expect("an answer"));
    assert_eq!(catalog.server_seen_at().await.expect("an answer"), seen);
    assert_eq!(
        catalog.newest_event_id().await.expect("a number"),
        events + 1,
        "only a node that left is an event"
    );
    catalog.node_beat(&beat("c")).await.expect("written");
    assert_eq!(
        catalog.nodes().await.expect("a list").len(),
        1,
        "the dead are forgotten after a day"
    );
}
