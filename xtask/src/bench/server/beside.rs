//! What requests cost the backup that they come beside.
//!
//! They come as open pages send them, all at once: a page looks again when it hears of a change, and all hear of it in the same
//! moment. And they come a few at a time, as from programs that ask in a loop, where each few of them take a core anew.
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
/// Pages that hear of a change at the same moment.
const PAGES: u32 = 50;
const FEW: u32 = 4;

/// Requests in one manner, and what backups took beside them.
struct Manner {
    rate: Rate,
    /// Seconds beside requests to a server that does nothing, and to pgkeep.
    beside_idler: Vec<f64>,
    beside: Vec<f64>,
    /// The server's processor time, and the asking's, for each request, in µs.
    answering: Vec<f64>,
    asking: Vec<f64>,
    served: Vec<Served>,
}

struct Seen {
    alone: Vec<f64>,
    /// The server's processor time during each backup alone, in µs.
    quiet: Vec<f64>,
    pages: Manner,
    few: Manner,
}

/// Kinds of backup in a round: alone, and in both manners beside both servers.
const KINDS: usize = 5;

/// Backups alone and beside requests in turn, each as often the first of a round, so that whatever else changes on the machine
/// meets all of them.
pub(super) fn backups(
    site: &Site,
    source: &Source,
    rounds: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    site.back_up(0)?;
    let canned = site.client()?.get(PATH)?.body;
    let idler = Idler::start(&canned)?;
    let mut seen = Seen {
        alone: Vec::new(),
        quiet: Vec::new(),
        pages: Manner::of(PAGES),
        few: Manner::of(FEW),
    };
    for round in 0..rounds {
        for turn in 0..KINDS {
            source.settle();
            let repository = KINDS * round + turn + 1;
            match (round + turn) % KINDS {
                0 => seen.alone(site, repository)?,
                1 => seen.pages.idle(site, repository, &idler)?,
                2 => seen.pages.serve(site, repository)?,
                3 => seen.few.idle(site, repository, &idler)?,
                _ => seen.few.serve(site, repository)?,
            }
            site.drop_data(repository)?;
        }
        eprintln!(
            "round {}: {:.2} s alone; beside requests to an idler and to pgkeep {:.2} and {:.2} s by {PAGES} at a time, \
             {:.2} and {:.2} s by {FEW}",
            round + 1,
            seen.alone[round],
            seen.pages.beside_idler[round],
            seen.pages.beside[round],
            seen.few.beside_idler[round],
            seen.few.beside[round],
        );
    }
    seen.tell(table);
    Ok(())
}

impl Manner {
    fn of(screens: u32) -> Manner {
        Manner {
            rate: Rate {
                screens,
                per_second: REQUESTS_PER_SECOND,
            },
            beside_idler: Vec::new(),
            beside: Vec::new(),
            answering: Vec::new(),
            asking: Vec::new(),
            served: Vec::new(),
        }
    }

    fn idle(&mut self, site: &Site, repository: usize, idler: &Idler) -> anyhow::Result<()> {
        let (seconds, _) = beside_requests(site, repository, idler.address(), self.rate)?;
        self.beside_idler.push(seconds);
        Ok(())
    }

    fn serve(&mut self, site: &Site, repository: usize) -> anyhow::Result<()> {
        let (server, own) = (cpu_of(site.process()?), cpu_of(std::process::id()));
        let (seconds, served) = beside_requests(site, repository, site.address(), self.rate)?;
        let of_each = |spent: Duration| micros(spent) / served.requests as f64;
        self.answering
            .push(of_each(cpu_of(site.process()?) - server));
        self.asking.push(of_each(cpu_of(std::process::id()) - own));
        self.beside.push(seconds);
        self.served.push(served);
        Ok(())
    }

    fn median_of(&self, value: fn(&Served) -> f64) -> f64 {
        median(&self.served.iter().map(value).collect::<Vec<_>>())
    }

    /// `quiet` is what the server spends during a backup that nobody asks beside.
    fn tell(&self, alone: f64, quiet: f64, aim: Aim, table: &mut Table) {
        let at_once = format!("by {} at a time", self.rate.screens);
        let (idler, beside) = (median(&self.beside_idler), median(&self.beside));
        let slower = |seconds: f64, than: f64| (seconds / than - 1.0) * 100.0;
        let rate = Aim::AtLeast(f64::from(REQUESTS_PER_SECOND) * 0.99);
        for (what, value, aim) in [
            (
                "status requests a second",
                self.median_of(Served::per_second),
                rate,
            ),
            (
                "half of them answered within, ms",
                self.median_of(|s| millis(s.percentile(50))),
                Aim::None,
            ),
            (
                "99 of 100 answered within, ms",
                self.median_of(|s| millis(s.percentile(99))),
                Aim::None,
            ),
            (
                "the server's processor time for one of them, µs",
                median(&self.answering) - quiet / self.median_of(|s| s.requests as f64),
                Aim::None,
            ),
            (
                "the asking's processor time, µs",
                median(&self.asking),
                Aim::None,
            ),
            (
                "that backup beside the same requests to a server that does nothing, s",
                idler,
                Aim::None,
            ),
            ("that backup, s", beside, Aim::None),
            ("it is slower by, %", slower(beside, alone), aim),
            (
                "slower by the asking alone, %",
                slower(idler, alone),
                Aim::None,
            ),
            (
                "beside pgkeep than beside the other server, %",
                slower(beside, idler),
                Aim::None,
            ),
        ] {
            table.add(format!("{at_once}: {what}"), value, aim);
        }
    }
}

impl Seen {
    fn alone(&mut self, site: &Site, repository: usize) -> anyhow::Result<()> {
        let before = cpu_of(site.process()?);
        self.alone.push(site.back_up(repository)?);
        self.quiet.push(micros(cpu_of(site.process()?) - before));
        Ok(())
    }

    fn tell(&self, table: &mut Table) {
        let (alone, quiet) = (median(&self.alone), median(&self.quiet));
        table.add("a backup beside which nobody asks, s", alone, Aim::None);
        self.pages.tell(alone, quiet, Aim::Below(5.0), table);
        self.few.tell(alone, quiet, Aim::None, table);
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

/// For one backup each, so that each has everything to store.
pub(super) fn repositories(rounds: usize) -> usize {
    KINDS * rounds + 1
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
