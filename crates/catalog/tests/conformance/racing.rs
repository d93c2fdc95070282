use crate::place::{LEASE, Place, backup_job};
use pgkeep_catalog::{Catalog, CatalogError, ManagedBy, NewJob, Outcome};
use pgkeep_model::app::{AppDefinition, RepositoryDefinition};
use pgkeep_model::policy::Policy;
use serde_json::json;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

/// Makes `count` jobs by eight tasks at once.
async fn make_jobs(place: &Place, count: usize, key: impl Fn(usize) -> Option<String>) {
    let catalog = place.open().await;
    let mut making = Vec::new();
    for number in 0..count {
        let job = NewJob {
            concurrency_key: key(number),
            ..backup_job(&catalog, "shop")
        };
        let catalog = catalog.clone();
        making.push(async move { catalog.enqueue(job).await.expect("queued") });
    }
    let mut tasks = tokio::task::JoinSet::new();
    for one in making {
        if tasks.len() >= 8 {
            tasks
                .join_next()
                .await
                .expect("some run")
                .expect("no panic");
        }
        tasks.spawn(one);
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
}

pub async fn eight_workers_claim_two_thousand_jobs_each_exactly_once(place: Place) {
    make_jobs(&place, 2000, |_| None).await;
    // Two programs of four workers each.
    let programs = [place.open().await, place.open().await];
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let catalog = programs[number % 2].clone();
        workers.spawn(async move {
            let mut ids = Vec::new();
            while let Some(claim) = catalog
                .claim(&format!("n{number}"), &[], LEASE)
                .await
                .expect("an answer")
            {
                assert_eq!((claim.fence, claim.job.attempts), (1, 1));
                ids.push(claim.job.id);
            }
            ids
        });
    }
    let mut all = Vec::new();
    while let Some(ids) = workers.join_next().await {
        all.extend(ids.expect("no panic"));
    }
    assert_eq!(all.len(), 2000);
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), 2000, "no job twice");
    assert_eq!(
        programs[0].queue_depth().await.expect("an answer").running,
        2000
    );
}

pub async fn two_programs_never_run_one_key_at_once(place: Place) {
    const KEYS: usize = 3;
    make_jobs(&place, 120, |number| Some(format!("app:{}", number % KEYS))).await;
    let programs = [place.open().await, place.open().await];
    let running: Arc<[AtomicUsize; KEYS]> = Arc::default();
    let finished = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let catalog = programs[number % 2].clone();
        let (running, finished) = (running.clone(), finished.clone());
        workers.spawn(async move {
            while finished.load(Ordering::SeqCst) < 120 {
                let Some(claim) = catalog.claim("n", &[], LEASE).await.expect("an answer") else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let key = claim.job.concurrency_key.as_deref().expect("each has one");
                let key: usize = key.trim_start_matches("app:").parse().expect("a number");
                assert_eq!(
                    running[key].fetch_add(1, Ordering::SeqCst),
                    0,
                    "one at a time"
                );
                catalog
                    .heartbeat(&claim.job.id, claim.fence, LEASE)
                    .await
                    .expect("ours");
                running[key].fetch_sub(1, Ordering::SeqCst);
                catalog
                    .finish(&claim.job.id, claim.fence, Outcome::Succeeded(json!({})))
                    .await
                    .expect("ours");
                finished.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.expect("no panic");
    }
    assert_eq!(finished.load(Ordering::SeqCst), 120);
}

pub async fn a_claim_that_nobody_waits_for_is_given_back(place: Place) {
    let catalog = place.open().await;
    for _ in 0..40 {
        catalog
            .enqueue(backup_job(&catalog, "shop"))
            .await
            .expect("queued");
    }
    // Workers that stay, and workers that go away at several points of a claim.
    let mut kept = BTreeSet::new();
    for number in 0..40 {
        let claim = catalog.claim("n", &[], LEASE);
        let mut claim = Box::pin(claim);
        let outcome = match number % 4 {
            0 => Some(claim.await),
            1 => {
                // Asked, and gone before the answer, where that takes its time.
                asked_once(claim.as_mut()).await
            }
            2 => {
                // Gone at about the time of the answer.
                tokio::select! {
                    outcome = claim => Some(outcome),
                    _ = catalog.queue_depth() => None,
                }
            }
            _ => {
                // The answer lies there, and nobody takes it.
                all_given_back(&catalog, kept.len()).await;
                let answer = asked_once(claim.as_mut()).await;
                if answer.is_none() {
                    all_given_back(&catalog, kept.len() + 1).await;
                }
                answer
            }
        };
        if let Some(outcome) = outcome {
            let claim = outcome.expect("an answer").expect("a job");
            assert!(kept.insert(claim.job.id), "no job twice");
        }
    }
    assert!(
        !kept.is_empty() && kept.len() < 40,
        "some went away, some did not: {}",
        kept.len()
    );
    let mut rest = BTreeSet::new();
    while rest.len() < 40 - kept.len() {
        // `None` as long as a task gives one back.
        if let Some(claim) = catalog.claim("m", &[], LEASE).await.expect("an answer") {
            assert_eq!(claim.job.attempts, 1, "as if it had not been claimed");
            assert!(rest.insert(claim.job.id));
        }
    }
    assert!(rest.is_disjoint(&kept));
    assert_eq!(
        catalog.claim("m", &[], LEASE).await.expect("an answer"),
        None
    );
}

/// Asks once. The answer is there already where the desk, which works on a task of its own, was faster.
async fn asked_once<F: Future>(mut claim: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| {
        Poll::Ready(match claim.as_mut().poll(context) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        })
    })
    .await
}

async fn all_given_back(catalog: &Catalog, running: usize) {
    while catalog.queue_depth().await.expect("an answer").running != running as u64 {
        tokio::task::yield_now().await;
    }
}

pub async fn one_of_many_who_enqueue_the_same_makes_it(place: Place) {
    let programs = [place.open().await, place.open().await];
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..16 {
        let catalog = programs[number % 2].clone();
        tasks.spawn(async move {
            let job = NewJob {
                dedup_key: Some("policy:nightly:1".to_owned()),
                ..backup_job(&catalog, "shop")
            };
            catalog.enqueue(job).await.expect("an answer").is_new()
        });
    }
    let mut made = 0;
    while let Some(new) = tasks.join_next().await {
        made += usize::from(new.expect("no panic"));
    }
    assert_eq!(made, 1);
}

pub async fn one_of_two_editors_wins(place: Place) {
    let programs = [place.open().await, place.open().await];
    let app = AppDefinition::default();
    programs[0]
        .put_app("shop", &app, ManagedBy::Api, None)
        .await
        .expect("stored");
    for revision in 1..20 {
        let (a, b) = tokio::join!(
            programs[0].put_app("shop", &app, ManagedBy::Api, Some(revision)),
            programs[1].put_app("shop", &app, ManagedBy::Api, Some(revision)),
        );
        let winner = match (a, b) {
            (Ok(winner), Err(CatalogError::Conflict { .. }))
            | (Err(CatalogError::Conflict { .. }), Ok(winner)) => winner,
            other => panic!("{other:?}"),
        };
        assert_eq!(winner.revision, revision + 1);
    }
}

pub async fn what_is_named_does_not_vanish_while_something_comes_to_name_it(place: Place) {
    let programs = [place.open().await, place.open().await];
    let repository = RepositoryDefinition::default();
    let app = AppDefinition {
        repository: Some("main".to_owned()),
        ..AppDefinition::default()
    };
    let policy = Policy::new("nightly", "shop");
    // Whoever comes first is right, and the other is told.
    let one_is_refused =
        |deleted: Result<(), CatalogError>, put: Result<(), CatalogError>| match (deleted, put) {
            (Ok(()), Err(CatalogError::NotNow { .. })) => false,
            (Err(CatalogError::InUse { .. }), Ok(())) => true,
            other => panic!("{other:?}"),
        };
    for _ in 0..15 {
        programs[0]
            .put_repository("main", &repository, ManagedBy::Api, None)
            .await
            .expect("stored");
        let (deleted, put) = tokio::join!(
            programs[0].delete_repository("main", None),
            programs[1].put_app("shop", &app, ManagedBy::Api, None),
        );
        if !one_is_refused(deleted, put.map(drop)) {
            continue;
        }
        let (deleted, put) = tokio::join!(
            programs[0].delete_app("shop", None),
            programs[1].put_policy("nightly", &policy, ManagedBy::Api, None),
        );
        if one_is_refused(deleted, put.map(drop)) {
            programs[1]
                .delete_policy("nightly", None)
                .await
                .expect("there");
            programs[1].delete_app("shop", None).await.expect("there");
        }
    }
}
