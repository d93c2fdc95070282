//! The app in force as the engine knows it: its programs, hooks and fence, with their secrets read.

use crate::{
    config::{self, Settings},
    error::CliResult,
    session::Session,
};
use pgkeep_engine::{Error, application::Application};

impl Session {
    /// The app around the database `live`; without a name, around the first of its databases.
    pub fn application(&self, settings: &Settings, live: Option<&str>) -> CliResult<Application> {
        let own = self.databases(settings)?;
        let named = |name: &str| own.iter().find(|database| database.dbname == name);
        let database = match live {
            Some(name) => named(name)
                .or(own.first())
                .map(|found| found.with_dbname(name)),
            None => own.first().cloned(),
        };
        let name = match (&settings.app, &database) {
            (Some(app), _) => app.value.clone(),
            (None, Some(database)) => database.dbname.clone(),
            (None, None) => String::new(),
        };
        // Paths in the definition are absolute by now.
        let mut secret = |text: &str, what: &str| {
            let base = &self.places.current_dir;
            match config::read_secret(text, base, &self.environment, what) {
                Ok((secret, _)) => Ok(secret),
                Err(e) => Err(Error::invalid(e.message)),
            }
        };
        Ok(Application::of(
            &name,
            &settings.definition,
            database,
            &self.environment,
            &mut secret,
        )?)
    }
}
