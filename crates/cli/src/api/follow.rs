//! Watching a job to its end: its phase, bytes and warnings appear as if the work were done here.

use super::{Api, Call, encoded, job_failure};
use crate::{
    error::{CliError, CliResult},
    output::human,
    session::Session,
};
use jiff::Timestamp;
use pgkeep_model::{Phase, Progress};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{sync::mpsc, time::Duration};

/// A job as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobView {
    pub id: String,
    pub kind: String,
    pub state: String,
    #[serde(default)]
    pub app: Option<String>,
    #[serde(default)]
    pub repository: Option<String>,
    #[serde(default)]
    pub policy: Option<String>,
    #[serde(default)]
    pub trigger: String,
    #[serde(default)]
    pub created_by: String,
    #[serde(default)]
    pub priority: i32,
    pub created_at: Timestamp,
    #[serde(default)]
    pub run_at: Option<Timestamp>,
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    #[serde(default)]
    pub attempts: u32,
    #[serde(default)]
    pub max_attempts: u32,
    #[serde(default)]
    pub node: Option<String>,
    #[serde(default)]
    pub held: bool,
    #[serde(default)]
    pub cancel_requested: bool,
    #[serde(default)]
    pub approval: Value,
    #[serde(default)]
    pub phase: Option<String>,
    #[serde(default)]
    pub progress: Option<ProgressView>,
    #[serde(default)]
    pub error: Option<ErrorView>,
    /// The document that the same command prints when it is run by hand.
    #[serde(default)]
    pub result: Option<Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProgressView {
    #[serde(default)]
    pub done_bytes: u64,
    #[serde(default)]
    pub total_bytes: Option<u64>,
    #[serde(default)]
    pub item: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorView {
    pub code: String,
    pub message: String,
    #[serde(default)]
    pub hint: Option<String>,
    /// Lines.
    #[serde(default)]
    pub details: Option<String>,
}

impl JobView {
    pub fn is_final(&self) -> bool {
        !matches!(self.state.as_str(), "queued" | "running")
    }
}

/// Between two looks at a job, at first and later.
const SOON: Duration = Duration::from_millis(150);
const LATER: Duration = Duration::from_secs(1);

impl Api {
    pub fn job(&self, id: &str) -> CliResult<JobView> {
        self.ask(&Call::get(format!("/jobs/{}", encoded(id))))
    }

    /// Sends a request that becomes a job, and gives its id.
    pub fn accepted(&self, call: &Call) -> CliResult<String> {
        let mut ids = self.all_accepted(call)?;
        Ok(ids.swap_remove(0))
    }

    /// The same for a request that may become several; there is one at least.
    pub fn all_accepted(&self, call: &Call) -> CliResult<Vec<String>> {
        let accepted = self.document(call)?;
        let one = |value: &Value| value["job_id"].as_str().map(str::to_owned);
        let ids: Vec<String> = match accepted["jobs"].as_array() {
            Some(several) => several.iter().filter_map(one).collect(),
            None => one(&accepted).into_iter().collect(),
        };
        match ids.is_empty() {
            false => Ok(ids),
            true => Err(CliError::strange_answer("the server names no job")),
        }
    }

    /// Waits for a job that was accepted, and gives the document that it ended with. Ctrl-C cancels the job.
    pub fn finished(&self, id: &str, session: &Session) -> CliResult<Value> {
        let job = self.follow(id, session)?;
        session.progress.finish();
        match job.state.as_str() {
            "succeeded" | "skipped" => job.result.ok_or_else(|| {
                CliError::strange_answer(format!("job {id} ended without a result"))
            }),
            _ => Err(job_failure(&job)),
        }
    }

    /// Waits for a job's end, whatever it is, and shows its progress meanwhile. The first Ctrl-C asks the server to cancel
    /// the job; who does not wait for that is told that the job may go on.
    pub fn follow(&self, id: &str, session: &Session) -> CliResult<JobView> {
        if let Some(relay) = &session.relay {
            relay.last_words(format!(
                "job {id} may still go on at the server: `pgkeep job show {id}` tells, `pgkeep job cancel {id}` ends it"
            ));
        }
        let followed = self.follow_until_final(id, session);
        if let Some(relay) = &session.relay {
            relay.last_words(String::new());
        }
        followed.map_err(|error| lost_from_sight(error, id))
    }

    fn follow_until_final(&self, id: &str, session: &Session) -> CliResult<JobView> {
        let mut shown = Shown::default();
        let mut asked_to_cancel = false;
        let (interrupt, interrupted) = mpsc::channel();
        let _wakes = session.cancel.on_cancel(move || {
            // Nobody waits any more.
            let _ = interrupt.send(());
        });
        let mut told_to_wait = false;
        let mut pause = SOON;
        loop {
            let job = self.job(id)?;
            shown.show(&job, session);
            self.show_warnings(id, &mut shown, session)?;
            if job.is_final() {
                return Ok(job);
            }
            if job.state == "queued" && !told_to_wait {
                told_to_wait = true;
                if job.approval["state"] == "needed" {
                    session
                        .screen
                        .note(&format!("job {id} waits for the yes of a second person"));
                }
                self.tell_of_pause(session)?;
            }
            if session.cancel.is_cancelled() && !asked_to_cancel {
                asked_to_cancel = true;
                self.send(&Call::post(format!("/jobs/{}/cancel", encoded(id))))?;
            }
            match asked_to_cancel {
                true => std::thread::sleep(pause),
                // Ctrl-C ends the waiting, so that the server hears of it at once.
                false => drop(interrupted.recv_timeout(pause)),
            }
            pause = (pause * 5 / 4).min(LATER);
        }
    }

    /// Says that nothing starts while the queue is paused: a job that waits looks like one that hangs.
    pub fn tell_of_pause(&self, session: &Session) -> CliResult<()> {
        if let Some(why) = self.pause()? {
            session.screen.note(&why);
        }
        Ok(())
    }

    /// In words, where the queue is paused.
    pub fn pause(&self) -> CliResult<Option<String>> {
        let queue = self.document(&Call::get("/queue"))?;
        if queue["paused"] != true {
            return Ok(None);
        }
        let by = queue["paused_by"].as_str().unwrap_or("somebody");
        let at = queue["paused_at"].as_str().and_then(|at| at.parse().ok());
        let since = at.map_or_else(String::new, |at| format!(" since {}", human::time(at)));
        Ok(Some(format!(
            "the queue is paused by {by}{since}: nothing starts until `pgkeep queue resume`"
        )))
    }

    fn show_warnings(&self, id: &str, shown: &mut Shown, session: &Session) -> CliResult<()> {
        for line in self.log_after(id, shown.log_line)? {
            shown.log_line = line.line;
            match line.level.as_str() {
                "warn" | "warning" => session.progress.warn(&line.text),
                // The last failure is told as the end of the job.
                "error" if line.text.ends_with(TRIED_AGAIN) => session.progress.warn(&line.text),
                _ if session.screen.verbose => session.progress.item(&line.text),
                _ => {}
            }
        }
        Ok(())
    }

    /// The lines of a job's log after line `after`.
    pub fn log_after(&self, id: &str, after: i64) -> CliResult<Vec<LogView>> {
        let call = Call::get(format!("/jobs/{}/log", encoded(id)))
            .query("after", after)
            .query("limit", 500);
        let answer = self.document(&call)?;
        serde_json::from_value(answer["items"].clone())
            .map_err(|e| CliError::strange_answer(format!("the log of job {id}: {e}")))
    }
}

/// A job that was accepted goes on, whatever becomes of who watches it: a command that ends here must not look like one that
/// did nothing.
fn lost_from_sight(error: CliError, id: &str) -> CliError {
    let look = format!("`pgkeep job show {id}` tells what became of it");
    let hint = match &error.hint {
        Some(hint) => format!("{look}; {hint}"),
        None => look,
    };
    CliError {
        message: format!(
            "{}; job {id} was accepted and may go on without this command",
            error.message
        ),
        ..error
    }
    .with_hint(hint)
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogView {
    pub line: i64,
    pub at: Timestamp,
    pub level: String,
    pub text: String,
}

#[derive(Default)]
struct Shown {
    phase: Option<Phase>,
    bytes: u64,
    item: Option<String>,
    log_line: i64,
}

/// How the line of an attempt that is not the last one ends.
const TRIED_AGAIN: &str = "; it will be tried again";

impl Shown {
    fn show(&mut self, job: &JobView, session: &Session) {
        let phase = job
            .phase
            .as_ref()
            .and_then(|name| serde_json::from_value::<Phase>(Value::String(name.clone())).ok());
        let progress = job.progress.as_ref();
        if phase != self.phase {
            self.phase = phase;
            self.bytes = 0;
            if let Some(phase) = phase {
                session
                    .progress
                    .phase(phase, progress.and_then(|p| p.total_bytes));
            }
        }
        let Some(progress) = progress else { return };
        if progress.done_bytes > self.bytes {
            session.progress.bytes(progress.done_bytes - self.bytes);
            self.bytes = progress.done_bytes;
        }
        if progress.item.is_some() && progress.item != self.item {
            self.item.clone_from(&progress.item);
            session
                .progress
                .item(progress.item.as_deref().unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn who_loses_sight_of_a_job_is_told_its_id_and_that_it_may_go_on() {
        let error = CliError::new(Exit::Server, "cannot reach the server").with_hint("wait");
        let told = lost_from_sight(error, "0197");
        assert_eq!(told.exit, Exit::Server);
        assert_eq!(
            told.message,
            "cannot reach the server; job 0197 was accepted and may go on without this command"
        );
        let hint = "`pgkeep job show 0197` tells what became of it; wait";
        assert_eq!(told.hint.as_deref(), Some(hint));
    }
}
