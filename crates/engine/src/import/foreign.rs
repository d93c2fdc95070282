//! Files that are no dumps, told by how they begin: so that nobody waits until a large one was sent, or read to its end.
//!
//! What this lets pass may still be none; what it names is none for certain, so a beginning that is too short to tell
//! passes. Packages pass, encrypted ones too.

use pgkeep_postgres::archive::{self, FileKind};
use std::io::Read;

/// So much of a file's beginning is looked at.
pub const BEGINNING: usize = 4096;

/// pg_dump's first line of words, and what tells its scripts from all other texts.
pub(super) const TITLE: &str = "-- PostgreSQL database dump";

/// What a file is instead of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    Empty,
    /// `multipart/form-data`, as browsers and `curl -F` send files.
    Form,
    WebPage,
    Json,
    Zip,
    /// Compressed by a program that pg_dump does not know.
    Compressed(&'static str),
    Toc,
    /// What gzip has packed is no script.
    Packed,
    /// A text in UTF-16.
    Wide,
    /// A script whose line ends were taken out.
    OneLine,
    Text,
    Binary,
}

impl Foreign {
    /// What a file is that begins so; `whole` where that is all of it. Give it [`BEGINNING`] bytes where there are as many.
    pub fn tell(start: &[u8], whole: bool) -> Option<Self> {
        let start = &start[..start.len().min(BEGINNING)];
        if start.is_empty() {
            return whole.then_some(Foreign::Empty);
        }
        if is_form(start) {
            return Some(Foreign::Form);
        }
        if start.starts_with(AGE) || start.starts_with(&ZSTD) {
            return None;
        }
        let known = MARKS.iter().find(|(mark, _)| start.starts_with(mark));
        if let Some((_, foreign)) = known {
            return Some(*foreign);
        }
        if start.len() < archive::SNIFF_BYTES && !whole {
            return None;
        }
        match archive::sniff(start) {
            FileKind::Custom | FileKind::Tar => None,
            FileKind::DirectoryToc => Some(Foreign::Toc),
            FileKind::Gzip => packed(start, whole),
            FileKind::Binary => Some(Foreign::Binary),
            FileKind::Text => text(start, whole || start.len() == BEGINNING),
        }
    }

    /// Words that follow "this is no dump:".
    pub fn what(self) -> String {
        match self {
            Foreign::Empty => "the file is empty".into(),
            Foreign::Form => "these are the parts of a form, with a file in one of them".into(),
            Foreign::WebPage => "this is a web page, or XML".into(),
            Foreign::Json => "this is JSON".into(),
            Foreign::Zip => "this is a zip archive".into(),
            Foreign::Compressed(by) => format!("this is compressed with {by}"),
            Foreign::Toc => "this is the toc.dat of a directory dump".into(),
            Foreign::Packed => "what gzip has packed here is no script".into(),
            Foreign::Wide => "this text is in UTF-16".into(),
            Foreign::OneLine => "this script has lost its line ends".into(),
            Foreign::Text => "this text is not a script that pg_dump wrote".into(),
            Foreign::Binary => "this is no dump of PostgreSQL".into(),
        }
    }

    /// What to do instead.
    pub fn hint(self) -> &'static str {
        match self {
            Foreign::Form => "save the file itself, not the request that brought it",
            Foreign::Zip => "unpack it, and give the dump that is inside",
            Foreign::Compressed(_) | Foreign::Packed => {
                "unpack it, and give what comes of it; of all formats, pgkeep takes only scripts packed with gzip"
            }
            Foreign::Toc => "give its folder",
            Foreign::Wide => {
                "PowerShell's > writes files so: make the dump with `pg_dump --file NAME`"
            }
            Foreign::OneLine => "make the dump again, or copy it again from where it came",
            Foreign::Text => {
                "run other SQL with psql; pgkeep takes only dumps whose end it can check"
            }
            Foreign::Empty | Foreign::WebPage | Foreign::Json | Foreign::Binary => {
                "pgkeep takes what pg_dump and pgkeep export write: custom, directory, tar, .sql and .sql.gz"
            }
        }
    }
}

const AGE: &[u8] = b"age-encryption.org/";
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How other kinds of files begin; none of them is the name of the first file of a tar.
const MARKS: &[(&[u8], Foreign)] = &[
    (b"PK\x03\x04", Foreign::Zip),
    (b"PK\x05\x06", Foreign::Zip),
    (b"7z\xbc\xaf\x27\x1c", Foreign::Compressed("7-Zip")),
    (b"Rar!\x1a\x07", Foreign::Compressed("RAR")),
    (b"\xfd7zXZ\0", Foreign::Compressed("xz")),
    (b"BZh91AY&SY", Foreign::Compressed("bzip2")),
    (b"\x04\x22\x4d\x18", Foreign::Compressed("lz4")),
    (b"\xff\xfe", Foreign::Wide),
    (b"\xfe\xff", Foreign::Wide),
];

/// A line of two hyphens and a boundary, then the head of the first part.
fn is_form(start: &[u8]) -> bool {
    let mut lines = start.split(|byte| *byte == b'\n');
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
        return false;
    };
    let named = first.starts_with(b"--") && first.trim_ascii_end().len() > 2;
    named && second.len() >= 8 && second[..8].eq_ignore_ascii_case(b"content-")
}

/// `enough` where all of the text is there in which the title must stand.
fn text(start: &[u8], enough: bool) -> Option<Foreign> {
    let words = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    match words.trim_ascii_start().first() {
        Some(b'<') => return Some(Foreign::WebPage),
        Some(b'{' | b'[') => return Some(Foreign::Json),
        _ => {}
    }
    if !enough {
        return None;
    }
    let titled = start
        .windows(TITLE.len())
        .any(|part| part == TITLE.as_bytes());
    match titled {
        false => Some(Foreign::Text),
        true if !start.contains(&b'\n') => Some(Foreign::OneLine),
        true => None,
    }
}

fn packed(start: &[u8], whole: bool) -> Option<Foreign> {
    if !whole && start.len() < BEGINNING {
        return None;
    }
    let mut inside = Vec::new();
    let unpacking = flate2::read::MultiGzDecoder::new(start).take(BEGINNING as u64);
    // Where the beginning ends within a block, so much was unpacked before.
    let ended = { unpacking }.read_to_end(&mut inside).is_ok();
    let enough = ended || inside.len() == BEGINNING;
    if inside.len() < archive::SNIFF_BYTES && !enough {
        return None;
    }
    match archive::sniff(&inside) {
        FileKind::Text => text(&inside, enough),
        _ => Some(Foreign::Packed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn tar(name: &str) -> Vec<u8> {
        let mut tar = vec![0; 1024];
        tar[..name.len()].copy_from_slice(name.as_bytes());
        tar[257..262].copy_from_slice(b"ustar");
        tar
    }

    /// Bytes that do not repeat, so that gzip leaves them as long as they are.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + (state >> 24) as u8 % 26
        })
        .take(len)
        .collect()
    }

    const SCRIPT: &str = "--\n-- PostgreSQL database dump\n--\n\nSET x = 1;\n";

    #[test]
    fn what_is_no_dump_is_told_by_its_beginning() {
        let form = "--------------------------d74496d66958873e\r\nContent-Disposition: form-data; \
                    name=\"file\"; filename=\"shop.dump\"\r\n\r\nPGDMP";
        let long_form = format!("{form}{}", "x".repeat(5_000));
        let prose = "words ".repeat(1_000);
        let one_line = format!("---- PostgreSQL database dump--{}", "x".repeat(5_000));
        for (start, expected) in [
            (&b""[..], Foreign::Empty),
            (form.as_bytes(), Foreign::Form),
            (long_form.as_bytes(), Foreign::Form),
            (b"<!DOCTYPE html><title>Sign in</title>", Foreign::WebPage),
            (
                b"\xef\xbb\xbf\r\n <?xml version=\"1.0\"?>",
                Foreign::WebPage,
            ),
            (b"{\"error\": \"not found\"}", Foreign::Json),
            (b"\n[1, 2]", Foreign::Json),
            (b"PK\x03\x04\x14\0", Foreign::Zip),
            (b"\xfd7zXZ\0\0\x04", Foreign::Compressed("xz")),
            (b"PGDMP\x01\x0e\x00\x04\x08\x03", Foreign::Toc),
            (b"\xff\xfe-\0-\0", Foreign::Wide),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Foreign::Binary),
            (b"id,name\n1,anna\n", Foreign::Text),
            (prose.as_bytes(), Foreign::Text),
            (one_line.as_bytes(), Foreign::OneLine),
            (&gzip(b"id,name\n1,anna\n"), Foreign::Text),
            (&gzip(b"<html>"), Foreign::WebPage),
            (&gzip(&tar("shop/toc.dat")), Foreign::Packed),
            (&gzip(b"PGDMP\x01\x0e\x00\x04\x08\x01"), Foreign::Packed),
            (&gzip(&noise(20_000))[..6_000], Foreign::Text),
        ] {
            assert_eq!(Foreign::tell(start, true), Some(expected), "{start:?}");
            assert!(!expected.what().is_empty() && !expected.hint().is_empty());
        }
    }

    #[test]
    fn dumps_and_packages_pass_and_so_does_what_is_too_short_to_tell() {
        let script = format!("{SCRIPT}{}", "x\n".repeat(5_000));
        let mut zstd = ZSTD.to_vec();
        zstd.extend(noise(5_000));
        let packed = gzip(&[SCRIPT.as_bytes(), &noise(20_000)].concat());
        for start in [
            &b"PGDMP\x01\x0e\x00\x04\x08\x01"[..],
            SCRIPT.as_bytes(),
            script.as_bytes(),
            &gzip(SCRIPT.as_bytes()),
            &packed,
            &tar("toc.dat"),
            &tar("[shop]/README"),
            b"age-encryption.org/v1\n-> X25519 x",
            &zstd,
        ] {
            assert_eq!(Foreign::tell(start, true), None, "{start:?}");
        }
        // Whatever a dump is cut to, its beginning is not called something else.
        for dump in [script.as_bytes(), &packed, &tar("[shop]/README"), &zstd] {
            for len in 0..dump.len().min(BEGINNING + 100) {
                assert_eq!(Foreign::tell(&dump[..len], false), None, "{len} bytes");
            }
        }
    }
}
