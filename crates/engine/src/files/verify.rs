//! Is what is stored of a tree what its manifest says?

use super::digest::{EntryDigest, FolderDigest};
use crate::{Context, Result};
use pgkeep_model::manifest::FilesManifest;
use pgkeep_repository::{Node, SnapshotReader};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Reads the stored tree, `with_content` every byte of its files, and compares it with the manifest. Without, only whether a
/// file has the chunks that the digest was made of is known, not what is in them. Returns the bytes read, and what is wrong.
pub fn verify_files(
    reader: &SnapshotReader,
    manifest: &FilesManifest,
    with_content: bool,
    context: &Context,
) -> Result<(u64, Vec<String>)> {
    let mut look = Look {
        reader,
        context,
        with_content,
        root: PathBuf::from(&manifest.path),
        files: 0,
        bytes: 0,
        problems: Vec::new(),
    };
    let Some(root) = reader.node(&manifest.path)? else {
        let missing = format!("{}: missing from the snapshot", manifest.path);
        return Ok((0, vec![missing]));
    };
    let digest = look.folder(&root, Path::new(""))?;
    if hex::encode(digest) != manifest.digest && look.problems.is_empty() {
        look.problems.push(format!(
            "{}: {} files with {} bytes and digest {} are stored, the manifest says {} files with {} bytes and digest {}",
            manifest.path,
            look.files,
            look.bytes,
            hex::encode(digest),
            manifest.files,
            manifest.bytes,
            manifest.digest
        ));
    }
    let read = if with_content { look.bytes } else { 0 };
    Ok((read, look.problems))
}

struct Look<'a> {
    reader: &'a SnapshotReader,
    context: &'a Context,
    with_content: bool,
    root: PathBuf,
    files: u64,
    bytes: u64,
    problems: Vec<String>,
}

impl Look<'_> {
    /// One level of the stack a folder: paths are far shorter than that.
    fn folder(&mut self, folder: &Node, path: &Path) -> Result<EntryDigest> {
        let mut digest = FolderDigest::new();
        let children = match self.reader.children(folder) {
            Ok(children) => children,
            Err(e) if e.is_damage() => {
                self.problem(path, &e);
                return Ok(digest.finish());
            }
            Err(e) => return Err(e.into()),
        };
        for node in children {
            self.context.cancel.check()?;
            let path = path.join(&node.name);
            let below = match node.is_dir() {
                true => Some(self.folder(&node, &path)?),
                false => None,
            };
            if node.is_file() {
                self.file(&node, &path)?;
            }
            digest.add(&node, &node.content, below.as_ref());
        }
        Ok(digest.finish())
    }

    fn file(&mut self, node: &Node, path: &Path) -> Result<()> {
        self.files += 1;
        if !self.with_content {
            self.bytes += node.size;
            return Ok(());
        }
        let mut stream = self.reader.read_node(node);
        match io::copy(&mut stream, &mut io::sink()) {
            Ok(bytes) => {
                self.bytes += bytes;
                self.context.progress.bytes(bytes);
                if bytes != node.size {
                    let what = format!("{bytes} bytes are stored, its entry says {}", node.size);
                    self.problem(path, &what);
                }
                Ok(())
            }
            Err(e) => {
                let e = pgkeep_repository::RepositoryError::from_io(e);
                if !e.is_damage() {
                    return Err(e.into());
                }
                self.problem(path, &e);
                Ok(())
            }
        }
    }

    fn problem(&mut self, path: &Path, what: &dyn std::fmt::Display) {
        let path = self.root.join(path);
        self.problems.push(format!("{}: {what}", path.display()));
    }
}
