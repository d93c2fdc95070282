//! What the end of a job is worth telling.

use jiff::Timestamp;
use pgkeep_catalog::Job;
use pgkeep_model::{
    job::{JobKind, JobSpec, JobState, Trigger, UpgradeStep},
    notice::{Notice, NoticeKind},
};
use serde_json::Value;
use std::collections::BTreeMap;
use url::Url;

/// Good or bad news of a subject; see [`super::memory`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct News {
    pub(super) subject: String,
    pub(super) well: bool,
    /// Good news that nobody waits for, unless things were bad before.
    pub(super) routine: bool,
    pub(super) ping: bool,
    /// What is said when this ends an episode.
    pub(super) relief: String,
    pub(super) notice: Notice,
}

impl News {
    /// Bad news of something that stays as it is until somebody does something about it.
    pub(super) fn standing(
        subject: String,
        kind: NoticeKind,
        sentence: &str,
        now: Timestamp,
    ) -> Self {
        // Told again after a while at the soonest, so the ten minutes are only to make ids differ.
        let id = format!("{}-{}", id_of(&subject), now.as_second() / 600);
        Self {
            subject,
            well: false,
            routine: true,
            ping: false,
            relief: String::new(),
            notice: Notice {
                summary: sentence.to_owned(),
                ..Notice::new(id, kind, now)
            },
        }
    }

    /// The good news of it, which are told where it was bad before.
    pub(super) fn over(subject: &str, relief: String, now: Timestamp) -> Self {
        let id = format!("{}-{}", id_of(subject), now.as_second());
        Self {
            subject: subject.to_owned(),
            well: true,
            routine: true,
            ping: false,
            relief,
            notice: Notice::new(id, NoticeKind::Recovery, now),
        }
    }
}

fn id_of(subject: &str) -> String {
    subject.replace(['/', ' '], "-")
}

/// News of a job that is over. None of one that somebody cancelled, and none of what a person asked for and watches.
pub(super) fn of_job(job: &Job, public_url: Option<&Url>) -> Option<News> {
    if is_watched(job) {
        return None;
    }
    let what = what(job);
    let well = match job.state {
        JobState::Succeeded | JobState::Skipped => true,
        JobState::Failed => false,
        JobState::Queued | JobState::Running | JobState::Cancelled => return None,
    };
    let kind = match (well, job.kind) {
        (false, _) => NoticeKind::Failure,
        (true, JobKind::Restore | JobKind::Undo) => NoticeKind::Restore,
        (true, JobKind::Drill) => NoticeKind::Drill,
        (true, JobKind::Cleanup) => NoticeKind::Cleanup,
        (true, _) => NoticeKind::Success,
    };
    let result = job.result.as_ref().unwrap_or(&Value::Null);
    let routine = well
        && match job.kind {
            JobKind::Backup | JobKind::Restore | JobKind::Undo | JobKind::Drill => false,
            JobKind::Cleanup => removed(result) == 0,
            _ => true,
        };
    Some(News {
        subject: subject(job),
        well,
        routine,
        ping: well && job.kind == JobKind::Backup && job.policy.is_some(),
        relief: format!("{what} works again"),
        notice: Notice {
            id: format!("{}-{}", job.id, job.state.as_str()),
            kind,
            time: job.finished_at.unwrap_or(job.created_at),
            app: job.app.clone(),
            policy: job.policy.clone(),
            job: Some(job.id.clone()),
            backup: backup(job, result),
            summary: summary(job, &what, result),
            hint: job
                .error
                .as_ref()
                .filter(|_| !well)
                .and_then(|error| error.hint.clone()),
            facts: facts(job, result),
            link: link(public_url, &format!("jobs/{}", job.id)),
        },
    })
}

/// What a policy's good backup makes good besides: those of the app that somebody made by hand and that failed. It is no
/// relief that begins with another policy's success, for that one may make something else.
pub(super) fn by_hand_made_good(job: &Job) -> Option<String> {
    let good = job.kind == JobKind::Backup && job.state == JobState::Succeeded;
    let app = job
        .app
        .as_deref()
        .filter(|_| good && job.policy.is_some())?;
    Some(format!("job/{}/{app}//", job.kind.as_str()))
}

/// A page of the server, where it is known how people reach it.
pub(super) fn link(public_url: Option<&Url>, page: &str) -> Option<String> {
    let base = public_url?.as_str().trim_end_matches('/');
    Some(format!("{base}/{page}"))
}

/// Whoever typed a command, or waits for an answer of the API, sees how it ends.
fn is_watched(job: &Job) -> bool {
    if let JobSpec::Upgrade(spec) = &job.spec {
        return spec.step.only_reads();
    }
    match job.kind {
        JobKind::Diff | JobKind::Doctor | JobKind::Import => true,
        // They concern others, too.
        JobKind::Backup | JobKind::Restore | JobKind::Undo | JobKind::Guard | JobKind::Upgrade => {
            false
        }
        _ => job.trigger == Trigger::Cli,
    }
}

/// Jobs of the same subject can make good what one of them broke.
fn subject(job: &Job) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!(
        "job/{}/{}/{}/{}",
        job.kind.as_str(),
        part(&job.app),
        part(&job.policy),
        part(&job.repository)
    )
}

fn what(job: &Job) -> String {
    let app = job.app.as_deref().unwrap_or("an app");
    let repository = job.repository.as_deref().unwrap_or("its repository");
    match &job.spec {
        JobSpec::Backup(_) => format!("backup of {app}"),
        JobSpec::Verify(_) => match &job.app {
            Some(app) => format!("verification of the backups of {app}"),
            None => format!("verification of the backups in {repository}"),
        },
        JobSpec::Restore(_) => format!("restore of {app}"),
        JobSpec::Guard(_) => format!("guarded command of {app}"),
        JobSpec::Upgrade(spec) => match (spec.step, spec.rollback) {
            (UpgradeStep::Accept, _) => format!("acceptance of the upgrade of {app}"),
            (_, true) => format!("way back from the upgrade of {app}"),
            (_, false) => format!("upgrade of {app}"),
        },
        JobSpec::Undo(spec) => {
            let database = spec.database.iter().cloned();
            let trees = spec.trees.iter().map(|tree| format!("files {tree}"));
            let both: Vec<String> = database.chain(trees).collect();
            format!("undoing the restore of {}", both.join(", "))
        }
        JobSpec::Drill(_) => format!("restore drill of {app}"),
        JobSpec::Cleanup(spec) => format!("cleanup by {}", spec.policy),
        JobSpec::Forget(_) => format!("removal of backups from {repository}"),
        JobSpec::Prune(_) => format!("prune of {repository}"),
        JobSpec::Check(_) => format!("check of {repository}"),
        JobSpec::Export(_) => format!("export from {repository}"),
        JobSpec::Import(_) => format!("import for {app}"),
        JobSpec::Diff(_) => format!("comparison in {repository}"),
        JobSpec::Doctor(_) => format!("examination of {app}"),
        JobSpec::Sync(_) => format!("reading the backups of {repository}"),
        JobSpec::CatalogBackup(_) => format!("backup of the catalog to {repository}"),
    }
}

fn summary(job: &Job, what: &str, result: &Value) -> String {
    match job.state {
        JobState::Skipped => {
            format!("{what} was not needed: nothing has changed since the last one")
        }
        JobState::Failed => match &job.error {
            Some(error) => format!("{what} failed: {}", error.message),
            None => format!("{what} failed"),
        },
        _ => match job.kind {
            JobKind::Cleanup => format!("{what} removed {}", counted(removed(result), "backup")),
            JobKind::Backup if result["shrunk"]["reasons"][0].is_string() => format!(
                "{what} succeeded, but holds far less than the one before: {}",
                result["shrunk"]["reasons"][0].as_str().unwrap_or_default()
            ),
            JobKind::Drill => format!("{what} succeeded: the backup was restored and proven"),
            _ => format!("{what} succeeded"),
        },
    }
}

fn backup(job: &Job, result: &Value) -> Option<String> {
    let asked = match &job.spec {
        JobSpec::Restore(spec) => Some(spec.backup.as_str()),
        JobSpec::Drill(spec) => Some(spec.backup.as_str()),
        _ => None,
    };
    let known = match job.kind {
        JobKind::Backup => result["id"].as_str(),
        JobKind::Restore | JobKind::Drill => result["backup"].as_str().or(asked),
        _ => None,
    };
    let id = known.filter(|id| !id.is_empty())?;
    Some(id.chars().take(8).collect())
}

/// How many backups a cleanup removed, from all repositories together.
fn removed(result: &Value) -> usize {
    let repositories = result["repositories"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    repositories
        .iter()
        .filter_map(|repository| repository["removed"].as_array().map(Vec::len))
        .sum()
}

fn facts(job: &Job, result: &Value) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let mut add = |name: &str, value: Option<String>| {
        facts.extend(value.map(|value| (name.to_owned(), value)));
    };
    add("repository", job.repository.clone());
    add(
        "duration",
        job.started_at
            .zip(job.finished_at)
            .map(|(from, to)| duration(from, to)),
    );
    add(
        "attempts",
        (job.attempts > 1).then(|| format!("{} of {}", job.attempts, job.max_attempts)),
    );
    if job.trigger == Trigger::Cli || job.trigger == Trigger::Api {
        add("asked for by", Some(job.created_by.clone()));
    }
    if job.kind == JobKind::Backup {
        add("read", result["bytes_read"].as_u64().map(bytes));
        add("added", result["bytes_added"].as_u64().map(bytes));
    }
    if matches!(job.kind, JobKind::Backup | JobKind::Restore) {
        add("rows", result["rows"].as_u64().map(grouped));
    }
    if job.kind == JobKind::Restore {
        add("database", result["database"].as_str().map(str::to_owned));
        add(
            "safety backup",
            result["safety_backup"]
                .as_str()
                .map(|id| id.chars().take(8).collect()),
        );
        add(
            "replaced database is kept as",
            result["kept_as"].as_str().map(str::to_owned),
        );
    }
    facts
}

pub(super) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// `12.4 MiB`
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit < UNITS.len() - 1 {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// `1,204,331`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 h 2 min`, `3 min 12 s`, `7 s`
fn duration(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_are_written_for_people() {
        for (size, expected) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (13_002_342, "12.4 MiB"),
            (1_073_700_000, "1.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_204_331, "1,204,331"),
        ] {
            assert_eq!(grouped(number), expected);
        }
    }

    #[test]
    fn a_link_is_below_the_public_address() {
        let url = Url::parse("https://ops.example/pgkeep/").expect("a valid address");
        assert_eq!(
            link(Some(&url), "jobs/1").as_deref(),
            Some("https://ops.example/pgkeep/jobs/1")
        );
        assert_eq!(link(None, "jobs/1"), None);
    }
}
