//! Tokens that were recognised a moment ago: a wall of screens asks with the same one again and again, and to ask the
//! catalog each time costs more than the answer.
//!
//! What is remembered counts only while nothing was committed to the catalog since ([`pgkeep_catalog::Stamp`]), so a token
//! that is revoked ends at once, whichever process revoked it; and for [`MOMENT`] at most.

use super::Principal;
use super::secret::Digest;
use jiff::Timestamp;
use pgkeep_catalog::Stamp;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(500);
const MOST: usize = 256;

#[derive(Debug, Default)]
pub struct KnownTokens(Mutex<HashMap<Digest, Known>>);

#[derive(Debug)]
struct Known {
    principal: Principal,
    expires_at: Option<Timestamp>,
    stamp: Stamp,
    since: Instant,
}

impl KnownTokens {
    /// Whose token has this digest, if it was recognised under the same stamp and has not run out.
    pub fn find(&self, digest: &Digest, stamp: &Stamp, now: Timestamp) -> Option<Principal> {
        let known = self.all();
        let known = known.get(digest)?;
        let good = known.stamp == *stamp
            && known.since.elapsed() < MOMENT
            && known.expires_at.is_none_or(|at| at > now);
        good.then(|| known.principal.clone())
    }

    /// Remembers what was read after `stamp` was taken.
    pub fn remember(
        &self,
        digest: Digest,
        stamp: Stamp,
        expires_at: Option<Timestamp>,
        principal: &Principal,
    ) {
        let mut all = self.all();
        if all.len() >= MOST {
            all.clear();
        }
        let known = Known {
            principal: principal.clone(),
            expires_at,
            stamp,
            since: Instant::now(),
        };
        all.insert(digest, known);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Digest, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
