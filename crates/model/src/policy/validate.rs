//! What is wrong with a policy, all at once and by field.

use super::{Policy, PolicyKind};
use crate::schedule::ScheduleError;
use serde::Serialize;
use std::collections::BTreeSet;

/// A field that cannot be as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// Path of the field: `schedule.at`.
    pub field: String,
    pub message: String,
}

/// Longest name, description and tag.
const MOST_NAME: usize = 64;
const MOST_TEXT: usize = 500;

impl Policy {
    /// Checks everything that can be checked without looking at other objects.
    pub fn validate(&self) -> Result<(), Vec<FieldError>> {
        let mut errors = Errors::default();
        self.check_names(&mut errors);
        self.check_kind(&mut errors);
        self.check_times(&mut errors);
        self.check_amounts(&mut errors);
        match errors.0.is_empty() {
            true => Ok(()),
            false => Err(errors.0),
        }
    }

    fn check_names(&self, errors: &mut Errors) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !self.name.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !self.name.chars().all(allowed)
            || self.name.len() > MOST_NAME
        {
            errors.add(
                "name",
                "is letters, digits, _, - and ., begins with a letter or digit, and is at most 64 long",
            );
        }
        if self.app.is_empty() {
            errors.add("app", "names no app");
        }
        let mut seen = BTreeSet::new();
        for repository in &self.repositories {
            if repository.is_empty() || !seen.insert(repository) {
                errors.add("repositories", "holds an empty name or the same name twice");
            }
        }
        for tag in &self.tags {
            if tag.is_empty() || tag.len() > MOST_TEXT || tag.contains(char::is_control) {
                errors.add(
                    "tags",
                    "holds an empty or overlong tag, or one with line breaks",
                );
            }
        }
        if self.description.len() > MOST_TEXT || self.description.contains(char::is_control) {
            errors.add("description", "is longer than 500 bytes or has line breaks");
        }
    }

    fn check_kind(&self, errors: &mut Errors) {
        if self.kind != PolicyKind::Export {
            for (field, given) in [
                ("export_to", self.export_to.is_some()),
                ("export_recipients", !self.export_recipients.is_empty()),
                ("export_zstd", self.export_zstd),
            ] {
                if given {
                    errors.add(field, "is only for kind \"export\"");
                }
            }
        }
        let is_place = |to: &str| {
            let bucket = to.strip_prefix("s3://");
            to.starts_with('/')
                || bucket.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        };
        if self.export_to.as_deref().is_some_and(|to| !is_place(to)) {
            errors.add(
                "export_to",
                "is neither an absolute path nor s3://bucket/folder",
            );
        }
        let is_key = |key: &String| key.starts_with("age1") && key.len() <= MOST_TEXT;
        if !self.export_recipients.iter().all(is_key) {
            errors.add(
                "export_recipients",
                "holds what is no public key of age; those begin with age1",
            );
        }
    }

    fn check_times(&self, errors: &mut Errors) {
        let field = |error: ScheduleError| match error.field {
            "cleanup_cron" => error.field.to_owned(),
            other => format!("schedule.{other}"),
        };
        for result in [self.runs().map(drop), self.cleanup_runs().map(drop)] {
            if let Err(error) = result {
                let message = error.message.clone();
                errors.add(&field(error), message);
            }
        }
        if self.schedule.blackout.len() > 50 {
            errors.add("schedule.blackout", "holds more than 50 stretches");
        }
    }

    fn check_amounts(&self, errors: &mut Errors) {
        if self.retention.days == Some(0) {
            errors.add(
                "retention.days",
                "is at least 1; leave it out to keep backups of any age",
            );
        }
        if self.retention.max_backups == Some(0) {
            errors.add(
                "retention.max_backups",
                "is at least 1; leave it out to keep any number",
            );
        }
        if self
            .compression
            .is_some_and(|level| !(-7..=22).contains(&level))
        {
            errors.add("compression", "is a zstd level, -7 to 22");
        }
        if self.drill.is_some()
            && self
                .drill_interval()
                .is_none_or(|every| every.as_secs() < 3600)
        {
            errors.add(
                "drill",
                "is a time of an hour at least, written like 7d or 12h",
            );
        }
        if let Some(limit) = &self.load_limit {
            if limit.active_sessions.is_none() && limit.load_percent.is_none() {
                errors.add(
                    "load_limit",
                    "names neither active_sessions nor load_percent",
                );
            }
            if limit.deadline_secs == 0 {
                errors.add("load_limit.deadline_secs", "is at least 1");
            }
        }
        if let Some(adaptive) = &self.adaptive {
            if adaptive.at_most_every_secs < 60 {
                errors.add("adaptive.at_most_every_secs", "is at least 60");
            }
            if adaptive.at_least_every_secs < adaptive.at_most_every_secs {
                errors.add(
                    "adaptive.at_least_every_secs",
                    "is shorter than at_most_every_secs",
                );
            }
            if adaptive.bytes_changed == 0 {
                errors.add("adaptive.bytes_changed", "is at least 1");
            }
            if self.runs_within(adaptive.at_most_every_secs) {
                errors.add(
                    "adaptive.at_most_every_secs",
                    "changes nothing, for the schedule runs as often anyway: give that a rarer frequency, such as daily",
                );
            }
        }
    }
}

impl Policy {
    /// Tells whether the schedule alone never leaves more than so much between two runs.
    fn runs_within(&self, secs: u32) -> bool {
        const RUNS: usize = 50;
        let Ok(schedule) = self.runs() else {
            return false;
        };
        let runs = schedule.next(RUNS, jiff::Timestamp::UNIX_EPOCH);
        let longest = runs
            .windows(2)
            .map(|pair| pair[1].scheduled.duration_since(pair[0].scheduled))
            .max();
        longest.is_some_and(|longest| longest.as_secs() <= i64::from(secs))
    }
}

#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        let error = FieldError {
            field: field.to_owned(),
            message: message.into(),
        };
        if !self.0.contains(&error) {
            self.0.push(error);
        }
    }
}
