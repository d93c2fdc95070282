//! What the user sees: answers on standard output, everything else on standard error.
//!
//! An answer is either text or, with `--json`, exactly one JSON document; remarks, warnings, errors and progress never
//! mix with it. A closed pipe (`pgkeep list | head`) is not an error.

pub mod human;
mod progress;
mod table;

pub use progress::{ProgressMode, TerminalProgress};
pub use table::{Column, Rows};

use crate::{
    args::{ColorArg, GlobalArgs},
    error::CliError,
};
use console::style;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// How the user wants to be spoken to.
#[derive(Debug, Clone)]
pub struct Screen {
    pub json: bool,
    pub quiet: bool,
    pub verbose: bool,
    pub progress: ProgressMode,
}

impl Screen {
    pub fn new(args: &GlobalArgs) -> Self {
        match args.color {
            ColorArg::Auto => {}
            ColorArg::Always => set_colors(true),
            ColorArg::Never => set_colors(false),
        }
        let progress = if args.no_progress || args.quiet {
            ProgressMode::Off
        } else if std::io::stderr().is_terminal() {
            ProgressMode::Bar
        } else {
            ProgressMode::Lines
        };
        Screen {
            json: args.json,
            quiet: args.quiet,
            verbose: args.verbose,
            progress,
        }
    }

    /// True where a question can be put.
    pub fn interactive(&self) -> bool {
        !self.json && !self.quiet
    }

    /// Prints the answer: `value` under `--json`, else the text that `render` makes.
    pub fn answer<T: Serialize>(&self, value: &T, render: impl FnOnce(&mut Text)) {
        if self.json {
            let json = serde_json::to_string_pretty(value).expect("answers are plain values");
            print_out(&format!("{json}\n"));
            return;
        }
        let mut text = Text::default();
        render(&mut text);
        print_out(&text.out);
    }

    /// Prints text that is the answer whatever the mode: a completion script, a file's path.
    pub fn raw(&self, text: &str) {
        print_out(text);
    }

    /// A remark that a script does not need.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    pub fn warn(&self, text: &str) {
        let label = style("warning:").yellow().bold().for_stderr();
        say(&format!("{label} {text}"));
    }

    /// Prints a failure on standard error, and under `--json` as the document as well.
    pub fn error(&self, error: &CliError) {
        let label = style("error:").red().bold().for_stderr();
        say(&format!("{label} {}", error.message));
        for detail in &error.details {
            for line in detail.lines() {
                say(&format!("  {line}"));
            }
        }
        if let Some(hint) = &error.hint {
            let label = style("hint:").cyan().bold().for_stderr();
            say(&format!("{label} {hint}"));
        }
        if self.json {
            print_out(&format!("{:#}\n", error.to_json()));
        }
    }
}

fn set_colors(on: bool) {
    console::set_colors_enabled(on);
    console::set_colors_enabled_stderr(on);
}

/// Writes a line to standard error. A terminal that was closed is no reason to stop what it was started from.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

fn print_out(text: &str) {
    let mut out = std::io::stdout().lock();
    // The only likely failure is a reader that has gone; what it did not want to read need not be said.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// An answer as text, built up line by line.
#[derive(Debug, Default)]
pub struct Text {
    out: String,
}

impl Text {
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.out.push_str(line.as_ref().trim_end());
        self.out.push('\n');
    }

    pub fn blank(&mut self) {
        self.out.push('\n');
    }

    pub fn as_str(&self) -> &str {
        self.out.trim_end()
    }

    /// A heading with a blank line before it, unless it comes first.
    pub fn heading(&mut self, title: &str) {
        if !self.out.is_empty() {
            self.blank();
        }
        self.line(style(title).bold().to_string());
    }

    pub fn table(&mut self, rows: &Rows) {
        self.out.push_str(&rows.render());
    }

    /// `label  value` lines with the values under each other; empty values are left out.
    pub fn facts<'a>(&mut self, facts: impl IntoIterator<Item = (&'a str, String)>) {
        let facts: Vec<_> = facts
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let width = facts
            .iter()
            .map(|(label, _)| label.chars().count())
            .max()
            .unwrap_or(0);
        for (label, value) in facts {
            self.line(format!(
                "{}  {value}",
                style(format!("{label:<width$}")).dim()
            ));
        }
    }
}
