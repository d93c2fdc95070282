//! Whether this is a moment for a drill: the machine is not busy, and the copy leaves room on the drill server's disk.
//!
//! What cannot be told holds nothing back: the load of a machine without `/proc`, the disk of a server elsewhere.

use super::FurtherChecks;
use crate::{Context, Result, upgrade};
use pgkeep_model::manifest::Manifest;
use pgkeep_postgres::{connect::ConnectOptions, wire::Connection};
use std::{fs, thread, time::Duration};

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
        && let Some(load) =
            wait_until_quiet(most, checks.wait, context, load_percent, thread::sleep)?
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

/// The load, if it stayed too high for all the time allowed. `read` tells it, `pause` lets time go by.
fn wait_until_quiet(
    most: u32,
    wait: Duration,
    context: &Context,
    mut read: impl FnMut() -> Option<u32>,
    mut pause: impl FnMut(Duration),
) -> Result<Option<u32>> {
    let mut left = wait;
    loop {
        context.cancel.check()?;
        let Some(load) = read().filter(|load| *load >= most) else {
            return Ok(None);
        };
        if left.is_zero() {
            return Ok(Some(load));
        }
        let next = left.min(LOOK);
        pause(next);
        left -= next;
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
    use super::{super::scratch::tests::context, *};

    #[test]
    fn the_load_is_counted_for_each_processor() {
        assert_eq!(percent_of("3.00 1.00 0.50 1/200 4242\n", 2), Some(150));
        assert_eq!(percent_of("", 2), None);
    }

    /// Readings of the load, one after the other; what came of it, and the pauses in seconds.
    #[track_caller]
    fn check(readings: &[Option<u32>], wait_secs: u64, expected: Option<u32>, pauses: &[u64]) {
        let mut readings = readings.iter().copied();
        let mut paused = Vec::new();
        let found = wait_until_quiet(
            80,
            Duration::from_secs(wait_secs),
            &context(),
            || readings.next().expect("one more reading than expected"),
            |pause| paused.push(pause.as_secs()),
        );
        assert_eq!(found.expect("not cancelled"), expected);
        assert_eq!(paused, pauses);
        assert_eq!(readings.next(), None, "it was not looked often enough");
    }

    #[test]
    fn a_drill_waits_until_the_machine_is_quiet_and_no_longer_than_it_may() {
        let busy = Some(80);
        check(&[Some(79)], 60, None, &[]);
        check(&[busy, Some(300), Some(10)], 60, None, &[5, 5]);
        check(&[busy, busy, Some(95)], 7, Some(95), &[5, 2]);
        check(&[busy], 0, busy, &[]);
        // What cannot be told holds nothing back.
        check(&[None], 60, None, &[]);
        check(&[busy, None], 60, None, &[5]);
    }

    #[test]
    fn waiting_ends_when_it_is_cancelled() {
        let context = context();
        let cancel = context.cancel.clone();
        let waited = wait_until_quiet(
            80,
            Duration::from_secs(3600),
            &context,
            || Some(100),
            |_| cancel.cancel(),
        );
        assert_eq!(waited.map_err(|e| e.code), Err(crate::ErrorCode::Cancelled));
    }

    #[test]
    fn the_load_of_this_machine_is_read() {
        let told = fs::read_to_string("/proc/loadavg").is_ok();
        assert_eq!(load_percent().is_some(), told);
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
