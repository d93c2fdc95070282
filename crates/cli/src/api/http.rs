//! Requests to a server on another machine, with a token.

use super::trust::{hint_for, trusting};
use super::{Call, Reply};
use crate::{
    error::{CliError, CliResult},
    exit::Exit,
};
use reqwest::{
    blocking::Client,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use std::{io::Read, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

/// An answer that is no file is never longer.
const LONGEST_ANSWER: u64 = 256 << 20;

/// Where a server is and who asks it.
#[derive(Debug)]
pub struct ServerAddress {
    pub url: String,
    pub token: Option<SecretString>,
    /// Certificates that are trusted besides the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// `http://` is allowed to other machines, too.
    pub insecure: bool,
}

pub struct Http {
    client: Client,
    /// Without a slash at its end.
    base: String,
    authorization: Option<HeaderValue>,
}

impl Http {
    pub fn new(address: &ServerAddress) -> CliResult<Self> {
        let base = checked(&address.url, address.insecure)?;
        // The platform's store of authorities is asked; the choice of cryptography is made once a process.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut client = Client::builder();
        if let Some(ca_file) = &address.ca_file {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            client = client.tls_backend_preconfigured(trusting(ca_file, provider)?);
        }
        let client = client
            .user_agent(concat!("pgkeep/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(15))
            .timeout(Duration::from_secs(120))
            // A token must not travel to where a redirect leads.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|e| CliError::new(Exit::Failed, format!("cannot prepare requests: {e}")))?;
        let authorization = address
            .token
            .as_ref()
            .map(|token| {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                    .map_err(|_| {
                        CliError::usage("the token holds characters that no token has")
                            .with_hint("check PGKEEP_TOKEN or the token file; `pgkeep token create` makes a new one")
                    })?;
                value.set_sensitive(true);
                Ok::<_, CliError>(value)
            })
            .transpose()?;
        Ok(Self {
            client,
            base,
            authorization,
        })
    }

    pub fn send(&self, call: &Call) -> CliResult<Reply> {
        let mut request = self.request(call);
        if let Some(body) = call.bytes() {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(etag) = &call.if_match {
            request = request.header(IF_MATCH, etag);
        }
        if call.if_absent {
            request = request.header(IF_NONE_MATCH, "*");
        }
        let response = request.send().map_err(|e| self.unreachable(&e))?;
        let header = |name| {
            let value = response.headers().get(name);
            value.and_then(|v| v.to_str().ok()).map(str::to_owned)
        };
        let (status, etag) = (response.status().as_u16(), header(ETAG));
        let content_type = header(CONTENT_TYPE).unwrap_or_default();
        let mut body = Vec::new();
        response
            .take(LONGEST_ANSWER)
            .read_to_end(&mut body)
            .map_err(|e| {
                CliError::new(
                    Exit::Server,
                    format!("the answer of {} broke off: {e}", self.base),
                )
                .with_hint("what was asked for may have been done; look, then try again")
            })?;
        Ok(Reply {
            status,
            etag,
            content_type,
            body,
        })
    }

    /// Opens an answer that is a file.
    pub fn download(&self, call: &Call) -> CliResult<reqwest::blocking::Response> {
        let response = self
            .request(call)
            .timeout(Duration::from_secs(24 * 3_600))
            .send()
            .map_err(|e| self.unreachable(&e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let mut body = Vec::new();
        let _ = response.take(1 << 20).read_to_end(&mut body);
        Err(super::problem::error_of(&Reply {
            status,
            etag: None,
            content_type,
            body,
        }))
    }

    /// Sends raw bytes as the body.
    pub fn upload(
        &self,
        call: &Call,
        body: Vec<u8>,
        headers: &[(&str, String)],
    ) -> CliResult<Reply> {
        let mut request = self
            .request(call)
            .header(CONTENT_TYPE, "application/octet-stream")
            .timeout(Duration::from_secs(3_600))
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.send().map_err(|e| self.unreachable(&e))?;
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let mut body = Vec::new();
        let _ = response.take(1 << 20).read_to_end(&mut body);
        let reply = Reply {
            status,
            etag: None,
            content_type,
            body,
        };
        match status {
            200..300 => Ok(reply),
            _ => Err(super::problem::error_of(&reply)),
        }
    }

    fn request(&self, call: &Call) -> reqwest::blocking::RequestBuilder {
        let method = reqwest::Method::from_bytes(call.method.as_str().as_bytes())
            .expect("these are methods");
        let mut request = self
            .client
            .request(method, format!("{}{}", self.base, call.target()))
            .header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        request
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        use std::error::Error;
        let mut why = String::new();
        let mut source = error.source();
        while let Some(cause) = source {
            why = cause.to_string();
            source = cause.source();
        }
        if error.is_timeout() {
            why = "it does not answer in time".into();
        }
        CliError::new(
            Exit::Server,
            format!("cannot reach the server at {}: {why}", self.base),
        )
        .with_hint(match why.contains("certificate") {
            true => hint_for(&why),
            false => "check --server or PGKEEP_SERVER, and that `pgkeep serve` runs there",
        })
    }
}

/// The address without its last slash, if a token may be sent there.
fn checked(url: &str, insecure: bool) -> CliResult<String> {
    let url = url.trim().trim_end_matches('/');
    let wrong = || {
        CliError::usage(format!("'{url}' is not the address of a server"))
            .with_hint("give it like https://pgkeep.example.com")
    };
    let parsed = reqwest::Url::parse(url).map_err(|_| wrong())?;
    let host = parsed.host_str().ok_or_else(wrong)?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(CliError::usage("a server's address holds no login")
            .with_hint("give a token by PGKEEP_TOKEN or --token-file"));
    }
    match parsed.scheme() {
        "https" => Ok(url.to_owned()),
        "http" if insecure || is_loopback(host) => Ok(url.to_owned()),
        "http" => Err(CliError::new(
            Exit::Refused,
            format!("the token would travel to {host} in plain text"),
        )
        .with_hint("use https://, or --insecure where the network itself is safe")),
        _ => Err(wrong()),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_in_plain_text_to_this_machine_only() {
        for good in [
            "https://pgkeep.example.com/",
            "http://127.0.0.1:8321",
            "http://[::1]:8321",
            "http://localhost:8321",
        ] {
            assert!(checked(good, false).is_ok(), "{good}");
        }
        assert_eq!(
            checked("http://pgkeep.example.com", false)
                .unwrap_err()
                .exit,
            Exit::Refused
        );
        assert!(checked("http://pgkeep.example.com", true).is_ok());
        for wrong in ["pgkeep.example.com", "ftp://x", "https://u:p@x", ""] {
            assert!(checked(wrong, true).is_err(), "{wrong}");
        }
    }
}
