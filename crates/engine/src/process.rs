//! Whether the process that left something behind is still at work.

use jiff::{SignedDuration, Timestamp};
use std::path::Path;

/// What the two clocks may differ by: one counts from the machine's start, the other is set by people.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// True while process `pid` of this machine lives and did so at `since`: a later one may have the same number, in a
/// container it nearly always has. Where processes cannot be looked at, all are taken to be alive.
pub(crate) fn is_alive(pid: u32, since: Timestamp) -> bool {
    if !Path::new("/proc/self").exists() {
        return true;
    }
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    started_at(&stat).is_none_or(|at| at <= since + SLACK)
}

/// When a process began, by its line in `/proc/PID/stat` (proc(5): field 22, in ticks since the machine started).
fn started_at(stat: &str) -> Option<Timestamp> {
    let after_name = stat.rsplit_once(')')?.1;
    let ticks: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let machine = std::fs::read_to_string("/proc/stat").ok()?;
    let booted = machine
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let seconds = ticks / rustix::param::clock_ticks_per_second();
    let booted: i64 = booted.trim().parse().ok()?;
    Timestamp::from_second(booted + i64::try_from(seconds).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_an_earlier_one_of_its_number() {
        let me = std::process::id();
        let stat = std::fs::read_to_string(format!("/proc/{me}/stat")).expect("read");
        let began = started_at(&stat).expect("a time");
        assert!(is_alive(me, began + SignedDuration::from_secs(60)));
        assert!(!is_alive(me, began - SignedDuration::from_hours(1)));
        assert!(!is_alive(u32::MAX, began));
    }

    #[test]
    fn a_name_with_brackets_does_not_matter() {
        let me = std::fs::read_to_string("/proc/self/stat").expect("read");
        let (pid, rest) = me.split_once(" (").expect("a name");
        let (_, rest) = rest.rsplit_once(')').expect("its end");
        assert_eq!(
            started_at(&format!("{pid} (a) b) c){rest}")),
            started_at(&me)
        );
    }
}
