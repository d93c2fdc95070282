//! A server's databases move to a newer major at the word of another machine, and back.

use crate::{
    asking::Asking,
    house::{House, holds},
    pgkeep::{Pgkeep, Run, scene::PHRASE},
    same::{Both, shape},
};
use pgkeep_testkit::TestPostgres;
use serde_json::json;

/// Stands in the address of the new server; it lets everybody in, so nobody asks for it.
const PASSWORD: &str = "canary-of-the-new-server";

/// The report without what is another one each time.
fn steady(report: &str) -> String {
    let lines = report.lines().filter(|line| {
        let passing = ["| Backup |", "| Old databases |"];
        !passing.iter().any(|begin| line.starts_with(begin))
    });
    let lines = lines.map(|line| line.replace(|c: char| c.is_ascii_digit(), ""));
    lines.collect::<Vec<_>>().join("\n")
}

/// Why it was refused, without what a plan tells of sizes and rooms, which pass.
fn why(run: Run) -> Vec<String> {
    let lines = run.stderr.lines();
    let lines = lines.filter(|line| {
        ["- ", "error: ", "hint: "]
            .iter()
            .any(|b| line.starts_with(b))
    });
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    assert!(
        lines.iter().any(|line| line.starts_with("error: ")),
        "{run:?}"
    );
    lines
}

#[test]
fn a_server_moves_from_15_to_17_from_afar_as_here_and_back() {
    let house = House::new("");
    let (old, new) = (&house.shop, TestPostgres::start(17));
    old.psql("postgres", "CREATE DATABASE extra");
    old.psql("extra", "CREATE TABLE kept AS SELECT 1 AS id");
    old.psql(
        "shop",
        "CREATE VIEW busy AS SELECT buffers_backend FROM pg_stat_bgwriter",
    );
    let both = Both::new(&house);
    // A server may write files of its own while it is looked at.
    let same = |args: &[&str]| both.same_but(args, &["size_bytes", "bytes"]);

    // Where to is for the definition alone to say.
    let nowhere = both.afar(&["upgrade", "plan"]).fails_with(2).stderr;
    assert!(nowhere.contains("[app.shop.upgrade]"), "{nowhere}");
    let address = new.url().replace('@', &format!(":{PASSWORD}@"));
    for args in [
        ["upgrade", "plan", "--to", &address],
        ["upgrade", "run", "--from", &address],
        ["upgrade", "accept", "--to", &address],
    ] {
        let refused = both.afar(&args).fails_with(2).stderr;
        assert!(refused.contains("[app.NAME.upgrade]"), "{refused}");
        assert!(!refused.contains(PASSWORD), "{refused}");
    }
    house.describe(&format!("[app.shop.upgrade]\nto = \"{address}\""));
    house.run(&["apply"]).succeeds();

    // It is about all that the servers hold, so not for those who see one app.
    let args = [
        "token",
        "create",
        "one",
        "--role",
        "admin",
        "--for-app",
        "shop",
        "--json",
    ];
    let limited = both.here(&args).succeeds().json()["token"].take();
    let limited = limited.as_str().unwrap();
    both.served
        .asked_from_afar(&both.elsewhere, limited, &["upgrade", "plan"])
        .fails_with(6);

    // What stands in the way is told alike, and nothing is done.
    let plan = ["upgrade", "plan", "--fence"];
    let against = same(&plan)["refusals"].to_string();
    assert!(against.contains("view public.busy"), "{against}");
    let move_it = ["upgrade", "run", "--fence", "--report", "moved.md"];
    let (here, afar) = (both.here(&move_it), both.afar(&move_it));
    assert_eq!(why(here.fails_with(8)), why(afar.fails_with(8)));
    old.psql("shop", "DROP VIEW busy");
    let planned = same(&plan);
    assert_eq!(planned["refusals"], json!([]));
    assert_eq!(
        planned["databases"].as_array().unwrap().len(),
        2,
        "{planned:#}"
    );
    same(&["upgrade", "run", "--fence", "--dry-run"]);
    same(&["upgrade", "plan", "--fence", "--database", "nobody"]);
    assert_eq!(
        new.psql("postgres", "SELECT count(*) FROM pg_database"),
        "3"
    );

    // Moved here, taken back here, moved from afar: the same report, the one written there where it was asked for.
    let json_too = |args: &[&'static str]| [args, &["--json"]].concat();
    let back = ["upgrade", "rollback", "--confirm", PHRASE];
    let here = both.here(&json_too(&move_it)).succeeds().json();
    let gone = both.here(&json_too(&back)).succeeds().json();
    let afar = both.afar(&json_too(&move_it)).succeeds().json();
    assert_eq!(shape(&here), shape(&afar));
    assert_eq!(afar["succeeded"], true);
    let report = |folder: &std::path::Path| {
        assert!(folder.join("moved.json").exists());
        steady(&std::fs::read_to_string(folder.join("moved.md")).unwrap())
    };
    assert_eq!(report(house.pgkeep.path()), report(both.elsewhere.path()));
    let count = "SELECT count(*) FROM customers";
    assert_eq!(old.psql("shop", count), new.psql("shop", count));
    old.try_psql("shop", "DELETE FROM reviews").unwrap_err();
    let listed = ["list", "--tag", "pre-upgrade", "--json"];
    let listed = both.afar(&listed).succeeds().json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2);
    same(&["upgrade", "verify"]);

    // A way back that was planned does nothing where it would lose more than was shown.
    let asking = Asking::new(&both.served, &both.token);
    let part = |part: &str| format!("/apps/shop/upgrade/rollback{part}");
    let planned = asking.send("POST", &part("/plan"), &json!({ "force": true }));
    let planned = asking.job_of(&planned);
    assert_eq!(planned["state"], "succeeded", "{planned:#}");
    let unconfirmed = json!({ "plan": planned["id"] });
    asking
        .send("POST", &part(""), &unconfirmed)
        .refused(422, "invalid");
    let agreed = json!({ "plan": planned["id"], "confirm": PHRASE });
    asking
        .send("POST", "/apps/shop/upgrade", &agreed)
        .refused(422, "invalid");
    new.psql("shop", "DELETE FROM reviews");
    let changed = asking.job_of(&asking.send("POST", &part(""), &agreed));
    assert_eq!(changed["state"], "failed", "{changed:#}");
    assert_eq!(changed["error"]["code"], "plan_changed", "{changed:#}");
    assert_eq!(changed["attempts"], 1);

    // What was written since is found, and keeps the way back shut until it is forced and confirmed.
    assert_eq!(same(&["upgrade", "verify"])["equal"], false);
    let dry = same(&["upgrade", "rollback", "--dry-run"]);
    assert!(dry["refusals"].to_string().contains("public.reviews"));
    let (here, afar) = (both.here(&back), both.afar(&back));
    assert_eq!(why(here.fails_with(8)), why(afar.fails_with(8)));
    let forced = ["upgrade", "rollback", "--database", "shop", "--force"];
    let unsaid = both.afar(&forced).fails_with(8).stderr;
    assert!(unsaid.contains("--confirm"), "{unsaid}");
    assert_eq!(new.psql("shop", count), old.psql("shop", count));
    let confirmed = [&forced[..], &["--confirm", PHRASE]].concat();
    let dropped = both.afar(&json_too(&confirmed)).succeeds().json();
    assert_eq!(dropped["dropped"], json!(["shop"]));
    assert_eq!(shape(&dropped), shape(&gone));
    old.psql("shop", "DELETE FROM reviews");

    // The other one stays.
    let accepted = both.afar(&["upgrade", "accept", "--json"]).succeeds();
    assert_eq!(accepted.json(), json!({ "accepted": ["extra"] }));
    let accept = ["upgrade", "accept"];
    let (here, afar) = (both.here(&accept), both.afar(&accept));
    assert_eq!(why(here.fails_with(3)), why(afar.fails_with(3)));
    assert_eq!(new.psql("extra", "SELECT id FROM kept"), "1");

    // Who did what is written down, and the new server's password nowhere.
    let audit = both.here(&["audit", "list", "--json"]).succeeds().stdout;
    for action in ["upgrade.run", "upgrade.rollback", "upgrade.accept"] {
        assert!(audit.contains(action), "{action}");
    }
    assert!(!holds(&house.data(), PASSWORD));
    assert!(!both.served.log().contains(PASSWORD));
    let shown = asking.get("/apps/shop").expect(200).text();
    assert!(shown.contains(":***@"), "{shown}");
    for document in [audit, shown, asking.get("/jobs").expect(200).text()] {
        assert!(!document.contains(PASSWORD), "{document}");
    }
}

#[test]
fn the_new_server_is_named_by_an_option_else_a_variable_else_the_definition() {
    let pgkeep = Pgkeep::new();
    // Nothing listens on this port.
    let named = |what: &str| format!("postgres://nobody@127.0.0.1:1/{what}");
    let mut definition = String::from("[app.shop]\ndatabases = [\"shop\"]\n\n");
    let accept = |args: &[&str], variable: Option<&str>| {
        let mut command = pgkeep.command(&[&["upgrade", "accept"], args].concat());
        command.envs(variable.map(|url| ("PGKEEP_UPGRADE_TO", url)));
        Run::of(&command.output().unwrap())
    };
    pgkeep.write("pgkeep.toml", &definition);
    let nowhere = accept(&[], None).fails_with(2).stderr;
    assert!(nowhere.contains("[app.NAME.upgrade]"), "{nowhere}");
    pgkeep.write("new.url", &named("defined"));
    definition.push_str("[app.shop.upgrade]\nto = \"file:new.url\"\n");
    pgkeep.write("pgkeep.toml", &definition);
    let (variable, option) = (named("variable"), named("option"));
    for (args, variable, meant) in [
        (&[][..], None, "defined"),
        (&[], Some(variable.as_str()), "variable"),
        (&["--to", &option], Some(&variable), "option"),
    ] {
        let tried = accept(args, variable).fails_with(7).stderr;
        assert!(tried.contains(&format!("\"{meant}\"")), "{meant}: {tried}");
    }
}
