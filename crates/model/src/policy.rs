//! A policy: which app is backed up how, when, where to, and what is kept.

mod defaults;
mod validate;

pub use defaults::{EnvironmentSchedule, defaults, from_environment};
pub use validate::FieldError;

use crate::duration::parse_duration;
use crate::retention::KeepPolicy;
use crate::schedule::{ResolvedSchedule, ScheduleError};
use serde::{Deserialize, Serialize};

/// A rule by which backups of one app are made and removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Unique; letters, digits, `_`, `-` and `.`.
    #[serde(default)]
    pub name: String,
    pub app: String,
    #[serde(default)]
    pub kind: PolicyKind,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub schedule: Schedule,
    #[serde(default)]
    pub retention: Retention,
    /// Cron expression in the schedule's time zone: when retention is applied. After each backup where absent.
    #[serde(default)]
    pub cleanup_cron: Option<String>,
    /// zstd level; the app's where absent.
    #[serde(default)]
    pub compression: Option<i32>,
    /// Names of repositories; the app's where empty.
    #[serde(default)]
    pub repositories: Vec<String>,
    /// Template of the backups' description: `{policy}`, `{app}`, `{date}`, `{time}`, `{kind}`.
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: Vec<String>,
    /// Names of notification targets; those marked as default where empty.
    #[serde(default)]
    pub notify: Vec<String>,
    /// Skips a run when the server proves that nothing was written since the policy's newest backup.
    #[serde(default)]
    pub skip_if_unchanged: bool,
    #[serde(default)]
    pub load_limit: Option<LoadLimit>,
    #[serde(default)]
    pub adaptive: Option<Adaptive>,
    /// Its newest good backup is drilled this often, written like `7d`, besides what the app's definition says of drills.
    #[serde(default)]
    pub drill: Option<String>,
    /// Folder that an `export` policy writes its packages to, or `s3://bucket/folder`; the server's own folder where absent.
    #[serde(default)]
    pub export_to: Option<String>,
    /// Public keys of age that its packages are encrypted for; whoever has a package can read it where empty.
    #[serde(default)]
    pub export_recipients: Vec<String>,
    /// Compresses its packages with zstd.
    #[serde(default)]
    pub export_zstd: bool,
}

fn yes() -> bool {
    true
}

impl Policy {
    /// A daily full backup of which nothing is ever removed.
    pub fn new(name: &str, app: &str) -> Self {
        Self {
            name: name.to_owned(),
            app: app.to_owned(),
            kind: PolicyKind::Full,
            enabled: true,
            schedule: Schedule::default(),
            retention: Retention::default(),
            cleanup_cron: None,
            compression: None,
            repositories: Vec::new(),
            description: String::new(),
            tags: Vec::new(),
            notify: Vec::new(),
            skip_if_unchanged: false,
            load_limit: None,
            adaptive: None,
            drill: None,
            export_to: None,
            export_recipients: Vec::new(),
            export_zstd: false,
        }
    }

    /// The schedule, ready to say when runs are due.
    pub fn runs(&self) -> Result<ResolvedSchedule, ScheduleError> {
        self.schedule.resolve(&self.name)
    }

    /// Time between two drills of its backups, where it has an interval of its own.
    pub fn drill_interval(&self) -> Option<std::time::Duration> {
        let every = parse_duration(self.drill.as_deref()?).ok()?;
        (!every.is_zero()).then_some(every)
    }

    /// When retention is applied, where that has a schedule of its own.
    pub fn cleanup_runs(&self) -> Result<Option<ResolvedSchedule>, ScheduleError> {
        let Some(cron) = &self.cleanup_cron else {
            return Ok(None);
        };
        let schedule = Schedule {
            frequency: Frequency::Cron,
            cron: Some(cron.clone()),
            time_zone: self.schedule.time_zone.clone(),
            ..Schedule::default()
        };
        let resolved = schedule
            .resolve(&self.name)
            .map_err(|error| ScheduleError {
                field: "cleanup_cron",
                ..error
            })?;
        Ok(Some(resolved))
    }

    /// Fills the template of the backups' description for a run at `time`.
    pub fn describe_run(&self, time: jiff::Timestamp) -> String {
        let zone = self.schedule.time_zone.as_deref();
        let zone = zone.and_then(|name| jiff::tz::TimeZone::get(name).ok());
        let time = time.to_zoned(zone.unwrap_or(jiff::tz::TimeZone::UTC));
        self.description
            .replace("{policy}", &self.name)
            .replace("{app}", &self.app)
            .replace("{kind}", self.kind.as_str())
            .replace("{date}", &time.strftime("%Y-%m-%d").to_string())
            .replace("{time}", &time.strftime("%H:%M").to_string())
    }
}

impl PolicyKind {
    pub fn as_str(self) -> &'static str {
        match self {
            PolicyKind::Full => "full",
            PolicyKind::Incremental => "incremental",
            PolicyKind::Differential => "differential",
            PolicyKind::Database => "database",
            PolicyKind::Files => "files",
            PolicyKind::Export => "export",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    #[default]
    Full,
    Incremental,
    Differential,
    Database,
    Files,
    Export,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    Hourly,
    #[default]
    Daily,
    Weekly,
    Monthly,
    Cron,
    OnDemand,
}

/// When runs are due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    pub frequency: Frequency,
    /// `HH:MM` of the day; of an hourly schedule only the minutes count.
    pub at: Option<String>,
    /// `monday` ... `sunday`, for weekly schedules.
    pub weekday: Option<Weekday>,
    /// 1 to 31, for monthly schedules; a month that is shorter runs on its last day.
    pub day: Option<u8>,
    /// Five fields, for cron schedules.
    pub cron: Option<String>,
    /// IANA name; UTC where absent.
    pub time_zone: Option<String>,
    /// A run starts up to this many seconds late, by a share that is the same at every run of a policy.
    pub jitter_secs: u32,
    /// Runs once when the server was down at the time of a run.
    pub catch_up: bool,
    /// No run starts within these.
    pub blackout: Vec<Blackout>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            frequency: Frequency::Daily,
            at: None,
            weekday: None,
            day: None,
            cron: None,
            time_zone: None,
            jitter_secs: 0,
            catch_up: true,
            blackout: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A stretch of the day, in the schedule's time zone, in which nothing starts; it may reach over midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blackout {
    /// `HH:MM`
    pub from: String,
    /// `HH:MM`
    pub to: String,
    /// Days on which it begins; every day where empty.
    #[serde(default)]
    pub days: Vec<Weekday>,
}

/// What is kept of the backups that a policy made: `days` and `max_backups` remove (whichever is hit first) what none of
/// the `keep` rules wants; `keep` rules alone remove what none of them wants; without either, nothing is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    pub days: Option<u32>,
    pub max_backups: Option<u32>,
    pub keep: KeepPolicy,
}

impl Retention {
    /// Tells whether nothing is ever removed.
    pub fn is_empty(&self) -> bool {
        self.days.is_none() && self.max_backups.is_none() && self.keep.is_empty()
    }

    /// The ready choice: 7 daily, 4 weekly and 12 monthly backups.
    pub fn seven_four_twelve() -> Self {
        Self {
            keep: KeepPolicy {
                daily: 7,
                weekly: 4,
                monthly: 12,
                ..KeepPolicy::default()
            },
            ..Self::default()
        }
    }

    /// The rules in words: `30 days, at most 30 backups`.
    pub fn describe(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.days.map(|days| format!("{days} days")));
        words.extend(
            self.max_backups
                .map(|most| format!("at most {most} backups")),
        );
        let keep = self.keep.describe();
        if !keep.is_empty() {
            words.push(format!("keep {keep}"));
        }
        match words.is_empty() {
            true => "everything is kept".to_owned(),
            false => words.join(", "),
        }
    }
}

/// Waits with a start while the database is busy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadLimit {
    /// Active sessions other than pgkeep's.
    #[serde(default)]
    pub active_sessions: Option<u32>,
    /// One-minute load average of the machine that pgkeep runs on, in hundredths.
    #[serde(default)]
    pub load_percent: Option<u32>,
    /// Starts at the latest this long after its time.
    pub deadline_secs: u32,
}

/// Runs more often while much is written: after `bytes_changed` bytes of WAL, but no sooner and no later than the bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adaptive {
    pub at_least_every_secs: u32,
    pub at_most_every_secs: u32,
    pub bytes_changed: u64,
}

#[cfg(test)]
mod tests;
