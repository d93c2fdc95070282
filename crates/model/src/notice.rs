//! What people are told, and where to.

use crate::secret::SecretText;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    Success,
    Failure,
    /// A run that should have happened did not.
    Overdue,
    /// What failed or was overdue works again.
    Recovery,
    Restore,
    Drill,
    Cleanup,
    StorageNearlyFull,
    /// Sent by hand, to see that it arrives.
    Test,
}

/// One message, before it is put into the words of a channel. Holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Unique; a receiver that sees it twice may drop the second.
    pub id: String,
    pub kind: NoticeKind,
    pub time: Timestamp,
    pub app: Option<String>,
    pub policy: Option<String>,
    pub job: Option<String>,
    pub backup: Option<String>,
    /// One sentence that stands alone: `backup of shop failed: the server refused the connection`.
    pub summary: String,
    /// What to do next, where something is to be done.
    pub hint: Option<String>,
    /// Facts by name, in words: sizes, durations, counts.
    pub facts: BTreeMap<String, String>,
    /// Page about it on the server, where its public address is known.
    pub link: Option<String>,
}

impl Notice {
    /// One that says nothing yet: the rest is empty.
    pub fn new(id: String, kind: NoticeKind, time: Timestamp) -> Self {
        Self {
            id,
            kind,
            time,
            app: None,
            policy: None,
            job: None,
            backup: None,
            summary: String::new(),
            hint: None,
            facts: BTreeMap::new(),
            link: None,
        }
    }
}

/// Where messages go. Values marked as secrets are texts like those of [`crate::app`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "channel", rename_all = "snake_case")]
pub enum Channel {
    Email {
        to: Vec<String>,
        from: String,
        host: String,
        #[serde(default)]
        port: Option<u16>,
        #[serde(default)]
        tls: SmtpTls,
        #[serde(default)]
        username: Option<String>,
        /// A secret.
        #[serde(default)]
        password: Option<SecretText>,
        /// PEM file of an authority of one's own.
        #[serde(default)]
        ca_file: Option<String>,
    },
    Slack {
        /// A secret.
        url: SecretText,
    },
    Discord {
        /// A secret.
        url: SecretText,
    },
    Teams {
        /// A secret.
        url: SecretText,
    },
    /// Signed as Standard Webhooks says.
    Webhook {
        /// A secret, as it may hold one.
        url: SecretText,
        /// A secret: `whsec_` and base64.
        #[serde(default)]
        secret: Option<SecretText>,
    },
    /// Requested after each success; a watcher elsewhere raises the alarm when it stays away.
    DeadManPing {
        /// A secret.
        url: SecretText,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// Plain at first, then TLS; refused where the server does not offer it.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Implicit,
    /// For a server on the same machine only.
    None,
}

/// A channel with its name and what it wants to hear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationTarget {
    #[serde(default)]
    pub name: String,
    #[serde(flatten)]
    pub channel: Channel,
    /// Empty: everything but `success`; a dead-man ping always hears of successes only.
    #[serde(default)]
    pub on: Vec<NoticeKind>,
    /// Hears of policies that name no target.
    #[serde(default = "yes")]
    pub default: bool,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The same bad news again is held back for this long.
    #[serde(default = "one_day")]
    pub repeat_secs: u32,
}

fn yes() -> bool {
    true
}

fn one_day() -> u32 {
    86_400
}
