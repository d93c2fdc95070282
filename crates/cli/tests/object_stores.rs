//! The whole story against real S3-compatible servers, and servers that go away, refuse or are slow.

mod pgkeep;

use pgkeep::{
    Run,
    scene::{PHRASE, Running, Scene, wait_until},
};
use pgkeep_testkit::ObjectStore;
use std::time::Instant;

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

    fn start(&self, args: &[&str]) -> Running {
        let mut command = self.scene.pgkeep.child(args);
        command
            .envs(self.scene.environment())
            .envs(self.environment());
        Running::start(command)
    }

    /// Packs that the server keeps as files.
    fn packs(&self) -> usize {
        let data = self.store.bucket_folder().unwrap().join("shop/data");
        let folders = std::fs::read_dir(data).into_iter().flatten().flatten();
        folders
            .flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten())
            .count()
    }

    fn story(&self) {
        let first = self.run(&["backup", "--json"]).succeeds().json();
        let id = first["id"].as_str().unwrap();
        let again = self.run(&["backup", "--json"]).succeeds().json();
        assert!(
            again["bytes_added"].as_u64().unwrap() * 5 < first["bytes_added"].as_u64().unwrap()
        );
        let list = self.run(&["list", "--json"]).succeeds().json();
        assert_eq!(list["backups"].as_array().unwrap().len(), 2);
        self.run(&["verify", "--read-data"]).succeeds();

        let before = self.scene.fingerprint("shop");
        self.scene.server.psql("shop", "DELETE FROM order_lines");
        self.run(&["restore", id, "--into", "side"]).succeeds();
        assert_eq!(self.scene.fingerprint("side"), before);
        self.run(&["restore", id, "--replace", "--confirm", PHRASE])
            .succeeds();
        assert_eq!(self.scene.fingerprint("shop"), before);

        self.run(&["forget", "--keep-last", "1", "--protect-newest", "0"])
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

#[test]
fn a_store_that_goes_away_fails_the_backup_and_the_next_one_goes_on() {
    let mut remote = Remote::on(ObjectStore::rclone());
    remote.run(&["init"]).succeeds();
    remote.run(&["backup"]).succeeds();
    remote.scene.add_bulk(40);
    let before = remote.packs();

    let mut backup = remote.start(&["backup"]);
    let store = &remote;
    backup.wait_for("a pack is stored", || store.packs() > before);
    remote.store.interrupt();
    // It tries again for a while; Ctrl-C ends that at once, and leaves what is stored.
    wait_until("the store is missed", || !backup.has_ended());
    backup.signal(rustix::process::Signal::INT);
    backup.finish().fails_with(130);
    remote.scene.wait_until_nothing_is_left();
    let down = remote.run(&["list"]).fails_with(9);
    assert!(down.stderr.contains("hint:"), "{}", down.stderr);

    remote.store.resume();
    assert_eq!(
        remote.run(&["list", "--json"]).succeeds().json()["backups"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    remote.run(&["backup"]).succeeds();
    remote.run(&["check", "--read-data"]).succeeds();
}

#[test]
fn a_store_that_is_back_in_a_moment_does_not_fail_the_backup() {
    let mut remote = Remote::on(ObjectStore::rclone());
    remote.run(&["init"]).succeeds();
    remote.scene.add_bulk(40);
    let before = remote.packs();
    let mut backup = remote.start(&["backup"]);
    let store = &remote;
    backup.wait_for("a pack is stored", || store.packs() > before);
    remote.store.resume();
    backup.finish().succeeds();
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
