//! Requests at an even rate, as a wall of screens would send them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::http::Client;

/// Connections; each asks, waits for the answer, and asks again at its next time.
const CONNECTIONS: u32 = 4;

#[derive(Debug, Clone, Default)]
pub(super) struct Served {
    pub requests: u64,
    pub seconds: f64,
    /// Sorted; from the moment at which a request was due to the end of its answer.
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

/// Asks for `path` so many times a second until `stop`. One that is late is sent at once, and its lateness counts.
pub(super) fn at_rate(
    address: SocketAddr,
    token: &str,
    path: &str,
    per_second: u32,
    stop: &AtomicBool,
) -> anyhow::Result<Served> {
    let begun = Instant::now();
    let every = Duration::from_secs(1) * CONNECTIONS / per_second;
    let parts = std::thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                scope.spawn(move || {
                    let mut client = Client::connect(address, token)?;
                    let mut due = begun + every * number / CONNECTIONS;
                    let mut latencies = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        let answer = client.get(path)?;
                        ensure!(answer.status == 200, "{path}: {}", answer.status);
                        latencies.push(due.elapsed());
                        due += every;
                    }
                    Ok(latencies)
                })
            })
            .collect();
        connections
            .into_iter()
            .map(|one| one.join().expect("asking does not panic"))
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    let mut latencies = parts.concat();
    latencies.sort_unstable();
    Ok(Served {
        requests: latencies.len() as u64,
        seconds: begun.elapsed().as_secs_f64(),
        latencies,
    })
}
