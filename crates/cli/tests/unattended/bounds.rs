//! What an account that sees one app may do to the server that holds others, too: nothing to their databases, whether it is
//! asked for now or a job comes to it later.

use crate::{
    asking::{Answer, Asking},
    house::House,
    pgkeep::scene::PHRASE,
};
use pgkeep_testkit::ShopSize;
use serde_json::{Value, json};

/// A token of the administrator's, cut down to the shop.
fn limited(house: &House, asking: &Asking) -> Asking {
    let args = [
        "token",
        "create",
        "shop-only",
        "--role",
        "operator",
        "--grant",
        "restore",
        "--grant",
        "delete",
        "--grant",
        "download",
        "--for-app",
        "shop",
        "--json",
    ];
    let made = house.run(&args).succeeds().json();
    asking.with_token(made["token"].as_str().unwrap())
}

fn names(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().unwrap().clone();
    let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

#[test]
fn who_sees_one_app_reaches_no_database_of_another_and_no_folder_through_a_link() {
    let house = House::new("");
    house.shop.load_shop("beta", ShopSize::TINY);
    house.shop.psql("postgres", "CREATE DATABASE theirs");
    let (url, admin_url) = (house.shop.url_for("beta"), house.shop.url());
    let papers = house.pgkeep.path().join("papers");
    std::fs::create_dir_all(papers.join("inner")).unwrap();
    std::fs::write(papers.join("inner/page"), "text").unwrap();
    let outside = house.pgkeep.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, papers.join("lnk")).unwrap();
    house.describe(&format!(
        "[[app.shop.files]]\nname = \"papers\"\npath = \"{}\"\n\n\
         [app.beta]\ndatabases = [\"{url}\"]\nadmin_url = \"{admin_url}\"\n",
        papers.display()
    ));
    let served = house.serve();
    let admin = Asking::new(&served, &served.admin_token());
    let ann = limited(&house, &admin);
    let made = admin.result_of(&admin.send("POST", "/backups", &json!({ "app": "shop" })));
    let backup = made["id"].as_str().unwrap().to_owned();
    let path = format!("/backups/{backup}/restore");

    names_of_others(&house, &ann, &admin, &path);
    what_is_left_of_others(&house, &ann, &admin, &path);
    a_job_looks_again(&house, &ann, &admin, &path);
    links(&house, &ann, &admin, &backup);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

/// By no name that is somebody else's, and the server is not even asked about it.
fn names_of_others(house: &House, ann: &Asking, admin: &Asking, path: &str) {
    let was = house.shop.psql("beta", "SELECT count(*) FROM orders");
    for (mode, name, data_only) in [
        ("replace", "beta", false),
        ("in_place", "beta", false),
        ("into", "beta", false),
        ("replace", "postgres", false),
        ("in_place", "theirs", false),
        ("replace", "theirs", false),
        ("into", "theirs", true),
    ] {
        let body = json!({ "mode": mode, "name": name, "dataOnly": data_only, "confirm": PHRASE });
        for path in [format!("{path}/plan"), path.to_owned()] {
            let problem = ann.send("POST", &path, &body).refused(403, "forbidden");
            assert!(problem["hint"].is_string(), "{mode} {name}: {problem}");
            assert!(!problem.to_string().contains("app beta"), "{problem}");
        }
    }
    let audit = admin.get("/audit?limit=5").expect(200);
    assert!(audit.text().contains("refused"), "{}", audit.text());
    assert_eq!(house.shop.psql("beta", "SELECT count(*) FROM orders"), was);
    for path in ["/apps/shop/upgrade/plan", "/apps/shop/upgrade/accept"] {
        ann.send("POST", path, &json!({})).refused(403, "forbidden");
    }

    // Its own, and what a restore of the app made: a new one may be made and then replaced.
    let plan = format!("{path}/plan");
    let own = json!({ "mode": "replace", "name": "shop" });
    ann.send("POST", &plan, &own).expect(200);
    let look = json!({ "mode": "into", "name": "look" });
    ann.result_of(&ann.send("POST", path, &look));
    let again = json!({ "mode": "replace", "name": "look" });
    let planned = ann.send("POST", &plan, &again).expect(200).json();
    assert_eq!(planned["refusals"], json!([]), "{planned:#}");
}

/// Who sees everything is warned; what that leaves belongs to the app that owned the database.
fn what_is_left_of_others(house: &House, ann: &Asking, admin: &Asking, path: &str) {
    let mut body = json!({ "mode": "replace", "name": "beta", "keepOldSecs": 0 });
    let plan = admin.send("POST", &format!("{path}/plan"), &body);
    let plan = plan.expect(200).json();
    let warned = |warning: &Value| {
        warning
            .as_str()
            .unwrap()
            .contains("of app beta, not of app shop")
    };
    assert!(
        plan["warnings"].as_array().unwrap().iter().any(warned),
        "{plan:#}"
    );
    body["confirm"] = PHRASE.into();
    let begun = admin.send("POST", path, &body);
    let report = admin.result_of(&begun);
    let safety = format!("/backups/{}", report["safety_backup"].as_str().unwrap());
    assert_eq!(admin.get(&safety).expect(200).json()["app"], "beta");
    ann.get(&safety).refused(404, "not_found");

    let kept = report["kept_as"].as_str().unwrap().to_owned();
    let all = names(&admin.get("/restores/kept?app=shop").expect(200));
    assert!(all.contains(&kept), "{all:?}");
    let seen = names(&ann.get("/restores/kept?app=shop").expect(200));
    assert!(!seen.contains(&kept), "{seen:?}");
    let undo = json!({ "app": "shop", "database": "beta", "confirm": PHRASE });
    ann.send("POST", "/restores/undo", &undo)
        .refused(403, "forbidden");
    let job = begun.json()["jobId"].as_str().unwrap().to_owned();
    let undo = json!({ "confirm": PHRASE });
    ann.send("POST", &format!("/restores/{job}/undo"), &undo)
        .refused(403, "forbidden");
    for body in [
        json!({ "app": "shop" }),
        json!({ "app": "shop", "database": "beta" }),
    ] {
        let dropped = ann
            .send("POST", "/restores/kept/drop-expired", &body)
            .expect(200);
        assert_eq!(dropped.json()["dropped"], json!([]), "{body}");
    }
    // A name that only begins like another one is another one.
    let drop = |database: &str| {
        let body = json!({ "app": "shop", "database": database });
        let dropped = admin.send("POST", "/restores/kept/drop-expired", &body);
        dropped.expect(200).json()["dropped"].clone()
    };
    assert_eq!(drop("bet"), json!([]));
    assert_eq!(drop("beta"), json!([kept]));
    assert!(house.shop.psql("beta", "SELECT 1").contains('1'));
}

/// A name that was nobody's when it was asked for is another app's by the time that the job runs.
fn a_job_looks_again(house: &House, ann: &Asking, admin: &Asking, path: &str) {
    admin.send("POST", "/queue/pause", &json!({})).expect(200);
    let fresh = json!({ "mode": "into", "name": "fresh" });
    let waiting = ann.send("POST", path, &fresh);
    let gamma = json!({ "databases": [house.shop.url_for("fresh")] });
    admin.send("PUT", "/apps/gamma", &gamma).expect(201);
    admin.send("POST", "/queue/resume", &json!({})).expect(200);
    let job = ann.job_of(&waiting);
    assert_eq!(job["state"], "failed", "{job:#}");
    assert_eq!(job["error"]["code"], "refused", "{job:#}");
    let there = "SELECT count(*) FROM pg_database WHERE datname LIKE 'fresh%'";
    assert_eq!(house.shop.psql("postgres", there).trim(), "0");
}

/// A restored tree leads nowhere: neither by a link that is there when it is asked for, nor by one that comes later.
fn links(house: &House, ann: &Asking, admin: &Asking, backup: &str) {
    let exports = house.data().join("exports");
    let (restore, export) = (
        format!("/backups/{backup}/restore"),
        format!("/backups/{backup}/export"),
    );
    let into = |folder: &str| {
        let folder = exports.join(folder).display().to_string();
        (
            json!({ "files": "only", "filesInto": folder }),
            json!({ "to": folder }),
        )
    };
    ann.result_of(&ann.send("POST", &restore, &into("s1").0));
    assert!(exports.join("s1/lnk").is_symlink());
    for folder in ["s1/lnk/new", "s1/lnk"] {
        let (files, package) = into(folder);
        ann.send("POST", &format!("{restore}/plan"), &files)
            .refused(403, "forbidden");
        ann.send("POST", &restore, &files).refused(403, "forbidden");
        ann.send("POST", &export, &package)
            .refused(403, "forbidden");
    }

    admin.send("POST", "/queue/pause", &json!({})).expect(200);
    let (files, package) = into("later/new");
    let waiting = [
        ann.send("POST", &restore, &files),
        ann.send("POST", &export, &package),
    ];
    std::os::unix::fs::symlink(house.pgkeep.path().join("outside"), exports.join("later")).unwrap();
    admin.send("POST", "/queue/resume", &json!({})).expect(200);
    for accepted in &waiting {
        let job = ann.job_of(accepted);
        assert_eq!(job["state"], "failed", "{job:#}");
        assert!(job["error"].to_string().contains("no folder"), "{job:#}");
    }
    let (files, package) = into("plain/new");
    ann.result_of(&ann.send("POST", &export, &package));
    let (inner, _) = into("plain/deep/new");
    ann.result_of(&ann.send("POST", &restore, &inner));
    assert!(exports.join("plain/deep/new/inner/page").is_file());
    ann.send("POST", &restore, &files).refused(409, "conflict");
}
