//! Backups that are not kept well: copies elsewhere that do not follow, disks that will be full as they fill now.
//!
//! What the status shows is told. A copy that failed was told as a failed run, so only one that is late is told here.

use super::news::{News, bytes, link};
use crate::status::keeping::Kept;
use jiff::Timestamp;
use pgkeep_model::{
    health::{Finding, HealthState},
    notice::NoticeKind,
    status::StatusReport,
};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// Begin of all subjects that this file tells of.
pub(super) const PREFIX: &str = "keeping/";

/// What was found at one look.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) bad: Vec<News>,
    /// Subjects of all that exists, whether it is well or not, with the words for its being well.
    known: BTreeMap<String, String>,
}

impl Found {
    /// The good news of a subject that is well again.
    pub(super) fn over(&self, subject: &str, now: Timestamp) -> Option<News> {
        let relief = self.known.get(subject)?;
        Some(News::over(subject, relief.clone(), now))
    }
}

/// What is bad of what was judged, and of the repositories that are known.
pub(super) fn look(
    report: &StatusReport,
    repositories: &BTreeMap<String, Kept>,
    public_url: Option<&Url>,
) -> Found {
    let now = report.time;
    let mut found = Found::default();
    for name in repositories.keys() {
        let relief = format!("the disk of repository {name} no longer fills up so fast");
        found.known.insert(filling(name), relief);
    }
    let mut told = BTreeSet::new();
    for app in &report.apps {
        let app_name = &app.health.app;
        // Where nothing good is left to be copied, nothing is well again.
        for name in repositories.keys().filter(|_| app.last_good.is_some()) {
            let relief = format!("the copies of {app_name} in {name} follow again");
            found.known.insert(copies(app_name, name), relief);
        }
        for finding in &app.health.findings {
            let Some(repository) = &finding.repository else {
                continue;
            };
            let news = match finding.state {
                HealthState::OffsiteBehind if finding.days.is_some() => {
                    behind(finding, app_name, repository, now, public_url)
                }
                // Several apps may be in one repository.
                HealthState::StorageFilling if told.insert(repository) => {
                    let growth = repositories.get(repository).and_then(|kept| kept.growth);
                    let facts = growth.map(|growth| {
                        let per_day = u64::try_from(growth.bytes_per_day).unwrap_or(0);
                        [
                            ("free".to_owned(), bytes(growth.free_bytes)),
                            ("growth".to_owned(), format!("{} a day", bytes(per_day))),
                        ]
                    });
                    let mut news = fills(finding, repository, now, public_url);
                    news.notice.facts = facts.into_iter().flatten().collect();
                    news
                }
                _ => continue,
            };
            found.bad.push(news);
        }
    }
    found
}

fn copies(app: &str, repository: &str) -> String {
    format!("{PREFIX}copies/{app}/{repository}")
}

fn filling(repository: &str) -> String {
    format!("{PREFIX}filling/{repository}")
}

fn behind(
    finding: &Finding,
    app: &str,
    repository: &str,
    now: Timestamp,
    public_url: Option<&Url>,
) -> News {
    let (subject, sentence) = (copies(app, repository), &finding.sentence);
    let mut news = News::standing(subject, NoticeKind::Overdue, sentence, now);
    news.notice.app = Some(app.to_owned());
    news.notice.hint = Some(format!(
        "look at the newest jobs of {app} that go to {repository}, and test the repository"
    ));
    news.notice.link = link(public_url, &format!("repositories/{repository}"));
    news
}

fn fills(finding: &Finding, repository: &str, now: Timestamp, public_url: Option<&Url>) -> News {
    let (subject, sentence) = (filling(repository), &finding.sentence);
    let mut news = News::standing(subject, NoticeKind::StorageNearlyFull, sentence, now);
    news.notice.hint = Some("add space, or keep fewer backups and prune".to_owned());
    news.notice.link = link(public_url, &format!("repositories/{repository}"));
    news
}
