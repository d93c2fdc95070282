//! Whether the recovery kit of a repository's key was put away, as the catalog on this machine knows it.

use crate::session::Session;
use pgkeep_catalog::Catalog;
use pgkeep_server::settings::CatalogPlace;

/// Has the catalog know, where there is one, that the kit of the repository at this address was written down. That it cannot
/// be told is a warning: the kit is what matters.
pub fn confirm(address: &str, session: &Session) {
    tell(address, session, true);
}

/// The same where the key was changed: a kit made before opens the repository no more.
pub fn outdate(address: &str, session: &Session) {
    tell(address, session, false);
}

fn tell(address: &str, session: &Session, confirmed: bool) {
    let Ok(places) = session.catalog_places() else {
        return;
    };
    if matches!(&places.catalog, CatalogPlace::Sqlite(path) if !path.exists()) {
        return;
    }
    let told = session.open_catalog(&places, false).and_then(|catalog| {
        catalog.block_on(|catalog: Catalog| async move {
            for known in catalog.repositories().await? {
                if known.value.address.as_deref() != Some(address) {
                    continue;
                }
                match confirmed {
                    true => drop(catalog.confirm_recovery_kit(&known.name).await?),
                    false => catalog.forget_recovery_kit(&known.name).await?,
                }
            }
            Ok(())
        })
    });
    if let Err(error) = told {
        session.screen.warn(&format!(
            "the catalog does not know of the recovery kit: {}",
            error.message
        ));
    }
}
