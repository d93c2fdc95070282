//! Putting a proven folder in place, keeping the one that was there, and taking that back.

use super::mark::FolderMark;
use crate::{Context, Error, Result};
use jiff::{SignedDuration, Timestamp};
use rustix::{
    fs::{self, AtFlags, CWD, RenameFlags, StatxAttributes, StatxFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{DirBuilder, File},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// A folder that was replaced and is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptFolder {
    pub path: PathBuf,
    pub of: PathBuf,
    pub backup: String,
    pub replaced_at: Timestamp,
    pub kept_until: Option<Timestamp>,
}

/// What an undo did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptOf {
    pub path: PathBuf,
    /// Where the folder is that was in its place until now.
    pub kept_as: Option<PathBuf>,
}

/// Makes the folder that a tree is written into: beside its place, marked, for our eyes only.
pub(super) fn new_folder(to: &Path, backup: &str, context: &Context) -> Result<PathBuf> {
    let parent = parent_of(to)?;
    std::fs::create_dir_all(parent).map_err(|e| Error::from(e).context(parent.display()))?;
    clear_unfinished(parent, to, context);
    let now = context.clock.now();
    for n in 0..100 {
        let folder = beside(to, &format!(".pgkeep-{}{n:02}", now.as_millisecond()))?;
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => {
                let mark = FolderMark {
                    kept: false,
                    of: to.to_owned(),
                    names: vec![folder.clone()],
                    backup: backup.to_owned(),
                    at: now,
                    until: None,
                };
                mark.write(&folder)
                    .inspect_err(|_| drop(std::fs::remove_dir(&folder)))?;
                return Ok(folder);
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::from(e).context(folder.display())),
        }
    }
    Err(Error::refused(format!(
        "there is no free name beside {}",
        to.display()
    )))
}

/// What a run that was killed left. Another run may be at work, so only what is older than a day goes.
fn clear_unfinished(parent: &Path, to: &Path, context: &Context) {
    for (path, mark) in marked(parent) {
        let old = mark.at + SignedDuration::from_hours(24) < context.clock.now();
        if !mark.kept && mark.of == to && old {
            context.progress.item(&format!(
                "removes {}, which an earlier run left",
                path.display()
            ));
            remove(&path);
        }
    }
}

/// Gives the new folder its place; returns where the old one is kept.
pub(super) fn put_in_place(
    new: &Path,
    to: &Path,
    replaces: bool,
    backup: &str,
    keep_secs: u64,
    context: &Context,
) -> Result<Option<PathBuf>> {
    FolderMark::remove(new)?;
    if !replaces {
        // An empty folder may be in the way: rename takes its place, and refuses one that holds anything.
        std::fs::rename(new, to)?;
        sync_parent(to)?;
        return Ok(None);
    }
    let now = context.clock.now();
    let kept = free_name(to, &format!("_before_{}", now.strftime("%Y%m%dT%H%M%SZ")))?;
    let until = i64::try_from(keep_secs)
        .ok()
        .and_then(|secs| now.checked_add(SignedDuration::from_secs(secs)).ok());
    exchange(
        to,
        new,
        &kept,
        FolderMark {
            kept: true,
            of: to.to_owned(),
            names: vec![kept.clone(), new.to_owned()],
            backup: backup.to_owned(),
            at: now,
            until,
        },
    )?;
    Ok(Some(kept))
}

/// `new` takes the place of `to`, which becomes `kept`. The mark is on the old folder before it moves, so that it is known
/// wherever a crash leaves it; where both names can be exchanged at once, there is always a folder at `to`.
fn exchange(to: &Path, new: &Path, kept: &Path, mark: FolderMark) -> Result<()> {
    let parent = parent_of(to)?;
    // Marking changes the folder's own time of change alone, but a file in it would change its time too.
    mark.write(to)?;
    let swapped = match fs::renameat_with(CWD, to, CWD, new, RenameFlags::EXCHANGE) {
        Ok(()) => std::fs::rename(new, kept),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            std::fs::rename(to, kept).and_then(|()| {
                std::fs::rename(new, to).inspect_err(|_| drop(std::fs::rename(kept, to)))
            })
        }
        Err(e) => Err(e.into()),
    };
    if swapped.is_err() && FolderMark::read(to).is_none() {
        // Under its own name the mark says nothing; it goes all the same.
        drop(FolderMark::remove(to));
    }
    swapped.map_err(|e| told(e, to))?;
    Ok(File::open(parent)?.sync_all()?)
}

/// The kept folders beside these paths, newest first.
pub fn kept(paths: &[PathBuf]) -> Vec<KeptFolder> {
    let mut found: Vec<KeptFolder> = Vec::new();
    for path in paths {
        let Ok(parent) = parent_of(path) else {
            continue;
        };
        let of_it = marked(parent)
            .into_iter()
            .filter(|(_, mark)| mark.kept && mark.of == *path);
        found.extend(of_it.map(|(path, mark)| KeptFolder {
            path,
            of: mark.of,
            backup: mark.backup,
            replaced_at: mark.at,
            kept_until: mark.until,
        }));
    }
    found.sort_by(|a, b| b.replaced_at.cmp(&a.replaced_at).then(a.path.cmp(&b.path)));
    found
}

/// Puts a kept folder back; what stood in its place is kept instead.
pub fn undo(kept: &KeptFolder, keep_secs: u64, context: &Context) -> Result<KeptOf> {
    let known = FolderMark::read(&kept.path).filter(|mark| mark.kept && mark.of == kept.of);
    if known.is_none() {
        return Err(Error::not_found(format!(
            "{} is no folder that pgkeep keeps",
            kept.path.display()
        ))
        .hint("`pgkeep undo --list` shows what can be put back"));
    }
    let replaces = kept.of.exists();
    let kept_as = put_in_place(
        &kept.path,
        &kept.of,
        replaces,
        &kept.backup,
        keep_secs,
        context,
    )?;
    Ok(KeptOf {
        path: kept.of.clone(),
        kept_as,
    })
}

/// Removes kept folders whose time is over; returns them.
pub fn drop_expired(paths: &[PathBuf], context: &Context) -> Vec<PathBuf> {
    let now = context.clock.now();
    let over = |kept: &KeptFolder| kept.kept_until.is_some_and(|until| until <= now);
    let mut dropped = Vec::new();
    for kept in kept(paths).into_iter().filter(over) {
        remove(&kept.path);
        dropped.push(kept.path);
    }
    dropped
}

/// Folders beside a tree that carry a mark of ours.
fn marked(parent: &Path) -> Vec<(PathBuf, FolderMark)> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.path(), FolderMark::read(&entry.path())?)))
        .collect()
}

/// Removes a folder of ours with all below it; the standard library follows no link while it does.
pub(super) fn remove(folder: &Path) {
    // What cannot be removed now is recognised by its mark later.
    drop(std::fs::remove_dir_all(folder));
}

/// What a file system says that cannot rename a folder: one that something is mounted on, or that lies in the image of a
/// container, whose overlay knows no rename of folders.
fn told(e: std::io::Error, to: &Path) -> Error {
    match Errno::from_io_error(&e) {
        Some(Errno::XDEV | Errno::BUSY) => Error::refused(format!(
            "the file system cannot rename {}: it is a mount point, or a folder of a container's image",
            to.display()
        ))
        .hint("restore into a new folder (--files-into), and move the files; nothing was replaced"),
        _ => e.into(),
    }
}

/// A folder that something is mounted on cannot be renamed. The kernel knows bind mounts, too, which are on the same device.
pub(super) fn is_mount_point(path: &Path) -> bool {
    let told = fs::statx(
        CWD,
        path,
        AtFlags::SYMLINK_NOFOLLOW,
        StatxFlags::BASIC_STATS,
    );
    if let Ok(found) = told
        && found
            .stx_attributes_mask
            .contains(StatxAttributes::MOUNT_ROOT)
    {
        return found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    }
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|m| m.dev()).ok();
    match (device(path), parent_of(path).ok().and_then(device)) {
        (Some(own), Some(above)) => own != above,
        _ => false,
    }
}

fn parent_of(path: &Path) -> Result<&Path> {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty() && path.is_absolute())
        .ok_or_else(|| Error::invalid(format!("{} is not the path of a folder", path.display())))
}

fn beside(path: &Path, ending: &str) -> Result<PathBuf> {
    parent_of(path)?;
    let mut name = path
        .file_name()
        .ok_or_else(|| Error::invalid(format!("{} has no name", path.display())))?
        .to_owned();
    name.push(ending);
    Ok(path.with_file_name(name))
}

fn free_name(path: &Path, ending: &str) -> Result<PathBuf> {
    let mut free = beside(path, ending)?;
    let mut n = 2;
    while std::fs::symlink_metadata(&free).is_ok() {
        free = beside(path, &format!("{ending}_{n}"))?;
        n += 1;
    }
    Ok(free)
}

fn sync_parent(path: &Path) -> Result<()> {
    Ok(File::open(parent_of(path)?)?.sync_all()?)
}
