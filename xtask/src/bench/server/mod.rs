//! What `pgkeep serve` costs when nothing happens, and how it holds up when much does: its own figures beside their aims.
//!
//! Everything shares the machine: the server, the database that it backs up, and who asks. So a backup beside requests is
//! slowed by the asking, too; how much processor time the server itself spent on a request is told apart from that.

mod catalog;
mod load;
mod table;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::database::{DATABASE, Shape, Source};
use super::measure::{cpu_of, memory_of_families};
use crate::site::{APP, Site};
use load::Served;
use table::{Aim, Table};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A small database, short looks and one round, to see that everything runs
    #[arg(long)]
    quick: bool,
    /// Size of the shop that is backed up: 100 is about 2.7 GB
    #[arg(long, default_value_t = 24.0)]
    scale: f64,
    /// Backups without requests and with them, in turn
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
const REQUESTS_PER_SECOND: u32 = 1_000;
const MIB: f64 = (1 << 20) as f64;

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (scale, rounds, idle) = match options.quick {
        true => (1.0, 1, Duration::from_secs(2)),
        false => (options.scale, options.rounds, Duration::from_secs(20)),
    };
    let program = super::program(options.pgkeep.as_deref())?;
    let source = Source::start(options.major, scale, Shape::Balanced)?;
    let mut table = Table::new(options.major, source.size_bytes());
    // One repository for each backup, so that each has everything to store.
    let (shop, admin) = (source.url(DATABASE), source.url("postgres"));
    let mut site = Site::prepare(&shop, &admin, &program, 2 * rounds + 1)?;
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
    beside_backups(&site, &source, rounds, &mut table)?;
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

/// Backups alone and beside requests, in turn, so that whatever else changes on the machine meets both.
fn beside_backups(
    site: &Site,
    source: &Source,
    rounds: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    site.back_up(0)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut served = Vec::new();
    let (mut answering, mut asking) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let (mut quiet, mut busy, mut own) = Default::default();
        let mut requests = Served::default();
        for turn in 0..2 {
            source.settle();
            let server = cpu_of(site.process()?);
            let repository = 2 * round + turn + 1;
            // The first of two has a disk and a processor that have rested, so each is the first as often.
            if (round + turn).is_multiple_of(2) {
                alone.push(site.back_up(repository)?);
                quiet = cpu_of(site.process()?) - server;
            } else {
                let before = cpu_of(std::process::id());
                let (seconds, served) = beside_requests(site, repository)?;
                busy = cpu_of(site.process()?) - server;
                own = cpu_of(std::process::id()) - before;
                beside.push(seconds);
                requests = served;
            }
        }
        let of_each = |spent: Duration| spent.as_secs_f64() * 1e6 / requests.requests as f64;
        answering.push(of_each(busy.saturating_sub(quiet)));
        asking.push(of_each(own));
        eprintln!(
            "round {}: {:.2} s alone, {:.2} s beside {:.0} requests/s",
            round + 1,
            alone[round],
            beside[round],
            requests.per_second()
        );
        served.push(requests);
    }
    let of = |value: fn(&Served) -> f64| median(&served.iter().map(value).collect::<Vec<_>>());
    table.add(
        "status requests a second beside a backup",
        of(Served::per_second),
        Aim::AtLeast(f64::from(REQUESTS_PER_SECOND) * 0.99),
    );
    table.add(
        "half of them answered within, ms",
        of(|s| millis(s.percentile(50))),
        Aim::None,
    );
    table.add(
        "99 of 100 answered within, ms",
        of(|s| millis(s.percentile(99))),
        Aim::None,
    );
    table.add(
        "the server's processor time for one of them, µs",
        median(&answering),
        Aim::None,
    );
    table.add(
        "the asking's processor time, µs",
        median(&asking),
        Aim::None,
    );
    let (alone, beside) = (median(&alone), median(&beside));
    table.add("that backup alone, s", alone, Aim::None);
    table.add("beside the requests, s", beside, Aim::None);
    table.add(
        "slower by, %",
        (beside / alone - 1.0) * 100.0,
        Aim::Below(5.0),
    );
    Ok(())
}

fn beside_requests(site: &Site, repository: usize) -> anyhow::Result<(f64, Served)> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (address, token) = (site.address(), site.token());
            load::at_rate(address, token, "/status", REQUESTS_PER_SECOND, &stop)
        });
        let seconds = site.back_up(repository);
        stop.store(true, Ordering::Relaxed);
        let served = asking.join().expect("asking does not panic")?;
        Ok((seconds?, served))
    })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
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
