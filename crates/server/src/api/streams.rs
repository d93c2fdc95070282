//! Who listens to streams: how many at once, and for how long they may.
//!
//! A stream holds a connection for a quarter of an hour. So they get at most half of the connections, and one account a
//! part of those; and whoever loses their access hears nothing more, a second later at the latest.

use super::problem::{Code, Problem};
use crate::auth::{Auth, Credential, Principal};
use axum::http::{HeaderMap, Method, header};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Streams of one account: every page of a browser shares one, so that is a wall of screens.
const OF_ONE_ACCOUNT: usize = 128;
const LOOK_EVERY: Duration = Duration::from_secs(1);
const COME_BACK_AFTER_SECS: u64 = 30;

/// Room for streams.
#[derive(Debug)]
pub struct StreamRoom {
    all: Arc<Semaphore>,
    by_account: Arc<Mutex<HashMap<String, usize>>>,
}

/// One stream's place; free again when dropped.
#[derive(Debug)]
pub struct Place {
    _of_all: OwnedSemaphorePermit,
    account: String,
    by_account: Arc<Mutex<HashMap<String, usize>>>,
}

impl StreamRoom {
    pub fn new(max_connections: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new((max_connections / 2).max(1))),
            by_account: Arc::default(),
        }
    }

    /// A place for one more stream of this account, if there is any.
    pub fn place(&self, who: &Principal) -> Result<Place, Problem> {
        let of_all = self.all.clone().try_acquire_owned().map_err(|_| {
            Problem::new(
                Code::Busy,
                "as many streams are open as the server has room for",
            )
            .retry_after(COME_BACK_AFTER_SECS)
        })?;
        let mut by_account = lock(&self.by_account);
        let open = by_account.entry(who.user_id.clone()).or_default();
        if *open >= OF_ONE_ACCOUNT {
            let many = format!("{} has {OF_ONE_ACCOUNT} streams open already", who.name);
            return Err(Problem::new(Code::Throttled, many)
                .hint("close some of them: one tells of everything that changes")
                .retry_after(COME_BACK_AFTER_SECS));
        }
        *open += 1;
        Ok(Place {
            _of_all: of_all,
            account: who.user_id.clone(),
            by_account: self.by_account.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_account = lock(&self.by_account);
        if let Some(open) = by_account.get_mut(&self.account) {
            *open -= 1;
            if *open == 0 {
                by_account.remove(&self.account);
            }
        }
    }
}

fn lock(by_account: &Mutex<HashMap<String, usize>>) -> MutexGuard<'_, HashMap<String, usize>> {
    by_account.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a listener showed, to be looked at again.
#[derive(Debug)]
pub struct Standing {
    auth: Auth,
    shown: HeaderMap,
    who: Principal,
    looked: Instant,
}

impl Standing {
    pub fn new(auth: &Auth, headers: &HeaderMap, who: &Principal) -> Self {
        let shown = [header::AUTHORIZATION, header::COOKIE];
        let shown = shown.into_iter().flat_map(|name| {
            let values = headers.get_all(&name).iter().cloned();
            values
                .map(move |value| (name.clone(), value))
                .collect::<Vec<_>>()
        });
        Self {
            auth: auth.clone(),
            shown: shown.collect(),
            who: who.clone(),
            looked: Instant::now(),
        }
    }

    /// Whether the account may do and see what it might when the stream began.
    pub async fn holds(&mut self) -> bool {
        if self.who.credential == Credential::Local || self.looked.elapsed() < LOOK_EVERY {
            return true;
        }
        self.looked = Instant::now();
        let now = self.auth.authenticate(&Method::GET, &self.shown).await;
        now.is_ok_and(|now| {
            now.user_id == self.who.user_id
                && now.permissions == self.who.permissions
                && now.apps == self.who.apps
        })
    }
}
