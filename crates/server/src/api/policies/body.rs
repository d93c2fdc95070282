//! A policy as the API writes it.

use crate::api::definitions::Standing;
use crate::api::words::{BackupKind, Frequency, Weekday};
use jiff::Timestamp;
use pgkeep_catalog::Stored;
use pgkeep_model::policy as model;
use pgkeep_model::retention::KeepPolicy;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which app is backed up how, when, where to, and what is kept.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PolicyDefinition)]
pub struct PolicyBody {
    pub app: String,
    #[serde(default = "full")]
    #[schema(default = "full")]
    pub kind: BackupKind,
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub enabled: bool,
    #[serde(default)]
    pub schedule: ScheduleBody,
    #[serde(default)]
    pub retention: RetentionBody,
    /// Cron expression: when retention is applied. After each backup where absent.
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
    pub load_limit: Option<LoadLimitBody>,
    #[serde(default)]
    pub adaptive: Option<AdaptiveBody>,
    /// Its newest good backup is drilled this often, written like `7d`; what the app says of drills holds besides.
    #[serde(default)]
    pub drill: Option<String>,
    /// Folder that an `export` policy writes its packages to, or `s3://bucket/folder`, reached with the credentials of the
    /// repository in that bucket, else with those of the policy's; the server's own folder where absent.
    #[serde(default)]
    pub export_to: Option<String>,
    /// Public keys of age that its packages are encrypted for; whoever has a package can read it where empty.
    #[serde(default)]
    pub export_recipients: Vec<String>,
    /// Compresses its packages with zstd.
    #[serde(default)]
    pub export_zstd: bool,
}

fn full() -> BackupKind {
    BackupKind::Full
}

fn yes() -> bool {
    true
}

/// When runs are due.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Schedule)]
pub struct ScheduleBody {
    pub frequency: Frequency,
    /// `HH:MM` of the day; of an hourly schedule only the minutes count.
    pub at: Option<String>,
    /// For weekly schedules.
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
    pub blackout: Vec<BlackoutBody>,
}

/// A stretch of the day in which nothing starts; it may reach over midnight.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Blackout)]
pub struct BlackoutBody {
    /// `HH:MM`
    pub from: String,
    /// `HH:MM`
    pub to: String,
    /// Days on which it begins; every day where empty.
    #[serde(default)]
    pub days: Vec<Weekday>,
}

/// What is kept: `days` and `maxBackups` remove, whichever is hit first, what none of the `keep` rules wants.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Retention)]
pub struct RetentionBody {
    pub days: Option<u32>,
    pub max_backups: Option<u32>,
    pub keep: KeepBody,
}

/// Rules of what to keep; zero means that a rule is off.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = KeepRules)]
pub struct KeepBody {
    pub last: u32,
    pub hourly: u32,
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
    pub yearly: u32,
    /// Keeps everything made this long before the newest backup, written like `30d12h`.
    pub within: Option<String>,
    /// Keeps what carries one of these tags; `a,b` asks for both.
    pub keep_tags: Vec<String>,
    /// How many of the newest whole backups stay whatever the rules say.
    pub protect_newest: u32,
}

/// Waits with a start while the database is busy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = LoadLimit)]
pub struct LoadLimitBody {
    /// Active sessions other than pgkeep's.
    #[serde(default)]
    pub active_sessions: Option<u32>,
    /// One-minute load average of the machine that pgkeep runs on, in hundredths.
    #[serde(default)]
    pub load_percent: Option<u32>,
    /// Starts at the latest this long after its time.
    pub deadline_secs: u32,
}

/// Runs more often while much is written, within two bounds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Adaptive)]
pub struct AdaptiveBody {
    pub at_least_every_secs: u32,
    pub at_most_every_secs: u32,
    pub bytes_changed: u64,
}

/// A policy as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    #[serde(flatten)]
    pub standing: Standing,
    pub definition: PolicyBody,
    /// The schedule in words.
    pub schedule_words: String,
    /// The retention in words.
    pub retention_words: String,
    /// When it runs next by its schedule; absent of one that is off or runs on demand only.
    pub next_run: Option<Timestamp>,
}

impl Policy {
    pub fn of(stored: &Stored<model::Policy>, now: Timestamp) -> Self {
        let policy = &stored.value;
        let next_run = match policy.enabled {
            true => policy.runs().ok().and_then(|runs| runs.next_after(now)),
            false => None,
        };
        Self {
            standing: stored.into(),
            schedule_words: policy.schedule.describe(),
            retention_words: policy.retention.describe(),
            definition: policy.into(),
            next_run,
        }
    }
}

impl Default for ScheduleBody {
    fn default() -> Self {
        (&model::Schedule::default()).into()
    }
}

impl Default for KeepBody {
    fn default() -> Self {
        (&KeepPolicy::default()).into()
    }
}

impl From<&model::Policy> for PolicyBody {
    fn from(policy: &model::Policy) -> Self {
        Self {
            app: policy.app.clone(),
            kind: policy.kind.into(),
            enabled: policy.enabled,
            schedule: (&policy.schedule).into(),
            retention: RetentionBody {
                days: policy.retention.days,
                max_backups: policy.retention.max_backups,
                keep: (&policy.retention.keep).into(),
            },
            cleanup_cron: policy.cleanup_cron.clone(),
            compression: policy.compression,
            repositories: policy.repositories.clone(),
            description: policy.description.clone(),
            tags: policy.tags.clone(),
            notify: policy.notify.clone(),
            skip_if_unchanged: policy.skip_if_unchanged,
            load_limit: policy.load_limit.as_ref().map(|limit| LoadLimitBody {
                active_sessions: limit.active_sessions,
                load_percent: limit.load_percent,
                deadline_secs: limit.deadline_secs,
            }),
            adaptive: policy.adaptive.as_ref().map(|adaptive| AdaptiveBody {
                at_least_every_secs: adaptive.at_least_every_secs,
                at_most_every_secs: adaptive.at_most_every_secs,
                bytes_changed: adaptive.bytes_changed,
            }),
            drill: policy.drill.clone(),
            export_to: policy.export_to.clone(),
            export_recipients: policy.export_recipients.clone(),
            export_zstd: policy.export_zstd,
        }
    }
}

impl PolicyBody {
    /// The policy of the domain, or the field that cannot be read.
    pub fn into_policy(self, name: &str) -> Result<model::Policy, (String, String)> {
        for key in &self.export_recipients {
            pgkeep_engine::package::recipient(key)
                .map_err(|error| ("exportRecipients".to_string(), error.message))?;
        }
        Ok(model::Policy {
            name: name.to_string(),
            app: self.app,
            kind: self.kind.into(),
            enabled: self.enabled,
            schedule: self.schedule.into(),
            retention: model::Retention {
                days: self.retention.days,
                max_backups: self.retention.max_backups,
                keep: self
                    .retention
                    .keep
                    .into_rules()
                    .map_err(|(field, message)| (format!("retention.{field}"), message))?,
            },
            cleanup_cron: self.cleanup_cron,
            compression: self.compression,
            repositories: self.repositories,
            description: self.description,
            tags: self.tags,
            notify: self.notify,
            skip_if_unchanged: self.skip_if_unchanged,
            load_limit: self.load_limit.map(|limit| model::LoadLimit {
                active_sessions: limit.active_sessions,
                load_percent: limit.load_percent,
                deadline_secs: limit.deadline_secs,
            }),
            adaptive: self.adaptive.map(|adaptive| model::Adaptive {
                at_least_every_secs: adaptive.at_least_every_secs,
                at_most_every_secs: adaptive.at_most_every_secs,
                bytes_changed: adaptive.bytes_changed,
            }),
            drill: self.drill,
            export_to: self.export_to,
            export_recipients: self.export_recipients,
            export_zstd: self.export_zstd,
        })
    }
}

impl From<&model::Schedule> for ScheduleBody {
    fn from(schedule: &model::Schedule) -> Self {
        Self {
            frequency: schedule.frequency.into(),
            at: schedule.at.clone(),
            weekday: schedule.weekday.map(Into::into),
            day: schedule.day,
            cron: schedule.cron.clone(),
            time_zone: schedule.time_zone.clone(),
            jitter_secs: schedule.jitter_secs,
            catch_up: schedule.catch_up,
            blackout: schedule
                .blackout
                .iter()
                .map(|blackout| BlackoutBody {
                    from: blackout.from.clone(),
                    to: blackout.to.clone(),
                    days: blackout.days.iter().map(|day| (*day).into()).collect(),
                })
                .collect(),
        }
    }
}

impl From<ScheduleBody> for model::Schedule {
    fn from(schedule: ScheduleBody) -> Self {
        Self {
            frequency: schedule.frequency.into(),
            at: schedule.at,
            weekday: schedule.weekday.map(Into::into),
            day: schedule.day,
            cron: schedule.cron,
            time_zone: schedule.time_zone,
            jitter_secs: schedule.jitter_secs,
            catch_up: schedule.catch_up,
            blackout: schedule
                .blackout
                .into_iter()
                .map(|blackout| model::Blackout {
                    from: blackout.from,
                    to: blackout.to,
                    days: blackout.days.into_iter().map(Into::into).collect(),
                })
                .collect(),
        }
    }
}

impl From<&KeepPolicy> for KeepBody {
    fn from(keep: &KeepPolicy) -> Self {
        Self {
            last: keep.last,
            hourly: keep.hourly,
            daily: keep.daily,
            weekly: keep.weekly,
            monthly: keep.monthly,
            yearly: keep.yearly,
            within: keep.within.as_ref().map(ToString::to_string),
            keep_tags: keep.keep_tags.clone(),
            protect_newest: keep.protect_newest,
        }
    }
}

impl KeepBody {
    /// The rules of the domain, or the field that cannot be read.
    pub fn into_rules(self) -> Result<KeepPolicy, (String, String)> {
        let within = self
            .within
            .map(|text| text.parse())
            .transpose()
            .map_err(|error| ("keep.within".to_string(), format!("{error}")))?;
        Ok(KeepPolicy {
            last: self.last,
            hourly: self.hourly,
            daily: self.daily,
            weekly: self.weekly,
            monthly: self.monthly,
            yearly: self.yearly,
            within,
            keep_tags: self.keep_tags,
            protect_newest: self.protect_newest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_survives_the_way_through_the_api() {
        for policy in model::defaults("shop", |_| false) {
            let body = PolicyBody::from(&policy);
            let text = serde_json::to_string(&body).unwrap();
            let read: PolicyBody = serde_json::from_str(&text).unwrap();
            assert_eq!(read.into_policy(&policy.name).unwrap(), policy);
        }
    }

    #[test]
    fn what_is_left_out_is_as_in_the_domain() {
        let body: PolicyBody = serde_json::from_str(r#"{"app":"shop"}"#).unwrap();
        assert_eq!(
            body.into_policy("nightly").unwrap(),
            model::Policy::new("nightly", "shop")
        );
    }
}
