//! A server that is killed again and again while it is asked for backups, drills and restores: nothing is lost, nothing is
//! done twice, nothing lies.
//!
//! `PGKEEP_CHAOS_KILLS` says how often it is killed, `PGKEEP_CHAOS_SEED` when: the same seed gives the same moments and the
//! same requests, though not the same course of events. `cargo xtask chaos` is the long run.

use crate::{
    asking::Asking,
    house::House,
    pgkeep::scene::{processes, wait_until},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

/// Requests for each time that the server is killed.
const REQUESTS: u64 = 2;

#[test]
fn a_server_killed_at_random_moments_loses_nothing_and_does_nothing_twice() {
    let given = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    let kills = given("PGKEEP_CHAOS_KILLS").unwrap_or(6);
    let seed = given("PGKEEP_CHAOS_SEED").unwrap_or_else(|| RandomState::new().hash_one(kills));
    println!("{kills} kills, PGKEEP_CHAOS_SEED={seed}");
    let mut dice = Dice(seed | 1);

    let house = House::new("");
    let served = house.serve();
    let asking = Asking::new(&served, &served.admin_token());
    let first = asking.send("POST", "/backups", &json!({ "app": "shop" }));
    let first = asking.result_of(&first)["id"].as_str().unwrap().to_owned();
    let orders: Vec<Order> = (0..kills * REQUESTS)
        .map(|number| Order::random(number, &first, &mut dice))
        .collect();

    let jobs = std::thread::scope(|scope| {
        let (next, turns) = channel();
        let asking = &asking;
        let placing = scope.spawn(move || place_all(&orders, asking, &turns));
        let mut served = served;
        for kill in 0..kills {
            for _ in 0..REQUESTS {
                next.send(()).unwrap();
            }
            // Not to wait for anything: the moment is what is tried out.
            std::thread::sleep(Duration::from_millis(dice.below(1_500)));
            served.kill9();
            println!("kill {}", kill + 1);
            served = house.serve();
        }
        drop(next);
        let jobs = placing.join().unwrap();
        let ended = look_at_jobs(asking, &jobs);
        asking.get("/health/ready").expect(200);
        assert_eq!(served.terminate(), 0);
        ended
    });
    look_at_what_is_stored(&house, &jobs);
    look_at_what_is_left(&house, &jobs);
}

/// Numbers that look random and are the same for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Something that is asked for once, by a request that is repeated until it is answered.
struct Order {
    key: String,
    kind: &'static str,
    path: String,
    body: Value,
}

impl Order {
    fn random(number: u64, backup: &str, dice: &mut Dice) -> Self {
        let (kind, path, body) = match dice.below(4) {
            0 => (
                "drill",
                "/drills".to_owned(),
                json!({ "app": "shop", "backup": backup }),
            ),
            1 => (
                "restore",
                format!("/backups/{backup}/restore"),
                json!({ "mode": "into", "name": format!("side_{number}") }),
            ),
            _ => (
                "backup",
                "/backups".to_owned(),
                json!({ "app": "shop", "description": format!("number {number}") }),
            ),
        };
        Self {
            key: format!("order-{number}"),
            kind,
            path,
            body,
        }
    }
}

/// Sends each order, two at each turn, until a server has taken it; gives the job of each.
fn place_all(
    orders: &[Order],
    asking: &Asking,
    turns: &Receiver<()>,
) -> Vec<(&'static str, String)> {
    let mut jobs = Vec::new();
    for order in orders {
        // When nobody takes turns any more, all that is left goes out.
        let _ = turns.recv();
        let headers = [("idempotency-key", order.key.as_str())];
        let mut job = None;
        wait_until("a server takes the order", || {
            let answer = asking.try_to_send("POST", &order.path, &headers, &order.body);
            let Ok(answer) = answer else { return false };
            match answer.status {
                202 => job = Some(answer.json()["jobId"].as_str().unwrap().to_owned()),
                // The server starts, or answers another request with this key that nobody waits for any more.
                503 | 409 => {}
                _ => panic!("{} {}", answer.status, answer.text()),
            }
            job.is_some()
        });
        jobs.push((order.kind, job.unwrap()));
    }
    jobs
}

/// Waits until every job is over, and checks that there are no others of their kinds.
fn look_at_jobs(asking: &Asking, placed: &[(&'static str, String)]) -> BTreeMap<String, Value> {
    let mut ended = BTreeMap::new();
    for (kind, id) in placed {
        let mut job = Value::Null;
        wait_until("the job is over", || {
            job = asking.get(&format!("/jobs/{id}")).expect(200).json();
            !job["finishedAt"].is_null()
        });
        assert_eq!(job["kind"], *kind);
        let state = job["state"].as_str().unwrap();
        let gave_up = job["attempts"] == job["maxAttempts"] && job["error"].is_object();
        assert!(
            state == "succeeded" || (state == "failed" && gave_up),
            "{job:#}"
        );
        let twice = ended.insert(id.clone(), job);
        assert!(twice.is_none(), "{id} answers two orders");
    }
    let all = asking.get("/jobs?limit=500").expect(200).json();
    let by_hand = all["items"].as_array().unwrap().iter();
    let by_hand = by_hand.filter(|job| job["trigger"] == "api");
    assert_eq!(by_hand.count(), placed.len() + 1, "{all:#}");
    ended
}

/// Every backup belongs to a job that succeeded, and every such job has exactly one; all of them are whole.
fn look_at_what_is_stored(house: &House, jobs: &BTreeMap<String, Value>) {
    let list = house.run(&["list", "--json"]).succeeds().json();
    let mut backups = BTreeMap::new();
    for backup in list["backups"].as_array().unwrap() {
        let job = backup["job"].as_str().unwrap().to_owned();
        let other = backups.insert(job, backup.clone());
        assert!(
            other.is_none(),
            "a job has two backups: {other:#?} {backup:#}"
        );
    }
    for (id, job) in jobs {
        let succeeded = job["kind"] == "backup" && job["state"] == "succeeded";
        let backup = backups.remove(id);
        assert_eq!(backup.is_some(), succeeded, "{job:#} {backup:#?}");
        if let Some(backup) = backup {
            assert_eq!(backup["id"], job["result"]["id"]);
        }
    }
    assert_eq!(
        backups.len(),
        1,
        "only the first is nobody's order: {backups:#?}"
    );
    house.run(&["verify", "--read-data"]).succeeds();
    let check = house
        .run(&["check", "--read-data", "--json"])
        .succeeds()
        .json();
    assert_eq!(check["problems"], json!([]), "{check:#}");
    house.run(&["audit", "verify"]).succeeds();
    house.run(&["catalog", "backup", "copy.sqlite"]).succeeds();
}

/// No process, and no database but those that were asked for.
fn look_at_what_is_left(house: &House, jobs: &BTreeMap<String, Value>) {
    let (data, port) = (house.data().display().to_string(), house.shop.port());
    wait_until("no process is left", || {
        !processes().any(|process| {
            let of_server = process.command_line().contains(&data);
            let of_shop = process.name().starts_with("pg_")
                && process.environment().contains(&format!("PGPORT={port}\n"));
            of_server || of_shop
        })
    });
    house.run(&["undo", "--drop-expired"]).succeeds();
    let databases = house.shop.psql(
        "postgres",
        "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'",
    );
    let databases: BTreeSet<&str> = databases.lines().map(str::trim).collect();
    let restored = jobs
        .values()
        .filter(|job| job["kind"] == "restore" && job["state"] == "succeeded");
    let mut expected: BTreeSet<&str> = restored
        .map(|job| job["result"]["database"].as_str().unwrap())
        .collect();
    expected.insert("shop");
    assert_eq!(databases, expected);
}
