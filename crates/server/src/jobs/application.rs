//! An app of the catalog as the engine knows it, with its secrets read on this machine.

use crate::targets::Machine;
use pgkeep_engine::{Result, application::Application};
use pgkeep_model::app::AppDefinition;

/// The app around the database `live`; without a name, around the first of its databases.
pub fn application(
    machine: &Machine,
    name: &str,
    app: &AppDefinition,
    live: Option<&str>,
) -> Result<Application> {
    // An app may have files alone.
    let own = match app.databases.is_empty() {
        true => Vec::new(),
        false => machine.databases(name, app)?,
    };
    let database = match live {
        Some(live) => own
            .iter()
            .find(|database| database.dbname == live)
            .or(own.first())
            .map(|found| found.with_dbname(live)),
        None => own.first().cloned(),
    };
    Application::of(
        name,
        app,
        database,
        &machine.environment,
        &mut |text, what| machine.secret(text, what),
    )
}
