//! What is bad at this moment, so that news can be told from repetition.
//!
//! A *subject* is what is well or not: the backups of one policy into one repository, a policy's punctuality, a disk. Its
//! first bad news opens an episode; further bad news of the episode repeats the first; the first good news ends it, and is
//! told as a recovery. Pure: the same news in the same order make the same messages.

use crate::notify::news::News;
use jiff::Timestamp;
use pgkeep_model::notice::{Notice, NoticeKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// Number of the newest event that was read.
    pub(super) event: i64,
    /// Subjects that are not well, and since when.
    pub(super) bad: BTreeMap<String, Timestamp>,
}

/// A notice with what its way to the targets depends on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) notice: Notice,
    /// Messages of the same key say the same.
    pub(super) key: String,
    /// Held back from who has heard it not long ago.
    pub(super) repeats: bool,
    /// A policy's run ended well: what dead-man pings wait for.
    pub(super) ping: bool,
}

impl Memory {
    /// Takes news in; returns what is to be told, the most important first.
    pub(super) fn hear(&mut self, news: News) -> Vec<Message> {
        if !news.well {
            let since = *self
                .bad
                .entry(news.subject.clone())
                .or_insert(news.notice.time);
            return vec![Message {
                key: format!("bad:{}:{}", news.subject, since.as_millisecond()),
                repeats: true,
                ping: false,
                notice: news.notice,
            }];
        }
        let mut messages = Vec::new();
        if let Some(since) = self.bad.remove(&news.subject) {
            messages.push(Message {
                key: format!("well:{}:{}", news.subject, since.as_millisecond()),
                repeats: false,
                ping: false,
                notice: recovery(&news, since),
            });
        }
        if !news.routine {
            messages.push(Message {
                key: format!("ended:{}", news.notice.id),
                repeats: false,
                ping: news.ping,
                notice: news.notice,
            });
        }
        messages
    }

    /// Takes in what one look found among the subjects that begin with `prefix`: what was bad and is not among `bad` is
    /// well again if `over` says so, or gone.
    pub(super) fn hear_of(
        &mut self,
        prefix: &str,
        bad: Vec<News>,
        over: impl Fn(&str) -> Option<News>,
    ) -> Vec<Message> {
        let mut messages = Vec::new();
        for subject in self.subjects(prefix) {
            if bad.iter().any(|news| news.subject == subject) {
                continue;
            }
            match over(&subject) {
                Some(news) => messages.extend(self.hear(news)),
                None => self.forget(&subject),
            }
        }
        for news in bad {
            messages.extend(self.hear(news));
        }
        messages
    }

    /// Ends an episode without a word: its subject is gone.
    pub(super) fn forget(&mut self, subject: &str) {
        self.bad.remove(subject);
    }

    /// Bad subjects that begin so.
    pub(super) fn subjects(&self, prefix: &str) -> Vec<String> {
        self.bad
            .keys()
            .filter(|subject| subject.starts_with(prefix))
            .cloned()
            .collect()
    }
}

fn recovery(news: &News, since: Timestamp) -> Notice {
    let mut notice = news.notice.clone();
    notice.id = format!("{}-recovery", notice.id);
    notice.kind = NoticeKind::Recovery;
    notice.summary = news.relief.clone();
    notice.hint = None;
    notice.facts.insert(
        "not well since".to_owned(),
        since.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    );
    notice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(subject: &str, at: i64, well: bool) -> News {
        let kind = match well {
            true => NoticeKind::Success,
            false => NoticeKind::Failure,
        };
        let time = Timestamp::from_second(at).expect("a time of this century");
        News {
            subject: subject.to_owned(),
            well,
            routine: false,
            ping: well,
            relief: format!("{subject} works again"),
            notice: Notice::new(format!("{subject}-{at}"), kind, time),
        }
    }

    /// Hears news of one subject, `+` good and `-` bad, and says what was told: kind and key of each message.
    fn check(heard: &str, expected: &[&str]) {
        let mut memory = Memory::default();
        let told: Vec<String> = heard
            .chars()
            .enumerate()
            .flat_map(|(at, letter)| memory.hear(news("s", at as i64, letter == '+')))
            .map(|message| format!("{:?} {}", message.notice.kind, message.key))
            .collect();
        assert_eq!(told, expected, "{heard}");
    }

    #[test]
    fn ordinary_successes_are_told_as_such() {
        check("++", &["Success ended:s-0", "Success ended:s-1"]);
    }

    #[test]
    fn bad_news_of_one_episode_share_a_key() {
        check("--", &["Failure bad:s:0", "Failure bad:s:0"]);
    }

    #[test]
    fn the_first_good_news_is_a_recovery_and_the_next_is_not() {
        check(
            "--++",
            &[
                "Failure bad:s:0",
                "Failure bad:s:0",
                "Recovery well:s:0",
                "Success ended:s-2",
                "Success ended:s-3",
            ],
        );
    }

    #[test]
    fn a_new_episode_is_new_news() {
        check(
            "-+-",
            &[
                "Failure bad:s:0",
                "Recovery well:s:0",
                "Success ended:s-1",
                "Failure bad:s:2000",
            ],
        );
    }

    #[test]
    fn subjects_do_not_disturb_each_other() {
        let mut memory = Memory::default();
        memory.hear(news("a", 0, false));
        let told = memory.hear(news("b", 1, true));
        assert!(
            told.iter()
                .all(|message| message.notice.kind == NoticeKind::Success)
        );
        assert_eq!(memory.subjects(""), ["a"]);
    }

    #[test]
    fn routine_successes_are_told_only_as_recoveries() {
        let routine = |at| News {
            routine: true,
            ..news("s", at, true)
        };
        let mut memory = Memory::default();
        assert_eq!(memory.hear(routine(0)), []);
        memory.hear(news("s", 1, false));
        let told = memory.hear(routine(2));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].notice.kind, NoticeKind::Recovery);
    }

    #[test]
    fn memory_survives_being_stored() {
        let mut memory = Memory {
            event: 7,
            ..Memory::default()
        };
        memory.hear(news("s", 1, false));
        let stored = serde_json::to_value(&memory).expect("JSON");
        assert_eq!(
            serde_json::from_value::<Memory>(stored).expect("a memory"),
            memory
        );
    }
}
