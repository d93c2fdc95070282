//! A certificate authority of the tests, made once with openssl: a server certificate for `localhost` and 127.0.0.1, and a
//! client certificate for the superuser.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::run;
use crate::installed::{ServerUser, cache_dir};

/// What a client needs to speak TLS with a [`TestPostgres`](crate::TestPostgres).
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The authority that signed the server's certificate (`sslrootcert`).
    pub root_cert: PathBuf,
    /// An authority that signed nothing here: a client that trusts only it must refuse the server.
    pub foreign_root_cert: PathBuf,
    /// The superuser's certificate and key (`sslcert`, `sslkey`).
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
}

/// What a server on this machine needs to speak TLS, and what its clients check it with.
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    /// For `localhost` and 127.0.0.1.
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub root_cert: PathBuf,
}

/// The certificate of the tests' servers.
pub fn server_identity() -> ServerIdentity {
    let made = authority();
    ServerIdentity {
        certificate: made.join("server.crt"),
        key: made.join("server.key"),
        root_cert: made.join("root.crt"),
    }
}

/// A certificate that a server signed for itself, for `localhost` alone, as `openssl req -x509` makes it: marked as an
/// authority's.
pub fn self_signed() -> ServerIdentity {
    let made = authority();
    ServerIdentity {
        certificate: made.join("self.crt"),
        key: made.join("self.key"),
        root_cert: made.join("self.crt"),
    }
}

/// Puts the server's certificate into a data folder and gives the settings that turn TLS on.
pub(crate) fn install(data_dir: &Path) -> String {
    let made = authority();
    for name in ["server.crt", "server.key", "root.crt"] {
        let target = data_dir.join(name);
        fs::copy(made.join(name), &target).expect("a data folder can be written");
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600))
            .expect("its own file can be protected");
        if let Some(user) = ServerUser::other_than_root() {
            user.own(&target);
        }
    }
    "ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\nssl_ca_file = 'root.crt'\n".to_owned()
}

pub(crate) fn files() -> TlsFiles {
    let made = authority();
    TlsFiles {
        root_cert: made.join("root.crt"),
        foreign_root_cert: made.join("foreign.crt"),
        client_cert: made.join("client.crt"),
        client_key: made.join("client.key"),
    }
}

fn authority() -> PathBuf {
    let cache = cache_dir();
    fs::create_dir_all(&cache)
        .unwrap_or_else(|error| panic!("creating {}: {error}", cache.display()));
    let ready = cache.join("tls-2");
    let lock = File::create(cache.join("tls-2.lock")).expect("the cache can be written");
    lock.lock().expect("the file system knows locks");
    if !ready.exists() {
        let unfinished = cache.join("tls-2.new");
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir(&unfinished).expect("the cache can be written");
        root(&unfinished, "root", "pgkeep test authority", None);
        root(&unfinished, "foreign", "another authority", None);
        let name = Some("subjectAltName=DNS:localhost");
        root(&unfinished, "self", "localhost", name);
        signed(
            &unfinished,
            "server",
            "localhost",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        );
        signed(
            &unfinished,
            "client",
            "postgres",
            "extendedKeyUsage=clientAuth",
        );
        fs::rename(&unfinished, &ready).expect("a folder can be renamed in its place");
    }
    ready
}

fn root(dir: &Path, name: &str, subject: &str, extension: Option<&str>) {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    command.args(["-days", "36500", "-subj", &format!("/CN={subject}")]);
    if let Some(extension) = extension {
        command.args(["-addext", extension]);
    }
    run(command.args([
        "-keyout",
        &format!("{name}.key"),
        "-out",
        &format!("{name}.crt"),
    ]));
}

fn signed(dir: &Path, name: &str, subject: &str, extension: &str) {
    fs::write(dir.join(format!("{name}.ext")), extension).expect("the cache can be written");
    let mut request = Command::new("openssl");
    request.current_dir(dir).args([
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    request.args([
        "-subj",
        &format!("/CN={subject}"),
        "-keyout",
        &format!("{name}.key"),
        "-out",
        &format!("{name}.csr"),
    ]);
    run(&mut request);
    let mut signing = Command::new("openssl");
    signing.current_dir(dir).args([
        "x509",
        "-req",
        "-days",
        "36500",
        "-CA",
        "root.crt",
        "-CAkey",
        "root.key",
        "-CAcreateserial",
    ]);
    signing.args([
        "-in",
        &format!("{name}.csr"),
        "-out",
        &format!("{name}.crt"),
        "-extfile",
        &format!("{name}.ext"),
    ]);
    run(&mut signing);
}
