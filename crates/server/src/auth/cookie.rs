//! The server's two cookies. `__Host-` makes browsers take them over TLS (or from this machine) only, for this very host and
//! every path, so that no neighbouring host can plant one.

use axum::http::{HeaderMap, HeaderValue, header};
use jiff::SignedDuration;

/// Holds a session's secret.
pub const SESSION: &str = "__Host-pgkeep";
/// Ties a login at an identity provider to the browser in which it began.
pub const SIGN_ON: &str = "__Host-pgkeep-login";

/// A cookie that scripts cannot read and other sites' requests do not carry.
pub fn set(name: &str, value: &str, lifetime: SignedDuration) -> HeaderValue {
    let seconds = lifetime.as_secs().max(0);
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    HeaderValue::from_str(&text).expect("names and secrets need no escaping")
}

/// Makes the browser forget a cookie.
pub fn clear(name: &str) -> HeaderValue {
    set(name, "", SignedDuration::ZERO)
}

/// The value of a cookie of the request.
pub fn get<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        for line in ["a=1; __Host-pgkeep-login=two", "b=3;__Host-pgkeep=one"] {
            headers.append(header::COOKIE, HeaderValue::from_static(line));
        }
        assert_eq!(get(&headers, SESSION), Some("one"));
        assert_eq!(get(&headers, SIGN_ON), Some("two"));
        assert_eq!(get(&headers, "c"), None);
    }

    #[test]
    fn cookies_are_for_this_host_and_no_script() {
        let value = set(SESSION, "secret", SignedDuration::from_hours(1));
        assert_eq!(
            value.to_str().unwrap(),
            "__Host-pgkeep=secret; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=3600"
        );
        assert!(clear(SESSION).to_str().unwrap().ends_with("Max-Age=0"));
    }
}
