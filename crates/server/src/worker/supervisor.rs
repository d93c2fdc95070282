//! Claims jobs as long as there are free slots, and sees to it that none is forgotten.

use super::{child::Attendant, open_options, order::Order};
use crate::{
    settings::{Places, WorkSettings, WorkerSettings},
    status::doubts::LEFT_AT,
    targets::Machine,
};
use pgkeep_catalog::{Catalog, CatalogError, NodeBeat, Reconciled};
use pgkeep_model::job::{JobKind, JobState};
use std::{collections::HashMap, io, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// How often the queue is asked when nothing of this process changes it.
const LOOK: Duration = Duration::from_secs(1);
/// How often dead workers are looked for, and a sign of life is given.
const ROUND: Duration = Duration::from_secs(10);

/// Takes jobs and runs them, one process each.
pub struct Supervisor {
    catalog: Catalog,
    places: Places,
    work: Arc<WorkSettings>,
    node: NodeBeat,
    kinds: Vec<JobKind>,
}

/// A job that runs here.
struct Here {
    job: String,
    fence: i64,
    fenced: Arc<Notify>,
}

impl Supervisor {
    /// Takes jobs of every kind: for the server, on whose machine uploads and exports lie.
    pub fn of_server(catalog: Catalog, places: Places, work: WorkSettings, host: &str) -> Self {
        Self::new(catalog, places, work, host, JobKind::ALL.to_vec())
    }

    /// Leaves what works on files of the server's machine to the server.
    pub fn of_worker(catalog: Catalog, places: Places, work: WorkSettings, host: &str) -> Self {
        let mut kinds = JobKind::ALL.to_vec();
        kinds.retain(|kind| !matches!(kind, JobKind::Import | JobKind::Export));
        Self::new(catalog, places, work, host, kinds)
    }

    fn new(
        catalog: Catalog,
        places: Places,
        work: WorkSettings,
        host: &str,
        kinds: Vec<JobKind>,
    ) -> Self {
        let pid = std::process::id();
        let name = work.node.clone().unwrap_or_else(|| host.to_owned());
        let started = catalog.now().as_millisecond();
        let node = NodeBeat {
            // Another one at every start: what the one before left is not this one's.
            node: format!("{name}-{pid}-{started:x}"),
            host: host.to_owned(),
            pid,
            slots: u32::try_from(work.slots).unwrap_or(u32::MAX),
            kinds: match kinds.len() == JobKind::ALL.len() {
                true => Vec::new(),
                false => kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
            },
            version: env!("CARGO_PKG_VERSION").into(),
        };
        Self {
            catalog,
            places,
            work: Arc::new(work),
            node,
            kinds,
        }
    }

    /// The name under which jobs are claimed.
    pub fn node(&self) -> &str {
        &self.node.node
    }

    /// Works until `stop`; then hands back what runs, and returns when all of it has ended.
    pub async fn run(self, stop: CancellationToken) {
        if self.work.slots == 0 {
            return stop.cancelled().await;
        }
        let order = Arc::new(Order::new(&self.places, self.work.lease));
        let mut running: JoinSet<String> = JoinSet::new();
        let mut here: HashMap<String, Here> = HashMap::new();
        let mut changed = self.catalog.changed();
        let mut look = interval(LOOK);
        let mut round = interval(ROUND.min(self.work.lease));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = round.tick() => {
                    self.beat().await;
                    self.reconcile().await;
                    self.give_up_lost(&here).await;
                }
                Some(ended) = running.join_next() => {
                    match ended {
                        Ok(job) => { here.remove(&job); }
                        Err(e) => tracing::error!("watching a job's process failed: {e}"),
                    }
                }
                _ = look.tick() => {}
                Ok(()) = changed.changed() => {}
            }
            while running.len() < self.work.slots && !stop.is_cancelled() {
                let Some(claim) = self.claim().await else {
                    break;
                };
                let fenced = Arc::new(Notify::new());
                let job = claim.job.id.clone();
                tracing::info!(%job, kind = claim.job.kind.as_str(), app = claim.job.app, attempt = claim.job.attempts, "job begins");
                here.insert(
                    job.clone(),
                    Here {
                        job: job.clone(),
                        fence: claim.fence,
                        fenced: fenced.clone(),
                    },
                );
                let attendant = Attendant {
                    catalog: self.catalog.clone(),
                    work: self.work.clone(),
                    order: order.clone(),
                    stopping: stop.clone(),
                };
                running.spawn(async move {
                    attendant.attend(claim, fenced).await;
                    job
                });
            }
        }
        while running.join_next().await.is_some() {}
        if let Err(e) = self.catalog.drop_node(self.node()).await {
            tracing::warn!("cannot leave the list of workers: {e}");
        }
        let now = self.catalog.now().to_string();
        if let Err(e) = self.catalog.put_setting(LEFT_AT, &now.into()).await {
            tracing::warn!("that this worker left cannot be written down: {e}");
        }
    }

    async fn claim(&self) -> Option<pgkeep_catalog::Claim> {
        let claimed = self
            .catalog
            .claim(self.node(), &self.kinds, self.work.lease)
            .await;
        told("cannot take a job", claimed).flatten()
    }

    async fn beat(&self) {
        told(
            "cannot give a sign of life",
            self.catalog.node_beat(&self.node).await,
        );
    }

    /// Looks after jobs whose lease ran out, whosoever they were.
    async fn reconcile(&self) {
        let done = self.catalog.reconcile(self.catalog.now()).await;
        for lost in told("cannot look for dead workers", done).unwrap_or_default() {
            let job = lost.job();
            let became = match &lost {
                Reconciled::TakenUpAgain(_) => "it is taken up again",
                Reconciled::Failed(_) => "it has failed",
                Reconciled::Cancelled(_) => "it was to be cancelled",
            };
            tracing::warn!(job = %job.id, kind = job.kind.as_str(), node = job.node, "the worker of a job is gone: {became}");
        }
    }

    /// A process of ours that slept through its lease is of no use any more.
    async fn give_up_lost(&self, here: &HashMap<String, Here>) {
        for ours in here.values() {
            let Ok(job) = self.catalog.job(&ours.job).await else {
                continue;
            };
            let another = job.fence != ours.fence || job.state == JobState::Queued;
            if another {
                tracing::warn!(job = %ours.job, "a process that lost its job is killed");
                ours.fenced.notify_one();
            }
        }
    }
}

/// Tells what the catalog could not do; the next round tries again.
fn told<T>(what: &str, answer: Result<T, CatalogError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(e) => {
            tracing::warn!("{what}: {e}");
            None
        }
    }
}

/// `pgkeep worker`: the supervisor alone, on a catalog that other machines share. Returns after SIGTERM or Ctrl-C, when what
/// runs has been handed back.
pub fn run_worker(settings: WorkerSettings, machine: Machine) -> Result<(), CatalogError> {
    let no_thread = |e: io::Error| CatalogError::Database(format!("no thread can be started: {e}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(no_thread)?;
    runtime.block_on(async {
        let stop = asked_to_end().map_err(no_thread)?;
        let options = open_options(&settings.places, machine.clock.clone(), false);
        let catalog = Catalog::open(options).await?;
        let mut presence = catalog.join().await?;
        let supervisor = Supervisor::of_worker(
            catalog.clone(),
            settings.places,
            settings.work,
            &machine.hostname,
        );
        tracing::info!(
            node = supervisor.node(),
            catalog = catalog.location(),
            "worker takes jobs"
        );
        tokio::select! {
            () = supervisor.run(stop) => {}
            () = presence.stay(&catalog) => {}
        }
        presence.leave().await;
        catalog.close().await;
        Ok(())
    })
}

/// A token that SIGTERM and SIGINT cancel.
fn asked_to_end() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let asked = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.cancel();
    });
    Ok(stop)
}
