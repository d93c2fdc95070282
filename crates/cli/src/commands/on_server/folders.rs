//! Directory dumps on their way: a server gives and takes them as one tar file, the machine here has them as folders.

use super::files::copy;
use crate::{
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use pgkeep_engine::export::Hashing;
use pgkeep_postgres::archive::{ArchiveError, TarFiles, TarWriter};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A folder of pg_dump's directory format as a tar file, its table of contents first.
pub fn pack(folder: &Path, out: impl Write) -> CliResult<()> {
    let unreadable = |path: &Path, e: &io::Error| {
        CliError::new(Exit::Failed, format!("cannot read {}: {e}", path.display()))
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| unreadable(folder, &e))? {
        let path = entry.map_err(|e| unreadable(folder, &e))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort_by_key(|path| (!path.ends_with("toc.dat"), path.clone()));
    let mut tar = TarWriter::plain(out, 0);
    for path in files {
        let file = File::open(&path).map_err(|e| unreadable(&path, &e))?;
        let size = file.metadata().map_err(|e| unreadable(&path, &e))?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        tar.member(&name, size, BufReader::with_capacity(1 << 18, file))
            .map_err(|e| {
                CliError::new(Exit::Failed, format!("cannot send {}: {e}", path.display()))
            })?;
    }
    tar.finish().map(drop).map_err(|e| {
        CliError::new(
            Exit::Failed,
            format!("cannot send {}: {e}", folder.display()),
        )
    })
}

/// Makes a folder of a tar file that comes in. It has its name only once it is whole. Gives the bytes of all its files,
/// and the sum of its table of contents.
pub fn unpack(from: &mut impl Read, folder: &Path, session: &Session) -> CliResult<(u64, String)> {
    let unwritten = |e: io::Error| {
        CliError::new(
            Exit::Storage,
            format!("cannot write {}: {e}", folder.display()),
        )
        .with_hint("name a place with --output that can be written to and has room")
    };
    if folder.exists() {
        return Err(CliError::new(
            Exit::Refused,
            format!("{} exists already and is not overwritten", folder.display()),
        )
        .with_hint("give another name with --output"));
    }
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let beside = tempfile::Builder::new()
        .prefix(".pgkeep-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(unwritten)?;
    let mut files = TarFiles::new(BufReader::with_capacity(1 << 18, from));
    let (mut size, mut sum) = (0, None);
    while let Some((name, _)) = files.next_file().map_err(|e| broke_off(&e))? {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(beside.path().join(&name))
            .map_err(unwritten)?;
        let mut out = Hashing::new(&file);
        copy(&mut files.content(), &mut out, session)?;
        let (bytes, sha256) = out.finish().map_err(unwritten)?;
        file.sync_all().map_err(unwritten)?;
        size += bytes;
        if name == "toc.dat" {
            sum = Some(sha256);
        }
    }
    let sum = sum.ok_or_else(|| {
        CliError::new(Exit::Server, "what the server sent is no directory dump")
            .with_hint("compare `pgkeep --version` on both machines")
    })?;
    fs::rename(beside.keep(), folder).map_err(unwritten)?;
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(unwritten)?;
    Ok((size, sum))
}

fn broke_off(error: &ArchiveError) -> CliError {
    CliError::new(Exit::Server, format!("the download broke off: {error}"))
        .with_hint("nothing of it was kept; try again")
}
