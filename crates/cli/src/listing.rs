//! The catalog's list of backups on this machine, brought up to date by a command where no worker is alive to do it.

use crate::{
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use pgkeep_catalog::{Stored, blocking::Blocking};
use pgkeep_model::app::RepositoryDefinition;
use pgkeep_server::jobs;

/// Takes in what repositories hold, all of them or only the one at an address, unless a worker is alive: it does that by
/// itself. What cannot be taken in now is a warning; a server looks once it runs.
pub fn take_in_unless_worked(catalog: &Blocking, address: Option<&str>, session: &Session) {
    let workers = catalog.block_on(|catalog| async move { catalog.live_workers().await });
    let taken = match workers {
        Ok(0) => take_in(catalog, address, session),
        Ok(_) => Ok(()),
        Err(e) => Err(e.into()),
    };
    if let Err(e) = taken {
        session.screen.warn(&format!(
            "the backups there are not listed yet: {}",
            e.message
        ));
    }
}

fn take_in(catalog: &Blocking, address: Option<&str>, session: &Session) -> CliResult<()> {
    let all = catalog.block_on(|catalog| async move { catalog.repositories().await })?;
    let wanted = |repository: &&Stored<RepositoryDefinition>| {
        address.is_none() || repository.value.address.as_deref() == address
    };
    let machine = session.machine();
    let context = machine.context(None, session.cancel.clone(), session.progress.clone());
    for Stored { name, value, .. } in all.iter().filter(wanted) {
        match machine.open_repository(name, value, &context) {
            Ok(repository) => jobs::take_in(name, &repository, catalog, &context.cancel)
                .map_err(|e| CliError::new(Exit::Failed, e.to_string()))?,
            Err(e) => session.screen.warn(&format!(
                "the backups of repository {name} are not listed yet: {e}"
            )),
        }
    }
    Ok(())
}
