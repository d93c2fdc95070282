//! Row counts and content hashes, of COPY text and of large objects, as they stream by.

use super::ArchiveError;
use memchr::{memchr, memchr_iter};
use pgkeep_model::evidence::{ContentHash, ContentSum, LargeObjectEvidence};
use std::io::Read;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// What pg_dump writes after a table's rows.
pub const COPY_END: &[u8] = b"\\.\n\n\n";

/// Sums the rows of COPY text that comes in pieces cut anywhere.
///
/// The sum stops at the line `\.`; what follows must be empty lines only.
#[derive(Default)]
pub struct RowSummer {
    sum: ContentSum,
    /// The state of a row that began in an earlier piece, with its first bytes (enough to know `\.`).
    open_row: Option<(Box<Xxh3>, Vec<u8>)>,
    ended: bool,
    junk_after_end: bool,
}

impl RowSummer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one whole row, without its newline, that is known not to be the end mark.
    #[inline]
    pub fn row(&mut self, row: &[u8]) {
        self.sum.rows += 1;
        self.sum.bytes += row.len() as u64 + 1;
        self.sum.hash.add(ContentHash(xxh3_128(row)));
    }

    /// Adds a piece of text.
    pub fn push(&mut self, mut piece: &[u8]) {
        if self.open_row.is_some() {
            match memchr(b'\n', piece) {
                None => return self.extend_open_row(piece),
                Some(at) => {
                    self.extend_open_row(&piece[..at]);
                    self.close_row();
                    piece = &piece[at + 1..];
                }
            }
        }
        let mut start = 0;
        for newline in memchr_iter(b'\n', piece) {
            let row = &piece[start..newline];
            start = newline + 1;
            if self.ended {
                self.junk_after_end |= !row.is_empty();
            } else if row == b"\\." {
                self.ended = true;
            } else {
                self.row(row);
            }
        }
        if start < piece.len() {
            self.extend_open_row(&piece[start..]);
        }
    }

    /// Adds a piece whose row ends are known (offsets one past each newline); none of the rows is the end mark.
    pub fn push_rows(&mut self, piece: &[u8], ends: &[usize]) {
        let mut start = 0;
        for &end in ends {
            let row = &piece[start..end - 1];
            if self.open_row.is_some() {
                self.extend_open_row(row);
                self.close_row();
            } else {
                self.row(row);
            }
            start = end;
        }
        if start < piece.len() {
            self.extend_open_row(&piece[start..]);
        }
    }

    fn extend_open_row(&mut self, bytes: &[u8]) {
        let (hash, head) = self
            .open_row
            .get_or_insert_with(|| (Box::new(Xxh3::new()), Vec::new()));
        hash.update(bytes);
        head.extend_from_slice(&bytes[..bytes.len().min(3usize.saturating_sub(head.len()))]);
        if !self.ended {
            self.sum.bytes += bytes.len() as u64;
        }
    }

    fn close_row(&mut self) {
        let Some((hash, head)) = self.open_row.take() else {
            return;
        };
        if self.ended {
            self.junk_after_end |= !head.is_empty();
        } else if head == b"\\." {
            self.sum.bytes -= 2;
            self.ended = true;
        } else {
            self.sum.rows += 1;
            self.sum.bytes += 1;
            self.sum.hash.add(ContentHash(hash.digest128()));
        }
    }

    /// The sum of the rows seen so far.
    pub fn sum(&self) -> ContentSum {
        self.sum
    }

    /// True once the end mark `\.` was seen.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The sum of the text, which must be whole: closed by `\.` and nothing but empty lines after it.
    pub fn finish(mut self) -> Result<ContentSum, ArchiveError> {
        if self
            .open_row
            .as_ref()
            .is_some_and(|(_, head)| head == b"\\.")
        {
            self.close_row(); // the mark without a newline is a mark all the same
        }
        if !self.ended {
            return Err(ArchiveError::Truncated {
                what: "table data (there is no end mark)".into(),
            });
        }
        if self.junk_after_end || self.open_row.is_some() {
            return Err(ArchiveError::Damaged {
                offset: self.sum.bytes,
                what: "table data goes on after its end mark".into(),
            });
        }
        Ok(self.sum)
    }
}

/// Reads a table's member to its end and sums its rows; text without the end mark is reported as cut short.
pub fn sum_copy_text(mut input: impl Read) -> Result<ContentSum, ArchiveError> {
    let mut summer = RowSummer::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return summer.finish(),
            Ok(n) => summer.push(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(ArchiveError::from_io(e, "table data")),
        }
    }
}

/// Sums large objects; each is hashed on its own, wherever that happens, and then added.
#[derive(Debug, Default)]
pub struct LargeObjectSummer {
    sum: LargeObjectEvidence,
}

/// One large object being hashed: its number, then its content.
pub struct LargeObjectHash {
    state: Box<Xxh3>,
    bytes: u64,
}

impl LargeObjectHash {
    pub fn new(oid: u32) -> Self {
        let mut state = Box::new(Xxh3::new());
        state.update(&oid.to_le_bytes());
        Self { state, bytes: 0 }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// What this object alone adds to the evidence.
    pub fn finish(self) -> LargeObjectEvidence {
        LargeObjectEvidence {
            count: 1,
            bytes: self.bytes,
            hash: ContentHash(self.state.digest128()),
        }
    }
}

impl LargeObjectSummer {
    /// Begins the hash of one object.
    pub fn object(&self, oid: u32) -> LargeObjectHash {
        LargeObjectHash::new(oid)
    }

    /// Adds an object that was read to its end.
    pub fn add(&mut self, object: LargeObjectHash) {
        self.add_finished(object.finish());
    }

    pub fn add_finished(&mut self, object: LargeObjectEvidence) {
        self.sum.count += object.count;
        self.sum.bytes += object.bytes;
        self.sum.hash.add(object.hash);
    }

    pub fn sum(&self) -> LargeObjectEvidence {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole_rows(rows: &[&[u8]]) -> ContentSum {
        let mut summer = RowSummer::new();
        rows.iter().for_each(|row| summer.row(row));
        summer.sum()
    }

    #[test]
    fn the_sum_does_not_depend_on_where_pieces_are_cut_nor_on_row_order() {
        let rows: &[&[u8]] = &[b"1\tone", b"", b"2\t\\N", b"\\.x", b"3\t\\\\."];
        let expected = whole_rows(rows);
        let mut text = rows.join(&b"\n"[..]);
        text.push(b'\n');
        assert_eq!(expected.bytes, text.len() as u64);
        text.extend_from_slice(COPY_END);
        for step in 1..text.len() {
            let mut summer = RowSummer::new();
            text.chunks(step).for_each(|piece| summer.push(piece));
            assert_eq!(summer.finish().unwrap(), expected, "pieces of {step}");
        }
        let rows_only = &text[..text.len() - COPY_END.len()];
        for cut in 0..rows_only.len() {
            let mut summer = RowSummer::new();
            for piece in [&rows_only[..cut], &rows_only[cut..]] {
                let ends: Vec<usize> = memchr_iter(b'\n', piece).map(|at| at + 1).collect();
                summer.push_rows(piece, &ends);
            }
            assert_eq!(summer.sum(), expected, "cut at {cut}");
        }
        let mut reversed = rows.to_vec();
        reversed.reverse();
        assert_eq!(whole_rows(&reversed), expected);
    }

    #[test]
    fn text_without_an_end_mark_is_cut_short() {
        for text in [&b""[..], b"1\n", b"1\n\\"] {
            assert!(matches!(
                sum_copy_text(text),
                Err(ArchiveError::Truncated { .. })
            ));
        }
        assert_eq!(sum_copy_text(&b"1\n\\."[..]).unwrap().rows, 1);
    }

    #[test]
    fn text_after_the_end_mark_is_damage() {
        for text in [&b"1\n\\.\n2\n"[..], b"1\n\\.\n\n2"] {
            assert!(matches!(
                sum_copy_text(text),
                Err(ArchiveError::Damaged { .. })
            ));
        }
    }
}
