//! Runs one contender and tells how long it took and how much memory its processes held at most.

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

/// Runs several programs at once, to the end of the last.
pub(super) fn side_by_side(commands: Vec<Command>) -> anyhow::Result<Measured> {
    let started = Instant::now();
    let children = commands
        .into_iter()
        .map(|mut command| start(&mut command))
        .collect::<anyhow::Result<Vec<_>>>()?;
    finish(started, children)
}

pub(super) fn alone(command: Command) -> anyhow::Result<Measured> {
    side_by_side(vec![command])
}

/// Runs one program whose output is another's input.
pub(super) fn piped(mut writer: Command, mut reader: Command) -> anyhow::Result<Measured> {
    let started = Instant::now();
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

fn finish(started: Instant, mut children: Vec<Child>) -> anyhow::Result<Measured> {
    let roots: Vec<u32> = children.iter().map(Child::id).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| peak_memory(&roots, &done));
        let statuses: Vec<_> = children.iter_mut().map(Child::wait).collect();
        let took = started.elapsed();
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
            peak_bytes,
            stored_bytes: None,
        })
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
fn memory_of_families(roots: &[u32]) -> u64 {
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
        let measured = alone(command).expect("a shell runs");
        assert!(measured.peak_bytes > 30_000_000, "{measured:?}");
        assert!(measured.took >= Duration::from_millis(300));
    }

    #[test]
    fn a_failing_contender_is_an_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        assert!(alone(command).is_err());
    }
}
