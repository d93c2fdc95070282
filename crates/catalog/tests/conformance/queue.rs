use crate::place::{LEASE, Place, backup_job, restore_job, spec_of};
use pgkeep_catalog::{
    CatalogError, Enqueued, Job, JobError, JobProgress, LogLevel, LogLine, NewJob, Outcome,
    Reconciled,
};
use pgkeep_model::job::{JobKind, JobState, Trigger};
use serde_json::json;
use std::time::Duration;

fn fenced<T: std::fmt::Debug>(outcome: Result<T, CatalogError>) {
    assert!(
        matches!(outcome, Err(CatalogError::Fenced { .. })),
        "{outcome:?}"
    );
}

pub async fn jobs_are_claimed_by_priority_then_by_time(place: Place) {
    let catalog = place.open().await;
    let now = catalog.now();
    let mut made = Vec::new();
    for (priority, back_secs) in [(0, 10), (0, 20), (5, 0), (-5, 60), (5, 1)] {
        let job = NewJob {
            priority,
            run_at: now - Duration::from_secs(back_secs),
            ..backup_job(&catalog, "shop")
        };
        made.push(catalog.enqueue(job).await.expect("queued").job().id.clone());
    }
    let mut claimed = Vec::new();
    while let Some(claim) = catalog.claim("n1", &[], LEASE).await.expect("an answer") {
        assert_eq!(claim.job.state, JobState::Running);
        assert_eq!((claim.fence, claim.job.attempts), (1, 1));
        assert_eq!(claim.job.lease_until, Some(now + LEASE));
        assert_eq!(claim.job.node.as_deref(), Some("n1"));
        claimed.push(claim.job.id);
    }
    let order: Vec<String> = [4, 2, 1, 0, 3].map(|i| made[i].clone()).into();
    assert_eq!(claimed, order);
}

pub async fn a_job_is_not_claimed_before_its_time(place: Place) {
    let catalog = place.open().await;
    let job = NewJob {
        run_at: catalog.now() + Duration::from_secs(60),
        priority: 100,
        ..backup_job(&catalog, "shop")
    };
    catalog.enqueue(job).await.expect("queued");
    assert_eq!(
        catalog.claim("n", &[], LEASE).await.expect("an answer"),
        None
    );
    place.advance(59);
    assert_eq!(
        catalog.claim("n", &[], LEASE).await.expect("an answer"),
        None
    );
    place.advance(1);
    assert!(
        catalog
            .claim("n", &[], LEASE)
            .await
            .expect("an answer")
            .is_some()
    );
}

pub async fn a_claim_asks_for_kinds(place: Place) {
    let catalog = place.open().await;
    catalog
        .enqueue(backup_job(&catalog, "shop"))
        .await
        .expect("queued");
    let kinds = [JobKind::Restore, JobKind::Doctor];
    assert_eq!(
        catalog.claim("n", &kinds, LEASE).await.expect("an answer"),
        None
    );
    let kinds = [JobKind::Restore, JobKind::Backup];
    assert!(
        catalog
            .claim("n", &kinds, LEASE)
            .await
            .expect("an answer")
            .is_some()
    );
}

pub async fn a_key_makes_a_job_once_while_it_waits_or_runs(place: Place) {
    let catalog = place.open().await;
    let keyed = || NewJob {
        dedup_key: Some("verify:main".to_owned()),
        ..backup_job(&catalog, "shop")
    };
    let first = catalog.enqueue(keyed()).await.expect("queued");
    assert!(first.is_new());
    let second = catalog.enqueue(keyed()).await.expect("answered");
    assert_eq!(second, Enqueued::Existing(first.job().clone()));
    let claim = catalog
        .claim("n", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    assert!(
        !catalog.enqueue(keyed()).await.expect("answered").is_new(),
        "it runs"
    );
    catalog
        .finish(&claim.job.id, claim.fence, Outcome::Cancelled)
        .await
        .expect("ended");
    let third = catalog.enqueue(keyed()).await.expect("queued");
    assert!(
        third.is_new() && third.job().id > first.job().id,
        "later ids sort later"
    );
}

pub async fn the_run_of_a_schedule_is_made_once_for_all_time(place: Place) {
    let catalog = place.open().await;
    let run = || NewJob {
        dedup_key: Some("policy:nightly:1".to_owned()),
        scheduled_for: Some(catalog.now()),
        ..backup_job(&catalog, "shop")
    };
    let first = catalog.enqueue(run()).await.expect("queued");
    let claim = catalog
        .claim("n", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    catalog
        .finish(&claim.job.id, claim.fence, Outcome::Succeeded(json!({})))
        .await
        .expect("ended");
    let again = catalog.enqueue(run()).await.expect("answered");
    assert!(!again.is_new());
    assert_eq!(again.job().id, first.job().id);
}

pub async fn one_job_runs_for_each_concurrency_key(place: Place) {
    let catalog = place.open().await;
    for app in ["shop", "shop", "blog"] {
        let job = NewJob {
            concurrency_key: Some(format!("app:{app}")),
            ..backup_job(&catalog, app)
        };
        catalog.enqueue(job).await.expect("queued");
    }
    let first = catalog
        .claim("n", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    let second = catalog
        .claim("n", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    assert_eq!(first.job.app.as_deref(), Some("shop"));
    assert_eq!(
        second.job.app.as_deref(),
        Some("blog"),
        "the other app's job goes ahead"
    );
    assert_eq!(
        catalog.claim("n", &[], LEASE).await.expect("an answer"),
        None
    );
    let by_hand = NewJob {
        concurrency_key: Some("app:shop".to_owned()),
        ..backup_job(&catalog, "shop")
    };
    let busy = catalog.begin_by_hand(by_hand, "cli", LEASE).await;
    assert!(
        matches!(&busy, Err(CatalogError::InUse { by, .. }) if *by == format!("job {}", first.job.id)),
        "{busy:?}"
    );
    catalog
        .finish(&first.job.id, first.fence, Outcome::Cancelled)
        .await
        .expect("ended");
    assert!(
        catalog
            .claim("n", &[], LEASE)
            .await
            .expect("an answer")
            .is_some()
    );
}

pub async fn a_worker_that_lost_its_lease_changes_nothing(place: Place) {
    let catalog = place.open().await;
    let other = place.open().await;
    catalog
        .enqueue(backup_job(&catalog, "shop"))
        .await
        .expect("queued");
    let slept = catalog
        .claim("n1", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    place.advance(31);
    let done = other.reconcile(other.now()).await.expect("done");
    let [Reconciled::TakenUpAgain(job)] = done.as_slice() else {
        panic!("{done:?}");
    };
    place.clock.set(job.run_at);
    let taken = other
        .claim("n2", &[], LEASE)
        .await
        .expect("an answer")
        .expect("the job again");
    assert_eq!(taken.job.id, slept.job.id);
    assert!(taken.fence > slept.fence);

    let (id, fence) = (slept.job.id.as_str(), slept.fence);
    let line = LogLine {
        at: catalog.now(),
        level: LogLevel::Info,
        text: "late".to_owned(),
    };
    fenced(catalog.heartbeat(id, fence, LEASE).await);
    fenced(catalog.progress(id, fence, "data", None).await);
    fenced(catalog.log(id, fence, &[line]).await);
    fenced(
        catalog
            .finish(id, fence, Outcome::Succeeded(json!({})))
            .await,
    );
    fenced(
        catalog
            .retry_later(id, fence, JobError::new("x", "late"), catalog.now())
            .await,
    );
    fenced(catalog.release(id, fence).await);

    let job = other.job(id).await.expect("there");
    assert_eq!(
        (job.state, job.node.as_deref()),
        (JobState::Running, Some("n2"))
    );
    let log = other.job_log(id, 0, 10).await.expect("a log");
    let [lost] = log.as_slice() else {
        panic!("{log:?}");
    };
    assert_eq!(
        lost.text,
        "the worker that ran it (n1) died or lost its connection to the catalog; it will be tried again"
    );
    other
        .finish(id, taken.fence, Outcome::Succeeded(json!({ "ok": true })))
        .await
        .expect("its own fence");
    fenced(other.heartbeat(id, taken.fence, LEASE).await);
    let unknown = other.heartbeat("no-such-job", 1, LEASE).await;
    assert!(
        matches!(unknown, Err(CatalogError::NotFound { .. })),
        "{unknown:?}"
    );
}

pub async fn each_kind_of_job_is_taken_up_again_or_closed_when_its_worker_dies(place: Place) {
    let catalog = place.open().await;
    for kind in JobKind::ALL {
        let job = NewJob {
            max_attempts: 2,
            ..NewJob::new(
                spec_of(kind, "shop"),
                Trigger::Schedule,
                "server",
                catalog.now(),
            )
        };
        catalog.enqueue(job).await.expect("queued");
        let claim = catalog
            .claim("n1", &[], LEASE)
            .await
            .expect("an answer")
            .expect("a job");
        assert_eq!(claim.job.kind, kind);
        assert_eq!(
            catalog.reconcile(catalog.now()).await.expect("done"),
            [],
            "its lease runs"
        );
        place.advance(31);
        let done = catalog.reconcile(catalog.now()).await.expect("done");
        let [outcome] = done.as_slice() else {
            panic!("{done:?}");
        };
        let job = outcome.job();
        let error = job.error.as_ref().expect("the reason");
        assert_eq!(error.code, "worker_lost");
        assert!(error.message.contains("n1"), "{error:?}");
        if kind.is_taken_up_again() {
            assert!(matches!(outcome, Reconciled::TakenUpAgain(_)), "{kind:?}");
            assert_eq!(job.state, JobState::Queued);
            assert!(
                job.run_at > catalog.now(),
                "it waits before the next attempt"
            );
            catalog.cancel(&job.id).await.expect("cancelled");
        } else {
            assert!(matches!(outcome, Reconciled::Failed(_)), "{kind:?}");
            assert_eq!(job.state, JobState::Failed);
            assert!(job.finished_at.is_some() && error.hint.is_some());
        }
    }
}

pub async fn a_job_without_attempts_left_fails_when_its_worker_dies(place: Place) {
    let catalog = place.open().await;
    catalog
        .enqueue(backup_job(&catalog, "shop"))
        .await
        .expect("queued");
    for attempt in 1..=3 {
        let claim = catalog
            .claim("n1", &[], LEASE)
            .await
            .expect("an answer")
            .expect("a job");
        assert_eq!(claim.job.attempts, attempt);
        place.advance(31);
        let done = catalog.reconcile(catalog.now()).await.expect("done");
        let state = done[0].job().state;
        assert_eq!(
            state,
            if attempt < 3 {
                JobState::Queued
            } else {
                JobState::Failed
            }
        );
        place.advance(7200);
    }
}

pub async fn a_cancelled_job_is_not_taken_up_again(place: Place) {
    let catalog = place.open().await;
    let claimed_and_cancelled = || async {
        catalog
            .enqueue(backup_job(&catalog, "shop"))
            .await
            .expect("queued");
        let claim = catalog
            .claim("n1", &[], LEASE)
            .await
            .expect("an answer")
            .expect("a job");
        catalog.cancel(&claim.job.id).await.expect("asked");
        claim
    };
    claimed_and_cancelled().await;
    place.advance(31);
    let done = catalog.reconcile(catalog.now()).await.expect("done");
    assert!(
        matches!(done.as_slice(), [Reconciled::Cancelled(_)]),
        "{done:?}"
    );
    let claim = claimed_and_cancelled().await;
    let job = catalog
        .retry_later(
            &claim.job.id,
            claim.fence,
            JobError::new("x", "y"),
            catalog.now(),
        )
        .await
        .expect("ended");
    assert_eq!(job.state, JobState::Cancelled);
    let claim = claimed_and_cancelled().await;
    let job = catalog
        .release(&claim.job.id, claim.fence)
        .await
        .expect("ended");
    assert_eq!(job.state, JobState::Cancelled);
    assert!(job.finished_at.is_some());
}

pub async fn a_job_tells_its_progress_and_its_log(place: Place) {
    let catalog = place.open().await;
    let job = NewJob {
        correlation: Some("request-1".to_owned()),
        ..backup_job(&catalog, "shop")
    };
    catalog.enqueue(job).await.expect("queued");
    let claim = catalog
        .claim("n1", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    let (id, fence) = (claim.job.id.as_str(), claim.fence);
    let progress = JobProgress {
        done_bytes: 10,
        total_bytes: Some(100),
        item: Some("public.orders".to_owned()),
    };
    catalog
        .progress(id, fence, "data", Some(&progress))
        .await
        .expect("written");
    for (level, text) in [
        (LogLevel::Info, "one"),
        (LogLevel::Warning, "two"),
        (LogLevel::Error, "three"),
    ] {
        let line = LogLine {
            at: catalog.now(),
            level,
            text: text.to_owned(),
        };
        catalog.log(id, fence, &[line]).await.expect("written");
    }
    place.advance(20);
    let beat = catalog.heartbeat(id, fence, LEASE).await.expect("ours");
    assert!(!beat.cancel_requested);
    let seen = place.open().await.job(id).await.expect("there");
    assert_eq!(seen.phase.as_deref(), Some("data"));
    assert_eq!(seen.progress, Some(progress));
    assert_eq!(seen.lease_until, Some(catalog.now() + LEASE));
    assert_eq!(seen.correlation.as_deref(), Some("request-1"));
    let log = catalog.job_log(id, 1, 10).await.expect("a log");
    let log: Vec<_> = log
        .iter()
        .map(|l| (l.line, l.level, l.text.as_str()))
        .collect();
    assert_eq!(
        log,
        [(2, LogLevel::Warning, "two"), (3, LogLevel::Error, "three")]
    );
}

pub async fn a_log_ends_at_its_limit(place: Place) {
    let catalog = place.open().await;
    catalog
        .enqueue(backup_job(&catalog, "shop"))
        .await
        .expect("queued");
    let claim = catalog
        .claim("n1", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    let (id, fence) = (claim.job.id.as_str(), claim.fence);
    let lines = |count: usize| {
        vec![
            LogLine {
                at: catalog.now(),
                level: LogLevel::Info,
                text: "ä".repeat(5000),
            };
            count
        ]
    };
    catalog.log(id, fence, &lines(1)).await.expect("written");
    let log = catalog.job_log(id, 0, 10).await.expect("a log");
    assert!(log[0].text.len() <= 8192 && log[0].text.chars().all(|c| c == 'ä'));
    place.tamper("UPDATE jobs SET log_lines = 19998").await;
    catalog.log(id, fence, &lines(4)).await.expect("written");
    catalog
        .log(id, fence, &lines(4))
        .await
        .expect("dropped without an error");
    let log = catalog.job_log(id, 19_998, 10).await.expect("a log");
    assert_eq!(
        log.iter().map(|l| l.line).collect::<Vec<_>>(),
        [19_999, 20_000]
    );
    assert!(log[1].text.contains("the log is full"));
}

pub async fn a_job_ends_in_each_way(place: Place) {
    let catalog = place.open().await;
    let error = JobError {
        hint: Some("look".to_owned()),
        ..JobError::new("unreachable", "the server refused the connection")
    };
    for (outcome, state) in [
        (
            Outcome::Succeeded(json!({ "id": "abc" })),
            JobState::Succeeded,
        ),
        (
            Outcome::Skipped(json!({ "why": "unchanged" })),
            JobState::Skipped,
        ),
        (Outcome::Failed(error.clone()), JobState::Failed),
        (
            Outcome::Found(error.clone(), json!({ "damaged": 1 })),
            JobState::Failed,
        ),
        (Outcome::Cancelled, JobState::Cancelled),
    ] {
        catalog
            .enqueue(backup_job(&catalog, "shop"))
            .await
            .expect("queued");
        let claim = catalog
            .claim("n1", &[], LEASE)
            .await
            .expect("an answer")
            .expect("a job");
        place.advance(5);
        let job = catalog
            .finish(&claim.job.id, claim.fence, outcome.clone())
            .await
            .expect("ended");
        assert_eq!(job.state, state);
        assert_eq!(
            (job.finished_at, job.lease_until),
            (Some(catalog.now()), None)
        );
        match outcome {
            Outcome::Succeeded(result) | Outcome::Skipped(result) => {
                assert_eq!((job.result.as_ref(), &job.error), (Some(&result), &None));
            }
            Outcome::Found(_, report) => {
                assert_eq!(
                    (job.result.as_ref(), job.error.as_ref()),
                    (Some(&report), Some(&error))
                );
            }
            Outcome::Failed(_) => {
                assert_eq!((&job.result, job.error.as_ref()), (&None, Some(&error)))
            }
            Outcome::Cancelled => assert_eq!((&job.result, &job.error), (&None, &None)),
        }
        assert_eq!(catalog.job(&job.id).await.expect("there"), job);
        fenced(
            catalog
                .finish(&claim.job.id, claim.fence, Outcome::Cancelled)
                .await,
        );
    }
}

pub async fn a_failed_attempt_is_tried_again_later(place: Place) {
    let catalog = place.open().await;
    catalog
        .enqueue(backup_job(&catalog, "shop"))
        .await
        .expect("queued");
    let claim = catalog
        .claim("n1", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    let later = catalog.now() + Duration::from_secs(300);
    let error = JobError::new("unreachable", "no answer");
    let job = catalog
        .retry_later(&claim.job.id, claim.fence, error.clone(), later)
        .await
        .expect("put back");
    assert_eq!(
        (job.state, job.run_at, job.attempts),
        (JobState::Queued, later, 1)
    );
    assert_eq!(job.error, Some(error), "why the newest attempt failed");
    assert_eq!(
        catalog.claim("n1", &[], LEASE).await.expect("an answer"),
        None
    );
    place.advance(300);
    let again = catalog
        .claim("n1", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    assert_eq!((again.job.attempts, again.fence), (2, 2));
    let done = catalog
        .finish(&again.job.id, again.fence, Outcome::Succeeded(json!({})))
        .await
        .expect("ended");
    assert_eq!(done.error, None);
}

pub async fn a_released_job_is_as_if_it_had_not_been_claimed(place: Place) {
    let catalog = place.open().await;
    let made: Job = catalog
        .enqueue(backup_job(&catalog, "shop"))
        .await
        .expect("queued")
        .job()
        .clone();
    let claim = catalog
        .claim("n1", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    let job = catalog
        .release(&claim.job.id, claim.fence)
        .await
        .expect("released");
    assert_eq!(
        (job.state, job.attempts, job.run_at, job.lease_until),
        (JobState::Queued, 0, made.run_at, None)
    );
    let again = catalog
        .claim("n2", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    assert_eq!(
        (again.job.attempts, again.fence),
        (1, 2),
        "the fence never goes back"
    );
    catalog
        .finish(&again.job.id, again.fence, Outcome::Cancelled)
        .await
        .expect("ended");

    catalog
        .enqueue(restore_job(&catalog, "shop"))
        .await
        .expect("queued");
    let claim = catalog
        .claim("n1", &[], LEASE)
        .await
        .expect("an answer")
        .expect("a job");
    let job = catalog
        .release(&claim.job.id, claim.fence)
        .await
        .expect("closed");
    assert_eq!(
        job.state,
        JobState::Failed,
        "a restore is never taken up again"
    );
    assert_eq!(job.error.expect("the reason").code, "shut_down");
}

pub async fn a_job_begun_by_hand_is_never_taken_up_again(place: Place) {
    let catalog = place.open().await;
    let job = NewJob {
        trigger: Trigger::Cli,
        concurrency_key: Some("app:shop".to_owned()),
        ..backup_job(&catalog, "shop")
    };
    let claim = catalog
        .begin_by_hand(job, "cli-77", LEASE)
        .await
        .expect("begun");
    assert_eq!((claim.job.state, claim.fence), (JobState::Running, 1));
    assert_eq!(
        (claim.job.node.as_deref(), claim.job.trigger),
        (Some("cli-77"), Trigger::Cli)
    );
    catalog
        .heartbeat(&claim.job.id, claim.fence, LEASE)
        .await
        .expect("ours");
    place.advance(31);
    let done = catalog.reconcile(catalog.now()).await.expect("done");
    assert!(
        matches!(done.as_slice(), [Reconciled::Failed(_)]),
        "{done:?}"
    );
}
