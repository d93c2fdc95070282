//! A client program while it runs.
//!
//! A thread of its own starts the program, keeps the end of its error output, and lives until it has ended. (The
//! signal that Linux sends to the children of a killed process is tied to the thread that started them, so that thread
//! must not end earlier.) The program is reaped by [`RunningTool`] alone, under a lock, so a signal can never reach
//! another process that got the same number.

use super::{error::ToolError, password::PasswordFile};
use crate::error::{Error, Result};
use pgkeep_model::{CancelToken, cancel::CancelHook};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::{
    collections::VecDeque,
    io::{self, Read},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

/// How much of the error output is kept.
const STDERR_TAIL: usize = 64 << 10;
/// How long a program may take to cancel its statement and end after SIGINT.
const POLITE_GRACE: Duration = Duration::from_secs(1);
/// How long it may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// What a program printed.
#[derive(Debug)]
pub struct ToolOutput {
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// A running program; dropping it ends and reaps it.
#[derive(Debug)]
pub struct RunningTool {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    watcher: Option<JoinHandle<String>>,
    group: Arc<Group>,
    cancel: CancelToken,
    _hook: CancelHook,
    _password: Option<PasswordFile>,
}

/// The program's process group for as long as it has not been reaped.
#[derive(Debug)]
struct Group {
    leader: Mutex<Option<Pid>>,
    reaped: Condvar,
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, Option<Pid>> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = *self.lock() {
            // Fails only when all have ended.
            let _ = kill_process_group(leader, signal);
        }
    }

    /// SIGINT now, on which psql too cancels its statement on the server; then SIGTERM, which psql does not take for a
    /// wish to go on; then SIGKILL.
    fn end(self: &Arc<Self>) {
        self.signal(Signal::INT);
        let group = self.clone();
        let killer = std::thread::Builder::new()
            .name("tool-kill".into())
            .spawn(move || {
                for (grace, signal) in [(POLITE_GRACE, Signal::TERM), (GRACE, Signal::KILL)] {
                    if group.wait_reaped(grace) {
                        return;
                    }
                    group.signal(signal);
                }
            });
        if killer.is_err() {
            self.signal(Signal::KILL);
        }
    }

    fn wait_reaped(&self, limit: Duration) -> bool {
        let waited = self
            .reaped
            .wait_timeout_while(self.lock(), limit, |leader| leader.is_some());
        let (leader, _) = waited.unwrap_or_else(PoisonError::into_inner);
        leader.is_none()
    }
}

impl RunningTool {
    pub(super) fn start(
        name: String,
        command: Command,
        password: Option<PasswordFile>,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let start_failed = |source| ToolError::Start {
            program: name.clone(),
            source,
        };
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let watcher = std::thread::Builder::new()
            .name(format!("{name}-watch"))
            .spawn(move || watch(command, &sender))
            .map_err(start_failed)?;
        let mut child = receiver
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("its thread ended")))
            .map_err(start_failed)?;
        let group = Arc::new(Group {
            leader: Mutex::new(Some(Pid::from_child(&child))),
            reaped: Condvar::new(),
        });
        let ender = group.clone();
        Ok(Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            child,
            watcher: Some(watcher),
            group,
            cancel: cancel.clone(),
            _hook: cancel.on_cancel(move || ender.end()),
            _password: password,
            name,
        })
    }

    /// The program's output, for [`super::ToolCommand::start`].
    pub fn stdout(&mut self) -> &mut ChildStdout {
        self.stdout
            .as_mut()
            .expect("the output was asked for and not taken")
    }

    /// The program's output, to be read elsewhere.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// The program's input, to be written and dropped; it sees the end of its input when this is dropped.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Waits for the program to end and returns its error output.
    ///
    /// # Errors
    /// When it fails; [`Error::Cancelled`] when that is because it was cancelled.
    pub fn finish(mut self) -> Result<String> {
        drop(self.stdin.take());
        drop(self.stdout.take());
        let (status, stderr) = self.reap();
        if status.as_ref().is_ok_and(ExitStatus::success) {
            return Ok(stderr);
        }
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let program = self.name.clone();
        Err(match status {
            Ok(status) => ToolError::Failed {
                program,
                status: status.to_string(),
                stderr,
            },
            Err(source) => ToolError::Pipe { program, source },
        }
        .into())
    }

    /// True once the program has ended. Only for one whose error output goes elsewhere.
    pub fn has_ended(&self) -> bool {
        self.watcher.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the program to end, whatever its status, and ends what it left behind in its group.
    pub fn wait(mut self) -> Result<ExitStatus> {
        drop(self.stdin.take());
        drop(self.stdout.take());
        let program = self.name.clone();
        let (status, _) = self.reap();
        Ok(status.map_err(|source| ToolError::Pipe { program, source })?)
    }

    /// Ends the program because no more of its work is wanted; returns its exit status and error output.
    pub fn stop(mut self) -> (Option<ExitStatus>, String) {
        drop(self.stdin.take());
        drop(self.stdout.take());
        self.group.end();
        let (status, stderr) = self.reap();
        (status.ok(), stderr)
    }

    /// Waits for the leader's end, ends what it left behind in its group, and only then gives its number free.
    fn reap(&mut self) -> (io::Result<ExitStatus>, String) {
        let stderr = self
            .watcher
            .take()
            .and_then(|watcher| watcher.join().ok())
            .unwrap_or_default();
        let mut leader = self.group.lock();
        if let Some(pid) = *leader {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let status = self.child.wait();
        *leader = None;
        self.group.reaped.notify_all();
        (status, stderr)
    }
}

impl Drop for RunningTool {
    fn drop(&mut self) {
        if self.watcher.is_some() {
            drop(self.stdin.take());
            drop(self.stdout.take());
            self.group.end();
            let _ = self.reap();
        }
    }
}

/// Starts the program, keeps the end of its error output, and stays until it has ended (but leaves it to be reaped).
fn watch(mut command: Command, started: &crossbeam_channel::Sender<io::Result<Child>>) -> String {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => {
            // The receiver waits for this very message.
            let _ = started.send(Err(e));
            return String::new();
        }
    };
    let leader = Pid::from_child(&child);
    let stderr = child.stderr.take();
    let _ = started.send(Ok(child));
    let tail = stderr.map(keep_tail).unwrap_or_default();
    while let Err(rustix::io::Errno::INTR) = waitid(
        WaitId::Pid(leader),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    ) {}
    String::from_utf8_lossy(&tail).into_owned()
}

fn keep_tail(mut stderr: ChildStderr) -> Vec<u8> {
    let mut tail = VecDeque::new();
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = stderr.read(&mut buffer) {
        tail.extend(&buffer[..count]);
        let excess = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..excess);
    }
    tail.into()
}
