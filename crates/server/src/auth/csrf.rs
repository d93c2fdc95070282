//! Requests that other sites make a browser send are refused.
//!
//! A request that changes something and is recognised by a cookie must say from which page it comes, as browsers do, and
//! repeat the session's CSRF token, which other sites cannot read. Requests with an API token need neither: no browser sends
//! that by itself.

use super::error::AuthError;
use super::secret;
use axum::http::{HeaderMap, Method, header};

/// The header that repeats the session's CSRF token.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// Whether a method changes nothing.
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Refuses a request that a browser says comes from elsewhere. What says nothing about it is let through: it is no browser,
/// or an old one that the token protects.
pub fn check_origin(headers: &HeaderMap, public_origin: Option<&str>) -> Result<(), AuthError> {
    if let Some(site) = text(headers, "sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return Err(AuthError::Csrf("another site sent it"));
    }
    let Some(origin) = text(headers, header::ORIGIN.as_str()) else {
        return Ok(());
    };
    let own = text(headers, header::HOST.as_str());
    let is_own = own.is_some_and(|host| {
        origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"))
            .is_some_and(|name| name.eq_ignore_ascii_case(host))
    });
    let is_public = public_origin.is_some_and(|public| public.eq_ignore_ascii_case(origin));
    if is_own || is_public {
        Ok(())
    } else {
        Err(AuthError::Csrf("its Origin is another site"))
    }
}

/// Refuses a request without the session's token.
pub fn check_token(headers: &HeaderMap, csrf: &str) -> Result<(), AuthError> {
    match text(headers, CSRF_HEADER) {
        None => Err(AuthError::Csrf("it has no CSRF token")),
        Some(token) if secret::equal(token, csrf) => Ok(()),
        Some(_) => Err(AuthError::Csrf("its CSRF token is not the session's")),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn only_requests_of_ones_own_pages_pass() {
        let host = ("host", "keep.example.org");
        for (lines, public, passes) in [
            (vec![host], None, true),
            (vec![host, ("sec-fetch-site", "same-origin")], None, true),
            (vec![host, ("sec-fetch-site", "none")], None, true),
            (vec![host, ("sec-fetch-site", "same-site")], None, false),
            (vec![host, ("sec-fetch-site", "cross-site")], None, false),
            (
                vec![host, ("origin", "https://keep.example.org")],
                None,
                true,
            ),
            (
                vec![host, ("origin", "https://evil.example.org")],
                None,
                false,
            ),
            (
                vec![host, ("origin", "https://keep.example.org.evil")],
                None,
                false,
            ),
            (vec![host, ("origin", "null")], None, false),
            // Behind a proxy that changes the Host.
            (
                vec![
                    ("host", "10.0.0.5:8321"),
                    ("origin", "https://keep.example.org"),
                ],
                Some("https://keep.example.org"),
                true,
            ),
            (
                vec![
                    ("host", "10.0.0.5:8321"),
                    ("origin", "https://keep.example.org"),
                ],
                None,
                false,
            ),
            (
                vec![
                    host,
                    ("origin", "https://keep.example.org"),
                    ("sec-fetch-site", "cross-site"),
                ],
                Some("https://keep.example.org"),
                false,
            ),
        ] {
            let headers = headers(&lines);
            assert_eq!(check_origin(&headers, public).is_ok(), passes, "{lines:?}");
        }
    }

    #[test]
    fn the_token_must_be_the_sessions() {
        assert!(check_token(&headers(&[("x-csrf-token", "right")]), "right").is_ok());
        assert!(check_token(&headers(&[("x-csrf-token", "wrong")]), "right").is_err());
        assert!(check_token(&headers(&[("x-csrf-token", "")]), "right").is_err());
        assert!(check_token(&headers(&[]), "right").is_err());
    }
}
