//! Disks that fill up: those of repositories in folders of this machine, and that of the data folder.

use crate::notify::news::{News, bytes};
use jiff::Timestamp;
use pgkeep_catalog::{Catalog, CatalogError};
use pgkeep_engine::storage;
use pgkeep_model::notice::{Notice, NoticeKind};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// How much is free where something of ours lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// `repository main` or `the data folder`.
    pub what: String,
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// A tenth is left, or 50 GiB on a disk of more than 500; on the smallest ones, 256 MiB.
pub fn is_nearly_full(free_bytes: u64, total_bytes: u64) -> bool {
    free_bytes < (total_bytes / 10).clamp(256 * MIB, 50 * GIB)
}

impl Disk {
    pub(super) fn news(&self, now: Timestamp) -> News {
        let percent = (u128::from(self.free_bytes) * 100) / u128::from(self.total_bytes.max(1));
        let well = !is_nearly_full(self.free_bytes, self.total_bytes);
        News {
            subject: format!("disk/{}", self.what),
            well,
            routine: true,
            ping: false,
            relief: format!("{} has room again", self.what),
            notice: Notice {
                // Told again after a while at the soonest, so the ten minutes are only to make ids differ.
                id: format!(
                    "disk-{}-{}",
                    self.what.replace(' ', "-"),
                    now.as_second() / 600
                ),
                kind: NoticeKind::StorageNearlyFull,
                time: now,
                app: None,
                policy: None,
                job: None,
                backup: None,
                summary: format!("{} is nearly full: {percent} % is free", self.what),
                hint: Some("make room or add space, or keep fewer backups".into()),
                facts: [(
                    "free".to_owned(),
                    format!("{} of {}", bytes(self.free_bytes), bytes(self.total_bytes)),
                )]
                .into(),
                link: None,
            },
        }
    }
}

/// Looks at each disk once. Folders that are not here, as when a worker elsewhere has them, are left out.
pub async fn look(catalog: &Catalog, data_dir: &Path) -> Result<Vec<Disk>, CatalogError> {
    let mut places: Vec<(String, PathBuf)> = vec![("the data folder".into(), data_dir.to_owned())];
    for stored in catalog.repositories().await? {
        let address = stored.value.address.unwrap_or_default();
        if let Some(folder) = storage::local_folder(&address) {
            places.push((format!("repository {}", stored.name), folder.to_owned()));
        }
    }
    // A network file system may keep its caller waiting.
    let measured = tokio::task::spawn_blocking(move || {
        places
            .iter()
            .filter_map(|(what, folder)| measure(what, folder))
            .collect()
    });
    Ok(measured.await.unwrap_or_default())
}

fn measure(what: &str, folder: &Path) -> Option<Disk> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(Disk {
        what: what.to_owned(),
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
    })
    .filter(|disk| disk.total_bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_full_depends_on_the_size_of_the_disk() {
        for (free, total, expected) in [
            (11 * GIB, 100 * GIB, false),
            (9 * GIB, 100 * GIB, true),
            (51 * GIB, 10_000 * GIB, false),
            (49 * GIB, 10_000 * GIB, true),
            (300 * MIB, GIB, false),
            (200 * MIB, GIB, true),
            (0, 0, true),
        ] {
            assert_eq!(is_nearly_full(free, total), expected, "{free} of {total}");
        }
    }

    #[test]
    fn the_disk_of_a_folder_is_measured() {
        let disk = measure("here", Path::new("/")).expect("the root has a disk");
        assert!(disk.total_bytes >= disk.free_bytes);
        assert_eq!(measure("nowhere", Path::new("/does/not/exist")), None);
    }
}
