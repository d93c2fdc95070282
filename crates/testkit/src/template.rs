//! Makes a cluster in milliseconds: `initdb` runs once for each build and set of options, a test gets a copy of its result.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::run;
use crate::installed::{Installation, ServerUser, build_of, cache_dir};

pub(crate) const SUPERUSER: &str = "postgres";
pub(crate) const PASSWORD: &str = "a password: of @ tests/100%";

/// Copies a fresh data folder to `target`, which must not exist.
pub(crate) fn copy_fresh_cluster(
    installation: &Installation,
    initdb_args: &[String],
    target: &Path,
) {
    copy_cluster(&template(installation, initdb_args), target);
}

/// Copies the data folder of a stopped server, owners and all; on a file system that can, without using up space.
pub(crate) fn copy_cluster(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    copy.arg("-a");
    if cfg!(target_os = "linux") {
        copy.arg("--reflink=auto");
    }
    run(copy.arg(from).arg(to));
}

fn template(installation: &Installation, initdb_args: &[String]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (initdb_args, build_of(&installation.program("initdb"))).hash(&mut hasher);
    let name = format!("{}-{:016x}", installation.major, hasher.finish());

    let folder = cache_dir().join("clusters");
    fs::create_dir_all(&folder)
        .unwrap_or_else(|error| panic!("creating {}: {error}", folder.display()));
    let ready = folder.join(&name);
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("the cache can be written");
    lock.lock().expect("the file system knows locks");
    if !ready.exists() {
        let unfinished = folder.join(format!("{name}.new"));
        let _ = fs::remove_dir_all(&unfinished); // of a test run that was killed here
        initdb(installation, initdb_args, &unfinished);
        fs::rename(&unfinished, &ready).expect("a folder can be renamed in its place");
    }
    ready
}

fn initdb(installation: &Installation, initdb_args: &[String], target: &Path) {
    fs::create_dir(target).expect("the cache can be written");
    let password = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    fs::write(password.path(), PASSWORD).expect("a temporary file can be written");

    let mut initdb = Command::new(installation.program("initdb"));
    initdb
        .arg("--pgdata")
        .arg(target)
        .arg("--pwfile")
        .arg(password.path());
    initdb
        .args(["--username", SUPERUSER, "--auth", "trust", "--no-sync"])
        .args(initdb_args);
    initdb
        .current_dir("/")
        .env_remove("LC_ALL")
        .env("LC_MESSAGES", "C");
    if let Some(user) = ServerUser::other_than_root() {
        user.own(target);
        user.own(password.path());
        initdb.uid(user.uid).gid(user.gid);
    }
    run(&mut initdb);
}
