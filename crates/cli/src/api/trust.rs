//! Whose certificates are trusted besides those of the system's authorities: what `--ca-file` names.
//!
//! The file holds certificates of private authorities, or a server's own one that it signed itself. Such a certificate is
//! often marked as an authority, too, and is then refused as a server's by everybody; where the server shows the very one
//! that the file holds, there is nothing left to doubt but its name and its time, and both are looked at.

use crate::{
    error::{CliError, CliResult},
    exit::Exit,
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use rustls_platform_verifier::Verifier;
use std::{path::Path, sync::Arc};

/// TLS that trusts what the file holds and what the system trusts.
pub(super) fn trusting(ca_file: &Path, provider: Arc<CryptoProvider>) -> CliResult<ClientConfig> {
    let given = certificates(ca_file)?;
    let unusable = |error: &dyn std::fmt::Display| {
        CliError::usage(format!("cannot use {}: {error}", ca_file.display())).with_hint(HOLDS)
    };
    let usual = Verifier::new_with_extra_roots(given.clone(), provider.clone())
        .map_err(|error| unusable(&error))?;
    let verifier = Trusting { given, usual };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

const HOLDS: &str = "--ca-file or PGKEEP_CA_FILE names a PEM file with the certificate of the authority that signed the \
    server's, or with the server's own";

fn certificates(path: &Path) -> CliResult<Vec<CertificateDer<'static>>> {
    let text = std::fs::read(path).map_err(|e| CliError::file(Exit::Usage, "read", path, &e))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(
            CliError::usage(format!("{} holds no certificate", path.display())).with_hint(HOLDS),
        ),
        Err(error) => Err(CliError::usage(format!(
            "{} cannot be read as certificates: {error}",
            path.display()
        ))
        .with_hint(HOLDS)),
    }
}

/// What everybody checks, and one exception.
#[derive(Debug)]
struct Trusting {
    given: Vec<CertificateDer<'static>>,
    usual: Verifier,
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let checked = self.usual.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match checked {
            // Its time was looked at before, its name is looked at after that.
            Err(error) if is_of_an_authority(&error) && self.given.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Whether nothing is wrong with a server's certificate but that it is marked as an authority's.
fn is_of_an_authority(error: &Error) -> bool {
    // The library has no variant of its own for it.
    matches!(error, Error::InvalidCertificate(CertificateError::Other(why)) if why.to_string().contains("CaUsedAsEndEntity"))
}

/// What to do where a server's certificate was refused, by the words of the refusal.
pub(super) fn hint_for(refusal: &str) -> &'static str {
    if refusal.contains("UnknownIssuer") || refusal.contains("CaUsedAsEndEntity") {
        "if the certificate is of a private authority, or signed by the server itself, name a file with that authority's \
         certificate, or the server's own, by --ca-file or PGKEEP_CA_FILE"
    } else if refusal.contains("not valid for") {
        "name the server as its certificate does; it must list that name, or that address, under subjectAltName"
    } else if refusal.contains("expired") {
        "renew the server's certificate; `pgkeep serve` takes up a new file within a minute"
    } else {
        "check the server's certificate, and the clocks of both machines"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = |name: &str, text: Option<&str>| {
            let path = dir.path().join(name);
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let error = certificates(&path).unwrap_err();
            assert_eq!(error.exit, Exit::Usage);
            assert!(
                error.hint.is_some() && error.message.contains(name),
                "{error:?}"
            );
            error.message
        };
        assert!(wrong("missing.pem", None).contains("cannot read"));
        assert!(wrong("empty.pem", Some("")).contains("holds no certificate"));
        assert!(wrong("words.pem", Some("a certificate")).contains("holds no certificate"));
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(wrong("key.pem", Some(key)).contains("holds no certificate"));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(wrong("cut.pem", Some(cut)).contains("cannot be read"));
    }

    #[test]
    fn a_refusal_tells_what_helps() {
        for (refusal, words) in [
            ("invalid peer certificate: UnknownIssuer", "--ca-file"),
            (
                "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))",
                "--ca-file",
            ),
            (
                "invalid peer certificate: certificate not valid for name \"a\"",
                "subjectAltName",
            ),
            ("invalid peer certificate: certificate expired", "renew"),
            ("invalid peer certificate: BadEncoding", "clocks"),
        ] {
            assert!(hint_for(refusal).contains(words), "{refusal}");
        }
    }
}
