//! Looks at policies, jobs and the clock, and makes the jobs that are missing.
//!
//! A [`Scheduler::tick`] takes no input and keeps no plan: whatever it needs to know stands in the catalog, so that it may
//! be killed at any moment, may run twice as often or not for a week, and several servers may each run one. In order:
//!
//! 1. [`tick`]: runs of policies that are due, unless the last one still waits or runs, the hour is blacked out, or the
//!    database is busy. The key of a run is its policy, its scheduled time and its repository, and the catalog makes one
//!    job per key for all time: that, and not the order of things here, is why no run is made twice.
//! 2. [`retention`]: a cleanup where a policy has made a backup since its last one, or where its own clock says so.
//! 3. [`overdue`]: policies whose run should have succeeded by now, written down when that begins and when it ends.
//! 4. `upkeep`: lists of backups read anew, copies of the catalog, removal of what has expired.
//!
//! Everything else is a job of some worker: nothing is backed up or removed here.

mod drills;
mod folders;
pub mod gauge;
mod history;
pub mod overdue;
mod pauses;
pub mod retention;
pub mod tick;
pub mod unchanged;
mod upkeep;

pub use gauge::{Gauge, ServerGauge};
pub(crate) use history::since;
pub use tick::{Ticked, jobs_of_policy};

use crate::settings::{JobLimits, Places};
use jiff::Timestamp;
use pgkeep_catalog::{Catalog, CatalogError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The longest time between two ticks; a run is at most that late.
const TICK: Duration = Duration::from_secs(15);
/// The shortest, so that a clock that stands still does not spin.
const LEAST: Duration = Duration::from_millis(200);
/// How often it says that it is there.
const SIGN_EVERY: Duration = Duration::from_secs(10);

/// Makes the jobs that nobody asked for.
pub struct Scheduler {
    catalog: Catalog,
    places: Places,
    limits: JobLimits,
    gauge: Arc<dyn Gauge>,
    poke: Arc<Notify>,
    /// What was said already, so that each fact is one line of the log.
    said: Mutex<BTreeMap<String, String>>,
    /// When upkeep was last looked at by this process; the first look is at its start.
    upkept: Mutex<Option<Timestamp>>,
    /// When the folders of repositories were last looked at by this process.
    folders_seen: Mutex<Option<Timestamp>>,
}

impl Scheduler {
    pub fn new(catalog: Catalog, places: Places, limits: JobLimits, gauge: Arc<dyn Gauge>) -> Self {
        Self {
            catalog,
            places,
            limits,
            gauge,
            poke: Arc::new(Notify::new()),
            said: Mutex::default(),
            upkept: Mutex::default(),
            folders_seen: Mutex::default(),
        }
    }

    /// Notify it to have the scheduler look at once.
    pub fn poke(&self) -> Arc<Notify> {
        self.poke.clone()
    }

    /// Ticks until `shutdown`, and says all the while that it is there.
    pub async fn run(&self, shutdown: &CancellationToken) {
        tokio::select! {
            () = self.tick_until(shutdown) => {}
            () = self.give_signs_of_life() => {}
        }
    }

    /// Beside the ticks, for one of them may have to wait for a database that does not answer. Does not return.
    async fn give_signs_of_life(&self) {
        loop {
            match self.catalog.server_beat().await {
                Ok(()) => self.forget_said("sign of life"),
                Err(e) => self.say("sign of life", &e.to_string(), || {
                    tracing::warn!("the server cannot give a sign of life: {e}");
                }),
            }
            tokio::time::sleep(SIGN_EVERY).await;
        }
    }

    /// A tick that fails is told, and tried again with the next.
    async fn tick_until(&self, shutdown: &CancellationToken) {
        loop {
            let ticked = tokio::select! {
                () = shutdown.cancelled() => return,
                ticked = self.tick() => ticked,
            };
            let wait = match &ticked {
                Ok(ticked) => self.until(ticked.next),
                Err(_) => TICK,
            };
            match ticked {
                Ok(_) => self.forget_said("tick"),
                Err(e) => self.say("tick", &e.to_string(), || {
                    tracing::error!("the scheduler cannot read the catalog: {e}");
                }),
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = self.poke.notified() => {}
            }
        }
    }

    /// One look at everything; what it did.
    pub async fn tick(&self) -> Result<Ticked, CatalogError> {
        let mut ticked = self.make_due_runs().await?;
        ticked.made.extend(self.make_cleanups().await?);
        self.note_overdue().await?;
        ticked.made.extend(self.keep_up().await?);
        Ok(ticked)
    }

    /// How long to wait for the next run, by the clock as it is now.
    fn until(&self, next: Option<Timestamp>) -> Duration {
        let now = self.catalog.now();
        let left = next.map_or(TICK, |next| {
            next.duration_since(now).try_into().unwrap_or(LEAST)
        });
        left.clamp(LEAST, TICK)
    }

    /// Runs `tell` unless the same was said of the same thing last time.
    fn say(&self, about: &str, what: &str, tell: impl FnOnce()) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(about.to_owned(), what.to_owned()).as_deref() != Some(what) {
            tell();
        }
    }

    fn forget_said(&self, about: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.remove(about);
    }
}

#[cfg(test)]
mod tests;
