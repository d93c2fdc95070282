//! Whether the catalog is still the file that was opened.
//!
//! A file that was deleted or replaced lives on for the process that has it open, and for nobody else: a server that went on
//! would do its work in a catalog that is gone with it, while every command looks at another one. So it ends, and before
//! that it writes what it knows into a new file: nobody else has that any more.

use pgkeep_catalog::Catalog;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A catalog's file as it was when it was opened.
#[derive(Debug, Clone)]
pub(crate) struct CatalogFile {
    path: PathBuf,
    /// Device and number.
    identity: (u64, u64),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    Gone,
    Replaced,
}

impl Lost {
    pub fn words(self) -> &'static str {
        match self {
            Lost::Gone => "is gone",
            Lost::Replaced => "was replaced by another file",
        }
    }
}

impl CatalogFile {
    /// The file as it is now.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What became of it, if it is not what it was. What cannot be looked at is taken for well.
    pub(crate) fn lost(&self) -> Option<Lost> {
        match identity(&self.path) {
            Ok(now) if now == self.identity => None,
            Ok(_) => Some(Lost::Replaced),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Some(Lost::Gone),
            Err(_) => None,
        }
    }

    /// Returns once it is lost, at two looks in a row.
    pub(crate) async fn until_lost(&self) -> Lost {
        let mut before = None;
        loop {
            let lost = self.lost();
            match (before, lost) {
                (Some(_), Some(lost)) => return lost,
                _ => before = lost,
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Writes what the lost catalog holds into a file beside it, and says which.
    pub(crate) async fn rescue(&self, catalog: &Catalog) -> Result<PathBuf, String> {
        let time = catalog.now().strftime("%Y%m%d-%H%M%S");
        let name = self.path.file_name().unwrap_or_default();
        let rescued = self
            .path
            .with_file_name(format!("{}.lost-{time}", name.display()));
        match catalog.rescue_to(&rescued).await {
            Ok(()) => Ok(rescued),
            Err(error) => {
                // Nothing that only looks like a copy.
                let _ = fs::remove_file(&rescued);
                Err(error.to_string())
            }
        }
    }
}

/// The newest file that a server kept of a catalog that is not there any more. A new and empty catalog in its place would look
/// as if all were well.
pub fn left_behind(catalog: &Path) -> Option<PathBuf> {
    if catalog.exists() {
        return None;
    }
    let name = catalog.file_name()?.to_str()?;
    let begin = format!("{name}.lost-");
    let beside = fs::read_dir(catalog.parent()?).ok()?.flatten();
    let kept = beside.filter(|entry| entry.file_name().to_string_lossy().starts_with(&begin));
    kept.map(|entry| entry.path()).max()
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_catalog::{KeySource, Location, OpenOptions};
    use pgkeep_testkit::ManualClock;
    use std::sync::Arc;

    async fn catalog(path: &Path) -> Catalog {
        let options = OpenOptions::new(
            Location::Sqlite(path.to_owned()),
            KeySource::Key([7; 32]),
            Arc::new(ManualClock::at("2026-03-01T12:00:00Z")),
        );
        Catalog::open(options).await.expect("a catalog")
    }

    #[tokio::test]
    async fn a_catalog_whose_file_was_deleted_or_replaced_is_noticed_and_what_it_held_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("catalog.sqlite");
        let open = catalog(&path).await;
        let value = "what only this process knows".into();
        open.put_setting("known", &value).await.expect("written");
        let file = CatalogFile::at(&path).expect("it is there");
        assert_eq!(file.lost(), None);

        fs::remove_file(&path).expect("removed");
        assert_eq!(file.lost(), Some(Lost::Gone));
        let rescued = file.rescue(&open).await.expect("written");
        assert_eq!(
            rescued,
            folder.path().join("catalog.sqlite.lost-20260301-120000")
        );
        assert_eq!(left_behind(&path), Some(rescued.clone()));
        let kept = catalog(&rescued).await.setting("known").await;
        assert_eq!(kept.expect("read"), Some(value));

        // Another file under its name is as bad.
        fs::write(&path, "").expect("written");
        assert_eq!(file.lost(), Some(Lost::Replaced));
        assert_eq!(left_behind(&path), None);
    }
}
