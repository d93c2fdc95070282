//! A folder of many files of mixed size, backed up by pgkeep and by stock restic: first, and again unchanged.
//!
//! Both read the same folder from the same cache, after a first look at it that nobody is charged for, and both write to the
//! same disk. restic keeps its own cache, as it does where nobody turns it off.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use pgkeep_testkit::cache_dir;

use super::measure::{Measured, alone, size_of};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Few files and one round, to see that everything runs
    #[arg(long)]
    quick: bool,
    #[arg(long, default_value_t = 100_000)]
    files: usize,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The pgkeep to measure instead of a fresh release build
    #[arg(long, value_name = "FILE")]
    pgkeep: Option<PathBuf>,
    /// Write the table to this file as well
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const KEY: &str = "the key of the benches' repositories";
const MIB: f64 = (1 << 20) as f64;
/// The measured programs start no server.
const NO_SERVER: u32 = u32::MAX;

/// The contenders, in the order of a round.
const RUNS: [&str; 4] = [
    "restic, first",
    "restic, unchanged",
    "pgkeep, first",
    "pgkeep, unchanged",
];

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (files, rounds) = match options.quick {
        true => (2_000, 1),
        false => (options.files, options.rounds),
    };
    let bench = Bench {
        pgkeep: super::program(options.pgkeep.as_deref())?,
        work: tempfile::Builder::new().prefix("pgkeep-bench-").tempdir()?,
    };
    let bytes = make_tree(&bench.tree(), files)?;
    let mut results: [Vec<Measured>; 4] = Default::default();
    for round in 1..=rounds {
        eprintln!("files, round {round} of {rounds}");
        for (number, measured) in bench.round()?.into_iter().enumerate() {
            results[number].push(measured);
        }
    }
    let table = table(files, bytes, &results);
    println!("{table}");
    if let Some(path) = &options.output {
        fs::write(path, &table).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

struct Bench {
    pgkeep: PathBuf,
    work: tempfile::TempDir,
}

impl Bench {
    fn tree(&self) -> PathBuf {
        self.work.path().join("tree")
    }

    fn round(&self) -> anyhow::Result<[Measured; 4]> {
        let of_restic = self.work.path().join("restic");
        let of_pgkeep = self.work.path().join("pgkeep");
        for folder in [&of_restic, &of_pgkeep, &self.work.path().join("cache")] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
        }
        alone(NO_SERVER, self.restic(&["init"]))?;
        alone(NO_SERVER, self.pgkeep(&["init"]))?;
        Ok([
            self.settled(&of_restic, || self.restic_backup())?,
            self.settled(&of_restic, || self.restic_backup())?,
            self.settled(&of_pgkeep, || self.pgkeep_backup())?,
            self.settled(&of_pgkeep, || self.pgkeep_backup())?,
        ])
    }

    /// Runs a contender when the disk is quiet, and tells how much its repository grew.
    fn settled(&self, place: &Path, command: impl Fn() -> Command) -> anyhow::Result<Measured> {
        let synced = Command::new("sync").status().context("sync")?;
        ensure!(synced.success(), "sync failed");
        let before = size_of(place)?;
        let measured = alone(NO_SERVER, command())?;
        Ok(Measured {
            stored_bytes: Some(size_of(place)?.saturating_sub(before)),
            ..measured
        })
    }

    fn restic(&self, arguments: &[&str]) -> Command {
        let newer = cache_dir().join("restic/bin/restic");
        let mut command = match newer.exists() {
            true => Command::new(newer),
            false => Command::new("restic"),
        };
        command
            .arg("--repo")
            .arg(self.work.path().join("restic"))
            .arg("--cache-dir")
            .arg(self.work.path().join("cache"))
            .arg("--quiet")
            .args(arguments)
            .env("RESTIC_PASSWORD", KEY);
        command
    }

    fn restic_backup(&self) -> Command {
        let mut command = self.restic(&["backup"]);
        command.arg(self.tree());
        command
    }

    fn pgkeep(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.pgkeep);
        command
            .args(arguments)
            .arg("--quiet")
            .arg("--repo")
            .arg(self.work.path().join("pgkeep"))
            .env("BACKUP_ENCRYPTION_KEY", KEY)
            .current_dir(self.work.path());
        command
    }

    fn pgkeep_backup(&self) -> Command {
        let mut command = self.pgkeep(&["backup", "--kind", "files", "--app", "bench"]);
        command.arg("--files").arg(self.tree());
        command
    }
}

/// Makes the files: of a hundred, 85 have up to 8 KiB, 14 up to 32 KiB, nearly one up to 512 KiB; one of two thousand has
/// 4 MiB. A third is text that shrinks, the rest does not, as pictures do not. Returns the bytes in all.
fn make_tree(root: &Path, files: usize) -> anyhow::Result<u64> {
    let mut random = Random(0x5eed);
    let mut total = 0;
    for number in 0..files {
        let folder = root.join(format!("{:02}/{:02}", number % 37, number / 37 % 53));
        if number < 37 * 53 {
            fs::create_dir_all(&folder)?;
        }
        let span = |from: u64, to: u64, random: &mut Random| from + random.next() % (to - from);
        let size = match number % 2000 {
            1999 => 4 << 20,
            n if n % 100 < 85 => span(200, 8 << 10, &mut random),
            n if n % 100 < 99 => span(8 << 10, 32 << 10, &mut random),
            _ => span(64 << 10, 512 << 10, &mut random),
        };
        let content = random.content(size as usize, number.is_multiple_of(3));
        fs::File::create(folder.join(format!("{number}.bin")))?.write_all(&content)?;
        total += size;
    }
    Ok(total)
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn content(&mut self, size: usize, text: bool) -> Vec<u8> {
        const WORDS: [&str; 8] = [
            "order ",
            "invoice ",
            "2026-11-21 ",
            "customer ",
            "paid\n",
            "total ",
            "19.90 ",
            "open\n",
        ];
        let mut content = Vec::with_capacity(size + 16);
        while content.len() < size {
            let number = self.next();
            if text {
                content.extend_from_slice(WORDS[(number >> 40) as usize % WORDS.len()].as_bytes());
            } else {
                content.extend_from_slice(&number.to_le_bytes());
            }
        }
        content.truncate(size);
        content
    }
}

fn table(files: usize, bytes: u64, results: &[Vec<Measured>; 4]) -> String {
    let mut text = format!(
        "{files} files, {:.0} MiB, medians of {}\n\n| | time | files/s | CPU | memory | stored |\n|---|--:|--:|--:|--:|--:|\n",
        bytes as f64 / MIB,
        results[0].len()
    );
    for (name, runs) in RUNS.iter().zip(results) {
        let took = median(runs.iter().map(|m| m.took));
        let cpu = median(runs.iter().map(|m| m.cpu));
        let peak = runs.iter().map(|m| m.peak_bytes).max().unwrap_or(0);
        let stored = runs.last().and_then(|m| m.stored_bytes).unwrap_or(0);
        let _ = writeln!(
            text,
            "| {name} | {:.2} s | {:.0} | {:.2} s | {:.0} MiB | {:.1} MiB |",
            took.as_secs_f64(),
            files as f64 / took.as_secs_f64(),
            cpu.as_secs_f64(),
            peak as f64 / MIB,
            stored as f64 / MIB
        );
    }
    text
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
