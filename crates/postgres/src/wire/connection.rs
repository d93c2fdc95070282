//! One session on a server.

use super::{
    cancel::{CancelHandle, Shared},
    error::PgError,
    input::{Input, Message},
    rows::Rows,
    socket::{Address, Transport},
    startup::{self, Session, add_parameter},
};
use crate::{
    connect::{ConnectOptions, Host, TargetSession},
    error::{Error, Result},
};
use bytes::BytesMut;
use pgkeep_model::{CancelToken, cancel::CancelHook};
use postgres_protocol::message::frontend;
use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

/// Longest wait for a reason from a server that has hung up.
const LAST_WORD: Duration = Duration::from_secs(1);

type NoticeCallback = Box<dyn FnMut(&PgError) + Send>;

/// A session on a server; see the module's description for how it stops.
pub struct Connection {
    pub(super) transport: Transport,
    pub(super) input: Input,
    pub(super) shared: Arc<Shared>,
    parameters: BTreeMap<String, String>,
    status: TransactionStatus,
    notices: Option<NoticeCallback>,
    cancel_hook: Option<CancelHook>,
    to: String,
    options: ConnectOptions,
    /// The conversation is out of step or over; nothing more can be said.
    pub(super) broken: bool,
}

/// What the server says about the session's transaction when it is ready for the next statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

/// How a statement's answer goes on.
pub(super) enum Answer {
    /// RowDescription, DataRow, CommandComplete and the like.
    Message(Message),
    /// ReadyForQuery, after all that belongs to the statement.
    Ready,
}

impl Connection {
    /// Connects to the first host, and address of it, that lets us in and is of the wanted kind.
    ///
    /// # Errors
    /// The last host's failure when none will do.
    pub fn open(options: &ConnectOptions) -> Result<Self> {
        Self::open_until(options, None)
    }

    /// Connects, and lets the token stop this connection, also while it is being made.
    pub fn open_with(options: &ConnectOptions, cancel: &CancelToken) -> Result<Self> {
        cancel.check()?;
        Self::open_until(options, Some(cancel)).or_else(|error| {
            cancel.check()?;
            Err(error)
        })
    }

    fn open_until(options: &ConnectOptions, cancel: Option<&CancelToken>) -> Result<Self> {
        let mut last = None;
        let passes: &[TargetSession] = match options.target_session {
            TargetSession::PreferStandby => &[TargetSession::Standby, TargetSession::Any],
            TargetSession::Any => &[TargetSession::Any],
            TargetSession::ReadWrite => &[TargetSession::ReadWrite],
            TargetSession::ReadOnly => &[TargetSession::ReadOnly],
            TargetSession::Primary => &[TargetSession::Primary],
            TargetSession::Standby => &[TargetSession::Standby],
        };
        for wanted in passes {
            for host in &options.hosts {
                match Self::open_host(options, host, *wanted, cancel) {
                    Ok(connection) => return Ok(connection),
                    Err(e) => last = Some(e),
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::Protocol {
            doing: "connecting".into(),
            what: "no host is given".into(),
        }))
    }

    /// Connects to something that speaks the protocol without being PostgreSQL, such as PgBouncer's console: nothing is set.
    pub fn open_console(options: &ConnectOptions) -> Result<Self> {
        let mut last = None;
        for host in &options.hosts {
            let addresses = Address::of(host).map_err(|source| Error::Connect {
                to: format!("database \"{}\" on {host}", options.dbname),
                source,
            })?;
            for address in addresses {
                match startup::start(options, host, &address, None) {
                    Ok(session) => return Self::from_session(session, options),
                    Err(e) => last = Some(e),
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::Protocol {
            doing: "connecting".into(),
            what: "no host is given".into(),
        }))
    }

    fn open_host(
        options: &ConnectOptions,
        host: &Host,
        wanted: TargetSession,
        cancel: Option<&CancelToken>,
    ) -> Result<Self> {
        let unreachable = |source| Error::Connect {
            to: format!("database \"{}\" on {host}", options.dbname),
            source,
        };
        let mut last = None;
        for address in Address::of(host).map_err(unreachable)? {
            match startup::start(options, host, &address, cancel) {
                Ok(session) => {
                    let mut connection = Self::from_session(session, options)?;
                    if let Some(token) = cancel {
                        connection.cancel_with(token);
                    }
                    connection.require(wanted)?;
                    connection.lift_timeouts()?;
                    connection.notice_a_lost_client();
                    return Ok(connection);
                }
                // Another address of the same name will not know another password.
                Err(e @ (Error::Postgres { .. } | Error::Login { .. })) => return Err(e),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| {
            unreachable(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            ))
        }))
    }

    fn from_session(session: Session, options: &ConnectOptions) -> Result<Self> {
        let fd = session
            .transport
            .socket()
            .try_clone_fd()
            .map_err(|source| Error::Connect {
                to: session.to.clone(),
                source,
            })?;
        Ok(Self {
            shared: Arc::new(Shared::new(session.target, fd)),
            transport: session.transport,
            input: session.input,
            parameters: session.parameters,
            status: TransactionStatus::Idle,
            notices: None,
            cancel_hook: None,
            to: session.to,
            options: options.clone(),
            broken: false,
        })
    }

    fn require(&mut self, wanted: TargetSession) -> Result<()> {
        if wanted == TargetSession::Any {
            return Ok(());
        }
        let row = self.query_one("SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')")?;
        let standby = row.get(0, 0) == Some("t");
        let read_only = row.get(0, 1) == Some("on");
        let (fits, kind) = match wanted {
            TargetSession::ReadWrite => (!read_only, "read-write"),
            TargetSession::ReadOnly => (read_only, "read-only"),
            TargetSession::Primary => (!standby, "primary"),
            TargetSession::Standby | TargetSession::PreferStandby => (standby, "standby"),
            TargetSession::Any => (true, "any"),
        };
        if fits {
            Ok(())
        } else {
            Err(Error::refused(
                format!(
                    "the server of {} is not of the kind that target_session_attrs={kind} wants",
                    self.to
                ),
                "list more hosts, or remove target_session_attrs",
            ))
        }
    }

    /// What a role or a database sets against forgotten sessions must not end a backup that takes hours.
    fn lift_timeouts(&mut self) -> Result<()> {
        let version = self.server_version_num();
        let mut sql = String::from(
            "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0",
        );
        if version >= 140_000 {
            sql.push_str("; SET idle_session_timeout = 0");
        }
        if version >= 170_000 {
            sql.push_str("; SET transaction_timeout = 0");
        }
        self.execute(&sql)?;
        Ok(())
    }

    /// Lets the server look now and then whether its client is still there, so that a statement that sends nothing
    /// (building an index) does not outlive a killed client. Not every platform's server can; then nothing is lost.
    fn notice_a_lost_client(&mut self) {
        if self.server_version_num() >= 140_000 {
            let _ = self.execute("SET client_connection_check_interval = '5s'");
        }
    }

    /// Lets a token stop this connection: what runs is cancelled on the server, what follows fails at once.
    pub fn cancel_with(&mut self, token: &CancelToken) {
        let handle = self.cancel_handle();
        self.cancel_hook = Some(token.on_cancel(move || handle.cancel()));
    }

    /// Frees the connection from its token, for tidying up after a cancelled operation.
    pub fn ignore_cancel(&mut self) {
        self.cancel_hook = None;
        self.shared.forget_cancel();
    }

    /// From now on an answer of which nothing comes for so long counts as lost. For what is said at the end, where waiting
    /// for a stuck network helps nobody.
    pub fn wait_at_most(&mut self, limit: Duration) {
        // A socket that is gone has nothing to wait for.
        let _ = self.transport.socket().set_timeout(Some(limit));
    }

    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle {
            shared: self.shared.clone(),
        }
    }

    /// Receives notices and warnings from now on.
    pub fn on_notice(&mut self, callback: impl FnMut(&PgError) + Send + 'static) {
        self.notices = Some(Box::new(callback));
    }

    /// Process number of the server's session.
    pub fn backend_pid(&self) -> i32 {
        self.shared.target.key.0
    }

    /// The server's version as a number, for example 150020.
    pub fn server_version_num(&self) -> u32 {
        self.parameter("server_version").map_or(0, version_number)
    }

    /// A setting that the server reports by itself, such as `server_version`, `server_encoding`, `TimeZone`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub fn transaction_status(&self) -> TransactionStatus {
        self.status
    }

    /// Name of the database that this session is in.
    pub fn dbname(&self) -> &str {
        &self.options.dbname
    }

    /// How it was opened, so that another session can be opened beside it.
    pub(crate) fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// The session's target in words.
    pub fn describe(&self) -> &str {
        &self.to
    }

    pub fn is_encrypted(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// Runs one or more statements and returns the last one's result.
    pub fn query(&mut self, sql: &str) -> Result<Rows> {
        Ok(self.query_all(sql)?.pop().unwrap_or_default())
    }

    /// Runs one or more statements and returns each one's result.
    pub fn query_all(&mut self, sql: &str) -> Result<Vec<Rows>> {
        self.send_query(sql)?;
        let mut results = Vec::new();
        let mut current = Rows::default();
        let mut bad_row = None;
        loop {
            let message = match self.answer(sql)? {
                Answer::Ready => break,
                Answer::Message(message) => message,
            };
            let body = self.input.bytes(&message);
            match message.tag {
                b'T' => {
                    if current.set_columns(body).is_none() {
                        bad_row = Some("the description of a result is cut short".to_owned());
                    }
                }
                b'D' if bad_row.is_none() => bad_row = current.push(body).err(),
                b'D' => {}
                b'C' => {
                    current.set_tag(tag_text(body));
                    results.push(std::mem::take(&mut current));
                }
                b'I' => {}
                b'G' => self.refuse_copy_in()?,
                // COPY TO STDOUT where rows were asked for: let it run out.
                b'H' | b'd' | b'c' => {
                    bad_row = Some("COPY data where rows were expected".to_owned())
                }
                other => return Err(self.out_of_step(sql, other)),
            }
        }
        match bad_row {
            Some(what) => Err(Error::Protocol {
                doing: shorten(sql),
                what,
            }),
            None => Ok(results),
        }
    }

    /// Runs a query that must give exactly one row.
    pub fn query_one(&mut self, sql: &str) -> Result<Rows> {
        let rows = self.query(sql)?;
        if rows.len() == 1 {
            Ok(rows)
        } else {
            Err(Error::Protocol {
                doing: shorten(sql),
                what: format!("{} rows instead of one", rows.len()),
            })
        }
    }

    /// The single value of a query that must give one row; `None` is NULL.
    pub fn query_value(&mut self, sql: &str) -> Result<Option<String>> {
        Ok(self.query_one(sql)?.get(0, 0).map(str::to_owned))
    }

    /// Runs statements whose rows, if any, are of no interest; returns the rows affected by the last.
    pub fn execute(&mut self, sql: &str) -> Result<u64> {
        Ok(self.query(sql)?.affected())
    }

    /// Ends the session properly.
    pub fn terminate(mut self) {
        self.say_goodbye();
    }

    fn say_goodbye(&mut self) {
        if !self.broken {
            let mut out = BytesMut::new();
            frontend::terminate(&mut out);
            // The server may be gone already, and that is what we want.
            let _ = self
                .transport
                .write_all(&out)
                .and_then(|()| self.transport.flush());
        }
        self.broken = true;
        self.transport.socket().close();
    }

    pub(super) fn send_query(&mut self, sql: &str) -> Result<()> {
        if self.broken {
            return Err(self.failed(
                sql,
                io::Error::new(io::ErrorKind::NotConnected, "it was lost earlier"),
            ));
        }
        self.shared.set_busy(true);
        if self.shared.is_cancelled() {
            self.shared.set_busy(false);
            return Err(Error::Cancelled);
        }
        let mut out = BytesMut::with_capacity(sql.len() + 6);
        if frontend::query(sql, &mut out).is_err() {
            self.shared.set_busy(false);
            return Err(Error::Protocol {
                doing: shorten(sql),
                what: "the statement is too long or contains a zero byte".into(),
            });
        }
        self.send(&out).map_err(|e| self.failed(sql, e))
    }

    pub(super) fn send(&mut self, data: &[u8]) -> io::Result<()> {
        self.transport.write_all(data)?;
        self.transport.flush()
    }

    /// The next message of the running statement's answer. An error of the server is returned once the server is
    /// ready again, so that the connection stays usable after it.
    pub(super) fn answer(&mut self, sql: &str) -> Result<Answer> {
        let mut error: Option<PgError> = None;
        loop {
            let message = match self.input.next(&mut self.transport) {
                Ok(message) => message,
                // A FATAL error comes just before the server hangs up.
                Err(_) if error.is_some() => {
                    self.break_off();
                    return Err(self.refused(sql, error.expect("just seen")));
                }
                Err(e) => return Err(self.failed(sql, e)),
            };
            match message.tag {
                b'E' => error = Some(PgError::parse(self.input.bytes(&message))),
                b'Z' => {
                    self.ready(&message);
                    return match error {
                        Some(error) => Err(self.refused(sql, error)),
                        None => Ok(Answer::Ready),
                    };
                }
                b'N' | b'S' | b'A' => self.aside(&message),
                _ if error.is_some() => {}
                _ => return Ok(Answer::Message(message)),
            }
        }
    }

    fn ready(&mut self, message: &Message) {
        self.status = match self.input.bytes(message).first() {
            Some(b'T') => TransactionStatus::InTransaction,
            Some(b'E') => TransactionStatus::Failed,
            _ => TransactionStatus::Idle,
        };
        self.shared.set_busy(false);
    }

    /// Messages that can come at any time: notices, changed settings, notifications.
    pub(super) fn aside(&mut self, message: &Message) {
        let body = self.input.bytes(message);
        match message.tag {
            b'S' => add_parameter(&mut self.parameters, body),
            b'N' => {
                if let Some(callback) = &mut self.notices {
                    callback(&PgError::parse(body));
                }
            }
            _ => {}
        }
    }

    pub(super) fn refuse_copy_in(&mut self) -> Result<()> {
        let mut out = BytesMut::new();
        frontend::copy_fail("no data is sent for this statement", &mut out)
            .expect("the message has no zero byte");
        self.send(&out).map_err(|e| self.failed("COPY", e))
    }

    /// The server's refusal as an error of ours; after a cancel it is only the cancel's echo.
    pub(super) fn refused(&self, sql: &str, error: PgError) -> Error {
        if self.shared.is_cancelled() {
            return Error::Cancelled;
        }
        Error::Postgres {
            doing: shorten(sql),
            source: Box::new(error),
        }
    }

    pub(super) fn failed(&mut self, sql: &str, source: io::Error) -> Error {
        let last_word = self.last_word(&source);
        self.break_off();
        if self.shared.is_cancelled() {
            return Error::Cancelled;
        }
        if let Some(error) = last_word {
            return self.refused(sql, error);
        }
        let doing = shorten(sql);
        match source.kind() {
            io::ErrorKind::InvalidData => Error::Protocol {
                doing,
                what: source.to_string(),
            },
            _ => Error::ConnectionLost { doing, source },
        }
    }

    /// Why the server hung up, when it said so before we noticed: the message may still lie in the socket.
    fn last_word(&mut self, failure: &io::Error) -> Option<PgError> {
        let hung_up = matches!(
            failure.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        );
        if !hung_up || self.broken {
            return None;
        }
        self.transport.socket().set_timeout(Some(LAST_WORD)).ok()?;
        loop {
            let message = self.input.next(&mut self.transport).ok()?;
            if message.tag == b'E' {
                return Some(PgError::parse(self.input.bytes(&message)));
            }
        }
    }

    pub(super) fn out_of_step(&mut self, sql: &str, tag: u8) -> Error {
        self.break_off();
        Error::Protocol {
            doing: shorten(sql),
            what: format!("message {:?} out of place", char::from(tag)),
        }
    }

    pub(super) fn break_off(&mut self) {
        self.broken = true;
        self.transport.socket().close();
        self.shared.set_busy(false);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.shared.is_busy() && !self.broken {
            // The statement would run on for nobody; if the server cannot be asked, it finds out when it writes.
            let _ = self.shared.target.request();
            self.break_off();
        }
        self.say_goodbye();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("to", &self.to)
            .field("backend_pid", &self.backend_pid())
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

pub(super) fn tag_text(body: &[u8]) -> String {
    let end = memchr::memchr(0, body).unwrap_or(body.len());
    String::from_utf8_lossy(&body[..end]).into_owned()
}

/// The beginning of a statement, to name it in an error.
pub(super) fn shorten(sql: &str) -> String {
    const LIMIT: usize = 80;
    let mut words = String::new();
    for word in sql.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
        if words.len() > LIMIT {
            let cut = (0..=LIMIT)
                .rev()
                .find(|i| words.is_char_boundary(*i))
                .unwrap_or(0);
            words.truncate(cut);
            words.push('…');
            break;
        }
    }
    words
}

/// `15.18 (Debian …)` is 150018; `18beta1` is 180000; `9.6.24` is 90624.
fn version_number(text: &str) -> u32 {
    let digits = |s: &str| -> u32 {
        let end = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
        s[..end].parse().unwrap_or(0)
    };
    let version = text.split_whitespace().next().unwrap_or_default();
    let parts: Vec<u32> = version.split('.').map(digits).collect();
    let part = |i: usize| parts.get(i).copied().unwrap_or(0);
    if part(0) >= 10 {
        part(0) * 10_000 + part(1)
    } else {
        part(0) * 10_000 + part(1) * 100 + part(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_become_numbers() {
        for (text, number) in [
            ("15.18 (Debian 15.18-0+deb12u1)", 150_018),
            ("18beta1", 180_000),
            ("17.0", 170_000),
            ("9.6.24", 90_624),
            ("", 0),
        ] {
            assert_eq!(version_number(text), number, "{text}");
        }
    }

    #[test]
    fn statements_are_shortened_on_a_character_boundary() {
        assert_eq!(shorten("SELECT\n   1"), "SELECT 1");
        let long = shorten(&"é".repeat(200));
        assert!(long.ends_with('…') && long.len() < 90, "{long}");
    }
}
