//! The figures beside their aims.

use std::fmt::Write;

use serde_json::json;

pub(super) struct Table {
    about: String,
    lines: Vec<Line>,
}

struct Line {
    what: String,
    value: f64,
    aim: Aim,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Aim {
    Below(f64),
    AtLeast(f64),
    None,
}

impl Aim {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Aim::Below(most) => Some(value < most),
            Aim::AtLeast(least) => Some(value >= least),
            Aim::None => None,
        }
    }

    fn words(self) -> String {
        match self {
            Aim::Below(most) => format!("below {}", figure(most)),
            Aim::AtLeast(least) => format!("at least {}", figure(least)),
            Aim::None => String::new(),
        }
    }
}

impl Table {
    pub(super) fn new(major: u32, size_bytes: u64) -> Table {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Table {
            about: format!(
                "PostgreSQL {major}, a shop of {:.2} GB, {cores} cores.",
                size_bytes as f64 / 1e9
            ),
            lines: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, what: impl Into<String>, value: f64, aim: Aim) {
        let what = what.into();
        eprintln!("{what}: {}", figure(value));
        self.lines.push(Line { what, value, aim });
    }

    pub(super) fn to_markdown(&self) -> String {
        let mut text = format!(
            "{}\n\n| what | seen | aim | |\n|---|--:|--:|---|\n",
            self.about
        );
        for line in &self.lines {
            let verdict = match line.aim.is_met(line.value) {
                Some(true) => "met",
                Some(false) => "missed",
                None => "",
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {verdict} |",
                line.what,
                figure(line.value),
                line.aim.words()
            );
        }
        text
    }

    pub(super) fn to_json(&self) -> String {
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                json!({ "what": line.what, "value": line.value, "met": line.aim.is_met(line.value) })
            })
            .collect();
        format!("{:#}\n", json!({ "about": self.about, "figures": lines }))
    }
}

/// As many digits as mean something.
fn figure(value: f64) -> String {
    match value.abs() {
        big if big >= 100.0 => format!("{value:.0}"),
        some if some >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_aim_is_told() {
        let mut table = Table::new(17, 650_000_000);
        table.add("start, ms", 299.96, Aim::Below(300.0));
        table.add("claims", 499.0, Aim::AtLeast(500.0));
        table.add("seconds", 3.456, Aim::None);
        let text = table.to_markdown();
        for line in [
            "| start, ms | 300 | below 300 | met |",
            "| claims | 499 | at least 500 | missed |",
            "| seconds | 3.46 |  |  |",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(table.to_json().contains("\"met\": false"));
    }
}
