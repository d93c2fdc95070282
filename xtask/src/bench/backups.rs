//! Who backs the database up, how.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use pgkeep_testkit::cache_dir;

use super::Course;
use super::database::{DATABASE, Shape};
use super::measure::{Measured, alone, piped, side_by_side, size_of};
use super::report::Report;

pub(super) const FLOOR: &str = "two parallel COPY to nowhere";
pub(super) const PG_DUMP_CUSTOM: &str = "pg_dump -Fc -Z6";
pub(super) const PG_DUMP_DIRECTORY: &str = "pg_dump -Fd -j2 -Z1";
pub(super) const PG_DUMP_ZSTD: &str = "pg_dump -Fd -j2 --compress=zstd:1";
pub(super) const RESTIC: &str = "pg_dump -Fc -Z0 | restic --stdin";
pub(super) const FIRST: &str = "pgkeep backup";
pub(super) const SECOND: &str = "pgkeep backup, nothing changed";

const KEY: &str = "the key of the benches' repositories";

pub(super) fn run_all(course: &Course, shape: Shape, report: &mut Report) -> anyhow::Result<()> {
    let mut measure = |name: &'static str,
                       run: &dyn Fn(&Course) -> anyhow::Result<Measured>|
     -> anyhow::Result<()> {
        if course.wants(name) {
            course.source.settle();
            report.backup(shape, name, run(course)?);
        }
        Ok(())
    };
    measure(FLOOR, &floor)?;
    measure(PG_DUMP_CUSTOM, &|course| {
        pg_dump(course, "custom", &["-Fc", "-Z6"])
    })?;
    measure(PG_DUMP_DIRECTORY, &|course| {
        pg_dump(course, "directory", &["-Fd", "-j2", "-Z1"])
    })?;
    if course.source.server.major() >= 16 {
        measure(PG_DUMP_ZSTD, &|course| {
            pg_dump(course, "zstd", &["-Fd", "-j2", "--compress=zstd:1"])
        })?;
    }
    measure(RESTIC, &restic)?;
    measure(FIRST, &first_backup)?;
    measure(SECOND, &second_backup)
}

fn floor(course: &Course) -> anyhow::Result<Measured> {
    side_by_side(
        course.source.process(),
        vec![
            course.source.copy_half(false)?,
            course.source.copy_half(true)?,
        ],
    )
}

fn pg_dump(course: &Course, name: &str, arguments: &[&str]) -> anyhow::Result<Measured> {
    let target = course.work.path().join(name);
    remove(&target)?;
    let mut command = course.source.client("pg_dump", DATABASE);
    command.args(arguments).arg("-f").arg(&target);
    alone(course.source.process(), command)?.storing(&target)
}

fn restic(course: &Course) -> anyhow::Result<Measured> {
    let repository = course.work.path().join("restic");
    remove(&repository)?;
    let newer = cache_dir().join("restic/bin/restic");
    let restic = |arguments: &[&str]| {
        let mut command = Command::new(if newer.exists() {
            newer.as_os_str()
        } else {
            "restic".as_ref()
        });
        command
            .arg("--repo")
            .arg(&repository)
            .args(["--no-cache", "--quiet"])
            .args(arguments)
            .env("RESTIC_PASSWORD", KEY);
        command
    };
    alone(course.source.process(), restic(&["init"]))?;
    let mut pg_dump = course.source.client("pg_dump", DATABASE);
    pg_dump.args(["-Fc", "-Z0"]);
    piped(
        course.source.process(),
        pg_dump,
        restic(&["backup", "--stdin", "--stdin-filename", "shop.dump"]),
    )?
    .storing(&repository)
}

fn first_backup(course: &Course) -> anyhow::Result<Measured> {
    let repository = course.work.path().join("pgkeep");
    remove(&repository)?;
    alone(course.source.process(), pgkeep(course, &["init"]))?;
    alone(course.source.process(), backup(course))?.storing(&repository)
}

fn second_backup(course: &Course) -> anyhow::Result<Measured> {
    let repository = course.work.path().join("pgkeep");
    ensure!(
        repository.exists(),
        "a second backup needs the first one: add --only 'pgkeep backup'"
    );
    let before = size_of(&repository)?;
    let measured = alone(course.source.process(), backup(course))?;
    Ok(Measured {
        stored_bytes: Some(size_of(&repository)?.saturating_sub(before)),
        ..measured
    })
}

fn backup(course: &Course) -> Command {
    let mut command = pgkeep(course, &["backup"]);
    command.arg("--bin-dir").arg(course.source.server.bin_dir());
    command.env("DATABASE_URL", course.source.url(DATABASE));
    command
}

/// pgkeep on the benches' repository, with nothing of the caller's settings.
pub(super) fn pgkeep(course: &Course, arguments: &[&str]) -> Command {
    let mut command = Command::new(&course.pgkeep);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("PG") || name.starts_with("DATABASE") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .arg("--quiet")
        .arg("--repo")
        .arg(course.work.path().join("pgkeep"));
    command
        .env("BACKUP_ENCRYPTION_KEY", KEY)
        .current_dir(course.work.path());
    command
}

fn remove(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)?;
    } else if path.exists() {
        fs::remove_file(path)?;
    }
    Ok(())
}
