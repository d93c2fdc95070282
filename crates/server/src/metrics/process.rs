//! This process, under the names that every exporter uses. Read from `/proc`; where there is none, nothing is said.

use super::text::{Kind, Text};
use std::fs;

pub(super) fn write(text: &mut Text) {
    let Some(stat) = Stat::read() else {
        return;
    };
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as f64;
    text.family(
        "process_cpu_seconds_total",
        Kind::Counter,
        "User and system time spent.",
    )
    .add(&[], (stat.user_ticks + stat.system_ticks) as f64 / ticks);
    text.family(
        "process_resident_memory_bytes",
        Kind::Gauge,
        "Memory in use.",
    )
    .add(&[], stat.resident_pages as f64 * page);
    text.family("process_threads", Kind::Gauge, "Threads.")
        .add(&[], stat.threads as f64);
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The listing itself is one of them.
        text.family("process_open_fds", Kind::Gauge, "Open file descriptors.")
            .add(&[], open.count().saturating_sub(1) as f64);
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        text.family(
            "process_max_fds",
            Kind::Gauge,
            "Most file descriptors that may be open.",
        )
        .add(&[], limit as f64);
    }
    if let Some(boot) = boot_time() {
        text.family(
            "process_start_time_seconds",
            Kind::Gauge,
            "When the process began.",
        )
        .add(&[], boot + stat.start_ticks as f64 / ticks);
    }
}

/// Fields of `/proc/self/stat`, as proc(5) numbers them.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    user_ticks: u64,
    system_ticks: u64,
    threads: u64,
    start_ticks: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> Option<Stat> {
        Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Stat> {
        // The name, in parentheses, may hold anything; the third field comes after the last one that closes.
        let rest = &text[text.rfind(')')? + 1..];
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Stat {
            user_ticks: field(14)?,
            system_ticks: field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_after_any_name() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 11 22 0 0 20 0 5 0 333 1000 44 18446744073709551615 1 1";
        let expected = Stat {
            user_ticks: 11,
            system_ticks: 22,
            threads: 5,
            start_ticks: 333,
            resident_pages: 44,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("nonsense"), None);
    }
}
