//! What makes a green light a lie is told within a minute: backups that lost what they held or are gone, nobody there to make
//! the next one, a clock that is wrong, apps that no policy looks after any more.

use super::news::{News, link};
use jiff::Timestamp;
use pgkeep_model::{
    health::{Finding, HealthState},
    notice::NoticeKind,
    status::StatusReport,
};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// Begin of all subjects that this file tells of.
pub(super) const PREFIX: &str = "trouble/";

/// What was found at one look.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) bad: Vec<News>,
    apps: BTreeSet<String>,
}

impl Found {
    /// The good news of a subject that is well again; `None` where what it is about is gone.
    pub(super) fn over(&self, subject: &str, now: Timestamp) -> Option<News> {
        let mut parts = subject.strip_prefix(PREFIX)?.splitn(3, '/');
        let (kind, app) = (parts.next()?, parts.next()?);
        if !self.apps.contains(app) {
            return None;
        }
        let relief = match kind {
            "shrunk" => format!(
                "the backups of {app} hold what they should, or somebody accepted what they hold"
            ),
            "vanished" => format!(
                "the backups of {app} that vanished are back, or somebody accepted the loss"
            ),
            "nobody_works" => format!("somebody is there again to make the backups of {app}"),
            "overdue" => {
                format!("{app} has a fresh backup again, or a policy that makes them")
            }
            "clock_wrong" => format!("the backups of {app} are dated as they should be"),
            _ => format!("all is well again with {app}"),
        };
        let mut news = News::over(subject, relief, now);
        news.notice.app = Some(app.to_owned());
        Some(news)
    }
}

/// What is bad of what was judged.
pub(super) fn look(report: &StatusReport, public_url: Option<&Url>) -> Found {
    let now = report.time;
    let mut bad: BTreeMap<String, News> = BTreeMap::new();
    let mut apps = BTreeSet::new();
    for app in &report.apps {
        let name = &app.health.app;
        apps.insert(name.clone());
        for finding in &app.health.findings {
            let Some(hint) = hint(finding) else {
                continue;
            };
            let kind = finding.state.as_str();
            let subject = match &finding.repository {
                Some(repository) => format!("{PREFIX}{kind}/{name}/{repository}"),
                None => format!("{PREFIX}{kind}/{name}"),
            };
            let notice = match finding.state {
                HealthState::Overdue => NoticeKind::Overdue,
                _ => NoticeKind::Failure,
            };
            let mut news = News::standing(subject.clone(), notice, &finding.sentence, now);
            news.notice.app = Some(name.clone());
            news.notice.hint = Some(hint.to_owned());
            news.notice.link = link(public_url, &format!("apps/{name}"));
            bad.entry(subject).or_insert(news);
        }
    }
    Found {
        bad: bad.into_values().collect(),
        apps,
    }
}

/// What to do about it; `None` of what is told elsewhere.
fn hint(finding: &Finding) -> Option<&'static str> {
    Some(match finding.state {
        // A policy that is late is told as such; this is an app that no policy looks after.
        HealthState::Overdue if finding.policy.is_none() => {
            "switch its policy on, or make one; if the app is gone for good, remove it: its backups stay"
        }
        HealthState::Shrunk => {
            "look what the database and the folders hold; restore from the backup before if something is lost"
        }
        HealthState::Vanished => {
            "look at the storage: who else can delete there? A copy elsewhere may still hold them"
        }
        HealthState::NobodyWorks => "start `pgkeep serve` or `pgkeep worker`, or look why it ended",
        HealthState::ClockWrong => "compare the clocks of the machines that make backups",
        _ => return None,
    })
}
