//! Disks that fill up: those of repositories in folders of this machine, and that of the data folder.

use crate::notify::news::{News, bytes};
use jiff::Timestamp;
use pgkeep_catalog::{Catalog, CatalogError};
use pgkeep_engine::storage;
use pgkeep_model::notice::NoticeKind;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
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
    /// The same for all that shares a file system.
    device: u64,
}

/// One of each file system, with the names of all that lies on it: what fills up does so once.
pub(super) fn of_devices(disks: Vec<Disk>) -> Vec<Disk> {
    let mut devices: Vec<Disk> = Vec::new();
    for disk in disks {
        match devices.iter_mut().find(|known| known.device == disk.device) {
            Some(known) => {
                known.what.push_str(", ");
                known.what.push_str(&disk.what);
            }
            None => devices.push(disk),
        }
    }
    devices
}

/// A tenth is left, or 50 GiB on a disk of more than 500; on small ones 256 MiB, and on the smallest a quarter.
pub fn is_nearly_full(free_bytes: u64, total_bytes: u64) -> bool {
    let least = (256 * MIB).min(total_bytes / 4);
    free_bytes <= (total_bytes / 10).clamp(least, 50 * GIB)
}

impl Disk {
    pub(super) fn news(&self, now: Timestamp) -> News {
        let percent = (u128::from(self.free_bytes) * 100) / u128::from(self.total_bytes.max(1));
        // By its first name, so that a further repository on it is no other disk.
        let first = self.what.split(", ").next().unwrap_or_default();
        let subject = format!("disk/{first}");
        let mut news = if is_nearly_full(self.free_bytes, self.total_bytes) {
            let sentence = format!(
                "the disk of {} is nearly full: {percent} % is free",
                self.what
            );
            News::standing(subject, NoticeKind::StorageNearlyFull, &sentence, now)
        } else {
            News::over(
                &subject,
                format!("the disk of {} has room again", self.what),
                now,
            )
        };
        news.notice.hint = Some("make room or add space, or keep fewer backups".into());
        let free = format!("{} of {}", bytes(self.free_bytes), bytes(self.total_bytes));
        news.notice.facts = [("free".to_owned(), free)].into();
        news
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
    let device = fs::metadata(folder).ok()?.dev();
    Some(Disk {
        what: what.to_owned(),
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        device,
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
            // Smaller than what is left free elsewhere.
            (182 * MIB, 200 * MIB, false),
            (51 * MIB, 200 * MIB, false),
            (49 * MIB, 200 * MIB, true),
            (400 * MIB, 512 * MIB, false),
            (0, 4096, true),
        ] {
            assert_eq!(is_nearly_full(free, total), expected, "{free} of {total}");
        }
    }

    #[test]
    fn what_shares_a_disk_is_told_of_once() {
        let disk = |what: &str, device, free_bytes| Disk {
            what: what.to_owned(),
            free_bytes,
            total_bytes: 100 * GIB,
            device,
        };
        let told = of_devices(vec![
            disk("the data folder", 1, GIB),
            disk("repository main", 1, GIB),
            disk("repository other", 2, 60 * GIB),
            disk("repository third", 1, GIB),
        ]);
        let now = Timestamp::UNIX_EPOCH;
        let news: Vec<News> = told.iter().map(|disk| disk.news(now)).collect();
        assert_eq!(
            news[0].notice.summary,
            "the disk of the data folder, repository main, repository third is nearly full: 1 % is free"
        );
        assert_eq!(news[0].subject, "disk/the data folder");
        assert_eq!((news.len(), news[1].well), (2, true));
    }

    #[test]
    fn the_disk_of_a_folder_is_measured() {
        let disk = measure("here", Path::new("/")).expect("the root has a disk");
        assert!(disk.total_bytes >= disk.free_bytes);
        assert_eq!(measure("nowhere", Path::new("/does/not/exist")), None);
    }
}
