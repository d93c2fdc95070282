//! The written report of an upgrade, for the file that goes into the records.

use super::{UpgradeReport, UpgradedDatabase};
use crate::shown;
use pgkeep_model::evidence::Proof;
use std::fmt::Write;

impl UpgradeReport {
    /// The report as Markdown; its JSON is the value itself.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string never fails.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "# Upgrade from PostgreSQL {} to {}\n",
            self.from.version, self.to.version
        )?;
        writeln!(out, "| | |\n|---|---|")?;
        let fence = match self.fenced {
            true => format!(
                "read-only since before the backup; {} ended",
                crate::counted(self.sessions_ended, "session")
            ),
            false => "as they were".into(),
        };
        for (name, value) in [
            ("Result", self.verdict().to_owned()),
            ("Old server", self.from.server.clone()),
            ("New server", self.to.server.clone()),
            ("Old databases", fence),
            ("Begun", shown(self.started_at)),
            ("Finished", shown(self.finished_at)),
            (
                "Took",
                format!(
                    "{:.1} s, of which the backup {:.1} s",
                    self.seconds, self.backup_seconds
                ),
            ),
            ("Backup", format!("`{}`", self.backup)),
            ("Roles made", listed(&self.roles.created)),
            ("Roles left as they were", listed(&self.roles.existing)),
        ] {
            writeln!(out, "| {name} | {} |", value.replace('|', "\\|"))?;
        }
        for database in &self.databases {
            database.write(out)?;
        }
        bullets(out, "Not carried over", &self.roles.left_out)?;
        bullets(out, "Said before", &self.warnings)?;
        writeln!(
            out,
            "\n## Next\n\n- Point the app at {}.\n- `pgkeep upgrade verify` compares both servers again.\n- `pgkeep upgrade accept` when all is well, `pgkeep upgrade rollback` when it is not.",
            self.to.server
        )
    }

    fn verdict(&self) -> &'static str {
        match self.succeeded {
            true => "every database proven equal",
            false => "something was found wrong, see below",
        }
    }
}

impl UpgradedDatabase {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n## Database {}\n", self.name)?;
        let proof = match (self.proof.level, self.proof.differences.len()) {
            (Proof::None, _) => "not asked for".to_owned(),
            (level, 0) => format!(
                "{} of {} and {} equal",
                match level {
                    Proof::Full => "contents",
                    _ => "row counts",
                },
                crate::counted(self.proof.tables_compared, "table"),
                crate::counted(self.sequences, "sequence"),
            ),
            (_, n) => crate::counted(n, "difference"),
        };
        writeln!(
            out,
            "- {} rows in {}",
            self.rows,
            crate::counted(self.tables, "table")
        )?;
        writeln!(
            out,
            "- restored in {:.1} s, statistics gathered",
            self.restore_seconds
        )?;
        writeln!(out, "- proof: {proof}, in {:.1} s", self.prove_seconds)?;
        writeln!(out, "- structure (amcheck): {}", self.structure.words())?;
        for change in &self.extensions_updated {
            let end = match &change.error {
                None => String::new(),
                Some(error) => format!(": FAILED, {error}"),
            };
            writeln!(
                out,
                "- extension {} from {} to {}{end}",
                change.name, change.from, change.to
            )?;
        }
        for check in &self.checks {
            let word = if check.succeeded { "passed" } else { "FAILED" };
            writeln!(out, "- check `{}` {word}", check.command)?;
        }
        let differences: Vec<String> = self
            .proof
            .differences
            .iter()
            .map(ToString::to_string)
            .collect();
        bullets(out, "Differences", &differences)?;
        bullets(out, "Structure", &self.structure.problems)?;
        bullets(
            out,
            "Different, and meant to be",
            &self.expected_differences,
        )?;
        bullets(out, "Remarks", &self.warnings)
    }
}

fn bullets(out: &mut String, title: &str, lines: &[String]) -> std::fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### {title}\n")?;
    lines
        .iter()
        .try_for_each(|line| writeln!(out, "- {}", line.replace('\n', " ")))
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        names => names.join(", "),
    }
}
