//! No space left: where the repository lies, and where the server keeps its databases.

use crate::pgkeep::scene::Scene;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn a_full_repository_keeps_its_backups_and_goes_on_when_there_is_room() {
    let scene = Scene::new();
    let place = SmallDisk::at(&scene.pgkeep.path().join("small"), "60m");
    let repository = place.folder.join("backups");
    let on_disk =
        |args: &[&str]| scene.run(&[args, &["--repo", repository.to_str().unwrap()]].concat());
    on_disk(&["init"]).succeeds();
    let first = on_disk(&["backup", "--quiet"])
        .succeeds()
        .stdout
        .trim()
        .to_owned();
    let before = scene.fingerprint("shop");
    // Several packs fit before the disk is full, however many are being stored at once.
    scene.add_bulk(100);

    let full = on_disk(&["backup", "--json"]).fails_with(9);
    assert_eq!(full.json()["error"]["code"], "storage");
    assert!(full.stderr.contains("No space left"), "{}", full.stderr);
    assert!(
        full.stderr
            .contains("hint: nothing that was stored before is harmed; free some space"),
        "{}",
        full.stderr
    );
    scene.wait_until_nothing_is_left();

    // Not even a byte is left, as when others fill the same disk.
    place.fill();
    let list = on_disk(&["list", "--json"]).succeeds().json();
    assert_eq!(list["backups"].as_array().unwrap().len(), 1);
    on_disk(&["restore", &first, "--into", "side"]).succeeds();
    assert_eq!(scene.fingerprint("side"), before);
    on_disk(&["verify", "--read-data"]).succeeds();
    on_disk(&["check", "--read-data"]).succeeds();

    place.resize("300m");
    let second = on_disk(&["backup", "--json"]).succeeds().json();
    let added = second["bytes_added"].as_u64().unwrap();
    assert!(
        added < 80_000_000,
        "{added} bytes: what fitted before was stored again"
    );
    on_disk(&["check", "--read-data"]).succeeds();
    on_disk(&["restore", "latest", "--into", "later"]).succeeds();
}

#[test]
fn a_restore_that_fills_the_servers_disk_takes_its_database_away() {
    let mut scene = Scene::new();
    scene.add_bulk(15);
    let (id, _) = scene.backup();
    let live = scene.fingerprint("shop");
    let databases = scene.databases();

    scene.server.stop();
    let base = scene.server.data_dir().join("base");
    let aside = scene.server.data_dir().join("base.aside");
    std::fs::rename(&base, &aside).unwrap();
    let used = size_of(&aside) / (1 << 20);
    let place = SmallDisk::at(&base, &format!("{}m", used + 16));
    run(Command::new("chown")
        .arg("--reference")
        .arg(&aside)
        .arg(&base));
    run(Command::new("chmod").arg("0700").arg(&base));
    run(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&base));
    scene.server.start_again();

    let full = scene.run(&["restore", &id, "--into", "side"]).fails_with(7);
    assert!(
        full.stderr.contains("No space left on device"),
        "{}",
        full.stderr
    );
    assert!(
        full.stderr.contains("the server's disk is full"),
        "{}",
        full.stderr
    );
    assert_eq!(scene.databases(), databases);
    assert_eq!(scene.fingerprint("shop"), live);

    place.resize("300m");
    scene.run(&["restore", &id, "--into", "side"]).succeeds();
    scene.server.stop();
    drop(place);
}

/// A file system of its own in memory.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn at(folder: &Path, size: &str) -> Self {
        std::fs::create_dir(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "pgkeep-test"]);
        let status = mount
            .arg(folder)
            .status()
            .expect("the program mount is there");
        assert!(
            status.success(),
            "this test needs a file system that it can fill, and mounting one was refused: run it as root"
        );
        Self {
            folder: folder.to_owned(),
        }
    }

    fn resize(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]);
        run(mount.arg(&self.folder));
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        use std::io::Write;
        let mut filler = std::fs::File::create(self.folder.join("filler")).unwrap();
        for size in [1 << 20, 4096, 1] {
            let block = vec![1; size];
            while filler.write(&block).is_ok_and(|n| n == size) {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server may still run in it when a test has failed.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => size_of(&entry.path()),
            false => entry.metadata().unwrap().len(),
        })
        .sum()
}
