//! What is done by hand stands in the catalog like any other job, where there is a catalog.
//!
//! The work is done here; the catalog only knows of it: the app's other jobs wait meanwhile, its progress is seen, and it
//! can be cancelled. A catalog that cannot be used is a warning, for in a disaster a restore must not need one.

use crate::{
    error::{CliError, CliResult},
    exit::Exit,
    listing,
    session::Session,
};
use pgkeep_engine::{Context, ErrorCode};
use pgkeep_model::job::{JobSpec, RepositorySpec, Trigger};
use pgkeep_server::{
    jobs::{Failure, draft},
    settings::{CatalogPlace, JobLimits, Places},
    worker::recorder::{Recorder, RecorderError},
};
use serde::Serialize;

/// A command that may be recorded.
pub struct Recording {
    recorder: Option<Recorder>,
    places: Option<Places>,
    /// Address of the repository whose backups it changes.
    changes: Option<String>,
}

impl Recording {
    /// Begins a job for the command, where a catalog is. Refuses when another job works on the same app.
    pub fn begin(session: &Session, spec: JobSpec) -> CliResult<Self> {
        let none = Recording {
            recorder: None,
            places: None,
            changes: None,
        };
        // Without a home there is no usual place, and so no catalog.
        let Ok(places) = session.catalog_places() else {
            return Ok(none);
        };
        if matches!(&places.catalog, CatalogPlace::Sqlite(path) if !path.exists()) {
            return Ok(none);
        }
        let machine = session.machine();
        let now = machine.clock.now();
        let job = draft(
            spec,
            Trigger::Cli,
            &session.who(),
            now,
            &JobLimits::default(),
        );
        let begun = Recorder::begin(
            &places,
            &machine,
            job,
            session.progress.clone(),
            &session.cancel,
        );
        match begun {
            Ok(recorder) => Ok(Recording {
                recorder,
                places: Some(places),
                changes: None,
            }),
            Err(busy @ RecorderError::Busy { .. }) => {
                Err(CliError::new(Exit::Busy, busy.to_string())
                    .with_hint("wait for it, or look at it with `pgkeep job list`"))
            }
            Err(error) => {
                session
                    .screen
                    .warn(&format!("this is not recorded in the catalog: {error}"));
                Ok(none)
            }
        }
    }

    /// The engine's context, with the job listening and able to cancel.
    pub fn context(&self, mut context: Context) -> Context {
        if let Some(recorder) = &self.recorder {
            context.progress = recorder.progress();
            context.cancel = recorder.cancel();
        }
        context
    }

    /// The command changes the backups of this repository: once it is done, the server is to look into it.
    pub fn changing(mut self, address: &str) -> Self {
        self.changes = Some(address.to_owned());
        self
    }

    /// Id of the job, where there is one.
    pub fn job(&self) -> Option<String> {
        self.recorder
            .as_ref()
            .map(|recorder| recorder.job().to_owned())
    }

    /// Writes how the command ended.
    pub fn finish<T: Serialize>(self, outcome: CliResult<T>, session: &Session) -> CliResult<T> {
        self.finish_unless(outcome, session, |_| None)
    }

    /// The same where a report can be bad news: `bad` says which, and the job counts as failed.
    pub fn finish_unless<T: Serialize>(
        self,
        outcome: CliResult<T>,
        session: &Session,
        bad: impl FnOnce(&T) -> Option<(ErrorCode, String)>,
    ) -> CliResult<T> {
        let Some(recorder) = self.recorder else {
            return outcome;
        };
        let written = match &outcome {
            Ok(report) => match bad(report) {
                Some((code, message)) => {
                    let error = Failure::new(code, message).to_job_error();
                    recorder.finish_found(error, document(report))
                }
                None => recorder.finish(Ok(document(report))),
            },
            Err(error) => recorder.finish(Err(&failure_of(error))),
        };
        if let Err(error) = written {
            session.screen.warn(&format!(
                "how this ended is not written in the catalog: {error}"
            ));
        }
        if let (Ok(_), Some(address), Some(places)) = (&outcome, &self.changes, &self.places) {
            tell_of_changes(address, places, session);
        }
        outcome
    }
}

/// Has the server, where there is a catalog, look into a repository of which something small was changed without a job.
pub fn announce(address: &str, session: &Session) {
    let Ok(places) = session.catalog_places() else {
        return;
    };
    if !matches!(&places.catalog, CatalogPlace::Sqlite(path) if !path.exists()) {
        tell_of_changes(address, &places, session);
    }
}

/// Has the server look into the repository at this address.
fn tell_of_changes(address: &str, places: &Places, session: &Session) {
    let told = session.open_catalog(places, false).and_then(|catalog| {
        let by = session.who();
        catalog.block_on(|catalog| async move {
            let known = catalog.repositories().await?;
            let here = known
                .into_iter()
                .filter(|known| known.value.address.as_deref() == Some(address));
            for repository in here {
                let spec = JobSpec::Sync(RepositorySpec {
                    repository: repository.name,
                });
                let now = catalog.now();
                let job = draft(spec, Trigger::Internal, &by, now, &JobLimits::default());
                catalog.enqueue(job).await?;
            }
            Ok::<(), CliError>(())
        })?;
        listing::take_in_unless_worked(&catalog, Some(address), session);
        Ok(())
    });
    if let Err(error) = told {
        session.screen.warn(&format!(
            "the server is not told that its list of backups has changed: {}",
            error.message
        ));
    }
}

/// Reports are plain values, which JSON can always hold.
fn document(report: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(report).expect("reports are plain values")
}

fn failure_of(error: &CliError) -> Failure {
    let mut failure = Failure::new(code_of(error.exit), error.message.clone());
    failure.hint.clone_from(&error.hint);
    failure.details.clone_from(&error.details);
    failure
}

/// The engine's code for what the command line ends with.
pub fn code_of(exit: Exit) -> ErrorCode {
    match exit {
        Exit::Usage => ErrorCode::InvalidRequest,
        Exit::NotFound => ErrorCode::NotFound,
        Exit::NotProven => ErrorCode::ProofFailed,
        Exit::Busy => ErrorCode::Busy,
        Exit::NoAccess => ErrorCode::RepositoryAccess,
        Exit::Database => ErrorCode::Database,
        Exit::Refused => ErrorCode::Refused,
        Exit::Storage => ErrorCode::Storage,
        Exit::Cancelled => ErrorCode::Cancelled,
        Exit::Done | Exit::Failed | Exit::Server | Exit::Unprotected => ErrorCode::Failed,
    }
}
