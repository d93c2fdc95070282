//! Policies whose runs stayed away: silence is an alarm.
//!
//! Computed from the schedule alone. A run that failed was told as a failure, and is not told once more as late: only what
//! should have come after that failure and did not is.

use super::news::{News, link};
use crate::status::facts;
use jiff::Timestamp;
use pgkeep_catalog::{Catalog, CatalogError};
use pgkeep_model::{
    health::{self, Overdue},
    notice::NoticeKind,
};
use std::collections::BTreeMap;
use url::Url;

/// A policy that is late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Late {
    policy: String,
    app: String,
    overdue: Overdue,
}

/// What was found at one look.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) late: Vec<Late>,
    /// App by policy, of those whose newest run was good and which are not late.
    well: BTreeMap<String, String>,
}

impl Found {
    pub(super) fn is_late(&self, wanted: &str) -> bool {
        self.late.iter().any(|late| subject(&late.policy) == wanted)
    }

    /// The good news of a subject that is punctual again.
    pub(super) fn over(&self, wanted: &str, now: Timestamp) -> Option<News> {
        let (policy, app) = self
            .well
            .iter()
            .find(|(policy, _)| subject(policy) == wanted)?;
        let relief = format!("{policy} of {app} runs on time again");
        let mut news = News::over(wanted, relief, now);
        news.notice.app = Some(app.clone());
        news.notice.policy = Some(policy.clone());
        Some(news)
    }
}

/// Looks at every policy that is on.
pub(super) async fn look(catalog: &Catalog, now: Timestamp) -> Result<Found, CatalogError> {
    let mut found = Found::default();
    for (policy, mut facts) in facts::of_policies(catalog).await? {
        if !facts.enabled {
            continue;
        }
        let failed_at = facts.failure.as_ref().map(|failure| failure.at);
        facts.last_ok = facts.last_ok.max(failed_at);
        match health::overdue(&facts, now) {
            Some(overdue) => found.late.push(Late {
                policy: policy.name,
                app: policy.app,
                overdue,
            }),
            None if failed_at.is_none() && facts.last_ok.is_some() => {
                found.well.insert(policy.name, policy.app);
            }
            None => {}
        }
    }
    Ok(found)
}

impl Late {
    pub(super) fn news(&self, now: Timestamp, public_url: Option<&Url>) -> News {
        let Late {
            policy,
            app,
            overdue,
        } = self;
        let due = overdue.due.strftime("%Y-%m-%d %H:%M UTC");
        let sentence = format!("{policy} of {app} is overdue: the run of {due} has not succeeded");
        let mut news = News::standing(subject(policy), NoticeKind::Overdue, &sentence, now);
        let notice = &mut news.notice;
        notice.app = Some(app.clone());
        notice.policy = Some(policy.clone());
        notice.hint = Some(
            "see that a worker is running and the queue is not paused, then start the policy by hand".into(),
        );
        notice.facts = [("due".to_owned(), due.to_string())].into();
        notice.link = link(public_url, &format!("policies/{policy}"));
        news
    }
}

fn subject(policy: &str) -> String {
    format!("overdue/{policy}")
}
