//! Encryption, with the meaning that libpq gives to each `sslmode`.
//!
//! `require` without a root certificate encrypts but trusts anyone; `verify-ca` checks the chain; `verify-full` the
//! name as well. Unlike libpq a name is only looked for among the certificate's subject alternative names.

use super::socket::{Socket, Transport};
use crate::{
    connect::{ConnectOptions, RootCertificates, SslMode},
    error::{Error, Result},
};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::{path::Path, sync::Arc};

/// Encryption as configured, ready for any number of connections.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    pub fn new(options: &ConnectOptions, to: &str) -> Result<Self> {
        let fail = |what: String| Error::Tls {
            to: to.to_owned(),
            what,
            hint: None,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match options.sslmode {
            SslMode::VerifyCa | SslMode::VerifyFull => {
                Arc::new(Verifier::new(options, &provider, to)?)
            }
            _ => Arc::new(TrustAnyone(provider.clone())),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| fail(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &options.client_certificate {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain = read_certificates(&files.certificate).map_err(&fail)?;
                let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| {
                    fail(format!(
                        "the client key {} cannot be read: {e}",
                        files.key.display()
                    ))
                })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|e| fail(format!("the client certificate cannot be used: {e}")))?
            }
        };
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Shakes hands over a socket whose server has agreed to TLS.
    pub fn wrap(&self, mut socket: Socket, host: &str, to: &str) -> Result<Transport> {
        // A name that is no host name (allowed below verify-full, where nobody looks at it) cannot be announced.
        let name = ServerName::try_from(host.to_owned())
            .or_else(|_| ServerName::try_from("invalid.invalid"))
            .map_err(|e| tls_error(to, &e.to_string(), None))?;
        let mut tls = ClientConnection::new(self.config.clone(), name)
            .map_err(|e| tls_error(to, &e.to_string(), None))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)
                .map_err(|e| handshake_error(to, &e))?;
        }
        Ok(Transport::Tls(Box::new(rustls::StreamOwned::new(
            tls, socket,
        ))))
    }
}

fn tls_error(to: &str, what: &str, hint: Option<&str>) -> Error {
    Error::Tls {
        to: to.to_owned(),
        what: what.to_owned(),
        hint: hint.map(str::to_owned),
    }
}

fn handshake_error(to: &str, error: &std::io::Error) -> Error {
    let inner = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            CertificateError::UnknownIssuer => tls_error(
                to,
                "the server's certificate is not signed by a trusted authority",
                Some("name the authority's certificate with sslrootcert"),
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                tls_error(
                    to,
                    &format!("the server's certificate is for another name: {reason}"),
                    Some(
                        "connect by a name that the certificate lists as a subject alternative name, or use sslmode=verify-ca",
                    ),
                )
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => tls_error(
                to,
                &format!("the server's certificate has expired: {reason}"),
                Some("renew it"),
            ),
            other => tls_error(
                to,
                &format!("the server's certificate is not acceptable: {other}"),
                None,
            ),
        },
        _ => tls_error(to, &error.to_string(), None),
    }
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|e| {
            format!(
                "the certificate file {} cannot be read: {e}",
                file.display()
            )
        })?;
    if certificates.is_empty() {
        return Err(format!(
            "the certificate file {} holds no certificate",
            file.display()
        ));
    }
    Ok(certificates)
}

/// Checks chain and dates always, the name only under `verify-full`.
#[derive(Debug)]
struct Verifier {
    chain: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
    check_name: bool,
}

impl Verifier {
    fn new(options: &ConnectOptions, provider: &Arc<CryptoProvider>, to: &str) -> Result<Self> {
        let roots = match &options.sslrootcert {
            RootCertificates::None => {
                return Err(tls_error(
                    to,
                    &format!(
                        "sslmode={} needs a root certificate",
                        options.sslmode.as_str()
                    ),
                    Some(
                        "name it with sslrootcert, put it into ~/.postgresql/root.crt, or use sslrootcert=system",
                    ),
                ));
            }
            RootCertificates::File(file) => read_certificates(file)
                .map_err(|what| tls_error(to, &what, Some("check sslrootcert")))?,
            RootCertificates::System => rustls_native_certs::load_native_certs().certs,
        };
        let mut store = RootCertStore::empty();
        let (usable, _) = store.add_parsable_certificates(roots.iter().cloned());
        if usable == 0 {
            return Err(tls_error(
                to,
                "no usable root certificate was found",
                Some("check sslrootcert"),
            ));
        }
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
            .build()
            .map_err(|e| tls_error(to, &e.to_string(), None))?;
        Ok(Self {
            chain,
            roots,
            check_name: options.sslmode == SslMode::VerifyFull,
        })
    }

    /// A self-signed certificate that is itself the trusted root: an authority's certificate used as a server's, which
    /// the strict rules refuse (after having checked its dates) and every other PostgreSQL client accepts.
    fn is_trusted_itself(&self, certificate: &CertificateDer<'_>, error: &rustls::Error) -> bool {
        let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else {
            return false;
        };
        let is_authority =
            other.0.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity);
        is_authority
            && self
                .roots
                .iter()
                .any(|root| root.as_ref() == certificate.as_ref())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self
            .chain
            .verify_server_cert(certificate, intermediates, name, ocsp, now)
        {
            Ok(verified) => Ok(verified),
            // The chain is checked before the name, so this error says that the chain is good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.check_name => Ok(ServerCertVerified::assertion()),
            Err(e) if self.is_trusted_itself(certificate, &e) => {
                if self.check_name {
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            Err(e) => Err(e),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// For the modes that encrypt without asking who is there.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        accept_old_certificates(verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        accept_old_certificates(verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        ))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// `openssl x509 -req` makes version 1 certificates, which cannot be parsed here. Where nobody is verified anyway, a
/// certificate that cannot be read is no worse than one by a stranger.
fn accept_old_certificates(
    result: Result<HandshakeSignatureValid, rustls::Error>,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    match result {
        Err(rustls::Error::InvalidCertificate(
            CertificateError::BadEncoding | CertificateError::Other(_),
        )) => Ok(HandshakeSignatureValid::assertion()),
        other => other,
    }
}

impl Transport {
    /// The data that ties SCRAM to this TLS connection (`tls-server-end-point`, RFC 5929): the certificate's hash, by
    /// the hash function of its own signature. `None` without TLS and for signatures without such a function.
    pub fn channel_binding(&self) -> Option<Vec<u8>> {
        let Transport::Tls(stream) = self else {
            return None;
        };
        let certificate = stream.conn.peer_certificates()?.first()?;
        end_point_hash(certificate)
    }
}

fn end_point_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
    const ECDSA_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let oid = signature_algorithm(certificate)?;
    let (&last, family) = oid.split_last()?;
    match (family, last) {
        // MD5 and SHA-1 are replaced by SHA-256 (RFC 5929, section 4.1).
        (RSA, 4 | 5 | 11) | (ECDSA_SHA2, 2) => Some(Sha256::digest(certificate).to_vec()),
        (RSA, 12) | (ECDSA_SHA2, 3) => Some(Sha384::digest(certificate).to_vec()),
        (RSA, 13) | (ECDSA_SHA2, 4) => Some(Sha512::digest(certificate).to_vec()),
        _ if oid == ECDSA_SHA1 => Some(Sha256::digest(certificate).to_vec()),
        _ => None,
    }
}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { algorithm OID, … }, … }`
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (outer, _) = der_value(certificate, 0x30)?;
    let (_, after_tbs) = der_value(outer, 0x30)?;
    let (algorithm, _) = der_value(after_tbs, 0x30)?;
    Some(der_value(algorithm, 0x06)?.0)
}

/// The content of the DER value at the front, which must have this tag, and what follows it.
fn der_value(data: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = data.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |n, d| n << 8 | usize::from(*d)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
