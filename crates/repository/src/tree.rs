//! Trees: directories as JSON, each a blob that names its files' chunks and its sub-directories' blobs.
//!
//! Names are written as Go's `strconv.Quote` writes them (without the outer quotes) and then as JSON strings, so a
//! backslash appears twice; that is the format's way to carry names that are not UTF-8. Nodes are sorted by name, and
//! a file's size is always the true one, for some tools restore exactly as many bytes as it says.

use crate::{
    error::{RepositoryError, Result},
    id::BlobId,
};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// The bit by which Go marks a directory's mode.
const MODE_DIR: u32 = 1 << 31;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree {
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) nodes: Vec<Node>,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    #[serde(with = "quoted")]
    pub(crate) name: String,
    /// `file`, `dir`, or a kind that only stock tools write (`symlink`, `fifo` …).
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) mode: u32,
    #[serde(default)]
    pub(crate) mtime: Option<Timestamp>,
    #[serde(default)]
    pub(crate) atime: Option<Timestamp>,
    #[serde(default)]
    pub(crate) ctime: Option<Timestamp>,
    #[serde(default)]
    pub(crate) uid: u32,
    #[serde(default)]
    pub(crate) gid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) size: u64,
    /// The file's chunks in order; must be there, even when empty, for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<Vec<BlobId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subtree: Option<BlobId>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Node>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Tree {
    pub(crate) fn parse(id: BlobId, json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json)
            .map_err(|e| RepositoryError::damaged(format!("tree {}", id.short()), e))
    }

    /// The blob's content; stock tools end it with a newline.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).expect("a tree is plain data");
        json.push(b'\n');
        json
    }
}

impl Node {
    pub(crate) fn is_dir(&self) -> bool {
        self.kind == "dir"
    }

    pub(crate) fn is_file(&self) -> bool {
        self.kind == "file"
    }
}

/// A file that is to stand in a tree.
#[derive(Debug, Clone)]
pub(crate) struct PlannedFile {
    pub(crate) mode: u32,
    pub(crate) modified: Timestamp,
    pub(crate) size: u64,
    pub(crate) chunks: Vec<BlobId>,
}

/// The directories of a snapshot in the making.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    folders: BTreeMap<String, Folder>,
    files: BTreeMap<String, PlannedFile>,
}

impl Folder {
    /// Places a file at a relative path; refuses `.`, `..`, empty parts, and a second file at the same path.
    pub(crate) fn insert(&mut self, path: &str, file: PlannedFile) -> Result<()> {
        let refuse =
            |why: &str| RepositoryError::invalid(format!("cannot store a file at {path:?}: {why}"));
        let mut folder = self;
        let (parents, name) = path
            .rsplit_once('/')
            .map_or((None, path), |(p, n)| (Some(p), n));
        for part in parents.into_iter().flat_map(|p| p.split('/')).chain([name]) {
            if part.is_empty() || part == "." || part == ".." || part.contains('\0') {
                return Err(refuse("the path is not a plain relative one"));
            }
        }
        for part in parents.into_iter().flat_map(|p| p.split('/')) {
            if folder.files.contains_key(part) {
                return Err(refuse("a file stands where a folder must be"));
            }
            folder = folder.folders.entry(part.to_string()).or_default();
        }
        if folder.folders.contains_key(name)
            || folder.files.insert(name.to_string(), file).is_some()
        {
            return Err(refuse("the path is taken"));
        }
        Ok(())
    }

    /// Turns the folder into trees, deepest first, handing each to `store`; returns the root's id.
    pub(crate) fn store(
        self,
        time: Timestamp,
        owner: (u32, u32),
        store: &mut impl FnMut(&[u8]) -> Result<BlobId>,
    ) -> Result<BlobId> {
        let (uid, gid) = owner;
        let node = |name, kind: &str, mode, modified| Node {
            name,
            kind: kind.into(),
            mode,
            mtime: Some(modified),
            atime: Some(modified),
            ctime: Some(modified),
            uid,
            gid,
            size: 0,
            content: None,
            subtree: None,
        };
        let mut nodes = Vec::with_capacity(self.folders.len() + self.files.len());
        for (name, folder) in self.folders {
            let subtree = folder.store(time, owner, store)?;
            nodes.push(Node {
                subtree: Some(subtree),
                ..node(name, "dir", MODE_DIR | 0o700, time)
            });
        }
        for (name, file) in self.files {
            nodes.push(Node {
                size: file.size,
                content: Some(file.chunks),
                ..node(name, "file", file.mode & 0o777, file.modified)
            });
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        store(&Tree { nodes }.to_json())
    }
}

mod quoted {
    use super::*;

    pub(super) fn serialize<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&quote(name))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<String, D::Error> {
        let text = String::deserialize(deserializer)?;
        unquote(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("the name {text:?} is not well quoted"))
        })
    }
}

/// Escapes what Go's `strconv.Quote` escapes.
fn quote(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            _ if c.is_alphanumeric() => out.push(c),
            '\0'..='\x7f' => out.push_str(&format!("\\x{:02x}", c as u32)),
            _ if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            _ => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out
}

/// Undoes Go's `strconv.Quote`; bytes that are no UTF-8 become replacement characters.
fn unquote(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return Some(text.to_string());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let mut chars = rest[at + 1..].chars();
        let kind = chars.next()?;
        rest = chars.as_str();
        let mut number = |digits: usize, radix| {
            let value = u32::from_str_radix(rest.get(..digits)?, radix).ok()?;
            rest = &rest[digits..];
            Some(value)
        };
        match kind {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' | '"' | '\'' => out.push(kind as u8),
            'x' => out.push(number(2, 16)? as u8),
            'u' => out.extend(char::from_u32(number(4, 16)?)?.to_string().into_bytes()),
            'U' => out.extend(char::from_u32(number(8, 16)?)?.to_string().into_bytes()),
            '0'..='7' => {
                let low = number(2, 8)?;
                let value = kind.to_digit(8)? << 6 | low;
                out.push(u8::try_from(value).ok()?);
            }
            _ => return None,
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Some(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_go_quotes_them_and_read_back() {
        for (name, text) in [
            ("3215.dat", "3215.dat"),
            ("Größe 5\"", "Größe 5\\\""),
            ("a\\b\n\t\u{1}", "a\\\\b\\n\\t\\x01"),
            ("\u{200b}\u{e000}\u{1f600}", "\\u200b\\ue000\\U0001f600"),
        ] {
            assert_eq!(quote(name), text);
            assert_eq!(unquote(text).as_deref(), Some(name));
        }
        assert_eq!(unquote(r"\xff\377x").as_deref(), Some("\u{fffd}\u{fffd}x"));
        for broken in [r"\", r"\x1", r"\q", r"\ud800", r"\U00110000"] {
            assert_eq!(unquote(broken), None, "{broken}");
        }
    }

    #[test]
    fn paths_that_could_leave_or_overlap_are_refused() {
        let file = || PlannedFile {
            mode: 0o600,
            modified: Timestamp::UNIX_EPOCH,
            size: 0,
            chunks: vec![],
        };
        let mut root = Folder::default();
        root.insert("a/b", file()).expect("a plain path");
        for path in [
            "", "/a", "a/", "a//b", "../x", "a/./b", "a/b", "a/b/c", "a", "x\0",
        ] {
            assert!(root.insert(path, file()).is_err(), "{path:?}");
        }
    }
}
