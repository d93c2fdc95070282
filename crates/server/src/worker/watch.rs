//! Keeps a running job alive in the catalog, and stops it when it must not go on.
//!
//! One thread writes what the work reported, renews the lease, and hears in the answer whether somebody asked to cancel.
//! The work sees nothing of it but its [`CancelToken`].

use super::report::{News, Reporter};
use crate::jobs::Failure;
use pgkeep_catalog::{CatalogError, LogLevel, blocking::Blocking};
use pgkeep_model::{CancelToken, Clock};
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How often news are written.
const BREATH: Duration = Duration::from_millis(500);

/// Why a job was stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// Somebody asked to cancel it.
    Asked,
    SoftLimit,
    /// The server that started it is gone or going.
    ServerGone,
    /// Ctrl-C in the terminal of a command run by hand.
    Interrupted,
    /// It is another worker's by now, or may be.
    LeaseLost,
}

impl StopReason {
    /// Its line in the job's log, written while the work is still on its way to its end.
    fn words(self) -> &'static str {
        match self {
            StopReason::Asked => "stopping: somebody asked to cancel",
            StopReason::SoftLimit => "stopping: the soft limit is over",
            StopReason::ServerGone => "stopping: the server is gone or going",
            StopReason::Interrupted => "stopping: interrupted",
            StopReason::LeaseLost => "stopping: the lease is over",
        }
    }
}

/// Stops the work, and remembers and tells why; the first reason counts.
#[derive(Clone)]
pub(super) struct Stop {
    token: CancelToken,
    reason: Arc<Mutex<Option<StopReason>>>,
    reporter: Arc<Reporter>,
    /// Without one the work goes on when the catalog is lost.
    lease: Option<Arc<Lease>>,
}

impl Stop {
    /// A token that holds for as long as the lease does.
    pub(super) fn under(lease: Arc<Lease>, reporter: Arc<Reporter>) -> Self {
        let asked = lease.clone();
        Self {
            token: CancelToken::while_permitted(move || asked.holds()),
            reason: Arc::default(),
            reporter,
            lease: Some(lease),
        }
    }

    /// A token for work that somebody does by hand: in a disaster it must not need the catalog.
    pub(super) fn without_lease(reporter: Arc<Reporter>) -> Self {
        Self {
            token: CancelToken::new(),
            reason: Arc::default(),
            reporter,
            lease: None,
        }
    }

    pub(super) fn because(&self, reason: StopReason) {
        if reason == StopReason::LeaseLost && self.lease.is_none() {
            return;
        }
        {
            let mut told = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_none() {
                *told = Some(reason);
                self.reporter.line(LogLevel::Warning, reason.words());
            }
        }
        self.token.cancel();
    }

    pub(super) fn reason(&self) -> Option<StopReason> {
        let told = *self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = self.lease.as_ref().is_some_and(|lease| !lease.holds());
        match told {
            None if lost && self.token.is_cancelled() => Some(StopReason::LeaseLost),
            told => told,
        }
    }

    pub(super) fn token(&self) -> CancelToken {
        self.token.clone()
    }
}

/// Until when the job is surely this process's. Both clocks must agree: one stands still while a machine sleeps, the other
/// may be set.
pub(super) struct Lease {
    length: Duration,
    clock: Arc<dyn Clock>,
    until: Mutex<(Instant, jiff::Timestamp)>,
}

impl Lease {
    /// A lease that was given just now.
    pub(super) fn new(length: Duration, clock: Arc<dyn Clock>) -> Self {
        let until = Mutex::new((Instant::now() + length, clock.now() + length));
        Self {
            length,
            clock,
            until,
        }
    }

    /// Renewed by an answer to a question that was asked at `asked`.
    fn renew(&self, (asked, time): (Instant, jiff::Timestamp)) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) =
            (asked + self.length, time + self.length);
    }

    fn now(&self) -> (Instant, jiff::Timestamp) {
        (Instant::now(), self.clock.now())
    }

    pub(super) fn holds(&self) -> bool {
        let (instant, time) = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        Instant::now() < instant && self.clock.now() < time
    }
}

/// Which job is watched.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) catalog: Blocking,
    pub(super) job: String,
    pub(super) fence: i64,
    pub(super) lease: Arc<Lease>,
}

impl Held {
    /// Renews the lease; tells whether somebody asked to cancel.
    pub(super) fn beat(&self) -> Result<bool, CatalogError> {
        let asked = self.lease.now();
        let (job, fence, length) = (&self.job, self.fence, self.lease.length);
        let answer = self
            .catalog
            .block_on(|catalog| async move { catalog.heartbeat(job, fence, length).await })?;
        self.lease.renew(asked);
        Ok(answer.cancel_requested)
    }

    /// Whether it is still ours, asked of the catalog until it answers or the lease is over.
    pub(super) fn still_ours(&self) -> Result<(), Failure> {
        self.insist(|| self.beat().map(drop))
    }

    /// Repeats a call while the catalog does not answer, for as long as the lease holds.
    pub(super) fn insist<T>(
        &self,
        mut call: impl FnMut() -> Result<T, CatalogError>,
    ) -> Result<T, Failure> {
        loop {
            match call() {
                Ok(answer) => return Ok(answer),
                Err(e) if e.is_temporary() && self.lease.holds() => std::thread::sleep(BREATH),
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn write(&self, news: News) -> Result<(), CatalogError> {
        let (job, fence) = (&self.job, self.fence);
        self.catalog.block_on(|catalog| async move {
            if let Some((phase, progress)) = &news.progress {
                catalog.progress(job, fence, phase, Some(progress)).await?;
            }
            if !news.lines.is_empty() {
                catalog.log(job, fence, &news.lines).await?;
            }
            Ok(())
        })
    }
}

/// The thread; dropping it ends it.
pub(super) struct Watch {
    over: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(
        held: Held,
        stop: Stop,
        reporter: Arc<Reporter>,
        soft_limit: Option<Duration>,
    ) -> std::io::Result<Self> {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let seen = over.clone();
        let ends = soft_limit.map(|limit| Instant::now() + limit);
        let thread = std::thread::Builder::new()
            .name("job-watch".into())
            .spawn(move || {
                let mut renewed = Instant::now();
                while !pause(&seen) {
                    if ends.is_some_and(|ends| Instant::now() >= ends) {
                        stop.because(StopReason::SoftLimit);
                    }
                    // What is lost of it is progress and lines, and only where the catalog is away.
                    let _ = held.write(reporter.take());
                    if renewed.elapsed() < held.lease.length / 6 {
                        continue;
                    }
                    match held.beat() {
                        Ok(cancel) => {
                            renewed = Instant::now();
                            if cancel {
                                stop.because(StopReason::Asked);
                            }
                        }
                        Err(e)
                            if e.is_temporary() && (held.lease.holds() || stop.lease.is_none()) => {
                        }
                        Err(_) => {
                            stop.because(StopReason::LeaseLost);
                            return;
                        }
                    }
                }
                let _ = held.write(reporter.take());
            })?;
        Ok(Self {
            over,
            thread: Some(thread),
        })
    }

    /// Writes the last news and ends the thread.
    pub(super) fn end(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        let (over, changed) = &*self.over;
        *over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of it was printed where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Waits a moment; true once it is over.
fn pause(over: &(Mutex<bool>, Condvar)) -> bool {
    let (over, changed) = over;
    let guard = over.lock().unwrap_or_else(PoisonError::into_inner);
    let (guard, _) = changed
        .wait_timeout_while(guard, BREATH, |over| !*over)
        .unwrap_or_else(PoisonError::into_inner);
    *guard
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use pgkeep_testkit::ManualClock;

    fn reporter(clock: Arc<dyn Clock>) -> Arc<Reporter> {
        Arc::new(Reporter::new(clock, None))
    }

    #[test]
    fn a_lease_ends_by_the_wall_clock_too() {
        let clock = Arc::new(ManualClock::at("2026-11-21T08:00:00Z"));
        let lease = Arc::new(Lease::new(Duration::from_secs(30), clock.clone()));
        let stop = Stop::under(lease.clone(), reporter(clock.clone()));
        assert!(stop.token().check().is_ok());
        clock.advance(SignedDuration::from_secs(31));
        assert!(stop.token().check().is_err());
        assert_eq!(stop.reason(), Some(StopReason::LeaseLost));
        lease.renew(lease.now());
        assert!(lease.holds());
    }

    #[test]
    fn work_by_hand_goes_on_without_its_lease() {
        let clock = Arc::new(ManualClock::at("2026-11-21T08:00:00Z"));
        let stop = Stop::without_lease(reporter(clock));
        stop.because(StopReason::LeaseLost);
        assert!(stop.token().check().is_ok());
        stop.because(StopReason::Asked);
        assert!(stop.token().check().is_err());
        assert_eq!(stop.reason(), Some(StopReason::Asked));
    }

    #[test]
    fn the_first_reason_counts_and_is_told_at_once() {
        let clock = Arc::new(ManualClock::at("2026-11-21T08:00:00Z"));
        let reporter = reporter(clock.clone());
        let lease = Arc::new(Lease::new(Duration::from_secs(30), clock));
        let stop = Stop::under(lease, reporter.clone());
        stop.because(StopReason::SoftLimit);
        stop.because(StopReason::ServerGone);
        assert_eq!(stop.reason(), Some(StopReason::SoftLimit));
        assert!(stop.token().is_cancelled());
        // However soon the work ends now, its log says why.
        let lines = reporter.take().lines;
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["stopping: the soft limit is over"]);
    }
}
