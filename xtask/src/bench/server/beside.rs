//! What requests cost the backup that they come beside.
//!
//! Whoever asks works on the same cores as the backup, which in life they do not. So the same requests are also sent to a
//! server that does nothing: what a backup loses beside that one is the price of the asking alone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::database::Source;
use super::super::measure::cpu_of;
use super::load::{self, Rate, Served};
use super::median;
use super::table::{Aim, Table};
use crate::http::Idler;
use crate::site::Site;

const REQUESTS_PER_SECOND: u32 = 1_000;
const PATH: &str = "/status";
/// That one round fills, one for each backup, so that each has everything to store.
pub(super) const REPOSITORIES: usize = 3;

#[derive(Default)]
struct Seen {
    alone: Vec<f64>,
    beside_idler: Vec<f64>,
    beside: Vec<f64>,
    /// The server's processor time during each backup alone, and for each request beside one, in µs.
    quiet: Vec<Duration>,
    answering: Vec<f64>,
    asking: Vec<f64>,
    served: Vec<Served>,
}

/// Backups alone and beside requests in turn, each as often the first of a round, so that whatever else changes on the machine
/// meets all of them.
pub(super) fn backups(
    site: &Site,
    source: &Source,
    rounds: usize,
    screens: u32,
    table: &mut Table,
) -> anyhow::Result<()> {
    let rate = Rate {
        screens,
        per_second: REQUESTS_PER_SECOND,
    };
    site.back_up(0)?;
    let canned = site.client()?.get(PATH)?.body;
    let idler = Idler::start(&canned)?;
    let mut seen = Seen::default();
    for round in 0..rounds {
        for turn in 0..REPOSITORIES {
            source.settle();
            let repository = REPOSITORIES * round + turn + 1;
            match (round + turn) % REPOSITORIES {
                0 => seen.alone(site, repository)?,
                1 => {
                    let (seconds, _) = beside_requests(site, repository, idler.address(), rate)?;
                    seen.beside_idler.push(seconds);
                }
                _ => seen.beside(site, repository, rate)?,
            }
        }
        eprintln!(
            "round {}: {:.2} s alone, {:.2} s beside an idler, {:.2} s beside {:.0} requests/s",
            round + 1,
            seen.alone[round],
            seen.beside_idler[round],
            seen.beside[round],
            seen.served[round].per_second()
        );
    }
    seen.tell(table);
    Ok(())
}

impl Seen {
    fn alone(&mut self, site: &Site, repository: usize) -> anyhow::Result<()> {
        let before = cpu_of(site.process()?);
        self.alone.push(site.back_up(repository)?);
        self.quiet.push(cpu_of(site.process()?) - before);
        Ok(())
    }

    fn beside(&mut self, site: &Site, repository: usize, rate: Rate) -> anyhow::Result<()> {
        let (server, own) = (cpu_of(site.process()?), cpu_of(std::process::id()));
        let (seconds, served) = beside_requests(site, repository, site.address(), rate)?;
        let of_each = |spent: Duration| spent.as_secs_f64() * 1e6 / served.requests as f64;
        self.answering
            .push(of_each(cpu_of(site.process()?) - server));
        self.asking.push(of_each(cpu_of(std::process::id()) - own));
        self.beside.push(seconds);
        self.served.push(served);
        Ok(())
    }

    fn tell(&self, table: &mut Table) {
        let of =
            |value: fn(&Served) -> f64| median(&self.served.iter().map(value).collect::<Vec<_>>());
        let (alone, idler, beside) = (
            median(&self.alone),
            median(&self.beside_idler),
            median(&self.beside),
        );
        let quiet = self.quiet.iter().map(Duration::as_secs_f64);
        let quiet = median(&quiet.collect::<Vec<_>>()) * 1e6 / of(|s| s.requests as f64);
        let slower = |seconds: f64, than: f64| (seconds / than - 1.0) * 100.0;
        for (what, value, aim) in [
            (
                "status requests a second beside a backup",
                of(Served::per_second),
                Aim::AtLeast(f64::from(REQUESTS_PER_SECOND) * 0.99),
            ),
            (
                "half of them answered within, ms",
                of(|s| millis(s.percentile(50))),
                Aim::None,
            ),
            (
                "99 of 100 answered within, ms",
                of(|s| millis(s.percentile(99))),
                Aim::None,
            ),
            (
                "the server's processor time for one of them, µs",
                median(&self.answering) - quiet,
                Aim::None,
            ),
            (
                "the asking's processor time, µs",
                median(&self.asking),
                Aim::None,
            ),
            ("that backup alone, s", alone, Aim::None),
            (
                "beside the same requests to a server that does nothing, s",
                idler,
                Aim::None,
            ),
            ("beside the requests, s", beside, Aim::None),
            (
                "slower by the asking alone, %",
                slower(idler, alone),
                Aim::None,
            ),
            ("slower by, %", slower(beside, alone), Aim::Below(5.0)),
            ("of that by the server, %", slower(beside, idler), Aim::None),
        ] {
            table.add(what, value, aim);
        }
    }
}

fn beside_requests(
    site: &Site,
    repository: usize,
    asked: SocketAddr,
    rate: Rate,
) -> anyhow::Result<(f64, Served)> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| load::at_rate(asked, site.token(), PATH, rate, &stop));
        let seconds = site.back_up(repository);
        stop.store(true, Ordering::Relaxed);
        let served = asking.join().expect("asking does not panic")?;
        Ok((seconds?, served))
    })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
