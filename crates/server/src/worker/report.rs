//! What the work tells of itself, kept until the job's thread writes it to the catalog.

use pgkeep_catalog::{JobProgress, LogLevel, LogLine};
use pgkeep_model::{Clock, Phase, Progress};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// Finished items that get a line of the log each; a database may have more tables than anybody reads.
const MOST_ITEMS: usize = 2_000;

/// Listens to the engine. Called from its threads, so it only notes; see [`Reporter::take`].
pub(super) struct Reporter {
    clock: Arc<dyn Clock>,
    /// Hears everything, too: the terminal of a command run by hand.
    tee: Option<Arc<dyn Progress>>,
    done_bytes: AtomicU64,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    phase: Option<Phase>,
    total_bytes: Option<u64>,
    item: Option<String>,
    items: usize,
    /// Lines that programs of the app printed.
    printed: usize,
    lines: Vec<LogLine>,
    /// What was taken last, so that nothing is written twice.
    taken: Option<(Phase, JobProgress)>,
}

/// What is new since the last time.
#[derive(Default)]
pub(super) struct News {
    pub(super) progress: Option<(&'static str, JobProgress)>,
    pub(super) lines: Vec<LogLine>,
}

impl Reporter {
    pub(super) fn new(clock: Arc<dyn Clock>, tee: Option<Arc<dyn Progress>>) -> Self {
        Self {
            clock,
            tee,
            done_bytes: AtomicU64::new(0),
            noted: Mutex::default(),
        }
    }

    pub(super) fn line(&self, level: LogLevel, text: impl Into<String>) {
        let line = LogLine {
            at: self.clock.now(),
            level,
            text: text.into(),
        };
        self.noted().lines.push(line);
    }

    pub(super) fn take(&self) -> News {
        let mut noted = self.noted();
        let lines = std::mem::take(&mut noted.lines);
        let current = noted.phase.map(|phase| {
            let progress = JobProgress {
                done_bytes: self.done_bytes.load(Ordering::Relaxed),
                total_bytes: noted.total_bytes,
                item: noted.item.clone(),
            };
            (phase, progress)
        });
        if current == noted.taken {
            return News {
                progress: None,
                lines,
            };
        }
        noted.taken = current.clone();
        News {
            progress: current.map(|(phase, progress)| (phase.label(), progress)),
            lines,
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Reporter {
    fn phase(&self, phase: Phase, total_bytes: Option<u64>) {
        if let Some(tee) = &self.tee {
            tee.phase(phase, total_bytes);
        }
        let repeated = {
            let mut noted = self.noted();
            let repeated = noted.phase.replace(phase) == Some(phase);
            noted.total_bytes = total_bytes;
            noted.item = None;
            self.done_bytes.store(0, Ordering::Relaxed);
            repeated
        };
        if !repeated {
            self.line(LogLevel::Info, phase.label());
        }
    }

    fn bytes(&self, done: u64) {
        if let Some(tee) = &self.tee {
            tee.bytes(done);
        }
        self.done_bytes.fetch_add(done, Ordering::Relaxed);
    }

    fn item(&self, name: &str) {
        if let Some(tee) = &self.tee {
            tee.item(name);
        }
        let count = {
            let mut noted = self.noted();
            noted.item = Some(name.to_owned());
            noted.items += 1;
            noted.items
        };
        match count {
            ..=MOST_ITEMS => self.line(LogLevel::Info, name),
            count if count == MOST_ITEMS + 1 => {
                self.line(LogLevel::Info, "further items are not listed");
            }
            _ => {}
        }
    }

    fn output(&self, line: &str) {
        if let Some(tee) = &self.tee {
            tee.output(line);
        }
        let count = {
            let mut noted = self.noted();
            noted.printed += 1;
            noted.printed
        };
        match count {
            ..=MOST_ITEMS => self.line(LogLevel::Info, line),
            count if count == MOST_ITEMS + 1 => {
                self.line(LogLevel::Info, "further output is only in the report");
            }
            _ => {}
        }
    }

    fn warn(&self, message: &str) {
        if let Some(tee) = &self.tee {
            tee.warn(message);
        }
        self.line(LogLevel::Warning, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_testkit::ManualClock;

    #[test]
    fn news_are_told_once_and_bytes_count_by_phase() {
        let reporter = Reporter::new(Arc::new(ManualClock::at("2026-11-21T08:00:00Z")), None);
        assert!(reporter.take().progress.is_none());
        reporter.phase(Phase::Data, Some(100));
        reporter.bytes(40);
        reporter.bytes(2);
        reporter.item("public.orders");
        let (phase, progress) = reporter.take().progress.unwrap();
        assert_eq!(phase, "data");
        assert_eq!((progress.done_bytes, progress.total_bytes), (42, Some(100)));
        assert_eq!(progress.item.as_deref(), Some("public.orders"));
        assert!(reporter.take().progress.is_none());
        reporter.phase(Phase::Publish, None);
        reporter.warn("slow");
        let news = reporter.take();
        assert_eq!(news.progress.unwrap().1.done_bytes, 0);
        let texts: Vec<_> = news
            .lines
            .iter()
            .map(|l| (l.level, l.text.as_str()))
            .collect();
        assert_eq!(
            texts,
            [(LogLevel::Info, "publishing"), (LogLevel::Warning, "slow")]
        );
    }

    #[test]
    fn a_flood_of_items_is_cut_off() {
        let reporter = Reporter::new(Arc::new(ManualClock::at("2026-11-21T08:00:00Z")), None);
        for n in 0..MOST_ITEMS + 50 {
            reporter.item(&n.to_string());
        }
        assert_eq!(reporter.take().lines.len(), MOST_ITEMS + 1);
    }
}
