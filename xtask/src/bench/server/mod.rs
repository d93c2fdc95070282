//! What `pgkeep serve` costs when nothing happens, and how it holds up when much does: its own figures beside their aims.
//!
//! Everything shares the machine: the server, the database that it backs up, and who asks. So a backup beside requests is
//! slowed by the asking, too; how much processor time the server itself spent on a request is told apart from that.

mod beside;
mod catalog;
mod load;
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::database::{DATABASE, Shape, Source};
use super::measure::{cpu_of, memory_of_families};
use crate::site::{APP, Site};
use table::{Aim, Table};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A small database, short looks and one round, to see that everything runs
    #[arg(long)]
    quick: bool,
    /// Size of the shop that is backed up: 100 is about 2.7 GB
    #[arg(long, default_value_t = 24.0)]
    scale: f64,
    /// Backups alone, and beside requests to pgkeep and to a server that does nothing, in turn
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// PostgreSQL major
    #[arg(long, default_value_t = 17)]
    major: u32,
    /// The pgkeep to measure instead of a fresh release build
    #[arg(long, value_name = "FILE")]
    pgkeep: Option<PathBuf>,
    /// Write the table to this file, and what was measured as JSON beside it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const BACKUPS: u32 = 10_000;
const MIB: f64 = (1 << 20) as f64;

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (scale, rounds, idle) = match options.quick {
        true => (1.0, 1, Duration::from_secs(2)),
        false => (options.scale, options.rounds, Duration::from_secs(20)),
    };
    let program = super::program(options.pgkeep.as_deref())?;
    let source = Source::start(options.major, scale, Shape::Balanced)?;
    let mut table = Table::new(options.major, source.size_bytes());
    let (shop, admin) = (source.url(DATABASE), source.url("postgres"));
    let mut site = Site::prepare(&shop, &admin, &program, beside::repositories(rounds))?;
    catalog::add_backups(&site.data(), APP, BACKUPS)?;

    starts(&mut site, if options.quick { 2 } else { 7 }, &mut table)?;
    site.start()?;
    site.settle()?;
    idles(&site, idle, &mut table)?;
    lists(&site, &mut table)?;
    let jobs = if options.quick { 200 } else { 5_000 };
    let claims = catalog::claims_per_second(&site.scratch()?, jobs)?;
    table.add(
        "claims a second, SQLite, 8 workers",
        claims,
        Aim::AtLeast(500.0),
    );
    beside::backups(&site, &source, rounds, &mut table)?;
    site.stop()?;

    println!("{}", table.to_markdown());
    if let Some(path) = &options.output {
        let write = |path: &std::path::Path, text: String| {
            std::fs::write(path, text).with_context(|| path.display().to_string())
        };
        write(path, table.to_markdown())?;
        write(&path.with_extension("json"), table.to_json())?;
    }
    Ok(())
}

/// Starts on a catalog that is there, until the server says that it is ready.
fn starts(site: &mut Site, count: usize, table: &mut Table) -> anyhow::Result<()> {
    let mut millis = Vec::new();
    for _ in 0..count {
        millis.push(site.start()?.as_secs_f64() * 1e3);
        site.settle()?;
        site.stop()?;
    }
    table.add("start to ready, ms", median(&millis), Aim::Below(300.0));
    Ok(())
}

fn idles(site: &Site, time: Duration, table: &mut Table) -> anyhow::Result<()> {
    let server = site.process()?;
    let (before, begun) = (cpu_of(server), Instant::now());
    std::thread::sleep(time);
    let spent = (cpu_of(server) - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    let held = memory_of_families(&[server]) as f64 / MIB;
    table.add("memory of an idle server, MiB", held, Aim::Below(60.0));
    table.add(
        "processor time of an idle server, % of a core",
        spent * 100.0,
        Aim::Below(0.5),
    );
    Ok(())
}

fn lists(site: &Site, table: &mut Table) -> anyhow::Result<()> {
    let mut client = site.client()?;
    for (what, path, times) in [
        ("newest 50 of 10,000 backups, ms", "/backups", 50),
        (
            "largest 500 of them, ms",
            "/backups?sort=bytes&limit=500",
            50,
        ),
        (
            "search for a text among them, ms",
            "/backups?text=release%2077",
            50,
        ),
    ] {
        let mut millis = Vec::new();
        for _ in 0..times {
            let begun = Instant::now();
            let page = client.get(path)?.json(200)?;
            millis.push(begun.elapsed().as_secs_f64() * 1e3);
            let items = page["items"].as_array().context("a page")?;
            ensure!(items.len() >= 50, "{path}: {} backups", items.len());
        }
        table.add(what, median(&millis), Aim::Below(50.0));
    }
    let begun = Instant::now();
    let all = client.get("/backups?format=csv")?;
    let lines = all.body.iter().filter(|byte| **byte == b'\n').count();
    ensure!(lines > BACKUPS as usize, "{lines} lines");
    let millis = begun.elapsed().as_secs_f64() * 1e3;
    table.add("all 10,000 as CSV, ms", millis, Aim::None);
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}
