//! Who restores the database, how. Each takes what the backup of its kind left, into a new database of the same server.

use super::Course;
use super::backups::{PG_DUMP_DIRECTORY, pgkeep};
use super::database::Shape;
use super::measure::{Measured, alone};
use super::report::Report;

pub(super) const PG_RESTORE: &str = "pg_restore -j2";
pub(super) const COUNTED: &str = "pgkeep restore, rows counted";
pub(super) const PROVEN: &str = "pgkeep restore, fully proven";
pub(super) const DRILL: &str = "pgkeep drill";

const TARGET: &str = "bench_restored";

pub(super) fn run_all(course: &Course, shape: Shape, report: &mut Report) -> anyhow::Result<()> {
    let directory = course.work.path().join("directory");
    if course.wants(PG_RESTORE) && directory.exists() {
        course.source.recreate(TARGET);
        course.source.settle();
        let mut command = course.source.client("pg_restore", TARGET);
        command.arg("-j2").arg(&directory);
        report.restore(shape, PG_RESTORE, alone(course.source.process(), command)?);
    } else if course.wants(PG_RESTORE) {
        eprintln!("left out: {PG_RESTORE}, which needs the result of {PG_DUMP_DIRECTORY}");
    }
    if !course.work.path().join("pgkeep").exists() {
        return Ok(());
    }
    for (name, proof) in [(COUNTED, "counts"), (PROVEN, "full")] {
        if course.wants(name) {
            report.restore(shape, name, pgkeep_restore(course, proof)?);
        }
    }
    course.source.drop_database(TARGET);
    if course.wants(DRILL) {
        report.restore(shape, DRILL, pgkeep_drill(course)?);
    }
    Ok(())
}

/// The very restore, fully proven, into a throwaway database that is dropped again.
fn pgkeep_drill(course: &Course) -> anyhow::Result<Measured> {
    course.source.settle();
    let mut command = pgkeep(course, &["drill", "latest"]);
    command.arg("--bin-dir").arg(course.source.server.bin_dir());
    command.env("DATABASE_URL", course.source.url("postgres"));
    alone(course.source.process(), command)
}

fn pgkeep_restore(course: &Course, proof: &str) -> anyhow::Result<Measured> {
    course.source.drop_database(TARGET);
    course.source.settle();
    let mut command = pgkeep(
        course,
        &["restore", "latest", "--into", TARGET, "--prove", proof],
    );
    command.arg("--bin-dir").arg(course.source.server.bin_dir());
    command.env("DATABASE_URL", course.source.url("postgres"));
    alone(course.source.process(), command)
}
