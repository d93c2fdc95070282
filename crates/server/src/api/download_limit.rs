//! What counts as a download: a file, not each request for a part of it.
//!
//! A download counts when its answer is about to be made; what is refused before that counts nothing. Ranges of a file whose
//! download was counted belong to it within the limit's time, but so many requests only, and only until twice the file's bytes
//! were sent: who goes on where a connection broke pays once, and asking for all but the first byte over and over is no way
//! around the limit.

use super::routes::count;
use crate::auth::Principal;
use crate::http::limits::Standing;
use crate::settings::{Rate, ThrottleScope};
use crate::state::AppState;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Requests that may belong to one download besides the first.
const FURTHER: u32 = 50;
/// How many times over a file may be sent as one download.
const TIMES: u64 = 2;
/// Downloads that are remembered; a forgotten one counts anew.
const MOST: usize = 1_000;

/// The downloads that were counted lately, by account and file.
#[derive(Default)]
pub struct Counted(Mutex<HashMap<(String, String), Running>>);

struct Running {
    until: Timestamp,
    further: u32,
    bytes: Arc<AtomicU64>,
}

/// One request as a part of a download. What was set aside for it and was not sent is free again when it is dropped.
pub struct Part {
    /// Of the whole download, with what is set aside.
    bytes: Arc<AtomicU64>,
    aside: u64,
}

impl Part {
    /// Sets a range aside, unless the file was sent often enough.
    pub fn take(&mut self, range: u64, size: u64) -> bool {
        let most = size.saturating_mul(TIMES);
        let add = |bytes: u64| bytes.checked_add(range).filter(|bytes| *bytes <= most);
        let taken = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok();
        if taken {
            self.aside += range;
        }
        taken
    }

    /// So many bytes are being sent.
    pub fn send(&mut self, bytes: u64) {
        let set_aside = bytes.min(self.aside);
        self.aside -= set_aside;
        self.bytes.fetch_add(bytes - set_aside, Ordering::Relaxed);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.aside, Ordering::Relaxed);
    }
}

impl Counted {
    /// A further part of a download that was counted and is not over.
    fn go_on(&self, account: &str, file: &str, now: Timestamp) -> Option<Part> {
        let mut running = self.running();
        let of = running.get_mut(&(account.to_owned(), file.to_owned()))?;
        if of.until <= now || of.further == 0 {
            return None;
        }
        of.further -= 1;
        Some(Part {
            bytes: of.bytes.clone(),
            aside: 0,
        })
    }

    /// The first part of a download that was counted now.
    fn begin(&self, account: &str, file: &str, now: Timestamp, until: Timestamp) -> Part {
        let mut running = self.running();
        if running.len() >= MOST {
            running.retain(|_, running| running.until > now);
        }
        if running.len() >= MOST {
            running.clear();
        }
        let bytes = Arc::new(AtomicU64::new(0));
        let begun = Running {
            until,
            further: FURTHER,
            bytes: bytes.clone(),
        };
        running.insert((account.to_owned(), file.to_owned()), begun);
        Part { bytes, aside: 0 }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<(String, String), Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's part of a download, and where the account then stands with its limit, if the request was counted.
pub struct Admitted {
    pub part: Part,
    pub standing: Option<Standing>,
}

/// Lets a request for a range be part of a download that was counted, or counts it; what is over the limit is refused.
#[expect(
    clippy::result_large_err,
    reason = "the refusal is the answer itself, sent as it is"
)]
pub fn admit(
    state: &AppState,
    who: &Principal,
    file: &str,
    is_range: bool,
) -> Result<Admitted, Response> {
    let counted = &state.downloads.counted;
    let going_on = match is_range {
        true => counted.go_on(&who.counting_key(), file, state.catalog.now()),
        false => None,
    };
    match going_on {
        Some(part) => Ok(Admitted {
            part,
            standing: None,
        }),
        None => admit_anew(state, who, file),
    }
}

/// Counts a download.
#[expect(
    clippy::result_large_err,
    reason = "the refusal is the answer itself, sent as it is"
)]
pub fn admit_anew(state: &AppState, who: &Principal, file: &str) -> Result<Admitted, Response> {
    let standing = count(state, ThrottleScope::BackupDownload, who)?;
    let now = state.catalog.now();
    let period = match state.settings.throttles.rate(ThrottleScope::BackupDownload) {
        Rate::Per { period, .. } => period,
        Rate::Off => std::time::Duration::ZERO,
    };
    let until = SignedDuration::try_from(period)
        .ok()
        .and_then(|period| now.checked_add(period).ok())
        .unwrap_or(now);
    let part = state
        .downloads
        .counted
        .begin(&who.counting_key(), file, now, until);
    Ok(Admitted { part, standing })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1_000;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn begun(counted: &Counted) -> Part {
        counted.begin("ann", "file", at(0), at(60))
    }

    #[test]
    fn a_download_that_breaks_off_again_and_again_goes_on() {
        let counted = Counted::default();
        begun(&counted).send(100);
        let mut there = 100;
        for _ in 0..FURTHER {
            let mut part = counted.go_on("ann", "file", at(1)).expect("it goes on");
            assert!(part.take(SIZE - there, SIZE), "{there} bytes are there");
            part.send(15);
            there += 15;
        }
        assert!(
            counted.go_on("ann", "file", at(1)).is_none(),
            "not for ever"
        );
    }

    #[test]
    fn all_but_the_first_byte_is_not_to_be_had_for_nothing() {
        let counted = Counted::default();
        begun(&counted).send(SIZE);
        let mut part = counted.go_on("ann", "file", at(1)).expect("it goes on");
        assert!(part.take(SIZE - 1, SIZE));
        // At the same time, and after it was sent.
        let mut beside = counted.go_on("ann", "file", at(1)).expect("it goes on");
        assert!(!beside.take(SIZE - 1, SIZE));
        part.send(SIZE - 1);
        drop(part);
        assert!(!beside.take(SIZE - 1, SIZE));
        assert!(beside.take(1, SIZE), "what is left of twice the file");
    }

    #[test]
    fn a_download_is_one_accounts_of_one_file_for_its_time() {
        let counted = Counted::default();
        drop(begun(&counted));
        assert!(counted.go_on("ann", "file", at(59)).is_some());
        assert!(counted.go_on("ann", "file", at(60)).is_none());
        assert!(counted.go_on("ben", "file", at(1)).is_none());
        assert!(counted.go_on("ann", "other", at(1)).is_none());
        for other in 0..2 * MOST {
            let file = other.to_string();
            counted.begin("ann", &file, at(1), at(61));
            assert!(counted.running().len() <= MOST);
        }
    }
}
