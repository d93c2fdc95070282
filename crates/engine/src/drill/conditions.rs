//! Whether this is a moment for a drill: the machine is not busy, and the copy leaves room on the drill server's disk.
//!
//! What cannot be told holds nothing back: the load of a machine without `/proc`, the disk of a server elsewhere.

use super::FurtherChecks;
use crate::{Context, Result, upgrade};
use pgkeep_model::manifest::Manifest;
use pgkeep_postgres::{connect::ConnectOptions, wire::Connection};
use std::{
    fs,
    time::{Duration, Instant},
};

/// How often the load is looked at again.
const LOOK: Duration = Duration::from_secs(5);
/// Tables with their indexes, for each byte of their rows as text; a guess on the safe side.
const GROWTH: u64 = 2;

/// Waits for a quiet moment, for at most the time that is allowed. Returns why the drill is not to be made.
pub(super) fn hinder(
    checks: &FurtherChecks,
    manifest: &Manifest,
    admin: &ConnectOptions,
    context: &Context,
) -> Result<Option<String>> {
    if let Some(most) = checks.max_load_percent
        && let Some(load) = wait_until_quiet(most, checks.wait, context)?
    {
        return Ok(Some(format!(
            "the load is {load} percent, and a drill starts below {most}"
        )));
    }
    let Some(leave) = checks.leave_free else {
        return Ok(None);
    };
    let mut connection = Connection::open_with(admin, &context.cancel)?;
    let free = upgrade::free_bytes(&mut connection, admin);
    Ok(too_little(free, largest(manifest), leave))
}

fn too_little(free: Option<u64>, copy: u64, leave: u64) -> Option<String> {
    let free = free.filter(|free| *free < copy.saturating_add(leave))?;
    let mib = |bytes: u64| bytes >> 20;
    Some(format!(
        "the drill server's disk has {} MiB free, the copy takes about {} MiB, and {} MiB are to remain",
        mib(free),
        mib(copy),
        mib(leave)
    ))
}

/// Databases are restored one after the other, so the largest counts.
fn largest(manifest: &Manifest) -> u64 {
    let sizes = manifest
        .databases
        .iter()
        .map(|d| d.members.iter().map(|m| m.size).sum::<u64>());
    sizes.max().unwrap_or(0).saturating_mul(GROWTH)
}

/// The load, if it stayed too high for all the time allowed.
fn wait_until_quiet(most: u32, wait: Duration, context: &Context) -> Result<Option<u32>> {
    let begun = Instant::now();
    loop {
        context.cancel.check()?;
        let Some(load) = load_percent().filter(|load| *load >= most) else {
            return Ok(None);
        };
        let left = wait.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(Some(load));
        }
        std::thread::sleep(left.min(LOOK));
    }
}

/// One-minute load for each processor, in percent.
fn load_percent() -> Option<u32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    percent_of(&text, processors)
}

fn percent_of(loadavg: &str, processors: usize) -> Option<u32> {
    let load: f64 = loadavg.split_whitespace().next()?.parse().ok()?;
    Some((load * 100.0 / processors as f64).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_counted_for_each_processor() {
        assert_eq!(percent_of("3.00 1.00 0.50 1/200 4242\n", 2), Some(150));
        assert_eq!(percent_of("", 2), None);
    }

    #[test]
    fn what_remains_on_the_disk_decides_and_an_unknown_disk_does_not() {
        const GIB: u64 = 1 << 30;
        assert_eq!(too_little(Some(10 * GIB), 4 * GIB, 5 * GIB), None);
        assert!(
            too_little(Some(8 * GIB), 4 * GIB, 5 * GIB).is_some_and(|why| why.contains("8192 MiB"))
        );
        assert_eq!(too_little(None, 4 * GIB, 5 * GIB), None);
    }
}
