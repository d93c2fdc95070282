//! Policies whose runs stayed away: silence is an alarm.
//!
//! Computed from the schedule alone. A run that failed was told as a failure, and is not told once more as late: only what
//! should have come after that failure and did not is. It is over when a run was good; one that waits or runs, or a schedule
//! that was changed, ends nothing.

use super::news::{News, link};
use crate::status::facts;
use jiff::Timestamp;
use pgkeep_catalog::{Catalog, CatalogError, QueuePause};
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
    late: Vec<Late>,
    /// While the queue is paused nothing runs, and nothing can be started by hand.
    paused: Option<QueuePause>,
    /// Those that are not late, unless their newest run failed, which was told as a failure.
    quiet: BTreeMap<String, Quiet>,
}

/// A policy of which nothing bad is known: its schedule may have changed, or a run may be on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Quiet {
    policy: String,
    app: String,
    /// When its newest good run was over.
    last_ok: Option<Timestamp>,
}

impl Found {
    /// Whether it is still open what becomes of a subject: it is late, or it only seems not to be, for no run has been good.
    pub(super) fn is_open(&self, wanted: &str) -> bool {
        self.quiet.contains_key(wanted)
            || self.late.iter().any(|late| subject(&late.policy) == wanted)
    }

    /// What is told of each that is late.
    pub(super) fn news(&self, now: Timestamp, public_url: Option<&Url>) -> Vec<News> {
        let news = self
            .late
            .iter()
            .map(|late| late.news(self.paused.as_ref(), now, public_url));
        news.collect()
    }

    /// The good news of a subject that has been late since then: a run was good after that, and it is late no more.
    pub(super) fn over(&self, wanted: &str, late_since: Timestamp, now: Timestamp) -> Option<News> {
        let Quiet {
            policy,
            app,
            last_ok,
        } = self.quiet.get(wanted)?;
        last_ok.filter(|ok| *ok >= late_since)?;
        let relief = format!("{policy} of {app} runs on time again");
        let mut news = News::over(wanted, relief, now);
        news.notice.app = Some(app.clone());
        news.notice.policy = Some(policy.clone());
        Some(news)
    }
}

/// Looks at every policy that is on.
pub(super) async fn look(catalog: &Catalog, now: Timestamp) -> Result<Found, CatalogError> {
    let mut found = Found {
        paused: catalog.queue_paused().await?,
        ..Found::default()
    };
    for (policy, mut facts) in facts::of_policies(catalog).await? {
        if !facts.enabled {
            continue;
        }
        let last_ok = facts.last_ok;
        let failed_at = facts.failure.as_ref().map(|failure| failure.at);
        facts.last_ok = facts.last_ok.max(failed_at);
        match health::overdue(&facts, now) {
            Some(overdue) => found.late.push(Late {
                policy: policy.name,
                app: policy.app,
                overdue,
            }),
            None if failed_at.is_none() => {
                let quiet = Quiet {
                    policy: policy.name,
                    app: policy.app,
                    last_ok,
                };
                found.quiet.insert(subject(&quiet.policy), quiet);
            }
            None => {}
        }
    }
    Ok(found)
}

impl Late {
    fn news(&self, paused: Option<&QueuePause>, now: Timestamp, public_url: Option<&Url>) -> News {
        let Late {
            policy,
            app,
            overdue,
        } = self;
        let due = overdue.due.strftime("%Y-%m-%d %H:%M UTC");
        let late = format!("{policy} of {app} is overdue: the run of {due} has not succeeded");
        let (sentence, hint) = match paused {
            Some(pause) => (
                format!(
                    "{late}; the queue is paused since {} by {}",
                    pause.at.strftime("%Y-%m-%d %H:%M UTC"),
                    pause.by
                ),
                "`pgkeep queue resume` lets run what waits; until then nothing can be started"
                    .to_owned(),
            ),
            None => (
                late,
                format!(
                    "see that a worker is running, then start the policy by hand: `pgkeep policy run {policy}`"
                ),
            ),
        };
        let mut news = News::standing(subject(policy), NoticeKind::Overdue, &sentence, now);
        let notice = &mut news.notice;
        notice.app = Some(app.clone());
        notice.policy = Some(policy.clone());
        notice.hint = Some(hint);
        notice.facts = [("due".to_owned(), due.to_string())].into();
        notice.link = link(public_url, &format!("policies/{policy}"));
        news
    }
}

fn subject(policy: &str) -> String {
    format!("overdue/{policy}")
}
