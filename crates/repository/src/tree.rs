//! Trees: directories as JSON, each a blob that names its files' chunks and its sub-directories' blobs.
//!
//! Names are written as Go's `strconv.Quote` writes them (without the outer quotes) and then as JSON strings, so a
//! backslash appears twice; that is the format's way to carry names that are not UTF-8. Nodes are sorted by name, and
//! a file's size is always the true one, for some tools restore exactly as many bytes as it says.

use crate::{
    error::{RepositoryError, Result},
    id::BlobId,
};
use base64::prelude::*;
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

/// One entry of a directory, as it is written; fields stand in the order in which stock tools write them, so that those
/// which read, change and write a tree make the same bytes of what they did not change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    #[serde(with = "quoted")]
    pub(crate) name: Vec<u8>,
    /// `file`, `dir`, `symlink`, `fifo`, `socket`, `dev`, `chardev`, or what a later tool adds.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Go's `fs.FileMode`.
    #[serde(default, skip_serializing_if = "is_default")]
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
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) user: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) group: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) inode: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) device_id: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) links: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) linktarget: String,
    /// The target of a link once more, in Base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) linktarget_raw: Option<Base64>,
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) extended_attributes: Vec<ExtendedAttribute>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) device: u64,
    /// The file's chunks in order; must be there, even when empty, for a file.
    #[serde(default)]
    pub(crate) content: Option<Vec<BlobId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subtree: Option<BlobId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExtendedAttribute {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: Option<Base64>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn null_is_empty<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Bytes that are written as Base64 with padding, as Go writes them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Base64(pub(crate) Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_STANDARD
            .decode(text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

impl Tree {
    pub(crate) fn parse(id: BlobId, json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json)
            .map_err(|e| RepositoryError::damaged(format!("tree {}", id.short()), e))
    }

    /// The blob's content; stock tools end it with a newline.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("a tree is plain data");
        let mut json = escape_as_go(json);
        json.push(b'\n');
        json
    }
}

/// Writes the three characters that are safe in JSON but not in HTML as Go does; outside of texts JSON has none of them.
fn escape_as_go(json: Vec<u8>) -> Vec<u8> {
    let special = |byte: &u8| matches!(byte, b'<' | b'>' | b'&');
    if !json.iter().any(special) {
        return json;
    }
    let mut out = Vec::with_capacity(json.len() + 64);
    for byte in json {
        if special(&byte) {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

impl Node {
    pub(crate) fn is_dir(&self) -> bool {
        self.kind == "dir"
    }

    pub(crate) fn is_file(&self) -> bool {
        self.kind == "file"
    }

    /// The name for messages and lists; what is not UTF-8 in it is replaced.
    pub(crate) fn shown_name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Whether the name is one that a folder can hold, and not a way out of it.
    pub(crate) fn has_plain_name(&self) -> bool {
        !matches!(self.name.as_slice(), b"" | b"." | b"..")
            && !self.name.iter().any(|b| matches!(b, b'/' | b'\0'))
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
    /// Folders whose trees are stored already.
    grafts: BTreeMap<String, Node>,
}

impl Folder {
    /// Places a file at a relative path; refuses `.`, `..`, empty parts, and a second file at the same path.
    pub(crate) fn insert(&mut self, path: &str, file: PlannedFile) -> Result<()> {
        let (folder, name) = self.place(path)?;
        folder.files.insert(name, file);
        Ok(())
    }

    /// Places a folder whose trees are stored already, under the rules of [`Folder::insert`].
    pub(crate) fn graft(&mut self, path: &str, node: Node) -> Result<()> {
        let (folder, name) = self.place(path)?;
        let name_bytes = name.clone().into_bytes();
        folder.grafts.insert(
            name,
            Node {
                name: name_bytes,
                ..node
            },
        );
        Ok(())
    }

    /// The folder that is to hold `path`, and the free name in it.
    fn place(&mut self, path: &str) -> Result<(&mut Folder, String)> {
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
            if folder.files.contains_key(part) || folder.grafts.contains_key(part) {
                return Err(refuse("a file stands where a folder must be"));
            }
            folder = folder.folders.entry(part.to_string()).or_default();
        }
        if folder.folders.contains_key(name)
            || folder.files.contains_key(name)
            || folder.grafts.contains_key(name)
        {
            return Err(refuse("the path is taken"));
        }
        Ok((folder, name.to_string()))
    }

    /// Turns the folder into trees, deepest first, handing each to `store`; returns the root's id.
    pub(crate) fn store(
        self,
        time: Timestamp,
        owner: (u32, u32),
        store: &mut impl FnMut(&[u8]) -> Result<BlobId>,
    ) -> Result<BlobId> {
        let (uid, gid) = owner;
        let node = |name: String, kind: &str, mode, modified| Node {
            name: name.into_bytes(),
            kind: kind.into(),
            mode,
            mtime: Some(modified),
            atime: Some(modified),
            ctime: Some(modified),
            uid,
            gid,
            ..Node::default()
        };
        let mut nodes: Vec<Node> = self.grafts.into_values().collect();
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

    pub(super) fn serialize<S: Serializer>(name: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&quote(name))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        unquote(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("the name {text:?} is not well quoted"))
        })
    }
}

/// Escapes what Go's `strconv.Quote` escapes; a byte that is no part of UTF-8 becomes `\xNN`.
fn quote(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            quote_char(c, &mut out);
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

fn quote_char(c: char, out: &mut String) {
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

/// Undoes Go's `strconv.Quote`.
fn unquote(text: &str) -> Option<Vec<u8>> {
    if !text.contains('\\') {
        return Some(text.as_bytes().to_vec());
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
    Some(out)
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
            assert_eq!(quote(name.as_bytes()), text);
            assert_eq!(unquote(text).as_deref(), Some(name.as_bytes()));
        }
        assert_eq!(quote(b"caf\xe9\xff"), r"caf\xe9\xff");
        assert_eq!(
            unquote(r"\xff\377x").as_deref(),
            Some(b"\xff\xffx".as_slice())
        );
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
