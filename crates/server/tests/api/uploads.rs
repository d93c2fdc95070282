//! What uploads may take of the server.

use crate::scene::{Answer, Scene, read};
use axum::body::{Body, Bytes};
use axum::http::Request;
use futures_util::stream;
use serde_json::json;

const MIB: usize = 1 << 20;

/// Sends bytes that begin like a dump, piece by piece, so that their length is not announced unless `headers` say it.
async fn send(
    scene: &Scene,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    mib: usize,
) -> Answer {
    let mut first = b"PGDMP\x01\x0f\x00".to_vec();
    first.resize(MIB, 7);
    let pieces = (0..mib).map(move |n| {
        let piece = if n == 0 { first.clone() } else { vec![7; MIB] };
        Ok::<_, std::io::Error>(Bytes::from(piece))
    });
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("authorization", format!("Bearer {}", scene.admin))
        .header("content-type", "application/octet-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()));
    read(
        scene
            .front
            .answer_locally(request.body(body).unwrap())
            .await,
    )
    .await
}

#[tokio::test]
async fn what_is_not_announced_counts_as_it_comes_and_nothing_of_it_stays() {
    let scene = Scene::with(|settings| settings.uploads.max_total_bytes = 2 * MIB as u64).await;
    scene.app("shop").await;
    scene.worker().await;
    let begun = scene
        .post("/backups/uploads", Some(json!({})))
        .await
        .expect(201)
        .json();
    let path = format!("/backups/uploads/{}", begun["id"].as_str().unwrap());
    let too_much = send(&scene, "PATCH", &path, &[("upload-offset", "0")], 6)
        .await
        .expect(503);
    assert_eq!(too_much.json()["code"], "busy");
    let kept = scene.get(&path).await.expect(200).json();
    let received = kept["receivedBytes"].as_u64().unwrap();
    assert!((1..=2 * MIB as u64).contains(&received), "{received}");
    scene.delete(&path).await.expect(204);

    // In one request: refused before anything is taken where it is announced, and otherwise when it has come too far.
    let length = (6 * MIB).to_string();
    for headers in [&[("content-length", length.as_str())][..], &[]] {
        let path = "/backups/upload?app=shop";
        send(&scene, "POST", path, headers, 6).await.expect(503);
        let left = scene.get("/backups/uploads").await.expect(200).json();
        assert_eq!(left["items"], json!([]), "{headers:?}");
        let incoming = scene.state.settings.places.incoming();
        let files = std::fs::read_dir(incoming).unwrap().count();
        assert_eq!(files, 0, "{headers:?}");
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_an_upload_and_keeps_nothing_of_it_that_nobody_could_go_on_with() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    scene.worker().await;
    // The body never ends: only the end of the server does.
    let first = Bytes::from_static(b"PGDMP\x01\x0f\x00 and more");
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    sender.send(Ok(first)).await.unwrap();
    let request = Request::builder()
        .method("POST")
        .uri("/api/v1/backups/upload?app=shop")
        .header("authorization", format!("Bearer {}", scene.admin))
        .body(Body::from_stream(stream::unfold(
            receiver,
            async |mut receiver| receiver.recv().await.map(|piece| (piece, receiver)),
        )))
        .unwrap();
    let answered = scene.front.answer_locally(request);
    let stopped = async {
        // The sender has room again once the first piece was taken.
        sender.reserve().await.unwrap();
        scene.state.shutdown.cancel();
    };
    let (response, ()) = tokio::join!(answered, stopped);
    let answer = read(response).await.expect(503);
    assert_eq!(answer.json()["code"], "busy");
    let left = scene.state.catalog.uploads(None).await.unwrap();
    assert_eq!(left.len(), 0, "{left:?}");
    let incoming = scene.state.settings.places.incoming();
    assert_eq!(std::fs::read_dir(incoming).map_or(0, Iterator::count), 0);
}

#[tokio::test]
async fn who_hangs_up_leaves_nothing_of_an_upload_in_one_request() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    scene.worker().await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let first = Bytes::from_static(b"PGDMP\x01\x0f\x00 and more");
    sender.send(Ok(first)).await.unwrap();
    let request = Request::builder()
        .method("POST")
        .uri("/api/v1/backups/upload?app=shop")
        .header("authorization", format!("Bearer {}", scene.admin))
        .body(Body::from_stream(stream::unfold(
            receiver,
            async |mut receiver| receiver.recv().await.map(|piece| (piece, receiver)),
        )))
        .unwrap();
    {
        let answered = scene.front.answer_locally(request);
        tokio::select! {
            _ = answered => panic!("the body has not ended"),
            taken = sender.reserve() => drop(taken.unwrap()),
        }
    }
    // As hyper does when a connection breaks.
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let _ = sender.send(Err(broken)).await;
    drop(sender);
    scene.state.tasks.close();
    scene.state.tasks.wait().await;
    let left = scene.state.catalog.uploads(None).await.unwrap();
    assert_eq!(left.len(), 0, "{left:?}");
}
