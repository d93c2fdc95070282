//! Messages from the server, cut out of one buffer that is filled by large reads.

use std::{
    io::{self, Read},
    ops::Range,
};

/// Bytes asked of the socket at once.
pub(super) const BUFFER: usize = 512 << 10;
/// No message may claim to be longer: the server's own limit for one value is 1 GiB.
const LONGEST: usize = (1 << 30) + (1 << 20);
const HEADER: usize = 5;

#[derive(Debug)]
pub(super) struct Input {
    pub buffer: Vec<u8>,
    /// First byte not yet used.
    pub start: usize,
    /// One past the last byte received.
    pub end: usize,
}

/// One message: its type and where its body lies in the buffer until the next read.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub tag: u8,
    pub body: Range<usize>,
}

impl Input {
    pub fn new() -> Self {
        Self {
            buffer: vec![0; 16 << 10],
            start: 0,
            end: 0,
        }
    }

    pub fn bytes(&self, message: &Message) -> &[u8] {
        &self.buffer[message.body.clone()]
    }

    /// The next message that has been received whole.
    pub fn buffered(&mut self) -> io::Result<Option<Message>> {
        let Some((tag, length)) = self.header()? else {
            return Ok(None);
        };
        if self.end - self.start < HEADER + length {
            return Ok(None);
        }
        let body = self.start + HEADER..self.start + HEADER + length;
        self.start = body.end;
        Ok(Some(Message { tag, body }))
    }

    /// The next message, waiting for it.
    pub fn next(&mut self, from: &mut impl Read) -> io::Result<Message> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(message);
            }
            self.fill(from)?;
        }
    }

    /// Type and body length of the message that begins at `start`.
    pub fn header(&self) -> io::Result<Option<(u8, usize)>> {
        let Some(header) = self.buffer[self.start..self.end].first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [tag, length @ ..] = *header;
        let length = u32::from_be_bytes(length) as usize;
        if !(4..=LONGEST).contains(&length) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a message claims to be {length} bytes long"),
            ));
        }
        Ok(Some((tag, length - 4)))
    }

    /// Reads once, making room first: unused bytes move to the front, and a full buffer doubles.
    pub fn fill(&mut self, from: &mut impl Read) -> io::Result<()> {
        self.close_gap(0);
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        } else if self.end == 0 && self.buffer.len() > 2 * BUFFER {
            self.buffer = vec![0; BUFFER];
        }
        self.read_more(from)
    }

    /// Reads once behind what is there.
    pub fn read_more(&mut self, from: &mut impl Read) -> io::Result<()> {
        let count = from.read(&mut self.buffer[self.end..])?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        }
        self.end += count;
        Ok(())
    }

    /// Moves what is not yet used to `front`, which must not lie behind it.
    pub fn close_gap(&mut self, front: usize) {
        if self.start > front {
            self.buffer.copy_within(self.start..self.end, front);
            self.end -= self.start - front;
            self.start = front;
        }
    }

    /// Makes room for COPY data: a batch and the largest message that is taken whole.
    pub fn grow_for_copy(&mut self) {
        if self.buffer.len() < 2 * BUFFER {
            self.buffer.resize(2 * BUFFER, 0);
        }
    }
}

/// Takes fixed-size pieces off the front of a message's body; `None` when it is cut short.
#[derive(Debug)]
pub(super) struct Body<'a>(pub &'a [u8]);

impl<'a> Body<'a> {
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    pub fn i16(&mut self) -> Option<i16> {
        self.bytes(2).map(|b| i16::from_be_bytes([b[0], b[1]]))
    }

    pub fn i32(&mut self) -> Option<i32> {
        self.bytes(4)
            .map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    pub fn text(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(0, self.0)?;
        let text = self.bytes(end)?;
        self.bytes(1)?;
        Some(text)
    }
}
