//! Writes generated table rows into a new repository and reads them back, and prints how fast that went:
//! `cargo run --release --example throughput -- FOLDER [MEGABYTES] [STREAMS] [WORKERS]`.

use pgkeep_model::Clock;
use pgkeep_repository::{
    NewFile, Repository, SnapshotMeta, WriterOptions,
    storage::{self, StorageOptions},
};
use std::{
    error::Error,
    io::{Read, Write},
    sync::Arc,
    time::Instant,
};

/// The figures do not depend on the date.
#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name a folder for the repository")?;
    let mut number = |otherwise: usize| -> Result<usize, Box<dyn Error>> {
        Ok(arguments
            .next()
            .map(|n| n.parse())
            .transpose()?
            .unwrap_or(otherwise))
    };
    let (megabytes, streams, workers) = (number(2048)?, number(2)?, number(2)?);
    let storage = storage::open(&folder, &StorageOptions::default())?;
    let repository = Repository::init(storage, &"throughput".into(), Arc::new(Fixed))?;

    for round in ["first", "unchanged"] {
        // Made beforehand and written over and over with a different mark, so that making it costs nothing.
        let text = rows(64 << 20);
        let begun = (Instant::now(), cpu_seconds());
        let writer = repository.writer(WriterOptions {
            workers,
            ..WriterOptions::default()
        })?;
        let parts = std::thread::scope(|scope| {
            let running: Vec<_> = (0..streams)
                .map(|number| {
                    let (mut stream, text) = (writer.stream(), &text);
                    scope.spawn(move || {
                        for turn in 0..megabytes / 64 / streams {
                            let mark = ((number * 1000 + turn) % 251) as u8;
                            for piece in text.chunks(256 << 10) {
                                let mut piece = piece.to_vec();
                                // A change in every 4 KiB: nothing deduplicates, and it packs like the original.
                                piece
                                    .iter_mut()
                                    .step_by(4096)
                                    .for_each(|b| *b = b'a' + mark % 26);
                                piece[1..5].copy_from_slice(
                                    &((number * 100_000 + turn) as u32).to_le_bytes(),
                                );
                                stream.write_all(&piece)?;
                            }
                        }
                        stream.finish().map_err(std::io::Error::from)
                    })
                })
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("no stream panics"))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let file = NewFile {
            path: "table".into(),
            mode: 0o600,
            modified: Fixed.now(),
            parts,
        };
        let meta = SnapshotMeta {
            time: Fixed.now(),
            hostname: String::new(),
            username: String::new(),
            tags: Vec::new(),
            paths: vec!["/table".into()],
            program_version: "throughput".into(),
        };
        let (_, summary) = writer.publish(vec![file], meta)?;
        report(round, summary.bytes_read, begun);
        println!("  {summary:?}");
    }

    let begun = (Instant::now(), cpu_seconds());
    let reader = repository.open_snapshot(&repository.find_snapshot("latest")?)?;
    let file = reader.file("table").ok_or("the table is not there")?;
    let per_stream = file.chunks.len().div_ceil(streams);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..streams)
            .map(|n| {
                let mut stream = reader.read_chunks(file, n * per_stream..(n + 1) * per_stream);
                scope.spawn(move || {
                    let mut buffer = vec![0; 256 << 10];
                    while stream.read(&mut buffer)? > 0 {}
                    Ok::<_, std::io::Error>(())
                })
            })
            .collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no stream panics"))
    })?;
    report("read", file.size, begun);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .filter(|line| line.starts_with("VmHWM"))
        .for_each(|line| println!("{line}"));
    Ok(())
}

fn report(what: &str, bytes: u64, (begun, cpu): (Instant, f64)) {
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let rate = bytes as f64 / 1e6 / seconds;
    println!("{what}: {rate:.0} MB/s ({seconds:.2} s, {cpu:.2} CPU seconds)");
}

/// User and system time of this process so far, from its 14th and 15th statistics in hundredths of a second.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Rows of digits, dates and words that pack about three to one.
fn rows(bytes: usize) -> Vec<u8> {
    let words = [
        "shipped",
        "open",
        "paid",
        "returned to sender",
        "customer asked twice",
        "gift",
    ];
    let (mut out, mut state, mut n) = (
        Vec::with_capacity(bytes + 200),
        88_172_645_463_325_252u64,
        0u64,
    );
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        n += 1;
        let word = words[(state % 6) as usize];
        writeln!(out, "{n}\t{:x}\t2026-{:02}-{:02} 10:{:02}:00+00\t{}.{:02}\t{word}\t{{\"sku\": \"A-{}\", \"n\": {}}}",
            state >> 40, n % 12 + 1, n % 28 + 1, n % 60, state % 900, n % 100, state % 5000, n % 9)
            .expect("writing to memory");
    }
    out
}
