//! Beside the live database, and then in its place.

use super::{Filled, RestoreReport, Run, migrate::MigrateReport};
use crate::{
    Error, Result,
    fence::Fence,
    hooks::Hooks,
    restore::swap::{Change, swap_around},
};
use pgkeep_postgres::restore::{self as pg, SwapOptions};
use std::time::Duration;

impl Run<'_> {
    /// Fence, safety backup, restore, proof, migrations, swap. Whatever fails before the swap leaves the live database as it
    /// was, and the fence goes down whatever happens.
    pub(super) fn replace(mut self, live: &str, hooks: &mut Hooks<'_>) -> Result<RestoreReport> {
        let (plan, context) = (self.plan, self.context);
        let admin = &plan.request.admin;
        let around = &plan.request.around;
        if let Some(left) = &plan.unfinished {
            pg::drop_marked(&mut pg::connect_beside(admin, &[&left.name])?, left)?;
        }
        let exists = plan.summary.database.existing_bytes.is_some() || plan.summary.overwrites;
        let holder = format!("restore {}", plan.entry.short_id());
        let mut fence = Fence::raise(
            &around.application,
            admin,
            live,
            &holder,
            exists,
            Duration::from_secs(plan.request.grace_secs),
            context,
        )?;
        let safety_backup = match exists && !plan.request.skip_safety_backup {
            true => Some(self.safety_backup(live)?),
            false => None,
        };
        let beside = pg::restoring_name(live, &plan.entry.id[..8]);
        hooks.facts.restored_database = Some(beside.clone());
        let filled = self.build(&beside, live)?;
        let migrated = match self.ready(&filled, live, &beside) {
            Ok(migrated) => migrated,
            Err(e) => {
                self.drop_failed(&beside);
                return Err(e);
            }
        };
        let now = context.clock.now();
        let kept_until = now
            .checked_add(Duration::from_secs(plan.request.keep_old_secs))
            .map_err(|e| Error::invalid(format!("--keep-old is out of range: {e}")))?;
        let change = Change {
            app: &around.application,
            admin,
            live,
            replacement: &beside,
            options: SwapOptions {
                keep_until: Some(kept_until),
                grace: Duration::from_secs(plan.request.grace_secs),
                ..SwapOptions::new(now)
            },
        };
        let swapped = match swap_around(&change, hooks, context) {
            Ok(swapped) => swapped,
            Err(e) => {
                self.drop_unfinished(&beside);
                return Err(e.context("the live database was not replaced"));
            }
        };
        if let Err(e) = fence.lower_after_swap(swapped.kept_as.as_deref()) {
            self.warnings.push(format!(
                "the replaced database is still read-only ({e}); `pgkeep undo --drop-expired` lets it be written to again"
            ));
        }
        let mut report = self.report(live, filled);
        report.safety_backup = safety_backup;
        report.kept_until = swapped.kept_as.as_ref().map(|_| kept_until);
        report.kept_as = swapped.kept_as;
        report.blocked_ms = Some(swapped.blocked.as_millis() as u64);
        report.migrated = migrated;
        report
            .warnings
            .extend(swapped.ended.iter().map(|s| format!("ended session: {s}")));
        Ok(report)
    }

    /// Proven, and as the deployed code wants it where that was asked for.
    fn ready(&self, filled: &Filled, live: &str, beside: &str) -> Result<Option<MigrateReport>> {
        self.require_proven(filled, beside).map_err(|e| {
            e.hint(format!("{live} is as it was; run `pgkeep verify --read-data` on this backup, restore an older one, or look at it with --into NAME"))
        })?;
        self.migrate_and_check(beside).map_err(|e| {
            let kept = match self.plan.request.around.keep_failed {
                true => format!("; the restored one is left for a look as {beside}"),
                false => "; --keep-failed leaves the restored one for a look".into(),
            };
            e.hint(format!("{live} is as it was{kept}"))
        })
    }

    /// Drops the database that is not going to be used, unless somebody wants to look at it.
    fn drop_failed(&mut self, beside: &str) {
        if self.plan.request.around.keep_failed {
            self.context.progress.warn(&format!(
                "the restored database is left as {beside}; `pgkeep undo --drop-expired` drops it"
            ));
        } else {
            self.drop_unfinished(beside);
        }
    }
}
