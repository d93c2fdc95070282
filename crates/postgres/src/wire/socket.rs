//! A TCP or unix socket, plain or under TLS, that cannot deadlock against the server.
//!
//! While we write, the server may be blocked writing notices to us; if neither reads, both wait for ever. So a write
//! that would block also takes in what the server has sent and keeps it for the next read.

use crate::connect::{Host, HostAddress, Keepalive};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt},
};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

/// Most that is taken in while a write waits; beyond it the write simply waits.
const PENDING_LIMIT: usize = 64 << 20;
const RECEIVE_BUFFER: usize = 1 << 20;

/// Where a socket leads, exact enough to reach the same server again.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Tcp { address: SocketAddr, name: String },
    Unix(PathBuf),
}

impl Address {
    /// Everything that a host's name stands for.
    pub fn of(host: &Host) -> io::Result<Vec<Address>> {
        match &host.address {
            HostAddress::Socket(_) => {
                Ok(host.socket_path().map(Address::Unix).into_iter().collect())
            }
            HostAddress::Tcp { name, address } => {
                let addresses: Vec<SocketAddr> = match address {
                    Some(ip) => vec![(*ip, host.port).into()],
                    None => (name.as_str(), host.port).to_socket_addrs()?.collect(),
                };
                Ok(addresses
                    .into_iter()
                    .map(|address| Address::Tcp {
                        address,
                        name: name.clone(),
                    })
                    .collect())
            }
        }
    }

    pub fn connect(&self, timeout: Option<Duration>, keepalive: &Keepalive) -> io::Result<Socket> {
        let fd: OwnedFd = match self {
            Address::Unix(path) => UnixStream::connect(path)?.into(),
            Address::Tcp { address, .. } => {
                let stream = match timeout {
                    Some(limit) => TcpStream::connect_timeout(address, limit)?,
                    None => TcpStream::connect(address)?,
                };
                stream.set_nodelay(true)?;
                keep_alive(&stream, keepalive)?;
                stream.into()
            }
        };
        // The kernel may grant less; only speed depends on it.
        if matches!(self, Address::Unix(_)) {
            let _ = sockopt::set_socket_recv_buffer_size(&fd, RECEIVE_BUFFER);
        }
        let socket = Socket {
            fd,
            pending: Vec::new(),
            taken: 0,
        };
        socket.set_timeout(timeout)?;
        Ok(socket)
    }
}

fn keep_alive(stream: &TcpStream, keepalive: &Keepalive) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, keepalive.enabled)?;
    if keepalive.enabled {
        if let Some(idle) = keepalive.idle {
            sockopt::set_tcp_keepidle(stream, idle)?;
        }
        if let Some(interval) = keepalive.interval {
            sockopt::set_tcp_keepintvl(stream, interval)?;
        }
        if let Some(count) = keepalive.count {
            sockopt::set_tcp_keepcnt(stream, count)?;
        }
    }
    #[cfg(target_os = "linux")]
    if let Some(limit) = keepalive.user_timeout {
        sockopt::set_tcp_user_timeout(stream, limit.as_millis().try_into().unwrap_or(u32::MAX))?;
    }
    Ok(())
}

#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    /// Taken in while a write waited.
    pending: Vec<u8>,
    /// How much of `pending` has been read since.
    taken: usize,
}

impl Socket {
    /// Bounds every single read; `None` waits for ever.
    pub fn set_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        sockopt::set_socket_timeout(&self.fd, sockopt::Timeout::Recv, limit)?;
        Ok(())
    }

    pub fn try_clone_fd(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    pub fn close(&self) {
        shut(self.fd.as_fd());
    }

    /// True when a read would return at once.
    pub fn has_input(&self) -> bool {
        self.taken < self.pending.len()
            || self
                .wait(PollFlags::IN, Some(Duration::ZERO))
                .is_ok_and(|f| !f.is_empty())
    }

    fn wait(&self, flags: PollFlags, timeout: Option<Duration>) -> io::Result<PollFlags> {
        let mut fds = [PollFd::new(&self.fd, flags)];
        let timeout = timeout.map(|t| Timespec {
            tv_sec: t.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: t.subsec_nanos().into(),
        });
        loop {
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) => return Ok(fds[0].revents()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn take_in(&mut self) -> io::Result<()> {
        let filled = self.pending.len();
        self.pending.resize(filled + (64 << 10), 0);
        let received = recv(&self.fd, &mut self.pending[filled..], RecvFlags::DONTWAIT);
        let count = match received {
            Ok((count, _)) => count,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(e) => {
                self.pending.truncate(filled);
                return Err(e.into());
            }
        };
        self.pending.truncate(filled + count);
        Ok(())
    }
}

pub(super) fn shut(fd: BorrowedFd<'_>) {
    // Fails only when the peer has gone already.
    let _ = shutdown(fd, Shutdown::Both);
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken < self.pending.len() {
            let count = buffer.len().min(self.pending.len() - self.taken);
            buffer[..count].copy_from_slice(&self.pending[self.taken..self.taken + count]);
            self.taken += count;
            if self.taken == self.pending.len() {
                self.pending = Vec::new();
                self.taken = 0;
            }
            return Ok(count);
        }
        loop {
            match recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((count, _)) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        loop {
            match send(&self.fd, data, SendFlags::DONTWAIT) {
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let room = self.pending.len() - self.taken < PENDING_LIMIT;
                    let wanted = if room {
                        PollFlags::IN | PollFlags::OUT
                    } else {
                        PollFlags::OUT
                    };
                    let ready = self.wait(wanted, None)?;
                    if ready.contains(PollFlags::IN) && !ready.contains(PollFlags::OUT) {
                        self.take_in()?;
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket as the protocol sees it.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(Socket),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, Socket>>),
}

impl Transport {
    pub fn socket(&self) -> &Socket {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.read(buffer),
            Transport::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.write(data),
            Transport::Tls(stream) => stream.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(socket) => socket.flush(),
            Transport::Tls(stream) => stream.flush(),
        }
    }
}
