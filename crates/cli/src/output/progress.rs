//! Progress on standard error: a bar on a terminal, plain lines elsewhere, nothing when unwanted.

use super::{human, say};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pgkeep_model::{Phase, Progress};
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressMode {
    Off,
    Bar,
    Lines,
}

/// Between two plain lines about one phase.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// A phase that takes less gets no "done" line.
const WORTH_A_LINE: Duration = Duration::from_secs(1);

/// Shows an operation's progress; warnings are shown in every mode.
pub struct TerminalProgress {
    mode: ProgressMode,
    verbose: bool,
    state: Mutex<State>,
}

struct State {
    current: Option<Current>,
    warnings: Vec<String>,
}

struct Current {
    phase: Phase,
    total: Option<u64>,
    done: u64,
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl TerminalProgress {
    pub fn new(mode: ProgressMode, verbose: bool) -> Self {
        Self {
            mode,
            verbose,
            state: Mutex::new(State {
                current: None,
                warnings: Vec::new(),
            }),
        }
    }

    /// Ends the display, before the answer or an error is printed.
    pub fn finish(&self) {
        let mut state = self.lock();
        if let Some(current) = state.current.take() {
            self.end(current);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn begin(&self, phase: Phase, total: Option<u64>) -> Current {
        let now = Instant::now();
        let bar = (self.mode == ProgressMode::Bar).then(|| new_bar(phase, total));
        Current {
            phase,
            total,
            done: 0,
            started: now,
            last_line: now,
            bar,
        }
    }

    fn end(&self, current: Current) {
        let took = current.started.elapsed();
        if let Some(bar) = current.bar {
            bar.finish_and_clear();
        }
        if self.mode == ProgressMode::Off || took < WORTH_A_LINE {
            return;
        }
        let amount = if current.done > 0 {
            format!("{}, ", human::bytes(current.done))
        } else {
            String::new()
        };
        let took = human::seconds(took.as_secs_f64());
        say(&format!("{}{amount}{took}", label(current.phase)));
    }

    /// Prints a line without breaking a bar that is being drawn.
    fn print(current: Option<&Current>, line: &str) {
        match current.and_then(|c| c.bar.as_ref()) {
            Some(bar) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }
}

impl Progress for TerminalProgress {
    fn phase(&self, phase: Phase, total_bytes: Option<u64>) {
        let mut state = self.lock();
        if let Some(previous) = state.current.take() {
            self.end(previous);
        }
        if self.mode != ProgressMode::Off {
            state.current = Some(self.begin(phase, total_bytes.filter(|total| *total > 0)));
        }
    }

    fn bytes(&self, done: u64) {
        if self.mode == ProgressMode::Off {
            return;
        }
        let mut state = self.lock();
        let Some(current) = &mut state.current else {
            return;
        };
        current.done += done;
        if let Some(bar) = &current.bar {
            // The total is an estimate; a bar must not stand full while work goes on.
            if current.total.is_some_and(|total| current.done > total) {
                bar.set_length(current.done);
            }
            bar.set_position(current.done);
        } else if current.last_line.elapsed() >= LINE_EVERY {
            current.last_line = Instant::now();
            let line = progress_line(
                current.phase,
                current.done,
                current.total,
                current.started.elapsed(),
            );
            say(&line);
        }
    }

    fn item(&self, name: &str) {
        if self.verbose {
            Self::print(self.lock().current.as_ref(), &format!("  {name}"));
        }
    }

    fn output(&self, line: &str) {
        if self.mode != ProgressMode::Off {
            Self::print(self.lock().current.as_ref(), &format!("  | {line}"));
        }
    }

    fn warn(&self, message: &str) {
        let mut state = self.lock();
        // One cause may be met by every worker.
        if state.warnings.iter().any(|known| known == message) {
            return;
        }
        state.warnings.push(message.to_owned());
        let label = console::style("warning:").yellow().bold().for_stderr();
        Self::print(state.current.as_ref(), &format!("{label} {message}"));
    }
}

fn new_bar(phase: Phase, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => {
            "{msg:24} [{bar:30}] {binary_bytes:>10} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left"
        }
        None => "{msg:24} {spinner} {elapsed}",
    };
    let style = ProgressStyle::with_template(template)
        .expect("the template is valid")
        .progress_chars("=> ");
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(8))
        .with_style(style)
        .with_message(phase.label());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// The phase's name with its colon, as wide for every phase, so that lines of several stand under each other.
fn label(phase: Phase) -> String {
    format!("{:<25}", format!("{}:", phase.label()))
}

fn progress_line(phase: Phase, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let rate = human::bytes((done as f64 / elapsed.as_secs_f64().max(0.001)) as u64);
    match total {
        Some(total) => {
            let percent = (done as f64 / total as f64 * 100.0).min(99.0);
            format!(
                "{}{} of about {} ({percent:.0} %), {rate}/s",
                label(phase),
                human::bytes(done),
                human::bytes(total)
            )
        }
        None => format!("{}{}, {rate}/s", label(phase), human::bytes(done)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_share_and_rate() {
        let line = progress_line(
            Phase::Data,
            50 << 20,
            Some(100 << 20),
            Duration::from_secs(2),
        );
        assert_eq!(
            line,
            "data:                    50.0 MiB of about 100.0 MiB (50 %), 25.0 MiB/s"
        );
        let over = progress_line(Phase::Data, 3 << 20, Some(1 << 20), Duration::from_secs(1));
        assert!(over.contains("(99 %)"), "{over}");
    }

    #[test]
    fn a_warning_is_shown_once() {
        let progress = TerminalProgress::new(ProgressMode::Off, false);
        progress.warn("table x is unlogged");
        progress.warn("table x is unlogged");
        assert_eq!(progress.lock().warnings.len(), 1);
    }
}
