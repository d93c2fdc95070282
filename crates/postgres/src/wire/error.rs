//! An error or notice as the server sends it.

use std::fmt;

/// Fields of an ErrorResponse or NoticeResponse (PostgreSQL's documentation, "Error and Notice Message Fields").
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PgError {
    /// `ERROR`, `FATAL`, `WARNING` ... never translated where the server sends that form (9.6 and newer).
    pub severity: String,
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Context: the call stack in the server, or the COPY line.
    pub where_: Option<String>,
    /// Character of the statement that the error points to, from 1.
    pub position: Option<u32>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
}

impl std::error::Error for PgError {}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        write!(f, " (SQLSTATE {})", self.sqlstate)?;
        if let Some(place) = self.where_.as_ref().and_then(|w| w.lines().next()) {
            write!(f, " at {place}")?;
        }
        Ok(())
    }
}

impl PgError {
    /// Reads the body of the message: a type byte and a C string for each field, ended by a zero byte.
    pub(crate) fn parse(mut body: &[u8]) -> PgError {
        let mut error = PgError::default();
        while let Some((&kind, rest)) = body.split_first() {
            if kind == 0 {
                break;
            }
            let end = memchr::memchr(0, rest).unwrap_or(rest.len());
            let text = String::from_utf8_lossy(&rest[..end]).into_owned();
            error.set(kind, text);
            body = rest.get(end + 1..).unwrap_or_default();
        }
        error
    }

    fn set(&mut self, kind: u8, text: String) {
        match kind {
            b'S' if self.severity.is_empty() => self.severity = text,
            b'V' => self.severity = text,
            b'C' => self.sqlstate = text,
            b'M' => self.message = text,
            b'D' => self.detail = Some(text),
            b'H' => self.hint = Some(text),
            b'W' => self.where_ = Some(text),
            b'P' => self.position = text.parse().ok(),
            b's' => self.schema = Some(text),
            b't' => self.table = Some(text),
            b'c' => self.column = Some(text),
            b'n' => self.constraint = Some(text),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_a_cut_message_does_not_panic() {
        let body = b"SFEHLER\0VERROR\0C42P01\0Mno table\0Dgone\0P15\0nfk\0Zunknown\0\0";
        let error = PgError::parse(body);
        assert_eq!(error.severity, "ERROR");
        assert_eq!(error.to_string(), "no table: gone (SQLSTATE 42P01)");
        assert_eq!(
            (error.position, error.constraint.as_deref()),
            (Some(15), Some("fk"))
        );
        for end in 0..body.len() {
            PgError::parse(&body[..end]);
        }
    }
}
