//! Takes what looks like a secret out of a text that is about to leave.
//!
//! The last line of defence, so it rather takes too much: passwords in addresses and connection strings, values of fields
//! whose names say what they hold, bearer tokens, our own tokens, secrets of webhooks.

use std::borrow::Cow;

const REDACTED: &str = "***";

/// A field whose name ends so holds a secret.
const SECRET_NAMES: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "secret_access_key",
    "private_key",
];

/// Words that begin a secret themselves.
const SECRET_PREFIXES: [&str; 2] = ["whsec_", "pgk_"];

/// The same text with secrets replaced by `***`.
pub fn scrub(text: &str) -> Cow<'_, str> {
    let found = secrets(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut from = 0;
    for (start, end) in found {
        clean.push_str(&text[from..start]);
        clean.push_str(REDACTED);
        from = end;
    }
    clean.push_str(&text[from..]);
    Cow::Owned(clean)
}

/// Where secrets are, in order and apart from each other.
fn secrets(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    // Our own names are ASCII; lowering only those keeps every position.
    let lower = text.to_ascii_lowercase();
    in_addresses(text, &mut found);
    after_bearer(&lower, &mut found);
    for prefix in SECRET_PREFIXES {
        for (at, _) in lower.match_indices(prefix) {
            let start = at + prefix.len();
            // Both go on in letters of base64 alone: what else comes is about such a secret, like `whsec_$(openssl rand)`.
            let of_secret = |c: char| c.is_ascii_alphanumeric() || "+/=-_".contains(c);
            let rest = &text[start..];
            let length = rest.find(|c| !of_secret(c)).unwrap_or(rest.len());
            found.push((start, start + length));
        }
    }
    for name in SECRET_NAMES {
        for (at, _) in lower.match_indices(name) {
            found.extend(value_after(text, at + name.len()));
        }
    }
    found.retain(|(start, end)| start < end);
    found.sort_unstable();
    merged(found)
}

fn merged(found: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    let mut merged: Vec<(usize, usize)> = Vec::with_capacity(found.len());
    for (start, end) in found {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// `scheme://user:password@host`: from the first colon to the last `@` before the path.
fn in_addresses(text: &str, found: &mut Vec<(usize, usize)>) {
    for (at, _) in text.match_indices("://") {
        let start = at + "://".len();
        let rest = &text[start..];
        let authority = &rest[..rest
            .find(|letter: char| letter.is_whitespace() || matches!(letter, '/' | '?' | '#' | '"'))
            .unwrap_or(rest.len())];
        if let (Some(colon), Some(host)) = (authority.find(':'), authority.rfind('@'))
            && colon < host
        {
            found.push((start + colon + 1, start + host));
        }
    }
}

fn after_bearer(lower: &str, found: &mut Vec<(usize, usize)>) {
    for (at, word) in lower.match_indices("bearer ") {
        let start = at + word.len();
        found.push((start, end_of_word(lower, start)));
    }
}

/// The value of a field, if what follows its name is one: `=x`, `: x`, `="x y"`, `": "x"`, `='x y'`.
fn value_after(text: &str, name_end: usize) -> Option<(usize, usize)> {
    let rest = &text[name_end..];
    let rest = rest.trim_start_matches(['"', '\\']);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix(['=', ':'])?;
    let rest = rest.trim_start();
    let escape = rest.len() - rest.trim_start_matches('\\').len();
    let quoted = &rest[escape..];
    let start = text.len() - quoted.len();
    let quote = quoted.chars().next()?;
    let inside = start + quote.len_utf8();
    let closed = match quote {
        '"' | '\'' => end_of_quoted(text, inside, quote, escape),
        _ => return Some((start, end_of_word(text, start))),
    };
    // What is never closed ends where a word would.
    Some((inside, closed.unwrap_or_else(|| end_of_word(text, inside))))
}

/// The closing quote: one with as many backslashes as the opening one had, or without any that is not escaped.
fn end_of_quoted(text: &str, start: usize, quote: char, escape: usize) -> Option<usize> {
    if escape > 0 {
        let closing = format!("{}{quote}", "\\".repeat(escape));
        return text[start..].find(&closing).map(|at| start + at);
    }
    let mut escaped = false;
    for (at, letter) in text[start..].char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return Some(start + at),
            _ => {}
        }
    }
    None
}

fn end_of_word(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    let length = rest
        .find(|letter: char| {
            letter.is_whitespace()
                || matches!(letter, '"' | '\'' | ',' | ';' | '&' | ')' | '}' | ']' | '>')
        })
        .unwrap_or(rest.len());
    // A backslash before a quote belongs to the quote, and JSON stays JSON.
    start + rest[..length].trim_end_matches('\\').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(scrub(text), expected, "{text}");
    }

    #[test]
    fn passwords_of_addresses_go() {
        check("postgres://u:p@h/db", "postgres://u:***@h/db");
        check(
            "at postgres://u:p@ss:w@h:5432/db?x=1, then",
            "at postgres://u:***@h:5432/db?x=1, then",
        );
        check(
            "https://k:s@sentry.example/1",
            "https://k:***@sentry.example/1",
        );
        check(
            "see https://example.org:8443/a@b",
            "see https://example.org:8443/a@b",
        );
        check("postgres://u@h/db", "postgres://u@h/db");
    }

    #[test]
    fn values_of_secret_fields_go() {
        check("host=h password=p user=u", "host=h password=*** user=u");
        check("password='a b' x", "password='***' x");
        check(r#"{"password":"a","x":1}"#, r#"{"password":"***","x":1}"#);
        check(
            r#"{"m":"{\"password\":\"a\"}"}"#,
            r#"{"m":"{\"password\":\"***\"}"}"#,
        );
        check(
            r#"{"m":"say \"password=a\" twice"}"#,
            r#"{"m":"say \"password=***\" twice"}"#,
        );
        check(r#"password="a\"b" x"#, r#"password="***" x"#);
        check("password='a b", "password='*** b");
        check(
            "PGPASSWORD=x sslpassword=y",
            "PGPASSWORD=*** sslpassword=***",
        );
        check(
            "secret_access_key: abc, region: x",
            "secret_access_key: ***, region: x",
        );
        check("client_secret=abc&x=1", "client_secret=***&x=1");
        check("?token=abc&x=1", "?token=***&x=1");
    }

    #[test]
    fn tokens_go() {
        check("Authorization: Bearer abc.def", "Authorization: Bearer ***");
        check("pgk_abcdef is used", "pgk_*** is used");
        check("whsec_AbC+/=", "whsec_***");
        check("`whsec_AbC+/=`.", "`whsec_***`.");
    }

    #[test]
    fn ordinary_texts_stay() {
        for text in [
            "password authentication failed for user \"shop\"",
            "the token has expired",
            "job 7 finished in 3 s: 12 tables",
            "größer als 3 %",
            "make one with `echo whsec_$(openssl rand -base64 32)`",
            "",
        ] {
            check(text, text);
        }
    }
}
