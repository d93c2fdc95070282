//! Requests at an even rate, as a wall of screens would send them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::http::Client;

/// How requests come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// Screens that ask at the same moment, each over a connection of its own.
    pub screens: u32,
    /// By all of them.
    pub per_second: u32,
}

/// Of so many requests, one is waited for, to see how long it takes. The answers to others are fetched when their screen asks
/// next: to be woken for each answer costs whoever asks as much as the answer costs the server, and in life that is paid on
/// other machines.
const WAITS_EVERY: u64 = 40;

#[derive(Debug, Clone, Default)]
pub(super) struct Served {
    pub requests: u64,
    pub seconds: f64,
    /// Of those that were waited for, sorted: from the moment at which a request was due to the beginning of its answer.
    pub latencies: Vec<Duration>,
}

impl Served {
    pub(super) fn per_second(&self) -> f64 {
        self.requests as f64 / self.seconds.max(f64::EPSILON)
    }

    /// The latency that so many of a hundred requests did not pass.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// Asks for `path` so many times a second until `stop`. What is late is sent at once, and its lateness counts.
pub(super) fn at_rate(
    address: SocketAddr,
    token: &str,
    path: &str,
    rate: Rate,
    stop: &AtomicBool,
) -> anyhow::Result<Served> {
    let mut screens = (0..rate.screens)
        .map(|_| Client::connect(address, token))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let every = Duration::from_secs(1) * rate.screens / rate.per_second;
    let begun = Instant::now();
    let (mut due, mut requests, mut latencies) = (begun, 0, Vec::new());
    let answered = |screen: &mut Client| {
        let answer = screen.answer()?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        anyhow::Ok(())
    };
    for round in 0_u32.. {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if round > 0 {
            screens.iter_mut().try_for_each(answered)?;
            requests += u64::from(rate.screens);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for screen in &mut screens {
            screen.ask("GET", path, "")?;
        }
        if requests % WAITS_EVERY < u64::from(rate.screens) {
            screens[0].wait()?;
            latencies.push(due.elapsed());
        }
        due += every;
    }
    latencies.sort_unstable();
    Ok(Served {
        requests,
        seconds: begun.elapsed().as_secs_f64(),
        latencies,
    })
}
