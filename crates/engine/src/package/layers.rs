//! What lies around the tar file: zstd, then age. Both are streams that must be ended.

use crate::{Error, Result};
use std::{
    io::{self, BufRead, BufReader, Cursor, Read, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

/// A stream that compresses and encrypts what passes through it, as asked.
pub(super) struct Layers<W: Write>(Packed<W>);

enum Packed<W: Write> {
    Plain(Sealed<W>),
    Zstd(zstd::Encoder<'static, Sealed<W>>),
}

enum Sealed<W: Write> {
    Plain(W),
    Age(Box<age::stream::StreamWriter<W>>),
}

/// Level of zstd; a package is written once and may be kept for years.
const ZSTD_LEVEL: i32 = 3;

impl<W: Write> Layers<W> {
    pub(super) fn new(out: W, recipients: &[String], compress: bool) -> Result<Self> {
        let sealed = match recipients {
            [] => Sealed::Plain(out),
            names => {
                let keys = names
                    .iter()
                    .map(|name| recipient(name))
                    .collect::<Result<Vec<_>>>()?;
                let encryptor = age::Encryptor::with_recipients(keys.iter().map(|key| key as _))
                    .map_err(|e| Error::invalid(format!("cannot encrypt: {e}")))?;
                Sealed::Age(Box::new(encryptor.wrap_output(out)?))
            }
        };
        Ok(Self(match compress {
            false => Packed::Plain(sealed),
            true => {
                let mut encoder = zstd::Encoder::new(sealed, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Packed::Zstd(encoder)
            }
        }))
    }

    /// Ends every layer and gives back what lies below.
    pub(super) fn finish(self) -> io::Result<W> {
        let sealed = match self.0 {
            Packed::Plain(sealed) => sealed,
            Packed::Zstd(encoder) => encoder.finish()?,
        };
        match sealed {
            Sealed::Plain(out) => Ok(out),
            Sealed::Age(writer) => writer.finish(),
        }
    }
}

impl<W: Write> Write for Layers<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Packed::Plain(inner) => inner.write(data),
            Packed::Zstd(inner) => inner.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Packed::Plain(inner) => inner.flush(),
            Packed::Zstd(inner) => inner.flush(),
        }
    }
}

impl<W: Write> Write for Sealed<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Sealed::Plain(inner) => inner.write(data),
            Sealed::Age(inner) => inner.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sealed::Plain(inner) => inner.flush(),
            Sealed::Age(inner) => inner.flush(),
        }
    }
}

/// Reads a recipient's public key.
pub fn recipient(text: &str) -> Result<age::x25519::Recipient> {
    age::x25519::Recipient::from_str(text.trim()).map_err(|why| {
        Error::invalid(format!("{text:?} is no recipient of age: {why}"))
            .hint("give a public key such as `age-keygen` prints it, beginning with age1")
    })
}

/// Reads a file of recipients: one a line; empty lines and those that begin with # are passed over.
pub fn read_recipients(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::from(e).context(path.display()))?;
    let names: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        return Err(Error::invalid(format!(
            "{} names no recipient",
            path.display()
        )));
    }
    for name in &names {
        recipient(name).map_err(|e| e.context(path.display()))?;
    }
    Ok(names)
}

const AGE_START: &[u8] = b"age-encryption.org/v1";
const ZSTD_START: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Takes the layers off again, as they are found.
pub(super) fn unwrap(
    input: impl Read + Send + 'static,
    identities: &[PathBuf],
) -> Result<Box<dyn Read + Send>> {
    let mut input = Box::new(input) as Box<dyn Read + Send>;
    // At most one of each: a file that is wrapped again and again is nothing that pgkeep wrote.
    for _ in 0..2 {
        let (start, whole) = peek(input)?;
        if start.starts_with(AGE_START) {
            input = open_sealed(whole, identities)?;
        } else if start.starts_with(ZSTD_START) {
            input = Box::new(zstd::Decoder::with_buffer(whole)?);
        } else {
            return Ok(Box::new(whole));
        }
    }
    Ok(input)
}

/// The first bytes, and the stream as it was.
pub(super) fn peek(
    mut input: Box<dyn Read + Send>,
) -> io::Result<(Vec<u8>, impl BufRead + Send + use<>)> {
    let mut start = Vec::new();
    (&mut input).take(512).read_to_end(&mut start)?;
    let whole = Cursor::new(start.clone()).chain(BufReader::with_capacity(1 << 20, input));
    Ok((start, whole))
}

fn open_sealed(
    input: impl BufRead + Send + 'static,
    identities: &[PathBuf],
) -> Result<Box<dyn Read + Send>> {
    if identities.is_empty() {
        return Err(Error::invalid("the package is encrypted")
            .hint("give the file of a key that it was encrypted for with --identity"));
    }
    let refuse =
        |e: &dyn std::fmt::Display| Error::invalid(format!("the package cannot be decrypted: {e}"));
    let mut keys = Vec::new();
    for path in identities {
        let file = age::IdentityFile::from_file(path.display().to_string())
            .map_err(|e| Error::from(e).context(path.display()))?;
        keys.extend(file.into_identities().map_err(|e| refuse(&e))?);
    }
    let decryptor = age::Decryptor::new_buffered(input).map_err(|e| refuse(&e))?;
    let reader = decryptor
        .decrypt(keys.iter().map(|key| key.as_ref() as &dyn age::Identity))
        .map_err(|e| refuse(&e).hint("give the key of one of the recipients with --identity"))?;
    Ok(Box::new(reader))
}
