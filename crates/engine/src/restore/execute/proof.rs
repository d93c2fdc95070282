//! Proving what was restored: comparing it with the evidence of its backup.

use super::{Filled, Run};
use crate::{Error, ErrorCode, Result};
use pgkeep_model::{
    evidence::{self, DatabaseEvidence, Difference, Proof},
    manifest::{DatabaseContent, DatabaseManifest},
};
use pgkeep_postgres::{
    connect::ConnectOptions,
    prove,
    restore::{self as pg, DumpSource},
};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The outcome of comparing a restored database with its evidence.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProofReport {
    pub level: Proof,
    pub tables_compared: usize,
    pub rows_compared: u64,
    /// Empty means equal.
    pub differences: Vec<Difference>,
    /// Why nothing could be compared, where that was not the user's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unprovable: Option<String>,
}

/// What an imported script's proof says.
const SCRIPT_UNPROVABLE: &str = "an imported SQL script comes with no evidence to compare with";

impl ProofReport {
    /// Compares what was found with what was expected, as far as either side knows it.
    pub(super) fn of(
        expected: &DatabaseEvidence,
        mut found: DatabaseEvidence,
        level: Proof,
    ) -> Self {
        let mut expected = expected.clone();
        if expected.objects.is_empty() {
            // A part was restored: what else is in the database is not looked at.
            found.objects.clear();
            found.extensions.clear();
            let wanted: Vec<_> = expected.sequences.iter().map(|s| s.name.clone()).collect();
            found.sequences.retain(|s| wanted.contains(&s.name));
            found.large_objects = expected.large_objects;
        } else if found.objects.is_empty() {
            expected.objects.clear();
        }
        // Expected 0 times: a kind that depends on the target, such as grants to roles that it lacks.
        let uncertain: Vec<String> = expected
            .objects
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(kind, _)| kind.clone())
            .collect();
        for kind in &uncertain {
            expected.objects.remove(kind);
            found.objects.remove(kind);
        }
        if expected.tables.is_empty() && expected.sequences.is_empty() {
            // Definitions alone were restored: their sequences have not begun yet. How many there are is compared above.
            found.sequences.clear();
        }
        Self {
            level,
            tables_compared: expected.tables.len(),
            rows_compared: expected.rows(),
            differences: evidence::compare(&expected, &found, level),
            unprovable: None,
        }
    }

    /// Nothing was compared.
    pub(super) fn nothing() -> Self {
        Self {
            level: Proof::None,
            tables_compared: 0,
            rows_compared: 0,
            differences: Vec::new(),
            unprovable: None,
        }
    }

    /// True when something was compared and nothing differed.
    pub fn proven(&self) -> bool {
        self.level != Proof::None && self.differences.is_empty()
    }
}

impl Run<'_> {
    pub(super) fn prove(
        &self,
        target: &ConnectOptions,
        summary: pg::RestoreSummary,
        begun: Instant,
    ) -> Result<Filled> {
        let seconds = begun.elapsed().as_secs_f64();
        let proving = Instant::now();
        let proof = self.compare(target)?;
        Ok(Filled {
            seconds,
            prove_seconds: proving.elapsed().as_secs_f64(),
            rows: summary.rows,
            bytes: summary.bytes,
            proof,
        })
    }

    fn compare(&self, target: &ConnectOptions) -> Result<ProofReport> {
        let level = self.proof_level();
        if level == Proof::None {
            let unprovable = (self.database.content == DatabaseContent::Plain)
                .then(|| SCRIPT_UNPROVABLE.to_owned());
            return Ok(ProofReport {
                unprovable,
                ..ProofReport::nothing()
            });
        }
        let expected = self.expected()?;
        let (cancel, progress) = (&self.context.cancel, &*self.context.progress);
        let jobs = self.plan.request.jobs;
        let found = prove::collect(
            target,
            &expected,
            &self.tools,
            jobs,
            level,
            cancel,
            progress,
        )?;
        Ok(ProofReport::of(&expected.evidence, found, level))
    }

    /// A script without a table of contents comes with no evidence.
    pub(super) fn proof_level(&self) -> Proof {
        match self.database.content {
            DatabaseContent::Directory => self.plan.request.prove,
            DatabaseContent::Plain => Proof::None,
        }
    }

    /// The manifest with the evidence of what is restored: all of it, or the chosen part.
    pub(super) fn expected(&self) -> Result<DatabaseManifest> {
        let mut expected = self.database.clone();
        if self.database.content == DatabaseContent::Directory {
            let (toc, _) = pg::open_toc(self.database, &self.source as &dyn DumpSource)?;
            expected.evidence = pg::expected_evidence(self.database, &toc, &self.options)?;
        }
        Ok(expected)
    }

    pub(super) fn require_proven(&self, filled: &Filled, name: &str) -> Result<()> {
        if filled.proof.level == Proof::None || filled.proof.proven() {
            return Ok(());
        }
        Err(proof_error(&filled.proof, name))
    }
}

pub(super) fn proof_error(proof: &ProofReport, name: &str) -> Error {
    Error::new(
        ErrorCode::ProofFailed,
        format!(
            "database {name} is not what was backed up: {}",
            crate::counted(proof.differences.len(), "difference")
        ),
    )
    .details(
        proof
            .differences
            .iter()
            .take(20)
            .map(ToString::to_string)
            .collect(),
    )
}
