//! One request, within bounds.

use crate::{
    Receipt, SendError,
    address::{self, CheckedResolver, Forbidden, ResolveError},
    retry::{Verdict, judge},
    words::{cut, line},
};
use reqwest::{Client, RequestBuilder, Response, header, redirect::Policy};
use std::{error::Error as _, net::IpAddr, time::Duration};
use url::{Host, Url};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// As much of an answer as is read, in bytes, and as much of it as an error shows, in characters.
const ANSWER_READ: usize = 4 * 1024;
const ANSWER_SHOWN: usize = 200;

/// Posts a JSON document.
pub(crate) async fn post(
    address: &str,
    body: &[u8],
    headers: &[(&'static str, String)],
) -> Result<Receipt, SendError> {
    let url = checked(address)?;
    let mut request = client(&url)?
        .post(url.clone())
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_vec());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    finish(&url, request).await
}

pub(crate) async fn get(address: &str) -> Result<Receipt, SendError> {
    let url = checked(address)?;
    let request = client(&url)?.get(url.clone());
    finish(&url, request).await
}

/// The address, if something may be sent there.
fn checked(address: &str) -> Result<Url, SendError> {
    let invalid = |why: &str| {
        SendError::lasting(
            format!("the target's address {why}"),
            "write it in full, beginning with https://",
        )
    };
    let url = Url::parse(address.trim()).map_err(|_| invalid("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("is not one of http or https"));
    }
    // A name is checked when it is resolved; the library resolves no address that stands there as such.
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) => None,
        None => return Err(invalid("names no host")),
    };
    if let Some(literal) = literal {
        address::check(&place(&url), literal).map_err(forbidden)?;
    }
    Ok(url)
}

/// Made for each message: they are rare, and so a changed set of root certificates counts at once.
fn client(url: &Url) -> Result<Client, SendError> {
    // Another part of the program may have chosen it already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_LIMIT)
        .dns_resolver(CheckedResolver)
        .referer(false)
        .user_agent(concat!("pgkeep/", env!("CARGO_PKG_VERSION")));
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        SendError::temporary(format!("cannot prepare a request: {}", cause(error)))
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

async fn finish(url: &Url, request: RequestBuilder) -> Result<Receipt, SendError> {
    let place = place(url);
    let response = request
        .send()
        .await
        .map_err(|error| unsent(&place, error))?;
    let status = response.status().as_u16();
    let text = |name| {
        let value = response.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let verdict = judge(
        status,
        text(header::RETRY_AFTER).as_deref(),
        text(header::DATE).as_deref(),
    );
    if verdict == Verdict::Taken {
        return Ok(Receipt {
            summary: format!("{place} answered {status}"),
        });
    }
    let redirected = response.status().is_redirection();
    let answer = beginning(response).await;
    let message = match cut(&line(&answer), ANSWER_SHOWN) {
        answer if answer.is_empty() || redirected => format!("{place} answered {status}"),
        answer => format!("{place} answered {status}: {answer}"),
    };
    Err(match verdict {
        Verdict::Later(retry_after) => SendError {
            retry_after,
            ..SendError::temporary(message)
        },
        _ if redirected => SendError::lasting(
            format!("{message}, a redirect, which is not followed"),
            "set the address that it leads to",
        ),
        _ => SendError::lasting(
            message,
            "check the target's address and that it is still in use",
        ),
    })
}

fn unsent(place: &str, error: reqwest::Error) -> SendError {
    if let Some(refused) = refusal(&error) {
        return forbidden(refused.clone());
    }
    if error.is_timeout() {
        return SendError::temporary(format!("{place} did not answer in time"));
    }
    SendError::temporary(format!("cannot send to {place}: {}", cause(error)))
}

fn forbidden(error: Forbidden) -> SendError {
    SendError::lasting(
        error.to_string(),
        "set the address of a chat or webhook receiver",
    )
}

/// The resolver's refusal, if that is what ended the request.
fn refusal(error: &reqwest::Error) -> Option<&Forbidden> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(ResolveError::Forbidden(found)) = cause.downcast_ref() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}

/// The innermost reason, which names neither the address nor the library's layers.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    line(&innermost.to_string())
}

async fn beginning(mut response: Response) -> String {
    let mut read = Vec::new();
    while read.len() < ANSWER_READ {
        match response.chunk().await {
            Ok(Some(chunk)) => read.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    read.truncate(ANSWER_READ);
    String::from_utf8_lossy(&read).into_owned()
}

/// Host and port: all of an address that may be shown.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
