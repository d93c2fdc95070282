//! Runs one contender and tells how long it took, what processor time it and the server spent, and how much memory its
//! processes held at most.
//!
//! Other work on the machine makes a run longer, but hardly changes its processor time, so the two together show how far
//! a run was disturbed.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub took: Duration,
    /// Processor time of the contender and of the server.
    pub cpu: Duration,
    /// The most that all processes of the contender held at one time; the server's own are not counted.
    pub peak_bytes: u64,
    /// What a backup left on the disk.
    pub stored_bytes: Option<u64>,
}

impl Measured {
    pub(super) fn storing(self, path: &Path) -> anyhow::Result<Measured> {
        Ok(Measured {
            stored_bytes: Some(size_of(path)?),
            ..self
        })
    }
}

/// Runs several programs at once, to the end of the last. `server` is the process that all of the server's come from.
pub(super) fn side_by_side(server: u32, commands: Vec<Command>) -> anyhow::Result<Measured> {
    let started = Start::now(server);
    let children = commands
        .into_iter()
        .map(|mut command| start(&mut command))
        .collect::<anyhow::Result<Vec<_>>>()?;
    finish(started, children)
}

pub(super) fn alone(server: u32, command: Command) -> anyhow::Result<Measured> {
    side_by_side(server, vec![command])
}

/// Runs one program whose output is another's input.
pub(super) fn piped(
    server: u32,
    mut writer: Command,
    mut reader: Command,
) -> anyhow::Result<Measured> {
    let started = Start::now(server);
    let mut first = writer
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a contender")?;
    reader.stdin(first.stdout.take().context("its output is a pipe")?);
    let second = reader
        .stdout(Stdio::null())
        .spawn()
        .context("starting a contender")?;
    finish(started, vec![first, second])
}

fn start(command: &mut Command) -> anyhow::Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
        .spawn()
        .with_context(|| format!("starting {:?}", command.get_program()))
}

/// The moment before a run.
struct Start {
    at: Instant,
    server: u32,
    cpu: Duration,
}

impl Start {
    fn now(server: u32) -> Start {
        Start {
            at: Instant::now(),
            server,
            cpu: cpu_spent(server),
        }
    }

    fn cpu(&self) -> Duration {
        // The server needs a moment to bury the sessions that have just ended.
        std::thread::sleep(Duration::from_millis(100));
        cpu_spent(self.server).saturating_sub(self.cpu)
    }
}

fn finish(started: Start, mut children: Vec<Child>) -> anyhow::Result<Measured> {
    let roots: Vec<u32> = children.iter().map(Child::id).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| peak_memory(&roots, &done));
        let statuses: Vec<_> = children.iter_mut().map(Child::wait).collect();
        let took = started.at.elapsed();
        done.store(true, Ordering::Relaxed);
        let peak_bytes = watcher.join().expect("watching memory does not panic");
        for status in statuses {
            let status = status?;
            if !status.success() {
                bail!("a contender failed: {status}");
            }
        }
        Ok(Measured {
            took,
            cpu: started.cpu(),
            peak_bytes,
            stored_bytes: None,
        })
    })
}

/// What a process has spent so far, without its children.
pub(super) fn cpu_of(pid: u32) -> Duration {
    ticks(process_times(pid).map_or(0, |process| process.own))
}

fn ticks(count: u64) -> Duration {
    const PER_SECOND: u64 = 100;
    Duration::from_millis(count * 1000 / PER_SECOND)
}

/// What the ended children of this process, and the server with all that it started, have spent so far.
fn cpu_spent(server: u32) -> Duration {
    let of_server: u64 = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(process_times)
        .map(|process| match process.pid {
            pid if pid == server => process.own + process.ended_children,
            _ if process.parent == server => process.own,
            _ => 0,
        })
        .sum();
    let ended_children = process_times(std::process::id()).map_or(0, |own| own.ended_children);
    ticks(of_server + ended_children)
}

/// User and system time, in clock ticks.
struct ProcessTimes {
    pid: u32,
    parent: u32,
    own: u64,
    ended_children: u64,
}

fn process_times(pid: u32) -> Option<ProcessTimes> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The fields after the name, which may hold anything: state, parent, ...
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(ProcessTimes {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        own: ticks(11)? + ticks(12)?,
        ended_children: ticks(13)? + ticks(14)?,
    })
}

fn peak_memory(roots: &[u32], done: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !done.load(Ordering::Relaxed) {
        peak = peak.max(memory_of_families(roots));
        std::thread::sleep(Duration::from_millis(20));
    }
    peak
}

/// Adds up the resident memory of some processes and all that they started.
pub(super) fn memory_of_families(roots: &[u32]) -> u64 {
    let processes: HashMap<u32, (u32, u64)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, parent_and_memory(pid)?)))
        .collect();
    let belongs = |mut pid: u32| {
        while !roots.contains(&pid) {
            match processes.get(&pid) {
                Some((parent, _)) if *parent > 1 => pid = *parent,
                _ => return false,
            }
        }
        true
    };
    processes
        .iter()
        .filter(|(pid, _)| belongs(**pid))
        .map(|(_, (_, bytes))| bytes)
        .sum()
}

fn parent_and_memory(pid: u32) -> Option<(u32, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    Some((
        u32::try_from(value("PPid:")?).ok()?,
        value("VmRSS:").unwrap_or(0) * 1024,
    ))
}

/// Adds up the files of a folder, or one file.
pub(super) fn size_of(path: &Path) -> anyhow::Result<u64> {
    let meta = fs::metadata(path).with_context(|| path.display().to_string())?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    fs::read_dir(path)?
        .map(|entry| size_of(&entry?.path()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_child_of_a_child_counts() {
        // The inner shell holds some tens of megabytes in a variable.
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "sh -c 'x=$(head -c 30000000 /dev/zero | tr \"\\0\" x); sleep 0.3; echo ${#x}'; true",
        ]);
        let measured = alone(u32::MAX, command).expect("a shell runs");
        assert!(measured.peak_bytes > 30_000_000, "{measured:?}");
        assert!(measured.took >= Duration::from_millis(300));
    }

    #[test]
    fn the_processor_time_of_a_contender_counts() {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"]);
        // A process without children stands for the server.
        let measured = alone(u32::MAX, command).expect("a shell runs");
        assert!(measured.cpu >= Duration::from_millis(50), "{measured:?}");
    }

    #[test]
    fn a_failing_contender_is_an_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        assert!(alone(u32::MAX, command).is_err());
    }
}
