//! TLS from certificate files, which are read again when they change: a renewed certificate needs no restart.

use crate::settings::TlsFiles;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::SystemTime;
use tokio_rustls::TlsAcceptor;

/// The certificate in use.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    current: Arc<RwLock<Current>>,
}

struct Current {
    config: Arc<ServerConfig>,
    changed: Stamps,
}

/// When certificate and key were last written.
type Stamps = (Option<SystemTime>, Option<SystemTime>);

impl Tls {
    pub async fn load(files: &TlsFiles) -> io::Result<Self> {
        let files = files.clone();
        let current = tokio::task::spawn_blocking({
            let files = files.clone();
            move || read(&files)
        })
        .await
        .map_err(io::Error::other)??;
        Ok(Self {
            files,
            current: Arc::new(RwLock::new(current)),
        })
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        let current = self
            .current
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        TlsAcceptor::from(current.config.clone())
    }

    /// Takes the files up again if they were written since. Files that cannot be used leave the old certificate.
    pub fn refresh(&self) -> io::Result<bool> {
        let before = self
            .current
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .changed;
        if stamps(&self.files) == before {
            return Ok(false);
        }
        let fresh = read(&self.files)?;
        *self
            .current
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = fresh;
        Ok(true)
    }
}

fn read(files: &TlsFiles) -> io::Result<Current> {
    let changed = stamps(files);
    let cannot = |path: &Path, why: &dyn std::fmt::Display| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("cannot use {}: {why}", path.display()),
        )
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
        .map_err(|error| cannot(&files.certificate, &error))?;
    if chain.is_empty() {
        return Err(cannot(&files.certificate, &"it holds no certificate"));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| cannot(&files.key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| cannot(&files.certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Current {
        config: Arc::new(config),
        changed,
    })
}

fn stamps(files: &TlsFiles) -> Stamps {
    let stamp = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|meta| meta.modified())
            .ok()
    };
    (stamp(&files.certificate), stamp(&files.key))
}
