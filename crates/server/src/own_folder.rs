//! Folders below the server's own one, where accounts may write that may not choose any folder of the machine.
//!
//! A restored tree lies there with the symbolic links that it came with, so a path that begins as it should may lead
//! anywhere. None is followed: [`leads_out`] tells when something is planned, and [`make`], in the process that does the work
//! and right before it, makes what is missing and steps from folder to folder by descriptors. What it has made or found is
//! a folder then, and no other restore puts a link into its place.

use pgkeep_engine::{Error, Result};
use rustix::{
    fs::{Mode, OFlags, mkdirat, open, openat},
    io::Errno,
};
use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Component, Path, PathBuf},
};

/// The first part of the path below `own` that is there and is no folder; `None` where all are, and where it is not below.
pub fn leads_out(own: &Path, folder: &Path) -> Option<PathBuf> {
    let below = folder.strip_prefix(own).ok()?;
    let mut at = own.to_owned();
    for part in below.components() {
        at.push(part);
        match at.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Some(at),
            Err(_) => return None,
        }
    }
    None
}

/// Makes a folder that only this account can look into; one that is there stays as it is. Below `own` no link is followed.
///
/// # Errors
/// A part of the path that is no folder is refused for good; what else fails may be better another time.
pub fn make(own: &Path, folder: &Path) -> Result<()> {
    step_by_step(own, folder).map_err(|e| match e {
        Errno::NOTDIR | Errno::LOOP | Errno::INVAL => Error::refused(format!(
            "{} leads through something that is no folder, and no link is followed here",
            folder.display()
        ))
        .hint("name a folder that is not inside of what was restored"),
        e => Error::from(io::Error::from(e)).context(folder.display()),
    })
}

fn step_by_step(own: &Path, folder: &Path) -> std::result::Result<(), Errno> {
    let private = |path: &Path| {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
    };
    let Ok(below) = folder.strip_prefix(own) else {
        return private(folder);
    };
    private(own)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = open(own, flags, Mode::empty())?;
    for part in below.components() {
        let Component::Normal(name) = part else {
            return Err(Errno::INVAL);
        };
        match mkdirat(&at, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
        at = openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_engine::ErrorCode;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_below_the_own_folder_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (own, outside) = (dir.path().join("exports"), dir.path().join("outside"));
        std::fs::create_dir(&outside).unwrap();
        make(&own, &own.join("s1/deep")).unwrap();
        make(&own, &own.join("s1/deep")).unwrap();
        symlink(&outside, own.join("s1/lnk")).unwrap();
        std::fs::write(own.join("s1/file"), "text").unwrap();
        for (path, wrong) in [
            ("s1/lnk/new", "s1/lnk"),
            ("s1/lnk", "s1/lnk"),
            ("s1/file/new", "s1/file"),
        ] {
            let folder = own.join(path);
            assert_eq!(leads_out(&own, &folder), Some(own.join(wrong)), "{path}");
            let refused = make(&own, &folder).unwrap_err();
            assert_eq!(refused.code, ErrorCode::Refused, "{path}: {refused}");
        }
        assert!(make(&own, &own.join("s1/../../outside/new")).is_err());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert_eq!(leads_out(&own, &own.join("s1/deep/er/est")), None);
        assert!(!own.join("s1/deep/er").exists(), "looking makes nothing");
    }

    #[test]
    fn the_own_folder_itself_and_others_may_be_reached_by_links() {
        let dir = tempfile::tempdir().unwrap();
        let (real, own) = (dir.path().join("disk"), dir.path().join("exports"));
        std::fs::create_dir(&real).unwrap();
        symlink(&real, &own).unwrap();
        make(&own, &own.join("a")).unwrap();
        assert!(real.join("a").is_dir());
        assert_eq!(leads_out(&own, &own.join("a/b")), None);
        let elsewhere = dir.path().join("elsewhere/b");
        make(&own, &elsewhere).unwrap();
        assert!(elsewhere.is_dir());
    }
}
