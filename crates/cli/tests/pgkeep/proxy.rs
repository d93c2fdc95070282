//! A way to a server that a test can stop at an exact moment of what is said on it.
//!
//! A test that acts "in the middle" of something must neither come too late on a fast machine nor too early on a slow one.
//! So what is to be interrupted reaches its server through here, and is held at a point of the conversation itself: nothing
//! gets past that point, and everything comes to it. Both sides stay connected until the test lets them go on or hangs up.
//!
//! Only conversations of which the rule speaks are held; all others, such as requests to cancel, pass. From a held server
//! nothing more is taken, so one that has much more to say soon waits for us. What a held client still says is taken and
//! kept for later: else its hanging up, which comes behind it, would not be noticed. Its server is told of that at once.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt::set_socket_recv_buffer_size,
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a connection may take in before we read it.
const AHEAD: usize = 64 << 10;
/// A start-up packet, or the head of a request, is shorter.
const OPENING: usize = 4 << 10;
/// How long a held conversation waits for its client before it asks what the test has decided on.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};
/// The code of a request to cancel, with its length before it.
const CANCEL: [u8; 8] = [0, 0, 0, 16, 4, 210, 22, 46];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// Something that was said and is about to be passed on.
pub struct Passing<'a> {
    pub from: Side,
    /// Bytes from this side in this conversation, with these.
    pub bytes: u64,
    /// Bytes from this side in all conversations, with these.
    pub total: u64,
    piece: &'a [u8],
    opening: &'a [u8],
}

impl Passing<'_> {
    /// The database that a session of PostgreSQL is in.
    pub fn database(&self) -> &str {
        let name = b"database\0";
        let at = position(self.opening, name).map_or(self.opening.len(), |at| at + name.len());
        let value = self.opening[at..].split(|byte| *byte == 0).next();
        std::str::from_utf8(value.unwrap_or_default()).unwrap_or_default()
    }

    pub fn begins_with(&self, words: &str) -> bool {
        self.piece.starts_with(words.as_bytes())
    }

    pub fn says(&self, words: &str) -> bool {
        position(self.piece, words.as_bytes()).is_some()
    }
}

fn position(text: &[u8], words: &[u8]) -> Option<usize> {
    text.windows(words.len()).position(|part| part == words)
}

pub struct HoldingProxy {
    port: u16,
    shared: Arc<Shared>,
}

impl HoldingProxy {
    /// Listens on a port of its own, before the server on port `server`. A conversation is held before the first piece for
    /// which the rule holds.
    pub fn before(
        server: u16,
        rule: impl Fn(&Passing<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            rule: Box::new(rule),
            state: Mutex::default(),
            totals: Default::default(),
        });
        let accepting = shared.clone();
        // Ends with the process of the test, as all others do with their conversation.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                match TcpStream::connect(("127.0.0.1", server)) {
                    Ok(server) => converse(&accepting, client, server),
                    Err(_) => accepting.state().misses += 1,
                }
            }
        });
        Self { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether a conversation is being held.
    pub fn holds(&self) -> bool {
        self.shared.state().held > 0
    }

    /// Lets everything pass from now on.
    pub fn release(&self) {
        self.shared.state().then = Some(Then::Pass);
    }

    /// Hangs up on everybody that is held, or says anything from now on.
    pub fn cut(&self) {
        self.shared.state().then = Some(Then::HangUp);
    }

    /// Requests to cancel a statement that the server has taken.
    pub fn cancel_requests(&self) -> usize {
        self.shared.state().cancel_requests
    }

    /// Clients that were turned away because the server was not there.
    pub fn misses(&self) -> usize {
        self.shared.state().misses
    }
}

struct Shared {
    rule: Box<dyn Fn(&Passing<'_>) -> bool + Send + Sync>,
    state: Mutex<State>,
    /// Bytes from the client and from the server.
    totals: [AtomicU64; 2],
}

#[derive(Default)]
struct State {
    held: usize,
    then: Option<Then>,
    cancel_requests: usize,
    misses: usize,
}

/// What the test has decided on.
#[derive(Clone, Copy)]
enum Then {
    Pass,
    HangUp,
}

/// One client with its connection to the server.
struct Conversation {
    client: TcpStream,
    server: TcpStream,
    opening: Mutex<Vec<u8>>,
}

fn converse(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    set_socket_recv_buffer_size(&client, AHEAD).unwrap();
    set_socket_recv_buffer_size(&server, AHEAD).unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let conversation = Arc::new(Conversation {
        client,
        server,
        opening: Mutex::default(),
    });
    for from in [Side::Client, Side::Server] {
        let (shared, conversation) = (shared.clone(), conversation.clone());
        std::thread::spawn(move || {
            shared.pass(&conversation, from);
            let _ = conversation.client.shutdown(Shutdown::Both);
            let _ = conversation.server.shutdown(Shutdown::Both);
        });
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Passes on what one side says, until either is gone.
    fn pass(&self, conversation: &Conversation, from: Side) {
        let (mut source, mut target) = match from {
            Side::Client => (&conversation.client, &conversation.server),
            Side::Server => (&conversation.server, &conversation.client),
        };
        let mut buffer = [0; 16 << 10];
        let mut bytes = 0;
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            let mut said = buffer[..count].to_vec();
            let opening = conversation.opening_with(from, &said);
            bytes += count as u64;
            let total = &self.totals[from as usize];
            let passing = Passing {
                from,
                bytes,
                total: total.fetch_add(count as u64, Ordering::SeqCst) + count as u64,
                piece: &said,
                opening: &opening,
            };
            if self.is_held_at(&passing) && !self.hold(&conversation.client, from, &mut said) {
                return;
            }
            let cut = matches!(self.state().then, Some(Then::HangUp));
            if cut || target.write_all(&said).is_err() {
                return;
            }
        }
        // The server hangs up once it has taken such a request.
        if from == Side::Server && position(&lock(&conversation.opening), &CANCEL).is_some() {
            self.state().cancel_requests += 1;
        }
    }

    fn is_held_at(&self, passing: &Passing<'_>) -> bool {
        let mut state = self.state();
        let held = state.then.is_none() && (self.rule)(passing);
        state.held += usize::from(held);
        held
    }

    /// Waits until the test has decided; false when the client hung up before. What it says meanwhile is added to `said`.
    fn hold(&self, client: &TcpStream, from: Side, said: &mut Vec<u8>) -> bool {
        let mut is_there = true;
        while is_there && self.state().then.is_none() {
            is_there = match from {
                Side::Client => take_in(client, said),
                Side::Server => !comes(client, PollFlags::RDHUP),
            };
        }
        self.state().held -= 1;
        is_there
    }
}

impl Conversation {
    /// What the client said first, as far as it is known.
    fn opening_with(&self, from: Side, piece: &[u8]) -> Vec<u8> {
        let mut opening = lock(&self.opening);
        if from == Side::Client {
            let room = OPENING - opening.len();
            opening.extend_from_slice(&piece[..room.min(piece.len())]);
        }
        opening.clone()
    }
}

/// Takes in what comes in a moment; false when nothing can come any more.
fn take_in(mut client: &TcpStream, said: &mut Vec<u8>) -> bool {
    if !comes(client, PollFlags::IN) {
        return true;
    }
    let mut buffer = [0; 16 << 10];
    let count = client.read(&mut buffer).unwrap_or(0);
    said.extend_from_slice(&buffer[..count]);
    count > 0
}

/// Whether that comes in a moment, or the connection is broken.
fn comes(stream: &TcpStream, what: PollFlags) -> bool {
    let mut polled = [PollFd::new(stream, what)];
    poll(&mut polled, Some(&LOOK)).is_ok_and(|ready| ready > 0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
