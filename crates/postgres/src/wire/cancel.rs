//! Stopping a statement from outside, over a connection of its own.

use super::{
    socket::{Address, Transport, shut},
    tls::Tls,
};
use crate::connect::Keepalive;
use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustix::fd::{AsFd, OwnedFd};
use std::{
    fmt,
    io::{self, Read, Write},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long reaching the server for a cancel request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// How long the server may take to end a cancelled statement before its connection is cut.
const GRACE: Duration = Duration::from_secs(10);

/// Where a cancel request goes, and the key that the server gave for it.
#[derive(Clone)]
pub(super) struct Target {
    pub address: Address,
    pub tls: Option<Tls>,
    /// Process and secret; the secret lets anyone cancel, so it is never shown.
    pub key: (i32, i32),
}

impl Target {
    /// Sends the request and waits until the server has taken it; an error where it does not within [`REQUEST_LIMIT`].
    pub fn request(&self) -> io::Result<()> {
        let mut socket = self
            .address
            .connect(Some(REQUEST_LIMIT), &Keepalive::default())?;
        let mut out = BytesMut::new();
        let mut transport = match &self.tls {
            None => Transport::Plain(socket),
            Some(tls) => {
                frontend::ssl_request(&mut out);
                socket.write_all(&out)?;
                let mut answer = [0];
                socket.read_exact(&mut answer)?;
                if answer[0] != b'S' {
                    return Err(io::Error::other("the server no longer offers TLS"));
                }
                let name = match &self.address {
                    Address::Tcp { name, .. } => name.as_str(),
                    Address::Unix(_) => "localhost",
                };
                tls.wrap(socket, name, "the server")
                    .map_err(io::Error::other)?
            }
        };
        out.clear();
        frontend::cancel_request(self.key.0, self.key.1, &mut out);
        transport.write_all(&out)?;
        transport.flush()?;
        // The server closes the connection once the signal is sent; how it closes does not matter.
        match transport.read(&mut [0; 16]) {
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                Err(e)
            }
            _ => Ok(()),
        }
    }
}

/// State that a connection shares with its cancel handles.
pub(super) struct Shared {
    pub target: Target,
    fd: OwnedFd,
    /// A statement runs.
    busy: Mutex<bool>,
    idle: Condvar,
    /// Cancelling was asked for; errors that follow are its consequence.
    cancelled: AtomicBool,
}

impl Shared {
    pub fn new(target: Target, fd: OwnedFd) -> Self {
        Self {
            target,
            fd,
            busy: Mutex::new(false),
            idle: Condvar::new(),
            cancelled: AtomicBool::new(false),
        }
    }

    pub fn set_busy(&self, busy: bool) {
        *self.lock() = busy;
        if !busy {
            self.idle.notify_all();
        }
    }

    pub fn is_busy(&self) -> bool {
        *self.lock()
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    pub fn forget_cancel(&self) {
        self.cancelled.store(false, Ordering::SeqCst);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, bool> {
        self.busy
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits until no statement runs; false when the time is up.
    fn wait_idle(&self, limit: Duration) -> bool {
        let waited = self
            .idle
            .wait_timeout_while(self.lock(), limit, |busy| *busy);
        let (busy, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        !*busy
    }
}

/// Stops whatever a connection is doing. May be kept and used by any thread.
#[derive(Clone)]
pub struct CancelHandle {
    pub(super) shared: Arc<Shared>,
}

impl CancelHandle {
    /// Asks the server to cancel the running statement; if that has no effect within ten seconds, cuts the connection.
    /// Returns at once: the work is done by a thread of its own. The connection's calls then fail with
    /// [`crate::Error::Cancelled`].
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::SeqCst);
        let shared = self.shared.clone();
        let stopper = std::thread::Builder::new()
            .name("pg-cancel".into())
            .spawn(move || {
                if !shared.is_busy() {
                    return;
                }
                // A request that arrives a moment before the statement does is lost, so it is repeated.
                for _ in 0..GRACE.as_secs() {
                    if shared.target.request().is_err() {
                        break;
                    }
                    if shared.wait_idle(Duration::from_secs(1)) {
                        return;
                    }
                }
                shut(shared.fd.as_fd());
            });
        if stopper.is_err() {
            self.disconnect();
        }
    }

    /// Cuts the connection without asking the server.
    pub fn disconnect(&self) {
        self.shared.cancelled.store(true, Ordering::SeqCst);
        shut(self.shared.fd.as_fd());
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle")
            .field("address", &self.shared.target.address)
            .field("backend_pid", &self.shared.target.key.0)
            .finish_non_exhaustive()
    }
}
