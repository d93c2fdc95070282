//! A job as the queue should hold it, from what it is to do.

use crate::settings::JobLimits;
use jiff::Timestamp;
use pgkeep_catalog::NewJob;
use pgkeep_model::job::{JobSpec, Trigger};

/// The key under which one job at a time works on an app.
pub fn app_slot(app: &str) -> String {
    format!("app:{app}")
}

/// A job that may run at once, with app, repository, keys and time limits as its kind wants them. What only the caller
/// knows (policy, priority, schedule, approval, the app of a cleanup) is filled in by the caller.
pub fn draft(
    spec: JobSpec,
    trigger: Trigger,
    created_by: &str,
    run_at: Timestamp,
    limits: &JobLimits,
) -> NewJob {
    let kind = spec.kind();
    let limit = limits.of(kind);
    let about = About::of(&spec);
    NewJob {
        app: about.app.map(str::to_owned),
        repository: about.repository.map(str::to_owned),
        policy: about.policy.map(str::to_owned),
        concurrency_key: about.slot(kind.as_str()),
        dedup_key: about.only_one(kind.as_str()),
        soft_limit_secs: limit.soft_secs,
        hard_limit_secs: limit.hard_secs,
        ..NewJob::new(spec, trigger, created_by, run_at)
    }
}

/// What a job is about, and how much of it it needs for itself.
struct About<'a> {
    app: Option<&'a str>,
    repository: Option<&'a str>,
    policy: Option<&'a str>,
    scope: Scope,
}

enum Scope {
    /// The app's maintenance slot.
    App,
    /// One of its kind for a repository at a time, and one in the queue is enough.
    Repository,
    /// Only reads.
    Anything,
}

impl<'a> About<'a> {
    fn of(spec: &'a JobSpec) -> Self {
        let about = |app, repository, scope| About {
            app,
            repository,
            policy: None,
            scope,
        };
        match spec {
            JobSpec::Backup(s) => About {
                policy: s.policy.as_deref(),
                ..about(Some(s.app.as_str()), s.repository.as_deref(), Scope::App)
            },
            JobSpec::Restore(s) => about(Some(&s.app), Some(&s.repository), Scope::App),
            JobSpec::Guard(s) => about(Some(&s.app), Some(&s.repository), Scope::App),
            JobSpec::Upgrade(s) => About {
                app: Some(&s.app),
                repository: Some(s.repository.as_str()).filter(|name| !name.is_empty()),
                policy: None,
                scope: match s.step.only_reads() {
                    true => Scope::Anything,
                    false => Scope::App,
                },
            },
            JobSpec::Undo(s) => about(Some(&s.app), None, Scope::App),
            JobSpec::Drill(s) => About {
                policy: s.policy.as_deref(),
                ..about(Some(s.app.as_str()), Some(&s.repository), Scope::App)
            },
            JobSpec::Import(s) => about(Some(&s.app), Some(&s.repository), Scope::App),
            JobSpec::Cleanup(s) => About {
                policy: Some(&s.policy),
                ..about(None, None, Scope::App)
            },
            JobSpec::Verify(s) => about(s.app.as_deref(), Some(&s.repository), Scope::Anything),
            JobSpec::Export(s) => about(None, Some(&s.repository), Scope::Anything),
            JobSpec::Diff(s) => about(s.app.as_deref(), Some(&s.repository), Scope::Anything),
            JobSpec::Doctor(s) => about(Some(&s.app), None, Scope::Anything),
            JobSpec::Forget(s) => about(None, Some(&s.repository), Scope::Anything),
            JobSpec::Check(s) => about(None, Some(&s.repository), Scope::Anything),
            JobSpec::Prune(s) => about(None, Some(&s.repository), Scope::Repository),
            JobSpec::Sync(s) | JobSpec::CatalogBackup(s) => {
                about(None, Some(&s.repository), Scope::Repository)
            }
        }
    }

    fn slot(&self, kind: &str) -> Option<String> {
        match (&self.scope, self.app, self.repository) {
            (Scope::App, Some(app), _) => Some(app_slot(app)),
            (Scope::Repository, _, Some(name)) => Some(format!("{kind}:{name}")),
            _ => None,
        }
    }

    fn only_one(&self, kind: &str) -> Option<String> {
        match (&self.scope, self.repository) {
            (Scope::Repository, Some(name)) => Some(format!("{kind}:{name}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::TimeLimit;
    use pgkeep_model::job::{BackupSpec, JobKind, PruneSpec, RepositorySpec, VerifySpec};

    fn drafted(spec: JobSpec) -> NewJob {
        let limits = JobLimits {
            by_kind: vec![(
                JobKind::Verify,
                TimeLimit {
                    soft_secs: 10,
                    hard_secs: 20,
                },
            )],
            ..JobLimits::default()
        };
        draft(
            spec,
            Trigger::Api,
            "somebody",
            Timestamp::UNIX_EPOCH,
            &limits,
        )
    }

    #[test]
    fn what_works_on_an_app_takes_its_slot() {
        let backup = drafted(JobSpec::Backup(BackupSpec {
            app: "shop".into(),
            policy: Some("nightly".into()),
            ..BackupSpec::default()
        }));
        assert_eq!(backup.concurrency_key.as_deref(), Some("app:shop"));
        assert_eq!(backup.policy.as_deref(), Some("nightly"));
        assert_eq!(backup.dedup_key, None);
        assert_eq!(
            (backup.soft_limit_secs, backup.hard_limit_secs),
            (7_200, 10_800)
        );
    }

    #[test]
    fn upkeep_of_a_repository_is_queued_once_and_reading_is_free() {
        let main = || RepositorySpec {
            repository: "main".into(),
        };
        let sync = drafted(JobSpec::Sync(main()));
        assert_eq!(sync.dedup_key.as_deref(), Some("sync:main"));
        let prune = drafted(JobSpec::Prune(PruneSpec {
            repository: "main".into(),
            ..PruneSpec::default()
        }));
        assert_ne!(sync.concurrency_key, prune.concurrency_key);
        let verify = drafted(JobSpec::Verify(VerifySpec {
            repository: "main".into(),
            app: Some("shop".into()),
            ..VerifySpec::default()
        }));
        assert_eq!(verify.concurrency_key, None);
        assert_eq!(verify.app.as_deref(), Some("shop"));
        assert_eq!((verify.soft_limit_secs, verify.hard_limit_secs), (10, 20));
    }
}
