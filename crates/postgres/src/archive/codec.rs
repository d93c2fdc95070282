//! The archive's primitives: a sign byte and little-endian magnitude for integers, a length and bytes for strings.

use super::ArchiveError;
use std::io::{self, Read};

/// No string in a table of contents may be longer: PostgreSQL's own limit for one value.
const MAX_STRING: u64 = 1 << 30;

/// Reads primitives and counts the bytes, so that an error can say where it happened.
pub(super) struct Decoder<R> {
    input: R,
    offset: u64,
    pub(super) int_size: u8,
}

impl<R: Read> Decoder<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            offset: 0,
            int_size: 4,
        }
    }

    pub(super) fn get_mut(&mut self) -> &mut R {
        &mut self.input
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.offset += bytes as u64;
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> ArchiveError {
        ArchiveError::Damaged {
            offset: self.offset,
            what: what.into(),
        }
    }

    pub(super) fn fill(&mut self, buffer: &mut [u8], what: &str) -> Result<(), ArchiveError> {
        self.input
            .read_exact(buffer)
            .map_err(|e| ArchiveError::from_io(e, what))?;
        self.offset += buffer.len() as u64;
        Ok(())
    }

    pub(super) fn byte(&mut self, what: &str) -> Result<u8, ArchiveError> {
        let mut byte = [0];
        self.fill(&mut byte, what)?;
        Ok(byte[0])
    }

    /// One byte, or `None` when the input ends exactly here.
    pub(super) fn byte_or_end(&mut self) -> Result<Option<u8>, ArchiveError> {
        let mut byte = [0];
        loop {
            match self.input.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    self.offset += 1;
                    return Ok(Some(byte[0]));
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ArchiveError::from_io(e, "a data block")),
            }
        }
    }

    pub(super) fn int(&mut self, what: &str) -> Result<i64, ArchiveError> {
        let mut bytes = [0u8; 9];
        let used = 1 + usize::from(self.int_size);
        self.fill(&mut bytes[..used], what)?;
        let mut magnitude = [0u8; 8];
        magnitude[..used - 1].copy_from_slice(&bytes[1..used]);
        let value = i64::try_from(u64::from_le_bytes(magnitude))
            .map_err(|_| self.damaged(format!("{what} is out of range")))?;
        Ok(if bytes[0] != 0 { -value } else { value })
    }

    /// A string; `None` is the format's null.
    pub(super) fn string(&mut self, what: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Ok(length) = u64::try_from(self.int(what)?) else {
            return Ok(None);
        };
        if length > MAX_STRING {
            return Err(self.damaged(format!("{what} claims to be {length} bytes long")));
        }
        let mut text = Vec::new();
        // `take` grows the buffer only by what is really there, whatever the length claims.
        let got = self
            .input
            .by_ref()
            .take(length)
            .read_to_end(&mut text)
            .map_err(|e| ArchiveError::from_io(e, what))?;
        self.offset += got as u64;
        if got as u64 != length {
            return Err(ArchiveError::Truncated { what: what.into() });
        }
        Ok(Some(text))
    }
}

/// Writes primitives into memory.
pub(super) struct Encoder {
    pub(super) out: Vec<u8>,
    int_size: usize,
}

impl Encoder {
    pub(super) fn new(int_size: u8) -> Self {
        Self {
            out: Vec::new(),
            int_size: usize::from(int_size),
        }
    }

    pub(super) fn byte(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(super) fn int(&mut self, value: i64) {
        self.out.push(u8::from(value < 0));
        let magnitude = value.unsigned_abs().to_le_bytes();
        self.out.extend_from_slice(&magnitude[..self.int_size]);
    }

    pub(super) fn string(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.int(-1),
            Some(text) => {
                self.int(text.len() as i64);
                self.out.extend_from_slice(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primitives_round_trip() {
        let mut encoder = Encoder::new(4);
        for value in [0, 1, -1, 255, 65_536, -2_147_483_648, 4_294_967_295] {
            encoder.int(value);
        }
        encoder.string(None);
        encoder.string(Some(b""));
        encoder.string(Some("größe".as_bytes()));
        let mut decoder = Decoder::new(encoder.out.as_slice());
        for value in [0, 1, -1, 255, 65_536, -2_147_483_648, 4_294_967_295] {
            assert_eq!(decoder.int("a number").unwrap(), value);
        }
        assert_eq!(decoder.string("text").unwrap(), None);
        assert_eq!(decoder.string("text").unwrap(), Some(Vec::new()));
        assert_eq!(decoder.string("text").unwrap().unwrap(), "größe".as_bytes());
        assert_eq!(decoder.byte_or_end().unwrap(), None);
    }

    #[test]
    fn a_huge_length_takes_no_memory_and_is_an_error() {
        let mut encoder = Encoder::new(4);
        encoder.int(i64::from(i32::MAX));
        let mut decoder = Decoder::new(encoder.out.as_slice());
        assert!(matches!(
            decoder.string("a name"),
            Err(ArchiveError::Damaged { .. })
        ));
        let mut encoder = Encoder::new(4);
        encoder.int(1 << 29);
        encoder.out.extend_from_slice(b"short");
        let mut decoder = Decoder::new(encoder.out.as_slice());
        assert!(matches!(
            decoder.string("a name"),
            Err(ArchiveError::Truncated { what }) if what == "a name"
        ));
    }
}
