//! Logging in: cleartext, MD5, SCRAM-SHA-256 with and without channel binding.

use super::{
    error::PgError,
    input::{Body, Input},
    socket::Transport,
    startup::lost,
};
use crate::{
    connect::{ChannelBinding, ConnectOptions},
    error::{Error, Result},
};
use bytes::BytesMut;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    },
    message::frontend,
};
use secrecy::{ExposeSecret, SecretString};
use std::io::{self, Write};

pub(super) struct Login<'a> {
    pub options: &'a ConnectOptions,
    pub password: Option<SecretString>,
    pub to: &'a str,
    pub transport: &'a mut Transport,
    pub input: &'a mut Input,
}

impl Login<'_> {
    /// Answers the server's questions until it lets us in.
    pub fn run(mut self) -> Result<()> {
        loop {
            let (tag, body) = self.receive()?;
            match tag {
                b'R' => {
                    if self.answer(&body)? {
                        return Ok(());
                    }
                }
                // A server may offer an older minor version of the protocol; version 3.0 has none.
                b'v' | b'N' => {}
                other => {
                    return Err(
                        self.protocol(format!("message {:?} during login", char::from(other)))
                    );
                }
            }
        }
    }

    /// Answers one request; true when it was the server's consent.
    fn answer(&mut self, body: &[u8]) -> Result<bool> {
        let mut body = Body(body);
        let kind = body
            .i32()
            .ok_or_else(|| self.protocol("a login request is cut short".into()))?;
        match kind {
            0 => {
                if self.options.channel_binding == ChannelBinding::Require {
                    return Err(self.no_binding("the server asked for no SCRAM login"));
                }
                return Ok(true);
            }
            3 => {
                let password = self.password_for_plain_methods()?;
                self.send_password(password.expose_secret().as_bytes())?;
            }
            5 => {
                let salt: [u8; 4] = body
                    .bytes(4)
                    .and_then(|s| s.try_into().ok())
                    .ok_or_else(|| self.protocol("an MD5 request without salt".into()))?;
                let password = self.password_for_plain_methods()?;
                let hash = md5_hash(
                    self.options.user.as_bytes(),
                    password.expose_secret().as_bytes(),
                    salt,
                );
                self.send_password(hash.as_bytes())?;
            }
            10 => {
                self.scram(body)?;
                // What follows is AuthenticationOk, and the channel was bound if that was asked for.
                let (tag, body) = self.receive()?;
                return match (tag, Body(&body).i32()) {
                    (b'R', Some(0)) => Ok(true),
                    _ => Err(self.protocol("no consent after SCRAM".into())),
                };
            }
            method => {
                let name = match method {
                    2 => "Kerberos",
                    7 | 8 => "GSSAPI",
                    9 => "SSPI",
                    _ => "an unknown method",
                };
                return Err(self.refuse(
                    format!("the server asks for {name}, which is not supported"),
                    Some("let this user log in by scram-sha-256 or a client certificate (pg_hba.conf)".into()),
                ));
            }
        }
        Ok(false)
    }

    fn scram(&mut self, mut body: Body<'_>) -> Result<()> {
        let mut offered = Vec::new();
        while let Some(name) = body.text().filter(|n| !n.is_empty()) {
            offered.push(String::from_utf8_lossy(name).into_owned());
        }
        let has = |name: &str| offered.iter().any(|o| o == name);
        let binding = match self.options.channel_binding {
            ChannelBinding::Disable => None,
            _ => self.transport.channel_binding(),
        };
        let (mechanism, binding) = match binding {
            Some(data) if has(SCRAM_SHA_256_PLUS) => (
                SCRAM_SHA_256_PLUS,
                sasl::ChannelBinding::tls_server_end_point(data),
            ),
            _ if self.options.channel_binding == ChannelBinding::Require => {
                return Err(self.no_binding("the connection or the server cannot do it"));
            }
            // Saying "unsupported by the server" lets it notice when someone in the middle took the offer away.
            Some(_) if has(SCRAM_SHA_256) => (SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
            _ if has(SCRAM_SHA_256) => (SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
            _ => {
                return Err(self.refuse(
                    format!(
                        "the server offers only unknown methods: {}",
                        offered.join(", ")
                    ),
                    None,
                ));
            }
        };
        let password = self.needed_password()?;
        let mut scram = ScramSha256::new(password.expose_secret().as_bytes(), binding);
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut out)
            .map_err(|e| self.lost(e))?;
        self.send(&out)?;
        let challenge = self.sasl_message(11)?;
        scram
            .update(&challenge)
            .map_err(|e| self.refuse(format!("SCRAM failed: {e}"), None))?;
        out.clear();
        frontend::sasl_response(scram.message(), &mut out).map_err(|e| self.lost(e))?;
        self.send(&out)?;
        let verdict = self.sasl_message(12)?;
        scram.finish(&verdict).map_err(|e| {
            self.refuse(
                format!("the server could not prove that it knows the password: {e}"),
                Some("someone may be posing as the server".into()),
            )
        })
    }

    fn sasl_message(&mut self, wanted: i32) -> Result<Vec<u8>> {
        let (tag, body) = self.receive()?;
        let mut body = Body(&body);
        if tag == b'R' && body.i32() == Some(wanted) {
            Ok(body.0.to_vec())
        } else {
            Err(self.protocol("SCRAM messages out of order".into()))
        }
    }

    fn password_for_plain_methods(&self) -> Result<SecretString> {
        if self.options.channel_binding == ChannelBinding::Require {
            return Err(self.no_binding("the server asked for another kind of login"));
        }
        self.needed_password()
    }

    fn needed_password(&self) -> Result<SecretString> {
        self.password.clone().ok_or_else(|| {
            let ignored = self
                .options
                .warnings
                .first()
                .map(|w| format!("; {w}"))
                .unwrap_or_default();
            self.refuse(
                format!("the server asks for a password and none was given{ignored}"),
                Some("put it into PGPASSWORD, a password file (~/.pgpass) or the URL".into()),
            )
        })
    }

    fn send_password(&mut self, password: &[u8]) -> Result<()> {
        let mut out = BytesMut::new();
        frontend::password_message(password, &mut out)
            .map_err(|_| self.refuse("the password contains a zero byte".into(), None))?;
        self.send(&out)
    }

    fn send(&mut self, data: &[u8]) -> Result<()> {
        let sent = self
            .transport
            .write_all(data)
            .and_then(|()| self.transport.flush());
        sent.map_err(|e| self.lost(e))
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>)> {
        let message = self.input.next(self.transport).map_err(|e| self.lost(e))?;
        let body = self.input.bytes(&message);
        if message.tag == b'E' {
            return Err(Error::Postgres {
                doing: format!("connecting to {}", self.to),
                source: Box::new(PgError::parse(body)),
            });
        }
        Ok((message.tag, body.to_vec()))
    }

    fn no_binding(&self, why: &str) -> Error {
        self.refuse(
            format!("channel_binding=require cannot be met: {why}"),
            Some("store the role's password as scram-sha-256 and connect over TLS".into()),
        )
    }

    fn refuse(&self, what: String, hint: Option<String>) -> Error {
        Error::Login {
            to: self.to.to_owned(),
            what,
            hint,
        }
    }

    fn protocol(&self, what: String) -> Error {
        Error::Protocol {
            doing: format!("connecting to {}", self.to),
            what,
        }
    }

    fn lost(&self, source: io::Error) -> Error {
        lost(self.to, source)
    }
}
