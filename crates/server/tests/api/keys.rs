//! The keys of a repository: who may look, who may change, and that a key is told to nobody it is not meant for.

use crate::scene::{Answer, Scene};
use pgkeep_catalog::NodeBeat;
use pgkeep_model::access::{Permission, Role};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

const GIVEN: &str = "canary of a key that is given";

/// A server with a repository whose key lies in a file.
struct Keeper {
    scene: Scene,
    folder: tempfile::TempDir,
}

impl Keeper {
    async fn new() -> Self {
        let keeper = Self {
            scene: Scene::new().await,
            folder: tempfile::tempdir().unwrap(),
        };
        keeper
            .define("main", "store", &keeper.key_reference())
            .await;
        let made = keeper
            .scene
            .post("/repositories/main/init", Some(json!({ "label": "first" })))
            .await
            .expect(201)
            .json();
        assert_eq!(made["keyFile"], keeper.key_file().to_str().unwrap());
        keeper
    }

    fn key_file(&self) -> PathBuf {
        self.folder.path().join("main.key")
    }

    fn key_reference(&self) -> String {
        format!("file:{}", self.key_file().display())
    }

    fn key(&self) -> String {
        fs::read_to_string(self.key_file()).unwrap().trim().into()
    }

    async fn define(&self, name: &str, folder: &str, key: &str) {
        let address = self.folder.path().join(folder);
        let body = json!({ "address": address, "key": key });
        let made = self.scene.put(&format!("/repositories/{name}"), body).await;
        assert!(made.status.is_success(), "{}", made.text);
    }

    async fn ids(&self) -> Vec<String> {
        let listed = self.scene.get("/repositories/main/keys").await.expect(200);
        let items = listed.json()["items"].as_array().unwrap().clone();
        items.iter().map(|key| text(&key["id"])).collect()
    }

    async fn rotate(&self, body: Value) -> Answer {
        self.scene
            .post("/repositories/main/keys/rotate", Some(body))
            .await
    }

    async fn is_open(&self) -> bool {
        let tried = self.scene.post("/repositories/main/test", None).await;
        tried.expect(200).json()["usable"] == true
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn keys_are_listed_added_removed_and_changed_and_told_to_nobody() {
    let keeper = Keeper::new().await;
    let scene = &keeper.scene;
    let keys = "/repositories/main/keys";
    let listed = scene.get(keys).await.expect(200).json();
    let first = text(&listed["items"][0]["id"]);
    assert_eq!(listed["items"][0]["current"], true, "{listed}");
    assert_eq!(listed["items"][0]["label"], "first", "{listed}");

    let body = json!({ "key": GIVEN, "label": "second site" });
    let added = scene.post(keys, Some(body)).await.expect(201).json();
    let added = text(&added["id"]);
    assert_eq!(keeper.ids().await.len(), 2);
    scene.delete(&format!("{keys}/{first}")).await.expect(422);
    scene.delete(&format!("{keys}/zzz")).await.expect(404);
    let removed = scene.delete(&format!("{keys}/{}", &added[..8])).await;
    assert_eq!(removed.expect(200).json()["id"], added);
    assert_eq!(keeper.ids().await, std::slice::from_ref(&first));
    for unfit in [
        json!({ "key": "" }),
        json!({ "key": "k", "label": "x".repeat(201) }),
    ] {
        scene.post(keys, Some(unfit)).await.expect(422);
    }

    // The server's own: what opened the repository before is kept beside, and its kit has to be made anew.
    scene
        .post("/repositories/main/recovery-kit/confirm", None)
        .await
        .expect(200);
    let before = keeper.key();
    let rotated = keeper.rotate(json!({})).await.expect(200).json();
    let after = keeper.key();
    assert_ne!(before, after);
    let kept = fs::read_to_string(text(&rotated["oldKeyFile"])).unwrap();
    assert_eq!(kept.trim(), before);
    assert_eq!(keeper.ids().await, [text(&rotated["id"])]);
    assert!(keeper.is_open().await);
    let shown = scene.get("/repositories/main").await.expect(200).json();
    assert_eq!(shown["recoveryKit"]["confirmedAt"], Value::Null);
    keeper.rotate(json!({ "key": GIVEN })).await.expect(200);
    assert_eq!(keeper.key(), GIVEN);
    assert!(keeper.is_open().await);

    let kit = "/repositories/main/recovery-kit";
    let made = scene.post(kit, None).await.expect(200);
    assert!(made.text.contains(GIVEN) && made.text.contains("restic"));
    assert_eq!(made.header("cache-control"), "no-store");
    assert!(made.header("content-type").starts_with("text/plain"));

    let audit = scene.get("/audit?limit=100").await.expect(200);
    for key in [GIVEN, &before, &after] {
        assert!(!audit.text.contains(key), "{}", audit.text);
    }
    let entries = audit.json()["items"].as_array().unwrap().clone();
    let told: Vec<(String, &Value)> = entries
        .iter()
        .rev()
        .filter(|entry| entry["object"] == "repository/main")
        .map(|entry| (text(&entry["action"]), &entry["result"]))
        .filter(|(action, _)| action.contains("key.") || action.ends_with("kit.make"))
        .collect();
    let (done, failed) = (&json!("done"), &json!("failed"));
    let expected = [
        ("repository_key.add", done),
        ("repository_key.remove", failed),
        ("repository_key.remove", failed),
        ("repository_key.remove", done),
        ("repository_key.rotate", done),
        ("repository_key.rotate", done),
        ("recovery_kit.make", done),
    ];
    let expected = expected.map(|(action, result)| (action.to_owned(), result));
    assert_eq!(told, expected);
    let of_rotation = |entry: &&Value| entry["action"] == "repository_key.rotate";
    let oldest = entries.iter().rev().find(of_rotation).unwrap();
    assert_eq!(oldest["before"]["id"], first, "{oldest}");
    assert_eq!(oldest["after"]["id"], rotated["id"], "{oldest}");
}

#[tokio::test]
async fn who_may_look_may_not_change_and_a_kit_takes_two_permissions() {
    let keeper = Keeper::new().await;
    let scene = &keeper.scene;
    let viewer = Scene::access(Role::Viewer, &[], None);
    let viewer = scene.token("viewer", viewer).await;
    let keys = "/repositories/main/keys";
    let kit = "/repositories/main/recovery-kit";
    let ask = async |method, path: &str, token: &str, body| {
        let answer = scene.ask(method, path, Some(token), &[], body).await;
        answer.status.as_u16()
    };
    assert_eq!(ask("GET", keys, &viewer, None).await, 200);
    for (method, path, body) in [
        ("POST", keys.to_owned(), Some(json!({ "key": GIVEN }))),
        ("DELETE", format!("{keys}/00"), None),
        ("POST", format!("{keys}/rotate"), Some(json!({}))),
        ("POST", kit.to_owned(), None),
    ] {
        assert_eq!(ask(method, &path, &viewer, body).await, 403, "{path}");
    }
    let keeps = Scene::access(Role::Operator, &[Permission::Configure], None);
    let keeps = scene.token("keeper", keeps).await;
    assert_eq!(ask("POST", kit, &keeps, None).await, 403);
    let takes = [Permission::Configure, Permission::Download];
    let takes = Scene::access(Role::Operator, &takes, None);
    let takes = scene.token("taker", takes).await;
    assert_eq!(ask("POST", kit, &takes, None).await, 200);
    // Who sees one app only changes nothing that others depend on.
    let scoped = Scene::access(Role::Admin, &[], Some(&["shop"]));
    let scoped = scene.token("scoped", scoped).await;
    assert_eq!(ask("GET", keys, &scoped, None).await, 404);
    assert_eq!(ask("POST", kit, &scoped, None).await, 403);
}

#[tokio::test]
async fn a_key_that_cannot_be_put_in_its_place_stays_as_it_is() {
    let keeper = Keeper::new().await;
    let (before, ids) = (keeper.key(), keeper.ids().await);
    let refused = async |because: &str| {
        let answer = keeper.rotate(json!({})).await.expect(422).json();
        assert_eq!(answer["code"], "refused", "{answer}");
        assert!(text(&answer["detail"]).contains(because), "{answer}");
        assert!(text(&answer["hint"]).contains("key add"), "{answer}");
        assert!(!answer.to_string().contains(&before), "{answer}");
    };

    keeper
        .define("other", "other", &keeper.key_reference())
        .await;
    refused("repository other").await;
    keeper.define("other", "other", "env:ANOTHER").await;

    keeper.define("main", "store", &before).await;
    refused("stands in its definition").await;
    keeper.define("main", "store", "env:NOT_SET_HERE").await;
    refused("NOT_SET_HERE").await;
    keeper
        .define("main", "store", &keeper.key_reference())
        .await;

    let beat = |host: &str| NodeBeat {
        node: "another-1".into(),
        host: host.into(),
        pid: 1,
        slots: 1,
        kinds: Vec::new(),
        version: "0".into(),
    };
    let catalog = &keeper.scene.state.catalog;
    catalog.node_beat(&beat("another-machine")).await.unwrap();
    refused("another-machine").await;
    assert_eq!((keeper.key(), keeper.ids().await), (before.clone(), ids));

    catalog.drop_node("another-1").await.unwrap();
    let own = keeper.scene.state.machine.hostname.clone();
    catalog.node_beat(&beat(&own)).await.unwrap();
    keeper.rotate(json!({})).await.expect(200);
    assert_ne!(keeper.key(), before);
}
