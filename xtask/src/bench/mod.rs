//! Compares pgkeep with other tools: the same databases, the same machine, in turn, several rounds, medians.
//!
//! All servers and tools share the machine's cores, as they do when a backup runs beside its database. Before each measured run
//! the server writes what it still holds back, so that nobody pays for the work of the one before.

mod backups;
mod database;
mod files;
mod measure;
mod report;
mod restores;
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use database::{Shape, Source};
use report::Report;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// A small database and one round, to see that everything runs
    #[arg(long)]
    quick: bool,
    /// Size of the shop: 100 is about 2.7 GB
    #[arg(long, default_value_t = 96.0)]
    scale: f64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// PostgreSQL major
    #[arg(long, default_value_t = 17)]
    major: u32,
    /// Only the database of this shape
    #[arg(long, value_enum)]
    shape: Option<Shape>,
    /// Only contenders whose name contains this text (repeatable)
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Only load the databases and keep them for the next run
    #[arg(long)]
    load_only: bool,
    /// The pgkeep to measure instead of a fresh release build
    #[arg(long, value_name = "FILE")]
    pgkeep: Option<PathBuf>,
    /// Write the table to this file as well
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Measure `pgkeep serve` instead: idle, starting, listing, claiming, answering beside a backup
    Server(server::Options),
    /// Measure backups of a folder of 100,000 files beside stock restic
    Files(files::Options),
}

/// What every contender gets to know.
struct Course {
    source: Source,
    pgkeep: PathBuf,
    /// Everything that contenders write goes here.
    work: tempfile::TempDir,
    only: Vec<String>,
}

impl Course {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| name.contains(text.as_str()))
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.part {
        Some(Part::Server(options)) => return server::run(options),
        Some(Part::Files(options)) => return files::run(options),
        None => {}
    }
    let (scale, rounds) = if options.quick {
        (1.0, 1)
    } else {
        (options.scale, options.rounds)
    };
    let shapes: Vec<Shape> = options
        .shape
        .map_or_else(|| vec![Shape::Balanced, Shape::Skewed], |shape| vec![shape]);
    if options.load_only {
        shapes
            .iter()
            .try_for_each(|shape| Source::prepare(options.major, scale, *shape).map(drop))?;
        return Ok(());
    }
    let pgkeep = program(options.pgkeep.as_deref())?;

    let mut report = Report::new(options.major, scale, rounds);
    for shape in shapes {
        let source = Source::start(options.major, scale, shape)?;
        report.database(shape, source.size_bytes());
        let work = tempfile::Builder::new().prefix("pgkeep-bench-").tempdir()?;
        let course = Course {
            source,
            pgkeep: pgkeep.clone(),
            work,
            only: options.only.clone(),
        };
        for round in 1..=rounds {
            eprintln!("{shape:?}, round {round} of {rounds}");
            backups::run_all(&course, shape, &mut report)?;
            restores::run_all(&course, shape, &mut report)?;
        }
    }
    let table = report.to_markdown();
    println!("{table}");
    if let Some(path) = &options.output {
        std::fs::write(path, &table).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The pgkeep to measure: the one that is named, else a fresh release build.
fn program(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    match named {
        Some(path) => path
            .canonicalize()
            .with_context(|| path.display().to_string()),
        None => release_build(),
    }
}

fn release_build() -> anyhow::Result<PathBuf> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--locked", "-p", "pgkeep"])
        .status()?;
    ensure!(status.success(), "pgkeep does not build");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    target
        .join("release/pgkeep")
        .canonicalize()
        .context("the release build")
}
