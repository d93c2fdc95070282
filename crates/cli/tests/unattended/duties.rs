//! What an administrator does now and then: jobs held, moved and cancelled, a second person's yes, accounts and tokens
//! ended, definitions removed, a message tried, a worker started by hand, a policy made by answering questions.

use crate::{
    asking::Asking,
    house::House,
    pgkeep::{
        Pgkeep, Run,
        scene::{PHRASE, Running, wait_until},
        terminal::Terminal,
    },
};
use pgkeep_testkit::HttpReceiver;
use rustix::process::Signal;
use serde_json::{Value, json};

const RELEASE: &str = "\
[policy.release]
app = \"shop\"
schedule = { frequency = \"on_demand\" }
";

/// Queues a run of the policy while the queue is paused, and gives its job.
fn queued(house: &House) -> String {
    let run = house.run(&["policy", "run", "release", "--no-wait", "--json"]);
    let answer = run.succeeds().json();
    let job = &answer["jobs"][0];
    let id = job["id"].as_str().or(job["job_id"].as_str());
    id.unwrap_or_else(|| panic!("{answer:#}")).to_owned()
}

#[test]
fn queued_jobs_are_held_moved_released_and_cancelled() {
    let house = House::new(RELEASE);
    let served = house.serve();
    house.run(&["queue", "pause"]).succeeds();
    let job = queued(&house);
    let short = &job[job.len() - 12..];
    let act = |args: &[&str]| house.run(&[&["job"], args, &["--json"]].concat());

    assert_eq!(act(&["hold", short]).succeeds().json()["held"], true);
    assert_eq!(act(&["release", short]).succeeds().json()["held"], false);
    let moved = act(&["priority", short, "10"]).succeeds().json();
    assert_eq!(moved["priority"], 10);
    let moved = act(&["priority", short, "-5"]);
    assert_eq!(moved.succeeds().json()["priority"], -5);
    act(&["hold", short]).succeeds();
    house.run(&["queue", "resume"]).succeeds();
    // A held one stays where others go on.
    let other = queued(&house);
    wait_until("the other one is done", || {
        act(&["show", &other]).succeeds().json()["state"] == "succeeded"
    });
    let held = act(&["show", short]).succeeds().json();
    assert_eq!(held["state"], "queued");
    assert_eq!(
        act(&["cancel", short]).succeeds().json()["state"],
        "cancelled"
    );
    let again = act(&["cancel", short]).succeeds().json();
    assert_eq!(again["state"], "cancelled", "it stays as it ended");
    act(&["release", "deadbeef0000"]).fails_with(3);
    assert_eq!(served.terminate(), 0);
}

/// An account with a token for everything that it may do.
fn account(house: &House, name: &str, role: &str) -> String {
    let file = format!("{name}.password");
    house.pgkeep.write(&file, "four quiet pelicans\n");
    let args = [
        "user",
        "create",
        name,
        "--role",
        role,
        "--password-file",
        &file,
    ];
    house.run(&args).succeeds();
    let args = [
        "token",
        "create",
        &format!("of-{name}"),
        "--owner",
        name,
        "--role",
        role,
        "--json",
    ];
    let made = house.run(&args).succeeds().json();
    made["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_replacing_restore_waits_for_a_second_person() {
    let house = House::new("two_person_restore = true\n");
    let served = house.serve();
    let first = Asking::new(&served, &served.admin_token());
    let second = account(&house, "olga", "admin");
    let elsewhere = Pgkeep::new();
    let backup = first.send("POST", "/backups", &json!({ "app": "shop" }));
    let backup = first.result_of(&backup)["id"].as_str().unwrap().to_owned();
    house.shop.psql("shop", "DROP TABLE order_lines CASCADE");
    let path = format!("/backups/{backup}/restore");
    let asked = json!({ "mode": "replace", "name": "shop", "confirm": PHRASE });
    let ask = || {
        let restore = first.send("POST", &path, &asked).expect(202);
        let job = restore.json()["jobId"].as_str().unwrap().to_owned();
        (restore, job)
    };
    let approve = |job: &str, token: &str| {
        served.asked_from_afar(&elsewhere, token, &["job", "approve", job])
    };

    // What was agreed to is what runs: a hook that came in between does not.
    let (restore, job) = ask();
    let app = first.get("/apps/shop").expect(200).json()["definition"].clone();
    let plan = first
        .send("POST", &format!("{path}/plan"), &asked)
        .expect(200)
        .json();
    let shown = first.get(&format!("/jobs/{job}")).expect(200).json();
    assert_eq!(shown["planHash"], plan["hash"], "{shown:#}");
    let mark = house.data().join("hook-ran");
    let mut changed = app.clone();
    changed["hooks"] = json!([{ "on": "before_swap", "command": ["touch", mark] }]);
    let put = |definition| {
        first
            .send("PUT", "/apps/shop?managedBy=api", definition)
            .expect(200)
    };
    put(&changed);
    approve(&job, &second).succeeds();
    let failed = first.job_of(&restore);
    assert_eq!(failed["error"]["code"], "plan_changed", "{failed:#}");
    assert!(failed["error"]["hint"].is_string(), "{failed:#}");
    assert!(!mark.exists());
    put(&app);

    let (restore, job) = ask();
    let own = approve(&job, first.token()).fails_with(6);
    assert!(own.stderr.contains("hint:"), "{}", own.stderr);
    let state = first.get(&format!("/jobs/{job}")).expect(200).json();
    assert_eq!(
        (&state["state"], &state["approval"]["state"]),
        (&"queued".into(), &"needed".into())
    );
    approve(&job, &second).succeeds();
    let report = first.result_of(&restore);
    assert_eq!(report["proof"]["differences"], json!([]));
    approve(&job, &second).fails_with(8);
    let audit = first.get("/audit").expect(200).text();
    assert!(audit.contains("olga (token of-olga)"), "{audit}");
}

#[test]
fn accounts_and_tokens_end_when_they_are_told_to() {
    let house = House::new("");
    let served = house.serve();
    let ann = served.admin_token();
    let ben = account(&house, "ben", "operator");
    let elsewhere = Pgkeep::new();
    let as_ben = || served.asked_from_afar(&elsewhere, &ben, &["list"]);
    as_ben().succeeds();

    let asking = Asking::new(&served, "");
    let login = |password: &str| {
        let body = json!({ "name": "ben", "password": password });
        asking.without_token("POST", "/session", &body).status
    };
    assert_eq!(login("four quiet pelicans"), 200);
    house.pgkeep.write("new", "three loud ostriches\n");
    let passwd = ["user", "passwd", "ben", "--password-file", "new"];
    house.run(&passwd).succeeds();
    assert_eq!(login("four quiet pelicans"), 401);
    assert_eq!(login("three loud ostriches"), 200);
    house.run(&["user", "passwd", "ben"]).fails_with(2);
    house.run(&["user", "passwd", "nobody"]).fails_with(3);

    house.run(&["user", "disable", "ben"]).succeeds();
    as_ben().fails_with(6);
    assert_eq!(login("three loud ostriches"), 401);
    house.run(&["user", "enable", "ben"]).succeeds();
    assert_eq!(login("three loud ostriches"), 200);
    let unasked = house.run(&["user", "delete", "ben"]).fails_with(8);
    assert!(unasked.stderr.contains("add --yes"), "{}", unasked.stderr);
    house.run(&["user", "delete", "ben", "--yes"]).succeeds();
    as_ben().fails_with(6);
    assert_eq!(login("three loud ostriches"), 401);
    house.run(&["user", "delete", "ben"]).fails_with(3);
    let last = house.run(&["user", "delete", "ann", "--yes"]).fails_with(8);
    assert!(last.stderr.contains("admin"), "{}", last.stderr);
    house.run(&["user", "disable", "ann"]).fails_with(8);

    let list = house.run(&["token", "list"]).succeeds();
    assert!(list.stdout.contains("ci"), "{}", list.stdout);
    served
        .asked_from_afar(&elsewhere, &ann, &["list"])
        .succeeds();
    house.run(&["token", "revoke", "ci"]).succeeds();
    served
        .asked_from_afar(&elsewhere, &ann, &["list"])
        .fails_with(6);
    house.run(&["token", "revoke", "ci"]).fails_with(3);
    house.run(&["audit", "verify"]).succeeds();
}

#[test]
fn what_is_defined_is_removed_in_its_order_and_backups_go_from_afar() {
    let receiver = HttpReceiver::start();
    let nowhere = HttpReceiver::start();
    // Whatever else the server may have to tell meanwhile.
    for _ in 0..100 {
        nowhere.answer(410, &[], "gone");
    }
    let house = House::new(&format!(
        "{RELEASE}\n[notify.chat]\nchannel = \"webhook\"\nurl = \"{}\"\n\n\
         [notify.lost]\nchannel = \"webhook\"\nurl = \"{}\"\n",
        receiver.url("/hook"),
        nowhere.url("/hook"),
    ));
    let served = house.serve();
    let token = served.admin_token();
    let elsewhere = Pgkeep::new();
    let afar = |args: &[&str]| served.asked_from_afar(&elsewhere, &token, args);

    afar(&["notify", "test", "chat"]).succeeds();
    let request = receiver.next_request();
    assert!(request.header("webhook-signature").is_some() || !request.body.is_empty());
    let lost = house.run(&["notify", "test", "lost"]).fails_with(1);
    assert!(lost.stdout.contains("410"), "{}", lost.stdout);
    house.run(&["notify", "test", "nobody"]).fails_with(3);

    let back_up = || -> String {
        let made = afar(&["backup", "--json"]).succeeds().json();
        made["id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (back_up(), back_up());
    let plan = afar(&["forget", &first[..8], "--dry-run"]).succeeds();
    assert!(plan.stdout.contains(&first[..8]), "{}", plan.stdout);
    let newest = afar(&["forget", &second[..8]]).fails_with(8);
    assert!(newest.stderr.contains("newest good"), "{}", newest.stderr);
    let unasked = afar(&["forget", &first[..8]]).fails_with(8);
    for said in [&first[..8], "remove 1 backup: nobody is there", "add --yes"] {
        assert!(unasked.stderr.contains(said), "{}", unasked.stderr);
    }
    afar(&["forget", &first[..8], "--yes"]).succeeds();
    let left = house.run(&["list", "--json"]).succeeds().json();
    let left: Vec<&Value> = left["backups"].as_array().unwrap().iter().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["id"], second.as_str());

    let in_use = house
        .run(&["repository", "delete", "main", "--yes"])
        .fails_with(8);
    assert!(in_use.stderr.contains("shop"), "{}", in_use.stderr);
    house.run(&["app", "delete", "shop", "--yes"]).fails_with(8);
    house
        .run(&["policy", "delete", "release", "--yes"])
        .succeeds();
    house.run(&["app", "delete", "shop", "--yes"]).succeeds();
    house.run(&["app", "delete", "shop"]).fails_with(3);
    house
        .run(&["repository", "delete", "main", "--yes"])
        .succeeds();
    house.run(&["repository", "show", "main"]).fails_with(3);
    let stored = house.run(&["list", "--repo", "./backups", "--json"]);
    let stored = stored.succeeds().json();
    assert_eq!(
        stored["backups"].as_array().unwrap().len(),
        1,
        "what is stored stays"
    );
}

#[test]
fn a_worker_by_hand_does_what_a_server_without_workers_is_asked_for() {
    let house = House::new(&format!("workers = 0\n\n{RELEASE}"));
    let served = house.serve();
    let run = house.run(&["policy", "run", "release"]).fails_with(5);
    assert!(run.stderr.contains("worker"), "{}", run.stderr);
    let worker = worker(&house);
    wait_until("the worker is there", || {
        let queue = house.run(&["queue", "status", "--json"]).succeeds().json();
        queue["nodes"].to_string().contains("by-hand")
    });
    let run = house.run(&["policy", "run", "release", "--json"]);
    let job = &run.succeeds().json()["jobs"][0];
    assert_eq!(job["state"], "succeeded");
    assert!(
        job["node"].as_str().unwrap().starts_with("by-hand-"),
        "{job}"
    );
    worker.signal(Signal::TERM);
    let ended: Run = worker.finish().succeeds();
    assert!(
        ended.stderr.contains("only workers of this machine"),
        "{}",
        ended.stderr
    );
    assert_eq!(served.terminate(), 0);
}

fn worker(house: &House) -> Running {
    let mut command = house.pgkeep.child(&["worker", "--node", "by-hand"]);
    command
        .env("PGKEEP_DATA_DIR", house.data())
        .envs(std::env::var_os("PGKEEP_CACHE").map(|cache| ("PGKEEP_CACHE", cache)));
    Running::start(command)
}

#[test]
fn a_policy_is_made_by_answering_questions() {
    let pgkeep = Pgkeep::new();
    pgkeep.write(
        "pgkeep.toml",
        "[repository.main]\naddress = \"./backups\"\n[app.shop]\ndatabases = [\"postgres://db.example.com/shop\"]\n",
    );
    let command = |args: &[&str]| {
        let mut command = pgkeep.child(args);
        command.env("PGKEEP_DATA_DIR", pgkeep.path().join("data"));
        command
    };
    Running::start(command(&["apply"])).finish().succeeds();

    let mut terminal = Terminal::start(command(&["policy", "create"]));
    terminal.wait_for("name of the policy");
    terminal.type_in("sundays\r");
    terminal.wait_for("how often");
    // From daily, which is marked, one further down.
    terminal.type_in("\x1b[B\r");
    terminal.wait_for("Sunday");
    terminal.type_in("\r");
    terminal.wait_for("at [02:00]");
    terminal.type_in("3:15\r");
    terminal.wait_for("time zone");
    terminal.type_in("Europe/Berlin\r");
    terminal.wait_for("30 days");
    terminal.type_in("\x1b[B\r");
    assert_eq!(terminal.finish(), 0);

    let shown = Running::start(command(&["policy", "show", "sundays", "--json"]));
    let shown = shown.finish().succeeds().json();
    let definition = &shown["definition"];
    assert_eq!(definition["app"], "shop");
    for (field, expected) in [
        ("/schedule/frequency", "weekly"),
        ("/schedule/weekday", "sunday"),
        ("/schedule/at", "03:15"),
        ("/schedule/time_zone", "Europe/Berlin"),
    ] {
        assert_eq!(definition.pointer(field).unwrap(), expected, "{field}");
    }
    let keep = &definition["retention"]["keep"];
    let kept = ["daily", "weekly", "monthly"].map(|span| keep[span].as_u64());
    assert_eq!(kept, [Some(7), Some(4), Some(12)]);

    // A person who says no, and one who leaves.
    let mut terminal = Terminal::start(command(&["policy", "delete", "sundays"]));
    terminal.wait_for("[y/N]");
    terminal.type_in("n");
    assert_eq!(terminal.finish(), 8);
    let mut terminal = Terminal::start(command(&["policy", "create"]));
    terminal.wait_for("name of the policy");
    terminal.press_ctrl_c();
    assert_eq!(terminal.finish(), 130);
    let mut terminal = Terminal::start(command(&["policy", "delete", "sundays"]));
    terminal.wait_for("[y/N]");
    terminal.type_in("y");
    assert_eq!(terminal.finish(), 0);
    let list = Running::start(command(&["policy", "list", "--json"]));
    assert_eq!(list.finish().succeeds().json()["policies"], json!([]));
}

#[test]
fn a_question_leaves_the_terminal_as_it_was_however_it_ends() {
    let pgkeep = Pgkeep::new();
    pgkeep.write(
        "pgkeep.toml",
        "[repository.main]\naddress = \"./backups\"\n[app.shop]\ndatabases = [\"postgres://db.example.com/shop\"]\n\
         [policy.nightly]\napp = \"shop\"\nschedule = { frequency = \"daily\" }\n",
    );
    let command = |args: &[&str]| {
        let mut command = pgkeep.child(args);
        command.env("PGKEEP_DATA_DIR", pgkeep.path().join("data"));
        command
    };
    Running::start(command(&["apply"])).finish().succeeds();
    let asked = |args: &[&str], words: &str| {
        let mut terminal = Terminal::start_session(&command(args));
        terminal.wait_for(words);
        terminal
    };

    // What can be read can be answered: from its first words on, Ctrl-C is an answer and no signal.
    let delete = ["policy", "delete", "nightly"];
    let mut terminal = asked(&delete, "delete policy nightly");
    assert!(terminal.reads_keys());
    terminal.press_ctrl_c();
    assert_eq!(terminal.end(), 130);
    let text = terminal.text();
    assert!(text.contains("nothing was changed"), "{text}");
    assert!(!text.contains("cancelling"), "{text}");
    assert!(terminal.is_as_usual());

    // The first signal that ends a process ends it here, too.
    for signal in [Signal::TERM, Signal::HUP] {
        let mut terminal = asked(&delete, "[y/N]");
        terminal.signal(signal);
        assert_eq!(terminal.end(), 130);
        assert!(terminal.is_as_usual(), "{signal:?}");
    }
    let mut terminal = asked(&["policy", "create"], "name of the policy");
    assert!(terminal.reads_keys());
    terminal.type_in("weekly\r");
    terminal.wait_for("how often");
    assert!(terminal.reads_keys());
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.end(), 130);
    assert!(terminal.is_as_usual());

    // A password is typed unseen; afterwards, what is typed is seen again.
    let create = ["user", "create", "ann", "--role", "admin"];
    for leave in [
        (|terminal: &mut Terminal| terminal.press_ctrl_c()) as fn(&mut Terminal),
        |terminal| terminal.signal(Signal::TERM),
    ] {
        let mut terminal = asked(&create, "password");
        leave(&mut terminal);
        assert_eq!(terminal.end(), 130);
        assert!(terminal.is_as_usual());
    }

    let mut terminal = asked(&delete, "[y/N]");
    terminal.type_in("n");
    assert_eq!(terminal.end(), 8);
    assert!(terminal.is_as_usual());
    let list = Running::start(command(&["policy", "list", "--json"])).finish();
    assert_eq!(
        list.succeeds().json()["policies"].as_array().unwrap().len(),
        1
    );
}
