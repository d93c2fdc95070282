//! One job's process, from its start to the certainty that its job is looked after.

use super::{ABANDONED, has_attempts_left, order::Order};
use crate::settings::WorkSettings;
use pgkeep_catalog::{Catalog, CatalogError, Claim, Job, JobError, LogLevel, LogLine, Outcome};
use pgkeep_model::{backoff, job::JobState};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    collections::VecDeque,
    io,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Lines of a process's own output that are kept for the reason of its death.
const TAIL_LINES: usize = 20;
/// Longer ones are cut.
const LINE_BYTES: u64 = 4 << 10;
/// Lines of a process's own output that go into the job's log.
const MOST_LINES: usize = 1_000;
/// How long the writing about a dead process is tried, before the lease is left to run out.
const WRITING: Duration = Duration::from_secs(30);

/// What a job's process is started and watched with.
pub(super) struct Attendant {
    pub(super) catalog: Catalog,
    pub(super) work: Arc<WorkSettings>,
    pub(super) order: Arc<Order>,
    /// The supervisor ends.
    pub(super) stopping: CancellationToken,
}

/// How a process came to its end, besides its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    ByItself,
    HardLimit,
    /// The job is not ours any more.
    Fenced,
    Stopping,
}

impl Attendant {
    /// Runs a claimed job's process to its end. `fenced` is notified when the job is found to be another worker's.
    pub(super) async fn attend(self, claim: Claim, fenced: Arc<Notify>) {
        let (job, fence) = (claim.job, claim.fence);
        let (ending, reason) = match self.start(&job, fence).await {
            Ok(mut child) => {
                let output = Output::gather(&mut child, &self.catalog, &job.id, fence);
                let (ending, status) = self.watch(&mut child, &job, &fenced).await;
                let said = output.end().await;
                (ending, died_of(status, &said))
            }
            Err(e) => (
                Ending::ByItself,
                format!("{} cannot be started: {e}", self.work.program.display()),
            ),
        };
        if ending == Ending::Fenced {
            return;
        }
        let until = Instant::now() + WRITING;
        while let Err(e) = self.look_after(&job.id, fence, ending, &reason).await {
            if !e.is_temporary() || Instant::now() >= until {
                tracing::error!(job = %job.id, "what became of the job cannot be written: {e}");
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "our own program does the job; what it is told in secret goes through its standard input"
    )]
    async fn start(&self, job: &Job, fence: i64) -> io::Result<Child> {
        let mut child = Command::new(&self.work.program)
            .args(&self.work.arguments)
            .args(["run-job", "--job", &job.id, "--fence", &fence.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in the server's terminal is the server's; it ends its jobs in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.as_mut().expect("the pipe was asked for");
        // A process that ended at once says why by itself.
        let _ = stdin.write_all(&self.order.line()).await;
        Ok(child)
    }

    /// Waits for the end, and brings it about where it must be. The process's input stays open until then.
    async fn watch(
        &self,
        child: &mut Child,
        job: &Job,
        fenced: &Notify,
    ) -> (Ending, io::Result<ExitStatus>) {
        let hard = Duration::from_secs(job.hard_limit_secs.into());
        let killed_at = Instant::now() + hard;
        let input = child.stdin.take();
        let ending = tokio::select! {
            status = child.wait() => return (Ending::ByItself, status),
            () = sleep_until(killed_at), if !hard.is_zero() => Ending::HardLimit,
            () = fenced.notified() => Ending::Fenced,
            () = self.stopping.cancelled() => Ending::Stopping,
        };
        drop(input);
        if ending == Ending::Stopping {
            // It reads the end of its input, cancels, and hands its job back.
            let grace = ABANDONED + Duration::from_secs(5);
            if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
                return (ending, status);
            }
        }
        kill(child);
        (ending, child.wait().await)
    }

    /// Writes what became of a job whose process did not write it itself.
    async fn look_after(
        &self,
        id: &str,
        fence: i64,
        ending: Ending,
        reason: &str,
    ) -> Result<(), CatalogError> {
        let job = self.catalog.job(id).await?;
        if job.state == JobState::Queued
            && job.fence == fence
            && let Some(error) = &job.error
        {
            tracing::warn!(
                job = %job.id,
                app = job.app.as_deref().unwrap_or_default(),
                policy = job.policy.as_deref().unwrap_or_default(),
                "attempt {} of {} failed, it is tried again at {}: {}",
                job.attempts,
                job.max_attempts,
                job.run_at.strftime("%H:%M:%S UTC"),
                error.message
            );
        }
        if job.state != JobState::Running || job.fence != fence {
            return Ok(());
        }
        let lost = JobError {
            hint: Some(
                "look at the job's log and at the system's (a lack of memory ends processes)"
                    .into(),
            ),
            ..JobError::new("worker_lost", reason)
        };
        let written = match ending {
            Ending::HardLimit => {
                let error = JobError::new(
                    "time_limit",
                    format!("killed at the hard limit of {} s", job.hard_limit_secs),
                );
                self.catalog.finish(id, fence, Outcome::Failed(error)).await
            }
            Ending::Stopping => self.catalog.release(id, fence).await,
            _ if job.cancel_requested => self.catalog.finish(id, fence, Outcome::Cancelled).await,
            _ if has_attempts_left(&job) => {
                let now = self.catalog.now();
                let wait = backoff::after_loss(&job.id, job.attempts);
                let at = now.checked_add(wait).unwrap_or(now);
                self.catalog.retry_later(id, fence, lost, at).await
            }
            _ => self.catalog.finish(id, fence, Outcome::Failed(lost)).await,
        };
        match written {
            Ok(job) => {
                tracing::warn!(job = %job.id, state = job.state.as_str(), "{reason}");
                Ok(())
            }
            // Somebody else looked after it.
            Err(CatalogError::Fenced { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// Kills the process and what is still in its group; the client programs that it started have groups of their own and end
/// with it.
fn kill(child: &Child) {
    let leader = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(leader) = leader {
        // Fails only when it has ended, which is what is wanted.
        let _ = kill_process_group(leader, Signal::KILL);
    }
}

fn died_of(status: io::Result<ExitStatus>, said: &[String]) -> String {
    let status = match status {
        Ok(status) => status.to_string(),
        Err(e) => e.to_string(),
    };
    let last = said
        .iter()
        .rev()
        .find(|line| !line.trim().is_empty())
        .map(|line| format!(", and said: {}", line.trim()))
        .unwrap_or_default();
    format!("the job's process ended without an answer ({status}){last}")
}

/// What the process prints by itself: little, as a rule, and nothing that its log does not have; but it may be its last words.
struct Output {
    tail: Arc<Mutex<VecDeque<String>>>,
    readers: [JoinHandle<()>; 2],
}

impl Output {
    fn gather(child: &mut Child, catalog: &Catalog, job: &str, fence: i64) -> Self {
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let reader = |stream: Option<Box<dyn AsyncRead + Send + Unpin>>| {
            let (tail, catalog, job) = (tail.clone(), catalog.clone(), job.to_owned());
            tokio::spawn(async move {
                if let Some(stream) = stream {
                    read_lines(stream, &tail, &catalog, &job, fence).await;
                }
            })
        };
        let boxed = |stream| Box::new(stream) as Box<dyn AsyncRead + Send + Unpin>;
        let readers = [
            reader(
                child
                    .stdout
                    .take()
                    .map(|s| Box::new(s) as Box<dyn AsyncRead + Send + Unpin>),
            ),
            reader(child.stderr.take().map(boxed)),
        ];
        Self { tail, readers }
    }

    /// Everything that was read; a pipe that something else still holds is not waited for.
    async fn end(self) -> Vec<String> {
        for mut reader in self.readers {
            let read = tokio::time::timeout(Duration::from_secs(1), &mut reader).await;
            if read.is_err() {
                reader.abort();
            }
        }
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.iter().cloned().collect()
    }
}

async fn read_lines(
    stream: impl AsyncRead + Unpin,
    tail: &Mutex<VecDeque<String>>,
    catalog: &Catalog,
    job: &str,
    fence: i64,
) {
    let mut stream = BufReader::new(stream);
    let mut count = 0;
    loop {
        let mut line = Vec::new();
        match (&mut stream)
            .take(LINE_BYTES)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if text.is_empty() {
            continue;
        }
        {
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.push_back(text.clone());
            if tail.len() > TAIL_LINES {
                tail.pop_front();
            }
        }
        count += 1;
        if count <= MOST_LINES {
            let line = LogLine {
                at: catalog.now(),
                level: LogLevel::Error,
                text,
            };
            // The job may be over by now; then its last words stand in its error.
            let _ = catalog.log(job, fence, &[line]).await;
        }
    }
}
