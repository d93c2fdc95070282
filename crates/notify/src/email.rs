//! A notice by e-mail: text and a simple HTML part, over TLS.
//!
//! STARTTLS is required unless the target says otherwise; a password never travels unencrypted but to this very machine.

use crate::{
    Receipt, SendError,
    address::{self, ResolveError},
    words::{line, words},
};
use jiff::Timestamp;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Mailbox, MultiPart,
        header::{Header, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};
use pgkeep_model::notice::{Channel, Notice, SmtpTls};
use std::{net::SocketAddr, path::Path, time::SystemTime};

/// Answers of a server are shown this far, in characters.
const ANSWER_SHOWN: usize = 300;

/// Makes one attempt at `channel`, which is [`Channel::Email`].
pub(crate) async fn send(
    channel: &Channel,
    notice: &Notice,
    now: Timestamp,
) -> Result<Receipt, SendError> {
    let Channel::Email {
        to,
        from,
        host,
        port,
        tls,
        username,
        password,
        ca_file,
    } = channel
    else {
        unreachable!("only e-mail targets come here");
    };
    let port = port.unwrap_or(default_port(*tls));
    let message = message(to, from, notice, now)?;
    let found = address::resolve(host, port)
        .await
        .map_err(|error| match error {
            ResolveError::Lookup(..) => SendError::temporary(error.to_string()),
            ResolveError::Forbidden(_) => {
                SendError::lasting(error.to_string(), "set the name of a mail server")
            }
        })?;
    let credentials = match (username, password) {
        (Some(username), Some(password)) => Some(Credentials::new(
            username.clone(),
            password.as_str().to_owned(),
        )),
        (None, None) => None,
        _ => {
            return Err(SendError::lasting(
                "the mail target has a user name without a password, or the other way round",
                "set both, or neither for a server that asks for none",
            ));
        }
    };
    if *tls == SmtpTls::None && credentials.is_some() && !all_local(&found) {
        return Err(SendError::lasting(
            format!("no password is sent to {host} without TLS"),
            "set `tls` to `start_tls` or `implicit`",
        ));
    }
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.as_str())
        .port(port)
        .tls(protection(*tls, host, ca_file.as_deref()).await?);
    if let Some(credentials) = credentials {
        builder = builder.credentials(credentials);
    }
    let answer = builder
        .build()
        .send(message)
        .await
        .map_err(|error| unsent(host, port, *tls, &error))?;
    Ok(Receipt {
        summary: format!("{host} answered {}", answer.code()),
    })
}

fn default_port(tls: SmtpTls) -> u16 {
    match tls {
        SmtpTls::StartTls => 587,
        SmtpTls::Implicit => 465,
        SmtpTls::None => 25,
    }
}

fn all_local(found: &[SocketAddr]) -> bool {
    found.iter().all(|address| address.ip().is_loopback())
}

/// Reads certificates, which blocks, on a thread for that.
async fn protection(tls: SmtpTls, host: &str, ca_file: Option<&str>) -> Result<Tls, SendError> {
    if tls == SmtpTls::None {
        return Ok(Tls::None);
    }
    let (host, ca_file) = (host.to_owned(), ca_file.map(str::to_owned));
    let parameters = tokio::task::spawn_blocking(move || trust(host, ca_file.as_deref()))
        .await
        .map_err(|error| SendError::temporary(format!("reading certificates failed: {error}")))??;
    Ok(match tls {
        SmtpTls::Implicit => Tls::Wrapper(parameters),
        _ => Tls::Required(parameters),
    })
}

/// With an authority of its own, a target trusts that one alone.
fn trust(host: String, ca_file: Option<&str>) -> Result<TlsParameters, SendError> {
    let mut builder = TlsParameters::builder(host);
    if let Some(file) = ca_file {
        let hint = "set `ca_file` to a PEM file that the server's account can read";
        let pem = std::fs::read(Path::new(file))
            .map_err(|error| SendError::lasting(format!("cannot read {file}: {error}"), hint))?;
        let certificate = Certificate::from_pem(&pem).map_err(|_| {
            SendError::lasting(format!("{file} holds no certificate in PEM form"), hint)
        })?;
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(certificate);
    }
    builder
        .build()
        .map_err(|error| SendError::temporary(format!("cannot prepare TLS: {error}")))
}

fn message(
    to: &[String],
    from: &str,
    notice: &Notice,
    now: Timestamp,
) -> Result<Message, SendError> {
    let words = words(notice);
    let from = mailbox(from)?;
    let domain = from.email.domain().to_owned();
    if to.is_empty() {
        return Err(SendError::lasting(
            "the mail target has no recipient",
            "set `to` to a list of addresses",
        ));
    }
    let mut builder = Message::builder()
        .from(from)
        .subject(words.subject)
        .date(SystemTime::from(now))
        // The same at every attempt, so that a message that arrived twice is one.
        .message_id(Some(format!("<{}@{domain}>", token(&notice.id))))
        .header(ListId(format!("pgkeep notices <notices.pgkeep.{domain}>")))
        .header(AutoSubmitted);
    for address in to {
        builder = builder.to(mailbox(address)?);
    }
    builder
        .multipart(MultiPart::alternative_plain_html(words.text, words.html))
        .map_err(|error| {
            SendError::lasting(
                format!("cannot write the message: {error}"),
                "check the target's addresses",
            )
        })
}

fn mailbox(text: &str) -> Result<Mailbox, SendError> {
    text.parse().map_err(|_| {
        SendError::lasting(
            format!("{} is not a mail address", line(text)),
            "write it as name@example.com or `Name <name@example.com>`",
        )
    })
}

/// What a message id may hold of a notice's id.
fn token(id: &str) -> String {
    id.chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.') {
                letter
            } else {
                '-'
            }
        })
        .collect()
}

fn unsent(
    host: &str,
    port: u16,
    tls: SmtpTls,
    error: &lettre::transport::smtp::Error,
) -> SendError {
    let said = crate::words::cut(&line(&error.to_string()), ANSWER_SHOWN);
    let reason = innermost(error).filter(|reason| !said.contains(reason.as_str()));
    let mut message = format!("cannot send by {host}:{port}: {said}");
    if let Some(reason) = reason {
        message.push_str(&format!(": {reason}"));
    }
    if error.is_permanent() {
        return SendError::lasting(
            message,
            "check the target's user name, password and addresses",
        );
    }
    if message.contains("STARTTLS is not supported") {
        return SendError::lasting(
            message,
            "set `tls` to `implicit` if the server speaks TLS from the first byte, or to `none` for one on this machine",
        );
    }
    if message.contains("No compatible authentication mechanism") {
        return SendError::lasting(
            message,
            "the server takes no password here: remove it or use another port",
        );
    }
    if message.contains("certificate") && tls != SmtpTls::None {
        return SendError::temporary(message)
            .with_hint("set `host` to the name in the server's certificate, and `ca_file` for an authority of your own");
    }
    SendError::temporary(message)
}

fn innermost(error: &dyn std::error::Error) -> Option<String> {
    let mut innermost = error.source()?;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    Some(line(&innermost.to_string()))
}

#[derive(Clone)]
struct ListId(String);

impl Header for ListId {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("List-Id")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(ListId(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), self.0.clone())
    }
}

/// Keeps answering machines from answering.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
