//! COPY in both directions, as fast as the socket gives and takes.
//!
//! Out: the server sends each row as a message of its own. The messages are taken apart in the receive buffer itself:
//! the payloads are moved together over their headers, so that a caller gets hundreds of rows as one piece of COPY text
//! and still knows where each ends. In: the data goes out in large messages, and before each one the server's answer is
//! looked at, so that an error ends the transfer early.

use super::{
    connection::{Answer, Connection, shorten, tag_text},
    input::BUFFER,
    rows::affected,
};
use crate::error::{Error, Result};
use bytes::BytesMut;
use postgres_protocol::message::frontend;
use std::{
    io::{self, Read},
    time::Duration,
};

/// A batch is handed on once it holds this much, or when the server has nothing more.
const BATCH: usize = 128 << 10;
/// Size of the messages that carry data to the server.
const OUTGOING: usize = 128 << 10;
const HEADER: usize = 5;
/// Longest wait for the rest of something that has begun to arrive while data goes out.
const HEARING: Duration = Duration::from_millis(200);

/// A piece of COPY data: `data` is contiguous, `ends` says where rows end in it.
///
/// What lies behind the last end belongs to a row that goes on in the next batch; that happens only with rows too
/// large for the receive buffer (half a MiB).
#[derive(Debug, Clone, Copy)]
pub struct CopyBatch<'a> {
    pub data: &'a [u8],
    /// Offsets one past each row's last byte (the newline in text format), ascending.
    pub ends: &'a [usize],
}

/// What a finished COPY moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CopySummary {
    /// As the server counts.
    pub rows: u64,
    pub bytes: u64,
}

impl Connection {
    /// Runs `COPY … TO STDOUT` and hands the data on in large pieces. An error of the callback ends the COPY and the
    /// connection.
    pub fn copy_out_batches(
        &mut self,
        sql: &str,
        mut sink: impl FnMut(CopyBatch<'_>) -> io::Result<()>,
    ) -> Result<CopySummary> {
        self.send_query(sql)?;
        match self.answer(sql)? {
            Answer::Message(message) if message.tag == b'H' => {}
            Answer::Message(message) => return Err(self.out_of_step(sql, message.tag)),
            Answer::Ready => {
                return Err(Error::Protocol {
                    doing: shorten(sql),
                    what: "no data for an empty statement".into(),
                });
            }
        }
        self.input.grow_for_copy();
        let mut bytes = 0;
        let mut ends = Vec::new();
        let mut unfinished = 0;
        loop {
            let gathered = self.gather(&mut ends, &mut unfinished);
            let (filled, more) = gathered.map_err(|e| self.failed(sql, e))?;
            if filled > 0 {
                bytes += filled as u64;
                let batch = CopyBatch {
                    data: &self.input.buffer[..filled],
                    ends: &ends,
                };
                if let Err(source) = sink(batch) {
                    return Err(self.abandon(sql, source));
                }
            }
            if !more {
                break;
            }
        }
        let rows = self.finish_copy(sql)?;
        Ok(CopySummary { rows, bytes })
    }

    /// Runs `COPY … TO STDOUT` and hands on row by row, each with its newline.
    pub fn copy_out(
        &mut self,
        sql: &str,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<CopySummary> {
        let mut begun: Vec<u8> = Vec::new();
        self.copy_out_batches(sql, |batch| {
            let mut start = 0;
            for &end in batch.ends {
                let row = &batch.data[start..end];
                if begun.is_empty() {
                    sink(row)?;
                } else {
                    begun.extend_from_slice(row);
                    sink(&begun)?;
                    begun = Vec::new();
                }
                start = end;
            }
            begun.extend_from_slice(&batch.data[start..]);
            Ok(())
        })
    }

    /// Makes the next batch at the front of the buffer. Returns its length, and whether more data can follow;
    /// `unfinished` is what remains of a message that is taken in pieces.
    fn gather(
        &mut self,
        ends: &mut Vec<usize>,
        unfinished: &mut usize,
    ) -> io::Result<(usize, bool)> {
        ends.clear();
        self.input.close_gap(0);
        let mut filled = 0;
        loop {
            if self.compact(&mut filled, ends, unfinished)? {
                return Ok((filled, false));
            }
            if filled >= BATCH {
                return Ok((filled, true));
            }
            // The buffer has room for a batch and the largest message that is not taken in pieces.
            if self.input.buffer.len() - self.input.end < BUFFER / 4 {
                self.input.close_gap(filled);
            }
            self.input.read_more(&mut self.transport)?;
        }
    }

    /// Moves the payloads that have arrived together, to `filled`; true when the data has ended. What is not yet
    /// looked at always lies behind what is filled.
    fn compact(
        &mut self,
        filled: &mut usize,
        ends: &mut Vec<usize>,
        unfinished: &mut usize,
    ) -> io::Result<bool> {
        loop {
            let input = &mut self.input;
            if *unfinished > 0 {
                let take = (*unfinished).min(input.end - input.start);
                input
                    .buffer
                    .copy_within(input.start..input.start + take, *filled);
                *filled += take;
                input.start += take;
                *unfinished -= take;
                if *unfinished > 0 {
                    return Ok(false);
                }
                ends.push(*filled);
            }
            let Some((tag, length)) = input.header()? else {
                return Ok(false);
            };
            let whole = input.end - input.start >= HEADER + length;
            match tag {
                b'd' if whole || HEADER + length > BUFFER => {
                    input.start += HEADER;
                    *unfinished = length;
                }
                b'd' => return Ok(false),
                b'N' | b'S' | b'A' => match input.buffered()? {
                    Some(message) => self.aside(&message),
                    None => return Ok(false),
                },
                _ => return Ok(true),
            }
        }
    }

    /// Takes what follows the data; returns the server's count of rows.
    fn finish_copy(&mut self, sql: &str) -> Result<u64> {
        let mut rows = 0;
        loop {
            match self.answer(sql)? {
                Answer::Ready => return Ok(rows),
                Answer::Message(message) => match message.tag {
                    b'c' => {}
                    b'C' => rows = affected(&tag_text(self.input.bytes(&message))),
                    tag => return Err(self.out_of_step(sql, tag)),
                },
            }
        }
    }

    /// Gives a COPY up because its data can go nowhere: there is no way to end it other than to cancel it and hang up.
    fn abandon(&mut self, sql: &str, source: io::Error) -> Error {
        // The server also notices by itself, at its next write.
        let _ = self.shared.target.request();
        self.break_off();
        if self.shared.is_cancelled() {
            return Error::Cancelled;
        }
        Error::local(shorten(sql), source)
    }

    /// Runs `COPY … FROM STDIN` with all that the source gives.
    ///
    /// # Errors
    /// The server's error as soon as it comes, although the source may have more; the source's own, after the COPY has
    /// been failed on the server (the connection stays usable).
    pub fn copy_in(&mut self, sql: &str, source: &mut dyn Read) -> Result<CopySummary> {
        self.send_query(sql)?;
        match self.answer(sql)? {
            Answer::Message(message) if message.tag == b'G' => {}
            Answer::Message(message) => return Err(self.out_of_step(sql, message.tag)),
            Answer::Ready => {
                return Err(Error::Protocol {
                    doing: shorten(sql),
                    what: "nothing that takes data".into(),
                });
            }
        }
        let mut out = BytesMut::new();
        let (bytes, source_error) = self.feed(sql, source)?;
        match &source_error {
            None => frontend::copy_done(&mut out),
            Some(e) => frontend::copy_fail(&e.to_string().replace('\0', " "), &mut out)
                .expect("zero bytes were taken out"),
        }
        self.send(&out).map_err(|e| self.failed(sql, e))?;
        let result = self.finish_copy(sql);
        match (source_error, result) {
            (Some(_), _) if self.shared.is_cancelled() => Err(Error::Cancelled),
            (Some(source), _) => Err(Error::local(shorten(sql), source)),
            (None, result) => Ok(CopySummary {
                rows: result?,
                bytes,
            }),
        }
    }

    /// Sends the source's data until it ends, fails, or the server has something to say about it.
    fn feed(&mut self, sql: &str, source: &mut dyn Read) -> Result<(u64, Option<io::Error>)> {
        let mut frame = vec![0; HEADER + OUTGOING];
        frame[0] = b'd';
        let mut bytes = 0;
        loop {
            let (filled, failure) = fill(source, &mut frame[HEADER..]);
            let length = u32::try_from(filled + 4).expect("a frame is small");
            frame[1..HEADER].copy_from_slice(&length.to_be_bytes());
            if filled > 0 {
                self.send(&frame[..HEADER + filled])
                    .map_err(|e| self.failed(sql, e))?;
                bytes += filled as u64;
            }
            if failure.is_some() || filled < OUTGOING {
                return Ok((bytes, failure));
            }
            self.hear(sql)?;
        }
    }

    /// Reads what the server has sent while data goes to it; its error ends the COPY.
    fn hear(&mut self, sql: &str) -> Result<()> {
        while self.transport.socket().has_input() {
            // Under TLS what has come may be no data at all, so the read must not wait.
            let limited = self.transport.socket().set_timeout(Some(HEARING));
            let read = limited.and_then(|()| self.input.fill(&mut self.transport));
            let unlimited = self.transport.socket().set_timeout(None);
            match read.and(unlimited) {
                Err(e) if e.kind() == io::ErrorKind::TimedOut => return Ok(()),
                other => other.map_err(|e| self.failed(sql, e))?,
            }
            loop {
                // An error is left where it lies for `answer`, which also waits for the server to be ready.
                if matches!(self.input.header(), Ok(Some((b'E', _)))) {
                    return match self.answer(sql)? {
                        Answer::Message(message) => Err(self.out_of_step(sql, message.tag)),
                        Answer::Ready => Err(self.out_of_step(sql, b'Z')),
                    };
                }
                match self.input.buffered().map_err(|e| self.failed(sql, e))? {
                    None => break,
                    Some(message) if matches!(message.tag, b'N' | b'S' | b'A') => {
                        self.aside(&message)
                    }
                    Some(message) => return Err(self.out_of_step(sql, message.tag)),
                }
            }
        }
        Ok(())
    }
}

/// Reads until the buffer is full or the source ends or fails.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return (filled, Some(e)),
        }
    }
    (filled, None)
}
