//! Hooks: what the user has run, or told, at set moments of backups and restores.
//!
//! A hook before something may stop it: unless it `may_fail`, its failure is the operation's, and nothing was changed yet.
//! A hook after something, or on a failure, can only be warned of. What a hook printed is told line by line and its end is
//! kept in the report.

mod webhook;

use crate::{
    Context, Error, ErrorCode, Result,
    application::{AppHook, Application},
    program::{self, Program},
};
use pgkeep_model::{CancelToken, Phase, app::HookMoment};
use serde::{Deserialize, Serialize};

/// What a hook is told, in variables named `PGKEEP_…` or as a JSON object.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    pub app: String,
    /// `backup`, `restore` or `undo`.
    pub operation: String,
    /// How a restore goes: `into`, `replace`, `in_place`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// The live database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The database that was restored and takes the live one's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_database: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a hook went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HookReport {
    pub on: HookMoment,
    /// Its program, or `webhook`.
    pub what: String,
    pub succeeded: bool,
    /// How it ended, in words.
    pub ended: String,
    pub seconds: f64,
    /// The end of what it printed or was answered.
    pub output: String,
}

/// The hooks of one operation.
pub struct Hooks<'a> {
    app: &'a Application,
    context: &'a Context,
    pub facts: Facts,
    pub reports: Vec<HookReport>,
}

impl<'a> Hooks<'a> {
    pub fn new(app: &'a Application, facts: Facts, context: &'a Context) -> Self {
        Self {
            app,
            context,
            facts,
            reports: Vec::new(),
        }
    }

    /// Runs the hooks of a moment at which the operation can still be stopped.
    pub fn before(&mut self, moment: HookMoment) -> Result<()> {
        for hook in self.at(moment) {
            let report = run(hook, &self.facts, self.app, self.context)?;
            let failed = !report.succeeded;
            if failed && hook.may_fail {
                self.warn(&report);
            }
            let stops = failed && !hook.may_fail;
            let error = stops.then(|| stopped_by(&report));
            self.reports.push(report);
            if let Some(error) = error {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs the hooks of a moment at which nothing can be stopped any more.
    pub fn after(&mut self, moment: HookMoment) {
        // What was cancelled must still be told.
        let mut context = self.context.clone();
        if context.cancel.is_cancelled() {
            context.cancel = CancelToken::new();
        }
        for hook in self.at(moment) {
            match run(hook, &self.facts, self.app, &context) {
                Ok(report) => {
                    if !report.succeeded {
                        self.warn(&report);
                    }
                    self.reports.push(report);
                }
                Err(e) => self.context.progress.warn(&format!(
                    "the {} hook {} could not be run: {e}",
                    moment_words(moment),
                    hook.words()
                )),
            }
        }
    }

    /// Tells of a failure and hands it back.
    pub fn failed(&mut self, error: Error) -> Error {
        self.facts.error = Some(error.message.clone());
        self.after(HookMoment::OnFailure);
        error
    }

    fn at(&self, moment: HookMoment) -> Vec<&'a AppHook> {
        let app = self.app;
        app.hooks.iter().filter(|hook| hook.on == moment).collect()
    }

    fn warn(&self, report: &HookReport) {
        let last = report.output.lines().last().unwrap_or_default();
        self.context.progress.warn(&format!(
            "the {} hook {} {}{}",
            moment_words(report.on),
            report.what,
            report.ended,
            if last.is_empty() {
                String::new()
            } else {
                format!(": {last}")
            }
        ));
    }
}

/// The moment, as it stands in the configuration.
pub fn moment_words(moment: HookMoment) -> &'static str {
    match moment {
        HookMoment::BeforeBackup => "before_backup",
        HookMoment::AfterBackup => "after_backup",
        HookMoment::BeforeRestore => "before_restore",
        HookMoment::AfterRestore => "after_restore",
        HookMoment::BeforeSwap => "before_swap",
        HookMoment::AfterSwap => "after_swap",
        HookMoment::OnFailure => "on_failure",
    }
}

fn stopped_by(report: &HookReport) -> Error {
    let lines: Vec<&str> = report.output.lines().collect();
    let from = lines.len().saturating_sub(20);
    Error::new(
        ErrorCode::Failed,
        format!(
            "the {} hook {} {}",
            moment_words(report.on),
            report.what,
            report.ended
        ),
    )
    .details(
        lines[from..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect(),
    )
    .hint("the hook stopped this on purpose or by mistake; with `may_fail = true` its failure is only told")
}

fn run(hook: &AppHook, facts: &Facts, app: &Application, context: &Context) -> Result<HookReport> {
    context.progress.phase(Phase::Hook, None);
    let report = |succeeded, ended: String, seconds, output| HookReport {
        on: hook.on,
        what: hook.words(),
        succeeded,
        ended,
        seconds,
        output,
    };
    if let Some(url) = &hook.url {
        let begun = std::time::Instant::now();
        let told = webhook::tell(url, moment_words(hook.on), facts, hook.time_limit, context)?;
        let seconds = begun.elapsed().as_secs_f64();
        return Ok(match told {
            Ok(answer) => report(true, "succeeded".into(), seconds, answer),
            Err(why) => report(false, format!("failed ({why})"), seconds, String::new()),
        });
    }
    let program = Program {
        words: &hook.command,
        commands: &app.commands,
        database: app.database.as_ref(),
        extra: variables(hook.on, facts),
        time_limit: Some(hook.time_limit),
    };
    let outcome = program::run(&program, context, &mut |line| context.progress.output(line));
    match outcome {
        Ok(outcome) => Ok(report(
            outcome.succeeded(),
            outcome.words(),
            outcome.seconds,
            outcome.output,
        )),
        Err(e) if e.code == ErrorCode::Cancelled => Err(e),
        Err(e) => Ok(report(false, e.message, 0.0, String::new())),
    }
}

fn variables(moment: HookMoment, facts: &Facts) -> Vec<(String, String)> {
    let known = [
        ("PGKEEP_APP", Some(&facts.app)),
        ("PGKEEP_OPERATION", Some(&facts.operation)),
        ("PGKEEP_MODE", facts.mode.as_ref()),
        ("PGKEEP_BACKUP", facts.backup.as_ref()),
        ("PGKEEP_DATABASE", facts.database.as_ref()),
        ("PGKEEP_RESTORED_DATABASE", facts.restored_database.as_ref()),
        ("PGKEEP_ERROR", facts.error.as_ref()),
    ];
    let mut variables = vec![("PGKEEP_MOMENT".to_owned(), moment_words(moment).to_owned())];
    for (name, value) in known {
        if let Some(value) = value {
            variables.push((name.to_owned(), value.clone()));
        }
    }
    variables
}
