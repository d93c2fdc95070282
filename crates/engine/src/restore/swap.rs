//! The swap with all that surrounds it: hooks, a word to those who listen, PgBouncer paused.

use crate::{
    Context, Result,
    application::Application,
    fence::{self, PausedFor, Pooler},
    hooks::Hooks,
};
use pgkeep_model::app::HookMoment;
use pgkeep_postgres::{
    connect::ConnectOptions,
    inspect,
    restore::{self as pg, SwapOptions, SwapSummary},
};

/// Which database takes which one's place.
pub(super) struct Change<'a> {
    pub app: &'a Application,
    pub admin: &'a ConnectOptions,
    pub live: &'a str,
    pub replacement: &'a str,
    pub options: SwapOptions,
}

/// Swaps; an error means that nothing was swapped.
pub(super) fn swap_around(
    change: &Change<'_>,
    hooks: &mut Hooks<'_>,
    context: &Context,
) -> Result<SwapSummary> {
    hooks.before(HookMoment::BeforeSwap)?;
    let grace = change.options.grace;
    if !grace.is_zero() {
        // Only a courtesy: where the database lets nobody in, nobody is there to hear it.
        let _ = fence::announce(change.admin, change.live, grace.as_secs());
    }
    let pooler = match &change.app.fence.pgbouncer {
        // A name that leads nowhere makes nobody wait.
        Some(console) if exists(change)? => {
            let swap = PausedFor {
                admin: change.admin,
                live: change.live,
                replacement: change.replacement,
            };
            Some(Pooler::pause(console, swap, grace, context)?)
        }
        _ => None,
    };
    let swapped = pg::swap(
        change.admin,
        change.live,
        change.replacement,
        &change.options,
        &context.cancel,
        &*context.progress,
    );
    // Before anything else: clients wait.
    if let Some(pooler) = pooler
        && let Err(e) = pooler.resume()
    {
        context.progress.warn(&format!(
            "{e}: run RESUME in PgBouncer's console, or `pgkeep doctor`"
        ));
    }
    let swapped = swapped?;
    hooks.after(HookMoment::AfterSwap);
    Ok(swapped)
}

fn exists(change: &Change<'_>) -> Result<bool> {
    let mut beside = pg::connect_beside(change.admin, &[change.live, change.replacement])?;
    Ok(inspect::database_exists(&mut beside, change.live)?)
}

/// Lets clients through that a restore made wait which was killed before it could.
pub(super) fn resume_left_over(
    app: &Application,
    admin: &ConnectOptions,
    context: &Context,
) -> Result<()> {
    let Some(console) = &app.fence.pgbouncer else {
        return Ok(());
    };
    let resumed = fence::resume_left_over(console, admin)?;
    if !resumed.is_empty() {
        context.progress.warn(&format!(
            "PgBouncer held {} paused since a restore that did not end; it lets clients through again",
            resumed.join(", ")
        ));
    }
    Ok(())
}
