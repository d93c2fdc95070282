//! Over real sockets: slow clients, many at once, a full server, TLS, and the end.

use crate::scene::Scene;
use pgkeep_server::http::Listener;
use pgkeep_server::http::tls::Tls;
use pgkeep_server::settings::{HttpSettings, TlsFiles};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

const GET: &[u8] = b"GET /api/v1/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

struct Served {
    scene: Scene,
    address: SocketAddr,
    task: JoinHandle<()>,
}

async fn serve(change: impl FnOnce(&mut HttpSettings)) -> Served {
    let scene = Scene::with(|settings| {
        settings.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        change(&mut settings.http);
    })
    .await;
    let settings = scene.state.settings.http.clone();
    let listener = Listener::bind(&settings).await.unwrap();
    let address = listener.address().unwrap();
    let (front, shutdown) = (scene.front.clone(), scene.state.shutdown.clone());
    let task = tokio::spawn(async move { listener.serve(front, &settings, shutdown).await });
    Served {
        scene,
        address,
        task,
    }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Everything that comes after what was sent, until the server closes.
    async fn exchange(&self, sent: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(sent).await.unwrap();
        everything(&mut stream).await
    }
}

/// A cut connection ends what is read like one that was closed.
async fn everything(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4_096];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        bytes.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn clients_that_say_nothing_or_say_it_slowly_are_cut() {
    let server = serve(|http| http.header_time = Duration::from_millis(50)).await;
    for begin in [&b""[..], b"G", b"GET /api/v1/apps HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(begin).await.unwrap();
        // The server ends it; nothing here does.
        let answer = everything(&mut stream).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    assert!(server.exchange(GET).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = serve(|_| {}).await;
    let head = format!(
        "GET /api/v1/health/live HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n",
        "a".repeat(200_000)
    );
    let mut stream = server.connect().await;
    // It may be cut before all of it is sent.
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = everything(&mut stream).await;
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert!(server.exchange(GET).await.starts_with("HTTP/1.1 200"));
}

/// Connections that may be open here at once; this process holds both ends.
fn most_open() -> usize {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most = most.map_or(10_000, |most| usize::try_from(most).unwrap_or(10_000));
    (most / 4).clamp(16, 500)
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_are_answered_or_refused_and_leave_nothing() {
    const REQUESTS: usize = 10_000;
    let server = Arc::new(
        serve(|http| {
            http.max_connections = 64;
            http.max_requests = 8;
        })
        .await,
    );
    assert!(server.exchange(GET).await.starts_with("HTTP/1.1 200"));
    let before = open_files();
    let room = Arc::new(Semaphore::new(most_open()));
    let asked = Arc::new(format!(
        "GET /api/v1/apps HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        server.scene.admin
    ));
    let clients: Vec<_> = (0..REQUESTS)
        .map(|number| {
            let (server, room, asked) = (server.clone(), room.clone(), asked.clone());
            tokio::spawn(async move {
                let _open = room.acquire().await.unwrap();
                match number % 10 {
                    0 => server.exchange(asked.as_bytes()).await,
                    _ => server.exchange(GET).await,
                }
            })
        })
        .collect();
    let (mut answered, mut refused) = (0, 0);
    for client in clients {
        let answer = client.await.unwrap();
        if answer.starts_with("HTTP/1.1 200") {
            answered += 1;
        } else {
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
            assert!(answer.contains("retry-after: 1"), "{answer}");
            refused += 1;
        }
    }
    assert_eq!(answered + refused, REQUESTS);
    assert!(answered > 0);
    assert!(server.exchange(GET).await.starts_with("HTTP/1.1 200"));
    // The catalog may have opened a few more connections to its file.
    let most = before + 32;
    tokio::time::timeout(Duration::from_secs(120), async {
        while open_files() > most {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("connections are closed on both sides");
}

#[tokio::test]
async fn the_end_waits_for_open_requests_and_not_for_idle_clients() {
    let server = serve(|_| {}).await;
    let mut idle = server.connect().await;
    let kept = b"GET /api/v1/health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    idle.write_all(kept).await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    let mut open = server.connect().await;
    let body = br#"{"databases":["shop"]}"#;
    let head = format!(
        "PUT /api/v1/apps/shop HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        server.scene.admin,
        body.len()
    );
    open.write_all(head.as_bytes()).await.unwrap();
    // The server has begun to read the body: the request is being answered.
    let mut go_on = [0; 25];
    open.read_exact(&mut go_on).await.unwrap();
    assert!(
        go_on.starts_with(b"HTTP/1.1 100"),
        "{}",
        String::from_utf8_lossy(&go_on)
    );
    server.scene.state.shutdown.cancel();
    open.write_all(body).await.unwrap();
    let answer = everything(&mut open).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    everything(&mut idle).await;
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn an_open_request_that_does_not_end_is_cut_in_time() {
    let server = serve(|http| {
        http.shutdown_time = Duration::from_millis(50);
        http.request_time = Duration::from_secs(3_600);
    })
    .await;
    let mut open = server.connect().await;
    let head = format!(
        "PUT /api/v1/apps/shop HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n",
        server.scene.admin
    );
    open.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    open.read_exact(&mut go_on).await.unwrap();
    server.scene.state.shutdown.cancel();
    server.task.await.unwrap();
}

#[tokio::test]
async fn tls_speaks_both_versions_and_takes_up_a_new_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        certificate: dir.path().join("cert.pem"),
        key: dir.path().join("key.pem"),
    };
    let missing = HttpSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: Some(files.clone()),
        ..HttpSettings::default()
    };
    let error = Listener::bind(&missing)
        .await
        .err()
        .expect("there is no certificate");
    assert!(error.to_string().contains("cert.pem"), "{error}");
    let made = pgkeep_testkit::server_identity();
    std::fs::copy(&made.certificate, &files.certificate).unwrap();
    std::fs::copy(&made.key, &files.key).unwrap();
    let server = serve(|http| http.tls = Some(files.clone())).await;
    for version in [b"http/1.1".to_vec(), b"h2".to_vec()] {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&made.root_cert).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![version.clone()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into().unwrap();
        let stream = connector
            .connect(name, server.connect().await)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&version[..]));
    }
    // A certificate that cannot be used leaves the one that can.
    let tls = Tls::load(&files).await.unwrap();
    assert!(!tls.refresh().unwrap());
    std::fs::write(&files.certificate, "").unwrap();
    let later = std::time::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    let file = std::fs::File::options()
        .write(true)
        .open(&files.certificate)
        .unwrap();
    file.set_modified(later).unwrap();
    assert!(tls.refresh().is_err());
    std::fs::copy(&made.certificate, &files.certificate).unwrap();
    assert!(tls.refresh().unwrap());
}
