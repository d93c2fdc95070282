//! The swap with all that surrounds it: hooks, a word to those who listen, PgBouncer paused.

use crate::{
    Context, Result,
    application::Application,
    fence::{self, Pooler},
    hooks::Hooks,
};
use pgkeep_model::app::HookMoment;
use pgkeep_postgres::{
    connect::ConnectOptions,
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
        Some(console) => Some(Pooler::pause(console, change.live, grace, context)?),
        None => None,
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
        context
            .progress
            .warn(&format!("{e}: run RESUME in PgBouncer's console"));
    }
    let swapped = swapped?;
    hooks.after(HookMoment::AfterSwap);
    Ok(swapped)
}
