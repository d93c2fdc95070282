//! The event stream: nothing is missed, and nothing of other apps is told.

use crate::scene::Scene;
use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures_util::StreamExt;
use pgkeep_catalog::NewEvent;
use pgkeep_model::access::Role;
use serde_json::Value;

/// The messages of a stream, one at a time.
struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(scene: &Scene, token: &str, query: &str, last: Option<i64>) -> Self {
        let mut request = Request::get(format!("/api/v1/events{query}"))
            .header("authorization", format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = scene
            .front
            .answer_locally(request.body(Body::empty()).unwrap())
            .await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        };
        assert_eq!(stream.next().await.unwrap().0, "hello");
        stream
    }

    /// Kind and data of the next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    message
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim().to_string())
                };
                let found = field("event:").zip(field("data:"));
                self.text = rest.to_string();
                match found {
                    Some((kind, data)) => {
                        return Some((kind, serde_json::from_str(&data).unwrap()));
                    }
                    None => continue,
                }
            }
            let bytes = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn subject(&mut self) -> String {
        let (kind, data) = self.next().await.expect("the stream goes on");
        assert_eq!(kind, "change");
        data["subject"].as_str().unwrap().to_string()
    }
}

async fn publish(scene: &Scene, topic: &'static str, subject: &str, app: Option<&str>) -> i64 {
    let event = NewEvent::new(topic, subject).app(app);
    scene.state.catalog.publish(event).await.unwrap();
    scene.state.catalog.newest_event_id().await.unwrap()
}

async fn with_hub() -> Scene {
    let scene = Scene::new().await;
    let hub = scene.state.events.clone();
    tokio::spawn(hub.run(scene.state.shutdown.clone()));
    scene
}

#[tokio::test]
async fn who_comes_back_hears_what_was_missed_and_then_goes_on() {
    let scene = with_hub().await;
    let mut stream = Stream::open(&scene, &scene.admin, "", None).await;
    let first = publish(&scene, "job", "one", None).await;
    assert_eq!(stream.subject().await, "one");
    drop(stream);
    publish(&scene, "job", "two", None).await;
    publish(&scene, "job", "three", None).await;
    let mut stream = Stream::open(&scene, &scene.admin, "", Some(first)).await;
    assert_eq!(stream.subject().await, "two");
    assert_eq!(stream.subject().await, "three");
    publish(&scene, "job", "four", None).await;
    assert_eq!(stream.subject().await, "four");
}

#[tokio::test]
async fn events_of_other_apps_and_topics_are_not_told() {
    let scene = with_hub().await;
    let access = Scene::access(Role::Viewer, &[], Some(&["blog"]));
    let token = scene.token("bea", access).await;
    let mut stream = Stream::open(&scene, &token, "?topics=job", None).await;
    publish(&scene, "job", "of shop", Some("shop")).await;
    publish(&scene, "job", "of nobody", None).await;
    publish(&scene, "backup", "of blog", Some("blog")).await;
    publish(&scene, "job", "of blog", Some("blog")).await;
    assert_eq!(stream.subject().await, "of blog");
}

#[tokio::test]
async fn what_is_gone_for_good_is_said() {
    let scene = with_hub().await;
    for _ in 0..3 {
        publish(&scene, "job", "x", None).await;
    }
    // The first events are those of the accounts; asking for what came before the oldest one is asking in vain only if it is gone.
    let oldest = scene.state.catalog.oldest_event_id().await.unwrap();
    if oldest > 1 {
        let mut stream = Stream::open(&scene, &scene.admin, "", Some(0)).await;
        assert_eq!(stream.next().await.unwrap().0, "missed");
    }
    let mut stream = Stream::open(&scene, &scene.admin, "?topics=job", Some(oldest - 1)).await;
    assert_eq!(stream.subject().await, "x");
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let scene = with_hub().await;
    let mut stream = Stream::open(&scene, &scene.admin, "", None).await;
    scene.state.shutdown.cancel();
    assert_eq!(stream.next().await, None);
    scene.state.tasks.close();
    scene.state.tasks.wait().await;
}

#[tokio::test]
async fn a_listener_that_does_not_read_is_dropped_and_misses_nothing() {
    let scene = with_hub().await;
    let before = scene.state.catalog.newest_event_id().await.unwrap();
    let stream = Stream::open(&scene, &scene.admin, "", None).await;
    for _ in 0..1_500 {
        publish(&scene, "job", "x", None).await;
    }
    // More than may wait for it: the stream ends, early.
    let mut read = 0;
    let mut slow = stream;
    while slow.next().await.is_some() {
        read += 1;
        assert!(read < 1_500, "nothing was dropped");
    }
    let mut back = Stream::open(&scene, &scene.admin, "", Some(before + read)).await;
    for _ in read..1_500 {
        assert_eq!(back.subject().await, "x");
    }
}

#[tokio::test]
async fn who_loses_access_hears_nothing_more() {
    let scene = with_hub().await;
    let access = Scene::access(Role::Viewer, &[], None);
    let token = scene.token("bea", access).await;
    let mut stream = Stream::open(&scene, &token, "", None).await;
    publish(&scene, "job", "before", None).await;
    assert_eq!(stream.subject().await, "before");

    let users = scene.get("/users").await.expect(200).json();
    let bea = users["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["name"] == "bea");
    let path = format!("/users/{}", bea.unwrap()["id"].as_str().unwrap());
    let disabled = Some(serde_json::json!({ "disabled": true }));
    scene
        .ask("PATCH", &path, Some(&scene.admin), &[], disabled)
        .await
        .expect(200);
    // It is looked at now and then, so a few more may be told.
    loop {
        publish(&scene, "job", "after", None).await;
        if stream.next().await.is_none() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn streams_have_room_of_their_own_and_one_account_a_part_of_it() {
    let scene = Scene::with(|settings| settings.http.max_connections = 400).await;
    let one = scene
        .token("bea", Scene::access(Role::Viewer, &[], None))
        .await;
    let other = scene
        .token("cid", Scene::access(Role::Viewer, &[], None))
        .await;
    let mut open = Vec::new();
    for _ in 0..128 {
        open.push(Stream::open(&scene, &one, "", None).await);
    }
    let refused = scene
        .ask("GET", "/events", Some(&one), &[], None)
        .await
        .expect(429);
    assert_eq!(refused.header("retry-after"), "30");
    for _ in 0..72 {
        open.push(Stream::open(&scene, &other, "", None).await);
    }
    scene
        .ask("GET", "/events", Some(&other), &[], None)
        .await
        .expect(503);
    scene
        .ask("GET", "/status", Some(&other), &[], None)
        .await
        .expect(200);
}
