//! The whole story against real S3-compatible servers, and servers that go away, refuse or are slow.

mod pgkeep;

use pgkeep::{
    Run,
    proxy::{HoldingProxy, Passing, Side},
    scene::{PHRASE, Running, Scene},
};
use pgkeep_testkit::ObjectStore;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

/// A shop whose repository lies in an object store.
struct Remote {
    scene: Scene,
    store: ObjectStore,
}

impl Remote {
    fn on(store: ObjectStore) -> Self {
        let scene = Scene::new();
        Remote { scene, store }
    }

    fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("PGKEEP_REPO", self.store.repository("shop")),
            ("AWS_ACCESS_KEY_ID", self.store.access_key_id().into()),
            (
                "AWS_SECRET_ACCESS_KEY",
                self.store.secret_access_key().into(),
            ),
            ("AWS_REGION", "us-east-1".into()),
            ("BACKUP_ENCRYPTION_KEY", "a key for the object store".into()),
        ]
    }

    fn run(&self, args: &[&str]) -> Run {
        let mut command = self.scene.pgkeep.command(args);
        command
            .envs(self.scene.environment())
            .envs(self.environment());
        let run = Run::of(&command.output().unwrap());
        let secret = self.store.secret_access_key();
        assert!(
            !run.stdout.contains(secret) && !run.stderr.contains(secret),
            "{run:?}"
        );
        run
    }

    /// Starts the binary and leaves it running, with this way to the store. Nothing makes it give up soon.
    fn start_by(&self, way: &HoldingProxy, args: &[&str]) -> Running {
        let direct = self.store.repository("shop");
        let port = self.store.port();
        let address = direct.replace(&format!(":{port}"), &format!(":{}", way.port()));
        self.scene.pgkeep.write(
            "pgkeep.toml",
            &format!("[repository.held]\naddress = \"{address}\"\nretries = 1000\n"),
        );
        let mut command = self.scene.pgkeep.child(args);
        command
            .envs(self.scene.environment())
            .envs(self.environment())
            .env("PGKEEP_REPO", "held");
        Running::start(command)
    }

    /// A backup that has sent off one pack, and is held before it sends the next.
    fn backup_with_a_pack_stored(&self) -> (Running, HoldingProxy) {
        let before = self.packs();
        let packs = AtomicUsize::new(0);
        let way = HoldingProxy::before(self.store.port(), move |passing| {
            is_put(passing, "/data/") && packs.fetch_add(1, Ordering::SeqCst) > 0
        });
        let mut backup = self.start_by(&way, &["backup"]);
        backup.wait_for("a pack is stored", || way.holds() && self.packs() > before);
        (backup, way)
    }

    /// Packs that the server keeps as files.
    fn packs(&self) -> usize {
        let data = self.store.bucket_folder().unwrap().join("shop/data");
        let folders = std::fs::read_dir(data).into_iter().flatten().flatten();
        folders
            .flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten())
            .count()
    }

    fn backups(&self) -> usize {
        let list = self.run(&["list", "--json"]).succeeds().json();
        list["backups"].as_array().unwrap().len()
    }

    fn story(&self) {
        let first = self.run(&["backup", "--json"]).succeeds().json();
        let id = first["id"].as_str().unwrap();
        let again = self.run(&["backup", "--json"]).succeeds().json();
        assert!(
            again["bytes_added"].as_u64().unwrap() * 5 < first["bytes_added"].as_u64().unwrap()
        );
        assert_eq!(self.backups(), 2);
        self.run(&["verify", "--read-data"]).succeeds();

        let before = self.scene.fingerprint("shop");
        self.scene.server.psql("shop", "DELETE FROM order_lines");
        self.run(&["restore", id, "--into", "side"]).succeeds();
        assert_eq!(self.scene.fingerprint("side"), before);
        self.run(&["restore", id, "--replace", "--confirm", PHRASE])
            .succeeds();
        assert_eq!(self.scene.fingerprint("shop"), before);

        self.run(&[
            "forget",
            "--keep-last",
            "1",
            "--protect-newest",
            "0",
            "--yes",
        ])
        .succeeds();
        self.run(&["prune", "--grace", "0"]).succeeds();
        self.run(&["check", "--read-data"]).succeeds();
        self.run(&["drill"]).succeeds();
    }
}

#[test]
fn the_whole_story_on_moto() {
    let remote = Remote::on(ObjectStore::moto());
    let init = remote.run(&["init", "--json"]).succeeds().json();
    assert_eq!(init["lacks"].as_array().map_or(0, Vec::len), 0, "{init:#}");
    remote.run(&["init"]).fails_with(2);
    remote.story();
}

#[test]
fn the_whole_story_on_rclone() {
    let remote = Remote::on(ObjectStore::rclone());
    remote.run(&["init"]).succeeds();
    remote.story();
}

/// Whether a request to write an object in a folder of the repository is about to be sent.
fn is_put(passing: &Passing<'_>, folder: &str) -> bool {
    passing.from == Side::Client
        && passing.begins_with("PUT ")
        && passing.says(&format!("/shop{folder}"))
}

#[test]
fn a_store_that_goes_away_fails_the_backup_and_the_next_one_goes_on() {
    let mut remote = Remote::on(ObjectStore::rclone());
    remote.run(&["init"]).succeeds();
    remote.run(&["backup"]).succeeds();
    remote.scene.add_bulk(40);
    let (mut backup, way) = remote.backup_with_a_pack_stored();
    remote.store.interrupt();
    way.release();
    // It tries again for as long as it is told to; Ctrl-C ends that at once, and leaves what is stored.
    backup.wait_for("the store is missed", || way.misses() > 0);
    backup.interrupt(&way).fails_with(130);
    remote.scene.wait_until_nothing_is_left();
    let down = remote.run(&["list"]).fails_with(9);
    assert!(down.stderr.contains("hint:"), "{}", down.stderr);

    remote.store.resume();
    assert_eq!(remote.backups(), 1);
    remote.run(&["backup"]).succeeds();
    remote.run(&["check", "--read-data"]).succeeds();
}

#[test]
fn a_store_that_is_back_in_a_moment_does_not_fail_the_backup() {
    let mut remote = Remote::on(ObjectStore::rclone());
    remote.run(&["init"]).succeeds();
    remote.scene.add_bulk(40);
    let (mut backup, way) = remote.backup_with_a_pack_stored();
    remote.store.interrupt();
    way.release();
    backup.wait_for("the store is missed", || way.misses() > 0);
    remote.store.resume();
    backup.finish().succeeds();
    remote.run(&["verify", "--read-data"]).succeeds();
}

#[test]
fn a_backup_killed_before_it_is_published_has_stored_and_indexed_all_of_it() {
    let remote = Remote::on(ObjectStore::rclone());
    remote.run(&["init"]).succeeds();
    remote.run(&["backup"]).succeeds();
    remote.scene.add_bulk(40);
    let way = HoldingProxy::before(remote.store.port(), |passing| {
        is_put(passing, "/snapshots/")
    });
    let mut backup = remote.start_by(&way, &["backup"]);
    backup.wait_for("the snapshot is to be written", || way.holds());
    backup.kill9();
    remote.scene.wait_until_nothing_is_left();
    assert_eq!(remote.backups(), 1);
    let check = remote.run(&["check", "--read-data", "--json"]);
    let check = check.succeeds().json();
    let problems = check["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 0, "{check:#}");

    let next = remote.run(&["backup", "--json"]).succeeds().json();
    let added = next["bytes_added"].as_u64().unwrap();
    assert!(
        added < 4_000_000,
        "{added} bytes were stored again, of 40 MB that the killed backup had stored and indexed"
    );
    remote.run(&["verify", "--read-data"]).succeeds();
}

#[test]
fn an_upload_limit_is_kept() {
    let remote = Remote::on(ObjectStore::moto());
    remote.scene.pgkeep.write(
        "pgkeep.toml",
        &format!(
            "[repository.slow]\naddress = \"{}\"\nupload_limit = \"2MiB\"\n",
            remote.store.repository("shop")
        ),
    );
    remote.run(&["init"]).succeeds();
    remote.scene.add_bulk(5);
    let begun = Instant::now();
    let report = remote
        .run(&["backup", "--repo", "slow", "--json"])
        .succeeds()
        .json();
    let added = report["bytes_added"].as_u64().unwrap();
    // A second's worth may go at once.
    let least = (added as f64 / f64::from(2 << 20) - 1.0).max(1.0);
    assert!(
        begun.elapsed().as_secs_f64() >= least,
        "{added} bytes in {:?}",
        begun.elapsed()
    );
}

#[test]
fn wrong_credentials_and_a_missing_bucket_are_told() {
    let remote = Remote::on(ObjectStore::rclone());
    remote.run(&["init"]).succeeds();
    let mut command = remote.scene.pgkeep.command(&["list"]);
    command
        .envs(remote.environment())
        .env("AWS_SECRET_ACCESS_KEY", "wrong");
    let refused = Run::of(&command.output().unwrap()).fails_with(9);
    assert!(refused.stderr.contains("credentials"), "{}", refused.stderr);
    let mut command = remote.scene.pgkeep.command(&["list"]);
    command
        .envs(remote.environment())
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let none = Run::of(&command.output().unwrap()).fails_with(2);
    assert!(
        none.stderr.contains("AWS_SECRET_ACCESS_KEY"),
        "{}",
        none.stderr
    );
    let missing = remote
        .store
        .repository("shop")
        .replace("s3://backups", "s3://nosuch");
    let missing = remote.run(&["list", "--repo", &missing]);
    assert!(
        [6, 9].contains(&missing.code) && missing.stderr.contains("hint:"),
        "{missing:?}"
    );
}
