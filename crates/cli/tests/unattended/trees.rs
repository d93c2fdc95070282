//! Folders of an app through a server: planned, restored with and without the database, listed, put back.

use crate::{asking::Asking, house::House, pgkeep::scene::PHRASE};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A house whose shop has a folder of pictures and one of papers.
struct Estate {
    house: House,
    media: PathBuf,
}

impl Estate {
    fn new() -> Self {
        let house = House::new("");
        let media = house.pgkeep.path().join("media");
        let papers = house.pgkeep.path().join("papers");
        fs::create_dir_all(media.join("2026")).unwrap();
        fs::create_dir(&papers).unwrap();
        fs::write(media.join("2026/a.jpg"), "the picture").unwrap();
        fs::write(media.join("logo.svg"), "the logo").unwrap();
        fs::write(papers.join("contract.txt"), "signed").unwrap();
        let trees = format!(
            "[[app.shop.files]]\nname = \"media\"\npath = \"{}\"\n\n\
             [[app.shop.files]]\nname = \"papers\"\npath = \"{}\"\n",
            media.display(),
            papers.display()
        );
        house.describe(&trees);
        Self { house, media }
    }

    fn papers(&self) -> PathBuf {
        self.house.pgkeep.path().join("papers")
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn with(body: &Value, more: Value) -> Value {
    let mut body = body.clone();
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn folders_are_restored_alone_and_with_their_database_and_put_back() {
    let estate = Estate::new();
    let house = &estate.house;
    let served = house.serve();
    let asking = Asking::new(&served, &served.admin_token());
    let made = asking.result_of(&asking.send("POST", "/backups", &json!({ "app": "shop" })));
    let backup = made["id"].as_str().unwrap();
    let path = format!("/backups/{backup}/restore");
    fs::remove_file(estate.media.join("2026/a.jpg")).unwrap();
    fs::write(estate.media.join("logo.svg"), "spoilt").unwrap();

    alone(&estate, &asking, &path);
    together(&estate, &asking, &path);
    by_hand(&estate, &asking, backup);
    single_files(&estate, &asking, &path);
}

/// One tree, in the place of the live one, and back.
fn alone(estate: &Estate, asking: &Asking, path: &str) {
    let only = json!({ "files": "only", "trees": ["media"] });
    let plan = asking.send("POST", &format!("{path}/plan"), &only);
    let plan = plan.expect(200).json();
    let trees = plan["files"]["trees"].as_array().unwrap();
    assert_eq!(trees.len(), 1, "{plan:#}");
    assert_eq!(trees[0]["to"], estate.media.to_str().unwrap());
    assert_eq!(
        (&trees[0]["files"], &trees[0]["bytes"]),
        (&2.into(), &19.into())
    );
    assert!(trees[0]["freeBytes"].as_u64().unwrap() > 0);
    assert_eq!(
        (&plan["summary"], &plan["overwrites"], &plan["phrase"]),
        (&Value::Null, &true.into(), &PHRASE.into())
    );
    assert_eq!(plan["refusals"], json!([]));

    asking.send("POST", path, &only).refused(422, "invalid");
    let confirmed = json!({ "confirm": PHRASE, "planHash": plan["hash"] });
    let begun = asking.send("POST", path, &with(&only, confirmed));
    let report = asking.result_of(&begun);
    assert_eq!(report["trees"][0]["proven"], true, "{report:#}");
    assert_eq!(text(&estate.media.join("logo.svg")), "the logo");
    assert_eq!(text(&estate.media.join("2026/a.jpg")), "the picture");

    let kept = asking.get("/restores/kept?app=shop").expect(200).json();
    let kept = &kept["items"][0];
    assert_eq!(
        (&kept["kind"], &kept["tree"], &kept["name"]),
        (
            &"files".into(),
            &"media".into(),
            &report["trees"][0]["kept_as"]
        )
    );

    let undo = json!({ "app": "shop", "tree": "media" });
    let planned = asking.send(
        "POST",
        "/restores/files/undo",
        &with(&undo, json!({ "dryRun": true })),
    );
    let planned = planned.expect(200).json();
    assert_eq!(planned["swaps"][0]["folder"], kept["name"], "{planned:#}");
    assert_eq!(
        text(&estate.media.join("logo.svg")),
        "the logo",
        "a plan changes nothing"
    );
    asking
        .send("POST", "/restores/files/undo", &undo)
        .refused(422, "invalid");
    let done = asking.send(
        "POST",
        "/restores/files/undo",
        &with(&undo, json!({ "confirm": PHRASE })),
    );
    asking.result_of(&done);
    assert_eq!(text(&estate.media.join("logo.svg")), "spoilt");
    let nothing = json!({ "app": "shop", "tree": "papers", "dryRun": true });
    asking
        .send("POST", "/restores/files/undo", &nothing)
        .refused(404, "not_found");
}

/// Both trees and the database in one restore, and one undo for all of it.
fn together(estate: &Estate, asking: &Asking, path: &str) {
    let shop = &estate.house.shop;
    let lines = || {
        shop.psql("shop", "SELECT count(*) FROM order_lines")
            .trim()
            .to_owned()
    };
    let before = lines();
    shop.psql("shop", "DELETE FROM order_lines");
    let beside = json!({ "mode": "into", "name": "copy", "files": "with" });
    let refused = asking.send("POST", &format!("{path}/plan"), &beside);
    let problem = refused.refused(422, "invalid");
    assert_eq!(problem["fields"][0]["field"], "filesInto");

    let both = json!({ "mode": "replace", "name": "shop", "files": "with" });
    let plan = asking
        .send("POST", &format!("{path}/plan"), &both)
        .expect(200)
        .json();
    let steps = plan["steps"].as_array().unwrap();
    assert!(
        steps[0].as_str().unwrap().contains("files media"),
        "{steps:#?}"
    );
    assert!(
        steps.last().unwrap().as_str().unwrap().contains("papers"),
        "{steps:#?}"
    );
    let confirmed = json!({ "confirm": PHRASE, "planHash": plan["hash"] });
    let begun = asking.send("POST", path, &with(&both, confirmed));
    let report = asking.result_of(&begun);
    assert_eq!(report["proof"]["differences"], json!([]));
    assert_eq!(report["files"]["trees"].as_array().unwrap().len(), 2);
    assert_eq!(
        (lines(), text(&estate.media.join("logo.svg"))),
        (before, "the logo".into())
    );

    let job = begun.json()["jobId"].as_str().unwrap().to_owned();
    let undone = asking.send(
        "POST",
        &format!("/restores/{job}/undo"),
        &json!({ "confirm": PHRASE }),
    );
    let report = asking.result_of(&undone);
    assert_eq!(report["files"].as_array().unwrap().len(), 2, "{report:#}");
    assert_eq!(
        (
            lines().as_str(),
            text(&estate.media.join("logo.svg")).as_str()
        ),
        ("0", "spoilt")
    );
}

/// The same from the server's own machine: a job like any other.
fn by_hand(estate: &Estate, asking: &Asking, backup: &str) {
    let house = &estate.house;
    let run = |args: &[&str]| house.run(&[args, &["--app", "shop"]].concat());
    let files = ["restore", backup, "--files-only", "--files", "media"];
    let unconfirmed = run(&files).fails_with(8);
    assert!(
        unconfirmed.stderr.contains("--confirm"),
        "{}",
        unconfirmed.stderr
    );
    run(&[&files[..], &["--confirm", PHRASE]].concat()).succeeds();
    assert_eq!(text(&estate.media.join("logo.svg")), "the logo");
    let undo = ["undo", "--files", "media"];
    let planned = run(&[&undo[..], &["--dry-run"]].concat()).succeeds();
    assert!(
        planned.stdout.contains("media_before_"),
        "{}",
        planned.stdout
    );
    run(&[&undo[..], &["--confirm", PHRASE]].concat()).succeeds();
    assert_eq!(text(&estate.media.join("logo.svg")), "spoilt");
    for (kind, what) in [("restore", "files"), ("undo", "trees")] {
        let jobs = asking
            .get(&format!("/jobs?kind={kind}&limit=1"))
            .expect(200)
            .json();
        let id = jobs["items"][0]["id"].as_str().unwrap().to_owned();
        let job = asking.get(&format!("/jobs/{id}")).expect(200).json();
        assert_eq!(
            (&job["trigger"], &job["state"]),
            (&"cli".into(), &"succeeded".into()),
            "{job:#}"
        );
        assert!(job["spec"][what].to_string().contains("media"), "{job:#}");
    }

    let both = [
        "restore",
        backup,
        "--replace",
        "--with-files",
        "--keep-old",
        "0s",
    ];
    let planned = run(&[&both[..], &["--dry-run", "--json"]].concat())
        .succeeds()
        .json();
    assert_eq!(
        planned["files"]["trees"].as_array().unwrap().len(),
        2,
        "{planned:#}"
    );
    run(&[&both[..], &["--confirm", PHRASE]].concat()).succeeds();
    assert_eq!(text(&estate.media.join("logo.svg")), "the logo");
    let expired = [
        "undo",
        "--files",
        "media",
        "--files",
        "papers",
        "--drop-expired",
        "--json",
    ];
    let dropped = run(&expired).succeeds().json();
    let dropped = dropped["dropped"].as_array().unwrap();
    assert!(dropped.len() >= 2, "{dropped:#?}");
    assert!(
        dropped
            .iter()
            .all(|path| !Path::new(path.as_str().unwrap()).exists())
    );
    assert!(
        run(&expired).succeeds().json()["dropped"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

/// What matches goes to a new folder, which not everybody may choose.
fn single_files(estate: &Estate, asking: &Asking, path: &str) {
    let house = &estate.house;
    let exports = house.data().join("exports");
    let into = |folder: &Path| json!({ "files": "only", "trees": ["media"], "fileGlobs": ["*.svg"], "filesInto": folder });
    let args = [
        "token", "create", "mends", "--role", "operator", "--grant", "restore", "--json",
    ];
    let made = house.run(&args).succeeds().json();
    let mends = asking.with_token(made["token"].as_str().unwrap());
    let elsewhere = house.pgkeep.path().join("elsewhere");
    mends
        .send("POST", path, &into(&elsewhere))
        .refused(403, "forbidden");
    mends
        .send("POST", path, &into(&exports.join("../elsewhere")))
        .refused(422, "invalid");
    for (who, folder) in [(&mends, exports.join("found")), (asking, elsewhere)] {
        let report = who.result_of(&who.send("POST", path, &into(&folder)));
        assert_eq!(report["trees"][0]["files"], 1, "{report:#}");
        assert_eq!(text(&folder.join("logo.svg")), "the logo");
        assert!(!folder.join("2026/a.jpg").exists());
    }
    let again = asking.send("POST", path, &into(&exports.join("found")));
    again.refused(409, "conflict");

    // A tree that the app no longer has belongs nowhere.
    let papers = estate.papers();
    let media = format!(
        "[[app.shop.files]]\nname = \"media\"\npath = \"{}\"\n",
        estate.media.display()
    );
    house.describe(&media);
    house.run(&["apply", "--yes"]).succeeds();
    let plan = asking.send("POST", &format!("{path}/plan"), &json!({ "files": "only" }));
    let plan = plan.expect(200).json();
    let refusal = plan["refusals"][0]["message"].as_str().unwrap();
    assert!(refusal.contains("no files papers"), "{plan:#}");
    assert_eq!(text(&papers.join("contract.txt")), "signed");
}
