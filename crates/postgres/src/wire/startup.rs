//! From options to a session that is ready for queries: hosts and addresses in turn, TLS or not, login, settings.

use super::{
    authenticate::Login,
    cancel::Target,
    error::PgError,
    input::{Body, Input},
    socket::{Address, Socket, Transport, shut},
    tls::Tls,
};
use crate::{
    connect::{ConnectOptions, Host, SslMode},
    error::{Error, Result},
};
use bytes::BytesMut;
use pgkeep_model::CancelToken;
use postgres_protocol::message::frontend;
use rustix::fd::AsFd;
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

/// A session as the server left it after login.
pub(super) struct Session {
    pub transport: Transport,
    pub input: Input,
    pub parameters: BTreeMap<String, String>,
    pub target: Target,
    /// The host that answered, in words.
    pub to: String,
}

/// Opens a session on one address. Hangs up when the token is cancelled meanwhile: a server that lets nobody in any more must
/// not hold up whoever wants to end.
pub(super) fn start(
    options: &ConnectOptions,
    host: &Host,
    address: &Address,
    cancel: Option<&CancelToken>,
) -> Result<Session> {
    let to = format!(
        "database \"{}\" on {host} as user \"{}\"",
        options.dbname, options.user
    );
    let encryptable = matches!(address, Address::Tcp { .. });
    let attempts: &[Encryption] = match options.sslmode {
        _ if !encryptable => &[Encryption::Never],
        SslMode::Disable => &[Encryption::Never],
        SslMode::Allow => &[Encryption::Never, Encryption::Must],
        SslMode::Prefer => &[Encryption::IfOffered, Encryption::Never],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Encryption::Must],
    };
    let mut first_error = None;
    for encryption in attempts {
        match attempt(options, host, address, *encryption, &to, cancel) {
            Ok(session) => return Ok(session),
            Err(e) => {
                // pg_hba.conf may let us in only with encryption, or only without.
                let other_way_may_help =
                    matches!(e, Error::Tls { .. }) || e.sqlstate() == Some("28000");
                first_error.get_or_insert(e);
                if !other_way_may_help {
                    break;
                }
            }
        }
    }
    Err(first_error.expect("there is at least one attempt"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Never,
    IfOffered,
    Must,
}

fn attempt(
    options: &ConnectOptions,
    host: &Host,
    address: &Address,
    encryption: Encryption,
    to: &str,
    cancel: Option<&CancelToken>,
) -> Result<Session> {
    let unreachable = |source| Error::Connect {
        to: to.to_owned(),
        source,
    };
    let socket = address
        .connect(options.connect_timeout, &options.keepalive)
        .map_err(unreachable)?;
    let _hangs_up = match cancel {
        Some(token) => {
            let fd = socket.try_clone_fd().map_err(unreachable)?;
            Some(token.on_cancel(move || shut(fd.as_fd())))
        }
        None => None,
    };
    let tls = match encryption {
        Encryption::Never => None,
        _ => Some(Tls::new(options, to)?),
    };
    let (mut transport, tls) = match tls {
        None => (Transport::Plain(socket), None),
        Some(tls) => encrypt(socket, tls, address, encryption, to)?,
    };
    let mut input = Input::new();
    send_startup(options, &mut transport).map_err(|e| lost(to, e))?;
    Login {
        options,
        password: options.password_for(host),
        to,
        transport: &mut transport,
        input: &mut input,
    }
    .run()?;
    let (parameters, key) = settle(&mut transport, &mut input, to)?;
    transport
        .socket()
        .set_timeout(None)
        .map_err(|e| lost(to, e))?;
    Ok(Session {
        target: Target {
            address: address.clone(),
            tls,
            key,
        },
        transport,
        input,
        parameters,
        to: to.to_owned(),
    })
}

/// Asks for TLS; keeps what is needed to do the same for a cancel request.
fn encrypt(
    mut socket: Socket,
    tls: Tls,
    address: &Address,
    encryption: Encryption,
    to: &str,
) -> Result<(Transport, Option<Tls>)> {
    let mut out = BytesMut::new();
    frontend::ssl_request(&mut out);
    let mut answer = [0];
    socket
        .write_all(&out)
        .and_then(|()| socket.read_exact(&mut answer))
        .map_err(|e| lost(to, e))?;
    let name = match address {
        Address::Tcp { name, .. } => name.as_str(),
        Address::Unix(_) => "localhost",
    };
    match answer[0] {
        b'S' => Ok((tls.wrap(socket, name, to)?, Some(tls))),
        b'N' if encryption == Encryption::IfOffered => Ok((Transport::Plain(socket), None)),
        b'N' => Err(Error::Tls {
            to: to.to_owned(),
            what: "the server does not offer TLS".into(),
            hint: Some(
                "set ssl = on with a certificate on the server, or connect with sslmode=prefer"
                    .into(),
            ),
        }),
        // A server that cannot serve us at all (out of processes) says so in the old way, as an error message.
        b'E' => Err(Error::Tls {
            to: to.to_owned(),
            what: "the server refused before TLS began".into(),
            hint: Some("the server's log says why".into()),
        }),
        other => Err(Error::Protocol {
            doing: format!("connecting to {to}"),
            what: format!("answer {other:#04x} to a request for TLS: is this a PostgreSQL server?"),
        }),
    }
}

fn send_startup(options: &ConnectOptions, transport: &mut Transport) -> io::Result<()> {
    let mut parameters = vec![
        ("user", options.user.as_str()),
        ("database", options.dbname.as_str()),
        ("application_name", options.application_name.as_str()),
        ("client_encoding", "UTF8"),
    ];
    if let Some(command_line) = &options.options {
        parameters.push(("options", command_line));
    }
    let mut out = BytesMut::new();
    frontend::startup_message(parameters, &mut out)?;
    transport.write_all(&out)?;
    transport.flush()
}

type Settled = (BTreeMap<String, String>, (i32, i32));

/// Takes what the server says between login and its first ReadyForQuery.
fn settle(transport: &mut Transport, input: &mut Input, to: &str) -> Result<Settled> {
    let doing = || format!("connecting to {to}");
    let mut parameters = BTreeMap::new();
    let mut key = (0, 0);
    loop {
        let message = input.next(transport).map_err(|e| lost(to, e))?;
        let bytes = input.bytes(&message);
        let mut body = Body(bytes);
        match message.tag {
            b'Z' => return Ok((parameters, key)),
            b'S' => add_parameter(&mut parameters, bytes),
            b'K' => {
                if let (Some(pid), Some(secret)) = (body.i32(), body.i32()) {
                    key = (pid, secret);
                }
            }
            b'N' => {}
            b'E' => {
                return Err(Error::Postgres {
                    doing: doing(),
                    source: Box::new(PgError::parse(bytes)),
                });
            }
            other => {
                return Err(Error::Protocol {
                    doing: doing(),
                    what: format!("message {:?} after login", char::from(other)),
                });
            }
        }
    }
}

pub(super) fn add_parameter(parameters: &mut BTreeMap<String, String>, body: &[u8]) {
    let mut body = Body(body);
    if let (Some(name), Some(value)) = (body.text(), body.text()) {
        parameters.insert(
            String::from_utf8_lossy(name).into_owned(),
            String::from_utf8_lossy(value).into_owned(),
        );
    }
}

/// A conversation that ended before it began: without an answer it is as if nobody were there.
pub(super) fn lost(to: &str, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::TimedOut => Error::Connect {
            to: to.to_owned(),
            source,
        },
        _ => Error::ConnectionLost {
            doing: format!("connecting to {to}"),
            source,
        },
    }
}
