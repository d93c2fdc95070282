//! How much a repository in a folder holds, written down whenever its list is read anew: growth is told from these.

use super::Work;
use pgkeep_engine::storage::local_folder;
use pgkeep_model::growth::Size;
use std::{fs, io, path::Path};

/// Measures and writes down; that this cannot be done is no reason to fail anything.
pub(super) fn record(work: &Work<'_>, repository: &str) {
    let Ok(definition) = work.repository_definition(repository) else {
        return;
    };
    let address = definition.address.unwrap_or_default();
    let Some(folder) = local_folder(&address) else {
        return;
    };
    let recorded =
        measure(folder)
            .map_err(|e| e.to_string())
            .and_then(|(stored_bytes, free_bytes)| {
                let size = Size {
                    at: work.machine.clock.now(),
                    stored_bytes,
                    free_bytes,
                };
                work.wait(|catalog| async move { catalog.record_size(repository, &size).await })
                    .map_err(|e| e.message)
            });
    if let Err(e) = recorded {
        work.progress
            .warn(&format!("how much {repository} holds is not known: {e}"));
    }
}

/// Bytes in the folder, and bytes left on its file system.
fn measure(folder: &Path) -> io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok((held_in(folder)?, free))
}

/// What is removed while it is looked at counts as nothing.
fn held_in(folder: &Path) -> io::Result<u64> {
    let mut held = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let entry = entry?;
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => held += found.len(),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_below_a_folder_are_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("data/0a");
        fs::create_dir_all(&below).expect("made");
        fs::write(below.join("pack"), [0; 700]).expect("written");
        fs::write(folder.path().join("config"), [0; 55]).expect("written");
        let (held, free) = measure(folder.path()).expect("measured");
        assert_eq!(held, 755);
        assert!(free > 0);
        assert!(measure(&folder.path().join("missing")).is_err());
    }
}
