//! Restoring in the live database itself, in one transaction, after a safety backup.

use super::{Filled, ProofReport, RestoreReport, Run, proof::proof_error};
use crate::{Result, fence::Fence, lease::DatabaseLease};
use pgkeep_postgres::{prove, restore as pg, wire::Connection};
use std::time::{Duration, Instant};

impl Run<'_> {
    /// Whatever fails rolls everything back.
    pub(super) fn in_place(mut self, name: &str) -> Result<RestoreReport> {
        let request = &self.plan.request;
        let holder = format!("restore {}", self.plan.entry.short_id());
        // The restore writes to this very database, so it cannot refuse writes meanwhile.
        let app = &request.around.application;
        let _fence = Fence::raise(
            app,
            &request.admin,
            name,
            &holder,
            false,
            Duration::ZERO,
            self.context,
        )?;
        let safety_backup = match self.plan.request.skip_safety_backup {
            true => None,
            false => Some(self.safety_backup(name)?),
        };
        let target = self.plan.request.admin.with_dbname(name);
        let _lease = DatabaseLease::acquire(&target, "restore", &self.context.cancel)?;
        let begun = Instant::now();
        let expected = self.expected()?;
        let level = self.proof_level();
        let proof = std::cell::RefCell::new(None);
        let proving = std::cell::Cell::new(Duration::ZERO);
        // The proof looks at what is not committed yet; a difference undoes everything.
        let prove_inside = |connection: &mut Connection| {
            let started = Instant::now();
            let (cancel, progress) = (&self.context.cancel, &*self.context.progress);
            let found =
                prove::collect_in_transaction(connection, &expected, level, cancel, progress)?;
            let report = ProofReport::of(&expected.evidence, found, level);
            let differs = !report.differences.is_empty();
            *proof.borrow_mut() = Some(report);
            proving.set(started.elapsed());
            match differs {
                true => Err(pgkeep_postgres::Error::refused(
                    "the restored content differs from the backup",
                    "",
                )),
                false => Ok(()),
            }
        };
        let summary = pg::restore_in_place(
            &target,
            self.database,
            &self.source,
            &self.tools,
            &self.options,
            &prove_inside,
            &self.context.cancel,
            &*self.context.progress,
        );
        let proof = proof.into_inner();
        let summary = match (summary, &proof) {
            (Ok(summary), _) => summary,
            (Err(_), Some(proof)) if !proof.differences.is_empty() => {
                return Err(proof_error(proof, name)
                    .hint("everything was rolled back, the database is as it was"));
            }
            (Err(e), _) => return Err(e.into()),
        };
        self.warnings.extend(
            summary
                .left_out
                .iter()
                .map(|what| format!("left out: {what}")),
        );
        let filled = Filled {
            seconds: (begun.elapsed() - proving.get()).as_secs_f64(),
            prove_seconds: proving.get().as_secs_f64(),
            rows: summary.rows,
            bytes: summary.bytes,
            proof: proof.unwrap_or_else(ProofReport::nothing),
        };
        let mut report = self.report(name, filled);
        report.safety_backup = safety_backup;
        Ok(report)
    }
}
