//! Turns what happened into notices and sends them.
//!
//! Five things are looked at: jobs that ended (the catalog's events), policies whose runs stayed away, what makes a green
//! light a lie (`trouble`), disks that fill up, and copies elsewhere that do not follow. The end of a job is a line in the
//! log, too. What they say goes through `memory::Memory`, which knows what is bad at this moment and so can tell news from
//! repetition, and the end of an episode from an ordinary success. `audience` picks the targets, and the messages go into
//! the catalog's deliveries. What the status judges is taken from the judgement that the API gives, too.
//!
//! Order of effects: messages and memory (with the number of the newest event that was read) are one transaction, so a
//! crash before it reads the events again and a crash after it does not; a message that was handed in is sent by
//! `sending` as often as it takes, for a day. Its id is made from what it tells, so even two readers tell it once.

mod asked;
mod audience;
mod disks;
mod keeping;
mod late;
mod memory;
mod news;
mod sending;
#[cfg(test)]
mod tests;
mod trouble;

pub use asked::{Asked, ask_server};
pub use disks::{Disk, is_nearly_full, look as disks};
pub use sending::{TestError, send_test};

use crate::{
    logging,
    settings::Places,
    state::AppState,
    status::{StatusCache, keeping::of_repositories},
    targets::Machine,
};
use futures_util::FutureExt as _;
use jiff::SignedDuration;
use memory::{Memory, Message};
use news::News;
use pgkeep_catalog::{Catalog, CatalogError, people::deliveries::NewDelivery};
use pgkeep_model::{job::JobState, notice::NotificationTarget, policy::Policy};
use pgkeep_notify::Sender;
use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use url::Url;

/// Where the memory lies among the catalog's settings.
const MEMORY: &str = "notify.memory";
/// Events read at a time.
const BATCH: u32 = 500;
/// Events of other processes are seen by looking.
const LOOK_EVERY: Duration = Duration::from_secs(3);
const LATE_EVERY: Duration = Duration::from_secs(60);
const DISKS_EVERY: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy)]
enum Look {
    Events,
    Late,
    Disks,
}

/// Tells people of what it sees; [`Notifier::run`] until the server ends.
#[derive(Debug, Clone)]
pub struct Notifier {
    catalog: Catalog,
    machine: Arc<Machine>,
    sender: Sender,
    public_url: Option<Url>,
    /// Folder whose disk is looked at besides those of repositories.
    data_dir: PathBuf,
    /// The newest judgement on everything.
    status: Arc<StatusCache>,
    /// Number of the newest event whose job is a line of this process's log. While the catalog takes nothing, such as on a
    /// full disk, the same events are read again and again.
    logged: Arc<AtomicI64>,
}

impl Notifier {
    pub fn new(
        catalog: Catalog,
        machine: Arc<Machine>,
        public_url: Option<Url>,
        places: &Places,
    ) -> Notifier {
        Notifier {
            sender: Sender::new(machine.clock.clone()),
            catalog,
            machine,
            public_url,
            data_dir: places.data_dir.clone(),
            status: Arc::default(),
            logged: Arc::default(),
        }
    }

    /// The one of a server, which shares its judgement.
    pub fn of(state: &AppState) -> Notifier {
        Notifier {
            status: state.status.clone(),
            ..Notifier::new(
                state.catalog.clone(),
                Arc::new(state.machine.clone()),
                state.settings.http.public_url.clone(),
                &state.settings.places,
            )
        }
    }

    /// Looks and sends until `shutdown`. A look that fails, or panics, is logged and made again at its next time: people
    /// must not stop hearing because of one thing that cannot be read.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut changed = self.catalog.changed();
        let mut events = timer(LOOK_EVERY);
        let mut late = timer(LATE_EVERY);
        let mut disks = timer(DISKS_EVERY);
        // A server that was down for a while makes up for missed runs first.
        late.reset();
        loop {
            let look = tokio::select! {
                () = shutdown.cancelled() => return,
                _ = events.tick() => Look::Events,
                Ok(()) = changed.changed() => Look::Events,
                _ = late.tick() => Look::Late,
                _ = disks.tick() => Look::Disks,
            };
            let turn = AssertUnwindSafe(self.turn(look)).catch_unwind();
            tokio::select! {
                () = shutdown.cancelled() => return,
                done = turn => if done.is_err() {
                    tracing::error!(?look, "looking for what people are to be told panicked");
                },
            }
        }
    }

    async fn turn(&self, look: Look) {
        let looked = match look {
            Look::Events => self.read_events().await,
            Look::Late => match self.look_for_late().await {
                Ok(()) => self.look_for_trouble().await,
                error => error,
            },
            Look::Disks => self.look_at_disks().await,
        };
        if let Err(error) = looked {
            tracing::warn!(%error, ?look, "what people are to be told could not be found out");
        }
        if let Err(error) = self.send_due().await {
            tracing::warn!(%error, "messages could not be sent");
        }
    }

    /// Reads the events since the last time and hands in what they are worth telling.
    pub async fn read_events(&self) -> Result<(), CatalogError> {
        loop {
            let mut memory = self.memory().await?;
            let events = self.catalog.events_after(memory.event, BATCH).await?;
            let Some(newest) = events.last().map(|event| event.id) else {
                return Ok(());
            };
            self.warn_of_gap(memory.event).await?;
            // Each job once, in the order in which they ended.
            let mut seen = BTreeSet::new();
            let ended: Vec<(i64, &str)> = events
                .iter()
                .filter(|event| event.topic == "job" && is_end(&event.data))
                .filter(|event| seen.insert(event.subject.as_str()))
                .map(|event| (event.id, event.subject.as_str()))
                .collect();
            let mut messages = Vec::new();
            for (event, id) in &ended {
                let job = match self.catalog.job(id).await {
                    Ok(job) => job,
                    // Removed since: there is nothing left to be told.
                    Err(CatalogError::NotFound { .. }) => continue,
                    Err(error) => return Err(error),
                };
                if self.logged.fetch_max(*event, Ordering::Relaxed) < *event {
                    logging::job_ended(&job);
                }
                if let Some(news) = news::of_job(&job, self.public_url.as_ref()) {
                    messages.extend(memory.hear(news));
                }
                for subject in news::by_hand_made_good(&job)
                    .map(|by_hand| memory.subjects(&by_hand))
                    .unwrap_or_default()
                {
                    let app = job.app.as_deref().unwrap_or_default();
                    let relief = format!("backup of {app} works again");
                    let mut news = News::over(&subject, relief, self.catalog.now());
                    news.notice.app = job.app.clone();
                    news.notice.job = Some(job.id.clone());
                    messages.extend(memory.hear(news));
                }
            }
            let read = u64::try_from(newest - memory.event).unwrap_or(0);
            memory.event = newest;
            // Progress of a long job moves nobody's memory; reading it twice after a restart does no harm.
            if !ended.is_empty() || read >= u64::from(BATCH) {
                self.hand_in(messages, &memory).await?;
            }
            if events.len() < BATCH as usize {
                return Ok(());
            }
        }
    }

    /// Looks for policies whose runs stayed away.
    pub async fn look_for_late(&self) -> Result<(), CatalogError> {
        let now = self.catalog.now();
        let before = self.memory().await?;
        let found = late::look(&self.catalog, now).await?;
        let mut memory = before.clone();
        let mut messages = Vec::new();
        for news in found.news(now, self.public_url.as_ref()) {
            messages.extend(memory.hear(news));
        }
        for subject in memory.subjects("overdue/") {
            let since = memory.bad.get(&subject).copied().unwrap_or(now);
            match found.over(&subject, since, now) {
                Some(news) => messages.extend(memory.hear(news)),
                None if found.is_open(&subject) => {}
                // The policy is gone or off, or its run came and failed, which is told as such.
                None => memory.forget(&subject),
            }
        }
        self.hand_in_changes(messages, &before, &memory).await
    }

    /// Looks for what makes the status a lie: backups that lost what they held, that are gone, or that nobody makes.
    pub async fn look_for_trouble(&self) -> Result<(), CatalogError> {
        let now = self.catalog.now();
        let before = self.memory().await?;
        let mut memory = before.clone();
        let judged = self.status.report(&self.catalog).await?;
        let mut found = trouble::look(&judged.report, self.public_url.as_ref());
        let bad = std::mem::take(&mut found.bad);
        let over = |subject: &str| found.over(subject, now);
        let messages = memory.hear_of(trouble::PREFIX, bad, over);
        self.hand_in_changes(messages, &before, &memory).await
    }

    /// Looks at the disks of this machine's repositories and of the data folder, at how fast they fill, and at the copies
    /// elsewhere.
    pub async fn look_at_disks(&self) -> Result<(), CatalogError> {
        let now = self.catalog.now();
        let before = self.memory().await?;
        let mut memory = before.clone();
        let mut messages = Vec::new();
        let found = disks::look(&self.catalog, &self.data_dir).await?;
        for disk in disks::of_devices(found) {
            messages.extend(memory.hear(disk.news(now)));
        }
        let judged = self.status.report(&self.catalog).await?;
        let known = of_repositories(&self.catalog).await?;
        let mut found = keeping::look(&judged.report, &known, self.public_url.as_ref());
        let bad = std::mem::take(&mut found.bad);
        let over = |subject: &str| found.over(subject, now);
        messages.extend(memory.hear_of(keeping::PREFIX, bad, over));
        self.hand_in_changes(messages, &before, &memory).await
    }

    async fn memory(&self) -> Result<Memory, CatalogError> {
        let stored = self.catalog.setting(MEMORY).await?;
        match stored.map(serde_json::from_value::<Memory>) {
            Some(Ok(memory)) => Ok(memory),
            // At first, and where it cannot be read: what happened before is history.
            _ => {
                let memory = Memory {
                    event: self.catalog.newest_event_id().await?,
                    ..Memory::default()
                };
                self.hand_in(Vec::new(), &memory).await?;
                Ok(memory)
            }
        }
    }

    async fn warn_of_gap(&self, read: i64) -> Result<(), CatalogError> {
        let oldest = self.catalog.oldest_event_id().await?;
        if read > 0 && oldest > read + 1 {
            tracing::warn!(
                "events were removed before they were read: the server was away for too long"
            );
        }
        Ok(())
    }

    async fn hand_in_changes(
        &self,
        messages: Vec<Message>,
        before: &Memory,
        memory: &Memory,
    ) -> Result<(), CatalogError> {
        if messages.is_empty() && memory == before {
            return Ok(());
        }
        self.hand_in(messages, memory).await
    }

    /// Stores messages for their targets, and the memory with them.
    async fn hand_in(&self, messages: Vec<Message>, memory: &Memory) -> Result<(), CatalogError> {
        let mut deliveries = Vec::new();
        if !messages.is_empty() {
            let targets: Vec<NotificationTarget> = self
                .catalog
                .targets()
                .await?
                .into_iter()
                .map(|stored| stored.value)
                .collect();
            let policies = self.catalog.policies().await?;
            let policies: Vec<Policy> = policies.into_iter().map(|stored| stored.value).collect();
            let unwell = audience::unwell(&policies, memory);
            for message in messages {
                let own = message.notice.policy.as_deref();
                let own = policies
                    .iter()
                    .find(|policy| Some(policy.name.as_str()) == own);
                let named = own.map_or(&[][..], |policy| &policy.notify);
                for target in audience::listeners(&targets, named, &message, &unwell) {
                    if !self.is_held_back(target, &message).await? {
                        deliveries.push(NewDelivery {
                            target: target.name.clone(),
                            notice: message.notice.clone(),
                            dedup_key: message.key.clone(),
                        });
                    }
                }
            }
            audience::once_each(&mut deliveries);
        }
        let memory = serde_json::to_value(memory)
            .map_err(|error| CatalogError::Database(format!("writing the memory: {error}")))?;
        let made = self
            .catalog
            .enqueue_deliveries(&deliveries, Some((MEMORY, &memory)))
            .await?;
        if made > 0 {
            tracing::info!(messages = made, "people will be told");
        }
        Ok(())
    }

    /// Whether a target has heard the same bad news not long ago.
    async fn is_held_back(
        &self,
        target: &NotificationTarget,
        message: &Message,
    ) -> Result<bool, CatalogError> {
        if !message.repeats {
            return Ok(false);
        }
        let last = self.catalog.last_sent(&target.name, &message.key).await?;
        let hold = SignedDuration::from_secs(i64::from(target.repeat_secs));
        Ok(last.is_some_and(|last| self.catalog.now().duration_since(last) < hold))
    }
}

fn is_end(data: &serde_json::Value) -> bool {
    let state = data["state"].as_str().and_then(JobState::named);
    state.is_some_and(JobState::is_final)
}

fn timer(every: Duration) -> tokio::time::Interval {
    let mut timer = interval(every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}
