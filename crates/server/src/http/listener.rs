//! Accepts connections and serves HTTP on them.
//!
//! Bounds: a connection is accepted only while there is room (more wait in the kernel's queue); a client has
//! `header_time` for its TLS handshake and for each head of a request; one that stops reading its answer is cut after
//! `STALL`. Without TLS HTTP/1.1 is spoken, with TLS HTTP/2, too. At the end, connections finish what they are
//! answering within `shutdown_time`.

use super::front::Front;
use super::stall::StallGuard;
use super::tls::Tls;
use crate::settings::HttpSettings;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may leave its answer unread.
const STALL: Duration = Duration::from_secs(60);
/// Connections that the kernel keeps waiting.
const BACKLOG: u32 = 4_096;
/// File descriptors that are not for connections.
const RESERVED_FILES: u64 = 256;

/// A bound address.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
}

impl Listener {
    /// Takes the address and reads the certificate.
    pub async fn bind(settings: &HttpSettings) -> io::Result<Self> {
        let tls = match &settings.tls {
            Some(files) => Some(Tls::load(files).await?),
            None => None,
        };
        let socket = match settings.listen {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(settings.listen)?;
        Ok(Self {
            tcp: socket.listen(BACKLOG)?,
            tls,
        })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The certificate in use.
    pub fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    /// The address as a person opens it.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.address()?))
    }

    /// Serves until `shutdown`, then until open requests are answered or `shutdown_time` is over.
    pub async fn serve(self, front: Front, settings: &HttpSettings, shutdown: CancellationToken) {
        let room = Arc::new(Semaphore::new(connections(settings.max_connections)));
        let open = TaskTracker::new();
        let header_time = settings.header_time;
        let serve = Serve {
            front,
            header_time,
            shutdown: shutdown.clone(),
        };
        loop {
            let (place, accepted) = tokio::select! {
                () = shutdown.cancelled() => break,
                next = async {
                    let place = room.clone().acquire_owned().await.expect("never closed");
                    (place, self.tcp.accept().await)
                } => next,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    accept_failed(&error).await;
                    continue;
                }
            };
            let tls = self.tls.as_ref().map(Tls::acceptor);
            let serve = serve.clone();
            open.spawn(async move {
                let _place = place;
                serve.connection(stream, peer, tls).await;
            });
        }
        drop(self.tcp);
        open.close();
        if tokio::time::timeout(settings.shutdown_time, open.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = open.len(),
                "connections were cut that had not finished in time"
            );
        }
    }
}

/// As many connections as were asked for, or as there are file descriptors for.
fn connections(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let possible = files.map_or(usize::MAX, |files| {
        usize::try_from(files.saturating_sub(RESERVED_FILES).max(16)).unwrap_or(usize::MAX)
    });
    if possible < wanted {
        tracing::warn!(
            wanted,
            possible,
            "the limit of open files allows fewer connections"
        );
    }
    wanted.min(possible)
}

async fn accept_failed(error: &io::Error) {
    let of_that_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    );
    if !of_that_client {
        tracing::warn!(%error, "a connection could not be accepted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[derive(Clone)]
struct Serve {
    front: Front,
    header_time: Duration,
    shutdown: CancellationToken,
}

impl Serve {
    async fn connection(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) {
        // Answers are written whole; waiting for more only delays them.
        let _ = stream.set_nodelay(true);
        let stream = StallGuard::new(stream, STALL);
        let Some(tls) = tls else {
            return self.http1(stream, peer, false).await;
        };
        match tokio::time::timeout(self.header_time, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    self.http2(stream, peer).await;
                } else {
                    self.http1(stream, peer, true).await;
                }
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn http1<S>(self, stream: S, peer: SocketAddr, tls: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let front = self.front.clone();
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_time)
            .max_buf_size(64 << 10)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| answer(front.clone(), request, peer, tls)),
            );
        self.drive(connection, peer, |connection| {
            connection.graceful_shutdown()
        })
        .await;
    }

    async fn http2<S>(self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let front = self.front.clone();
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .keep_alive_timeout(Duration::from_secs(20))
            .max_concurrent_streams(64)
            .max_header_list_size(32 << 10)
            .max_send_buf_size(256 << 10)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| answer(front.clone(), request, peer, true)),
            );
        self.drive(connection, peer, |connection| {
            connection.graceful_shutdown()
        })
        .await;
    }

    /// Serves a connection to its end. At the server's own, `wind_up` lets it finish what it is answering.
    async fn drive<C>(&self, connection: C, peer: SocketAddr, wind_up: fn(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut connection = pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.shutdown.cancelled() => {
                wind_up(connection.as_mut());
                connection.await
            }
        };
        // A client that goes away or dawdles is no fault of the server's.
        if let Err(error) = result {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}

async fn answer(
    front: Front,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    tls: bool,
) -> Result<hyper::Response<Body>, Infallible> {
    Ok(front.answer(request.map(Body::new), peer, tls).await)
}
