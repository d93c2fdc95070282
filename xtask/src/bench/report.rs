//! The table at the end: medians of all rounds, and how they compare.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::backups::{FIRST, FLOOR, PG_DUMP_CUSTOM, PG_DUMP_DIRECTORY};
use super::database::Shape;
use super::measure::Measured;
use super::restores::{DRILL, PG_RESTORE, PROVEN};

pub(super) struct Report {
    major: u32,
    scale: f64,
    rounds: usize,
    databases: Vec<(Shape, u64)>,
    /// Contenders in the order of their first run, with all their runs.
    backups: Vec<Contender>,
    restores: Vec<Contender>,
}

struct Contender {
    shape: Shape,
    name: &'static str,
    runs: Vec<Measured>,
}

impl Report {
    pub(super) fn new(major: u32, scale: f64, rounds: usize) -> Report {
        Report {
            major,
            scale,
            rounds,
            databases: Vec::new(),
            backups: Vec::new(),
            restores: Vec::new(),
        }
    }

    pub(super) fn database(&mut self, shape: Shape, size_bytes: u64) {
        self.databases.push((shape, size_bytes));
    }

    pub(super) fn backup(&mut self, shape: Shape, name: &'static str, run: Measured) {
        add(&mut self.backups, shape, name, run);
    }

    pub(super) fn restore(&mut self, shape: Shape, name: &'static str, run: Measured) {
        add(&mut self.restores, shape, name, run);
    }

    pub(super) fn to_markdown(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let mut text = format!(
            "PostgreSQL {}, shop at scale {}, {cores} cores, medians of {} rounds.\n",
            self.major, self.scale, self.rounds
        );
        for (shape, bytes) in &self.databases {
            let _ = write!(text, "\n### {shape:?}, {:.2} GB\n\n", *bytes as f64 / 1e9);
            table(
                &mut text,
                "backup",
                &of(&self.backups, *shape),
                &[PG_DUMP_CUSTOM, PG_DUMP_DIRECTORY, FLOOR],
            );
            text.push('\n');
            table(
                &mut text,
                "restore",
                &of(&self.restores, *shape),
                &[PG_RESTORE],
            );
            self.compare_drill(&mut text, *shape);
        }
        self.compare_shapes(&mut text);
        text
    }

    /// A drill is to cost hardly more than the restore that it performs.
    fn compare_drill(&self, text: &mut String, shape: Shape) {
        let took = |name| {
            let of_shape = |one: &&Contender| one.shape == shape && one.name == name;
            let found = self.restores.iter().find(of_shape)?;
            Some(found.took().as_secs_f64())
        };
        if let (Some(drill), Some(restore)) = (took(DRILL), took(PROVEN)) {
            let _ = write!(
                text,
                "\nA drill takes {:.2} times as long as a restore that is fully proven.\n",
                drill / restore
            );
        }
    }

    /// One big table must not cost what many small ones spare.
    fn compare_shapes(&self, text: &mut String) {
        let of_shape = |shape| {
            let run = self
                .backups
                .iter()
                .find(|contender| contender.shape == shape && contender.name == FIRST)?;
            let (_, size) = self.databases.iter().find(|(of, _)| *of == shape)?;
            Some(run.took().as_secs_f64() / *size as f64)
        };
        if let (Some(balanced), Some(skewed)) = (of_shape(Shape::Balanced), of_shape(Shape::Skewed))
        {
            let _ = write!(
                text,
                "\nA byte of the skewed database takes {:.2} times as long to back up as one of the balanced.\n",
                skewed / balanced
            );
        }
    }
}

impl Contender {
    fn took(&self) -> Duration {
        median(self.runs.iter().map(|run| run.took))
    }

    fn cpu(&self) -> Duration {
        median(self.runs.iter().map(|run| run.cpu))
    }

    fn peak_bytes(&self) -> u64 {
        median(self.runs.iter().map(|run| run.peak_bytes))
    }

    fn stored_bytes(&self) -> Option<u64> {
        let stored: Vec<u64> = self
            .runs
            .iter()
            .filter_map(|run| run.stored_bytes)
            .collect();
        (!stored.is_empty()).then(|| median(stored.into_iter()))
    }
}

fn add(contenders: &mut Vec<Contender>, shape: Shape, name: &'static str, run: Measured) {
    eprintln!(
        "  {name}: {:.1} s, {:.1} s of processor time",
        run.took.as_secs_f64(),
        run.cpu.as_secs_f64()
    );
    match contenders
        .iter_mut()
        .find(|contender| contender.shape == shape && contender.name == name)
    {
        Some(contender) => contender.runs.push(run),
        None => contenders.push(Contender {
            shape,
            name,
            runs: vec![run],
        }),
    }
}

fn of(contenders: &[Contender], shape: Shape) -> Vec<&Contender> {
    contenders
        .iter()
        .filter(|contender| contender.shape == shape)
        .collect()
}

/// One line a contender; a column for each baseline says how many times faster than it the contender is.
fn table(text: &mut String, title: &str, contenders: &[&Contender], baselines: &[&str]) {
    if contenders.is_empty() {
        return;
    }
    let times: BTreeMap<&str, f64> = contenders
        .iter()
        .map(|one| (one.name, one.took().as_secs_f64()))
        .collect();
    let known: Vec<&&str> = baselines
        .iter()
        .filter(|name| times.contains_key(**name))
        .collect();
    let _ = write!(text, "| {title} | seconds |");
    known.iter().for_each(|name| {
        let _ = write!(text, " times as fast as {name} |");
    });
    let _ = write!(
        text,
        " CPU seconds | stored MB | peak MiB |\n|---|--:|{}--:|--:|--:|\n",
        "--:|".repeat(known.len())
    );
    for one in contenders {
        let _ = write!(text, "| {} | {:.1} |", cell(one.name), times[one.name]);
        for baseline in &known {
            let _ = write!(text, " {:.2} |", times[**baseline] / times[one.name]);
        }
        let stored = one
            .stored_bytes()
            .map_or(String::new(), |bytes| format!("{:.1}", bytes as f64 / 1e6));
        let cpu = one.cpu().as_secs_f64();
        let peak = one.peak_bytes() / (1 << 20);
        let _ = writeln!(text, " {cpu:.1} | {stored} | {peak} |");
    }
}

/// A bar in a name would end its cell.
fn cell(name: &str) -> String {
    name.replace('|', "\\|")
}

fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut sorted: Vec<T> = values.collect();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: u64) -> Measured {
        Measured {
            took: Duration::from_secs(seconds),
            cpu: Duration::from_secs(2 * seconds),
            peak_bytes: 3 << 20,
            stored_bytes: Some(5_500_000),
        }
    }

    #[test]
    fn the_table_shows_medians_and_ratios() {
        let mut report = Report::new(17, 100.0, 3);
        report.database(Shape::Balanced, 2_700_000_000);
        for seconds in [60, 90, 80] {
            report.backup(Shape::Balanced, PG_DUMP_CUSTOM, run(seconds));
        }
        for seconds in [8, 11, 10] {
            report.backup(Shape::Balanced, FIRST, run(seconds));
        }
        report.restore(Shape::Balanced, PROVEN, run(30));
        report.restore(Shape::Balanced, DRILL, run(33));
        let text = report.to_markdown();
        assert!(
            text.contains("A drill takes 1.10 times as long as a restore that is fully proven."),
            "{text}"
        );
        assert!(text.contains("### Balanced, 2.70 GB"), "{text}");
        assert!(
            text.contains("| pg_dump -Fc -Z6 | 80.0 | 1.00 | 160.0 | 5.5 | 3 |"),
            "{text}"
        );
        assert!(
            text.contains("| pgkeep backup | 10.0 | 8.00 | 20.0 | 5.5 | 3 |"),
            "{text}"
        );
    }
}
