//! Which refusals stand in the audit log already: whoever tries again and again writes one line a minute, not thousands.

use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The same refusal is written down again after this time.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// Refusals that are remembered. Accounts and routes are few, so only who attacks with many accounts comes here.
const MOST: usize = 4_096;

/// What was refused lately, by account and route: an account cannot make up more of those, as it can of ids.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<(String, String), Timestamp>>);

impl Refusals {
    /// Whether this one is to be written down.
    pub fn is_news(&self, account: String, route: String, now: Timestamp) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |at: &Timestamp| *at + AGAIN_AFTER > now;
        if known.len() >= MOST {
            known.retain(|_, at| lately(at));
        }
        let key = (account, route);
        if known.get(&key).is_some_and(lately) || known.len() >= MOST {
            return false;
        }
        known.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_news_once_a_minute_and_there_is_an_end_to_them() {
        let refusals = Refusals::default();
        let start = Timestamp::UNIX_EPOCH;
        let at = |secs: i64| start + SignedDuration::from_secs(secs);
        let news =
            |who: &str, what: &str, secs| refusals.is_news(who.into(), what.into(), at(secs));
        assert!(news("ann", "GET /users", 0));
        assert!(!news("ann", "GET /users", 59));
        assert!(news("ann", "GET /audit", 59));
        assert!(news("ben", "GET /users", 59));
        assert!(news("ann", "GET /users", 60));
        let written = (0..5_000)
            .filter(|n| news(&n.to_string(), "GET /users", 61))
            .count();
        assert!(written < MOST, "{written}");
        assert!(
            news("cid", "GET /users", 200),
            "what is long past makes room"
        );
    }
}
