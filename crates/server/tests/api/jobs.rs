//! Queueing work, and what people do to jobs.

use crate::scene::Scene;
use pgkeep_catalog::{LogLevel, LogLine};
use pgkeep_model::access::Role;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::task::Poll;
use std::time::Duration;

async fn with_policy() -> Scene {
    let scene = Scene::new().await;
    scene.app("shop").await;
    scene
        .put("/policies/nightly", json!({ "app": "shop" }))
        .await
        .expect(201);
    scene
}

async fn run(scene: &Scene) -> String {
    let answer = scene
        .post("/policies/nightly/run-now", None)
        .await
        .expect(202);
    answer.json()["jobId"].as_str().unwrap().to_string()
}

#[tokio::test]
async fn without_a_worker_nothing_is_queued_and_reading_goes_on() {
    let scene = with_policy().await;
    let refused = scene
        .post("/policies/nightly/run-now", None)
        .await
        .expect(503);
    assert_eq!(refused.json()["code"], "no_worker");
    refused.header("retry-after").parse::<u64>().unwrap();
    let jobs = scene.get("/jobs").await.expect(200).json();
    assert_eq!(jobs["items"], json!([]));
    scene.get("/status").await.expect(200);
    scene.worker().await;
    let job = run(&scene).await;
    let shown = scene.get(&format!("/jobs/{job}")).await.expect(200).json();
    assert_eq!(shown["state"], "queued");
    assert_eq!(shown["createdBy"], "root (token test)");
    assert_eq!(shown["spec"]["policy"], "nightly");
    // A worker that is silent for long is none.
    scene.clock.advance(jiff::SignedDuration::from_secs(60));
    scene
        .post("/policies/nightly/run-now", None)
        .await
        .expect(503);
}

#[tokio::test]
async fn jobs_are_held_moved_released_and_cancelled() {
    let scene = with_policy().await;
    scene.worker().await;
    let job = run(&scene).await;
    let path = |verb: &str| format!("/jobs/{job}/{verb}");
    assert_eq!(
        scene.post(&path("hold"), None).await.expect(200).json()["held"],
        true
    );
    assert_eq!(scene.get("/queue").await.expect(200).json()["held"], 1);
    assert_eq!(
        scene.post(&path("release"), None).await.expect(200).json()["held"],
        false
    );
    let moved = scene
        .put(&path("priority"), json!({ "priority": 7 }))
        .await
        .expect(200)
        .json();
    assert_eq!(moved["priority"], 7);
    scene
        .put(&path("priority"), json!({ "priority": 1_000 }))
        .await
        .expect(422);
    assert_eq!(
        scene.post(&path("cancel"), None).await.expect(200).json()["state"],
        "cancelled"
    );
    // Once it is over, it stays as it is.
    assert_eq!(
        scene.post(&path("cancel"), None).await.expect(200).json()["state"],
        "cancelled"
    );
    let late = scene.post(&path("hold"), None).await.expect(409);
    assert_eq!(late.json()["code"], "wrong_state");
}

#[tokio::test]
async fn the_queue_is_paused_and_resumed() {
    let scene = with_policy().await;
    let paused = scene.post("/queue/pause", None).await.expect(200).json();
    assert_eq!(
        (&paused["paused"], &paused["pausedBy"]),
        (&json!(true), &json!("root (token test)"))
    );
    assert_eq!(
        scene.post("/queue/resume", None).await.expect(200).json()["paused"],
        false
    );
}

#[tokio::test]
async fn lists_are_cut_into_pages_that_miss_nothing() {
    let scene = with_policy().await;
    scene.worker().await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(run(&scene).await);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut path = "/jobs?limit=3".to_string();
    loop {
        let page = scene.get(&path).await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(
            items
                .iter()
                .map(|job| job["id"].as_str().unwrap().to_string()),
        );
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/jobs?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    let none = scene
        .get("/jobs?state=failed,succeeded")
        .await
        .expect(200)
        .json();
    assert_eq!(none["items"], json!([]));
    let all = scene
        .get("/jobs?kind=backup&policy=nightly&state=queued")
        .await
        .expect(200)
        .json();
    assert_eq!(all["items"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn a_log_is_read_in_parts_and_followed_to_its_end() {
    let scene = with_policy().await;
    scene.worker().await;
    let job = run(&scene).await;
    let catalog = &scene.state.catalog;
    let claim = catalog
        .claim(
            "idle-1",
            &pgkeep_model::job::JobKind::ALL,
            Duration::from_secs(30),
        )
        .await
        .unwrap()
        .unwrap();
    let line = |text: &str| LogLine {
        at: catalog.now(),
        level: LogLevel::Info,
        text: text.into(),
    };
    let lines = [line("one"), line("two"), line("three")];
    catalog.log(&job, claim.fence, &lines).await.unwrap();
    let first = scene
        .get(&format!("/jobs/{job}/log?limit=2"))
        .await
        .expect(200)
        .json();
    assert_eq!(first["items"][1]["text"], "two");
    let rest = first["nextCursor"].as_str().unwrap();
    let rest = scene
        .get(&format!("/jobs/{job}/log?after={rest}"))
        .await
        .expect(200)
        .json();
    assert_eq!(rest["items"][0]["text"], "three");

    let follow = scene.get_owned(format!("/jobs/{job}/log/stream"));
    let end = async {
        catalog
            .log(&job, claim.fence, &[line("four")])
            .await
            .unwrap();
        catalog
            .finish(
                &job,
                claim.fence,
                pgkeep_catalog::Outcome::Succeeded(json!({})),
            )
            .await
            .unwrap();
    };
    let (followed, ()) = tokio::join!(follow, end);
    let texts: Vec<String> = followed
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str::<Value>(data.trim()).unwrap())
        .map(|data| {
            data["text"]
                .as_str()
                .or(data["state"].as_str())
                .unwrap()
                .to_string()
        })
        .collect();
    assert_eq!(texts, ["one", "two", "three", "four", "succeeded"]);
}

impl Scene {
    async fn get_owned(&self, path: String) -> crate::scene::Answer {
        self.get(&path).await.expect(200)
    }
}

#[tokio::test]
async fn a_second_person_says_yes_and_not_the_first_by_another_token() {
    use pgkeep_model::job::{JobSpec, RestoreMode, RestoreSpec, Trigger};
    let scene = with_policy().await;
    let spec = JobSpec::Restore(RestoreSpec {
        keep_old_secs: 60,
        ..RestoreSpec::new(
            "shop",
            "shop-store",
            "deadbeef",
            RestoreMode::Replace("shop".into()),
        )
    });
    let catalog = &scene.state.catalog;
    let mut job = pgkeep_catalog::NewJob::new(spec, Trigger::Api, "root", catalog.now());
    job.app = Some("shop".into());
    job.needs_approval = true;
    let id = catalog.enqueue(job).await.unwrap().job().id.clone();
    let path = format!("/jobs/{id}/approve");
    // The token's account is the one that asked.
    let own = scene.post(&path, None).await.expect(403);
    assert_eq!(own.json()["code"], "forbidden");
    let other = scene
        .token("olga", Scene::access(Role::Admin, &[], None))
        .await;
    let yes = scene
        .ask("POST", &path, Some(&other), &[], None)
        .await
        .expect(200)
        .json();
    assert_eq!(
        yes["approval"],
        json!({ "state": "approved", "by": "olga (token test)" })
    );
}

#[tokio::test]
async fn a_backup_of_any_kind_is_asked_for() {
    let scene = with_policy().await;
    scene.worker().await;
    for kind in [
        "full",
        "incremental",
        "differential",
        "database",
        "files",
        "export",
    ] {
        let answer = scene
            .post("/backups", Some(json!({ "app": "shop", "kind": kind })))
            .await
            .expect(202);
        let job = answer.json()["jobId"].as_str().unwrap().to_string();
        let shown = scene.get(&format!("/jobs/{job}")).await.expect(200).json();
        assert_eq!(shown["spec"]["backup_kind"], kind);
    }
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_and_does_nothing() {
    let scene = with_policy().await;
    let keyed = async |path: &str, body: Option<Value>| {
        let key = [("idempotency-key", "key-1")];
        scene
            .ask("POST", path, Some(&scene.admin), &key, body)
            .await
    };
    // A failed request made nothing and frees the key.
    keyed("/policies/nightly/run-now", None).await.expect(503);
    scene.worker().await;
    let first = keyed("/policies/nightly/run-now", None).await.expect(202);
    let again = keyed("/policies/nightly/run-now", None).await.expect(202);
    assert_eq!(first.json(), again.json());
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert!(again.header("location").starts_with("/api/v1/jobs/"));
    let jobs = scene.get("/jobs").await.expect(200).json();
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1);
    // The same key means the same request: the same address, the same content however it is spaced.
    let body = json!({ "app": "shop" });
    keyed("/apps/shop/doctor", None).await.expect(409);
    keyed("/backups", Some(body.clone())).await.expect(409);
    let another = [("idempotency-key", "key-2")];
    let post = async |body: Value| {
        scene
            .ask("POST", "/backups", Some(&scene.admin), &another, Some(body))
            .await
    };
    let first = post(body.clone()).await.expect(202).json();
    assert_eq!(post(body).await.expect(202).json(), first);
    post(json!({ "app": "shop", "pinned": true }))
        .await
        .expect(409);
    let wrong = [("idempotency-key", "with space")];
    scene
        .ask(
            "POST",
            "/policies/nightly/run-now",
            Some(&scene.admin),
            &wrong,
            None,
        )
        .await
        .expect(400);
}

/// Polls so many times, as a client that hangs up in the middle leaves it; whether it was done by then.
async fn polled(times: usize, work: impl Future) -> bool {
    let (mut work, mut polls) = (std::pin::pin!(work), 0);
    std::future::poll_fn(|context| {
        polls += 1;
        match work.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polls == times => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn a_request_that_is_cut_at_any_moment_is_done_once() {
    let scene = with_policy().await;
    scene.worker().await;
    let keyed = async |key: &str| {
        let key = [("idempotency-key", key)];
        let path = "/policies/nightly/run-now";
        scene
            .ask("POST", path, Some(&scene.admin), &key, None)
            .await
    };
    let mut jobs = BTreeSet::new();
    for moment in 1.. {
        let key = format!("cut-{moment}");
        let whole = polled(moment, keyed(&key)).await;
        let answer = loop {
            let answer = keyed(&key).await;
            if answer.json()["code"] != "request_in_progress" {
                break answer.expect(202).json();
            }
            tokio::task::yield_now().await;
        };
        let job = answer["jobId"].as_str().unwrap().to_string();
        // So that the next one makes another job.
        let cancel = format!("/jobs/{job}/cancel");
        scene.post(&cancel, None).await.expect(200);
        assert!(jobs.insert(job));
        if whole {
            break;
        }
    }
    let listed = scene.get("/jobs?limit=500").await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), jobs.len());
}

#[tokio::test]
async fn a_misspelt_filter_is_refused_and_not_ignored() {
    let scene = with_policy().await;
    let refused = scene.get("/backups?ap=shop").await.expect(400).json();
    assert_eq!(refused["detail"], "the query: there is no parameter 'ap'");
    let hint = refused["hint"].as_str().unwrap();
    assert!(hint.contains("app, repository"), "{hint}");
    scene.get("/backups?app=shop&limit=5").await.expect(200);
    let refused = scene
        .get("/backups?repository=nope")
        .await
        .expect(404)
        .json();
    assert!(
        refused["hint"].as_str().unwrap().contains("shop-store"),
        "{refused}"
    );
    // The backup before a guarded command has a limit of its own.
    scene.worker().await;
    for _ in 0..4 {
        let body = json!({ "description": "before migrate" });
        scene
            .post("/apps/shop/guarded/backup", Some(body))
            .await
            .expect(202);
    }
}
