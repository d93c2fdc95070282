//! The web UI: the files of `web/dist`, embedded in the binary (a debug build reads them from there at each request).
//!
//! Names under `/assets/` carry a hash of their content and may be kept for ever; the build has left compressed twins beside
//! them. Every other path that is a page's answers `index.html`, so that deep links work; what that page shows comes from
//! the API, which asks who it is. The page runs under a policy without `unsafe-inline`: styles that its library writes at run
//! time carry a nonce made for this one answer.

use crate::api::Problem;
use crate::api::routes::unknown_path;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rust_embed::RustEmbed;
use std::borrow::Cow;

const INDEX: &str = "index.html";
/// Stands in `index.html` where the nonce goes.
const NONCE_MARK: &str = "__NONCE__";
const ASSETS: &str = "assets/";

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
struct Dist;

/// Answers what no route of the API has taken.
pub async fn serve(request: Request) -> Response {
    let path = request.uri().path();
    let is_api = path == "/api" || path.starts_with("/api/");
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_api || !reads {
        return unknown_path(request).await.into_response();
    }
    let name = path.trim_start_matches('/').to_string();
    answer(&name, request.headers(), |name| {
        Dist::get(name).map(|file| file.data)
    })
}

fn answer(
    name: &str,
    asked: &HeaderMap,
    file: impl Fn(&str) -> Option<Cow<'static, [u8]>>,
) -> Response {
    let last = name.rsplit('/').next().unwrap_or_default();
    let is_page = !name.starts_with(ASSETS) && (!last.contains('.') || name == INDEX);
    if is_page {
        return match file(INDEX) {
            Some(page) => index(&String::from_utf8_lossy(&page)),
            None => not_built(),
        };
    }
    for (encoding, ending) in [("br", ".br"), ("gzip", ".gz")] {
        if accepts(asked, encoding)
            && let Some(bytes) = file(&format!("{name}{ending}"))
        {
            return asset(name, bytes, Some(encoding));
        }
    }
    match file(name) {
        Some(bytes) => asset(name, bytes, None),
        None => Problem::not_found("file", name).into_response(),
    }
}

fn asset(name: &str, bytes: Cow<'static, [u8]>, encoding: Option<&'static str>) -> Response {
    let mut response = Body::from(bytes.into_owned()).into_response();
    let headers = response.headers_mut();
    let keep = if name.starts_with(ASSETS) {
        "public, max-age=31536000, immutable"
    } else {
        "public, max-age=3600"
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

fn index(page: &str) -> Response {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).expect("the system gives random bytes");
    let nonce = STANDARD.encode(random);
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    html(page.replace(NONCE_MARK, &nonce), &policy)
}

/// Says what to do where the binary was built without the UI.
fn not_built() -> Response {
    let page = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>pgkeep</title></head><body>\
        <h1>pgkeep is running</h1><p>This binary was built without its web UI. Build the UI with <code>make web</code>, then \
        the binary with <code>make build</code>.</p><p>The API and its description are here: \
        <a href=\"/api/docs\">/api/docs</a></p></body></html>";
    html(
        page.to_string(),
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    )
}

fn html(page: String, policy: &str) -> Response {
    let mut response = (StatusCode::OK, page).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(policy) = HeaderValue::from_str(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn accepts(asked: &HeaderMap, encoding: &str) -> bool {
    asked
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|offer| {
            let mut parts = offer.split(';').map(str::trim);
            parts.next() == Some(encoding) && !parts.any(|part| part == "q=0" || part == "q=0.0")
        })
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn built(name: &str) -> Option<Cow<'static, [u8]>> {
        let bytes: &'static [u8] = match name {
            "index.html" => b"<html><script nonce=\"__NONCE__\"></script></html>",
            "assets/main-1a2b.js" => b"plain",
            "assets/main-1a2b.js.br" => b"brotli",
            "assets/main-1a2b.js.gz" => b"gzip",
            "icon.svg" => b"<svg/>",
            _ => return None,
        };
        Some(Cow::Borrowed(bytes))
    }

    fn asking(encodings: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(encodings))])
    }

    async fn text(response: Response) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn named(response: &Response, header: header::HeaderName) -> &str {
        response
            .headers()
            .get(header)
            .map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn every_page_is_the_index_with_a_nonce_of_its_own() {
        let mut policies = Vec::new();
        for path in ["", "backups/0123", "index.html", "policies/nightly"] {
            let response = answer(path, &HeaderMap::new(), built);
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(named(&response, header::CACHE_CONTROL), "no-store");
            let policy = named(&response, header::CONTENT_SECURITY_POLICY).to_string();
            assert!(!policy.contains("unsafe"), "{policy}");
            let nonce = policy
                .split("'nonce-")
                .nth(1)
                .unwrap()
                .split('\'')
                .next()
                .unwrap();
            let page = text(response).await;
            assert!(page.contains(&format!("nonce=\"{nonce}\"")), "{page}");
            policies.push(policy);
        }
        policies.sort();
        policies.dedup();
        assert_eq!(policies.len(), 4);
    }

    #[tokio::test]
    async fn assets_are_kept_for_ever_and_come_compressed_as_the_browser_likes() {
        for (offered, encoding, body) in [
            ("gzip, deflate, br, zstd", "br", "brotli"),
            ("gzip;q=0.8", "gzip", "gzip"),
            ("br;q=0, gzip", "gzip", "gzip"),
            ("identity", "", "plain"),
        ] {
            let response = answer("assets/main-1a2b.js", &asking(offered), built);
            assert_eq!(
                named(&response, header::CONTENT_ENCODING),
                encoding,
                "{offered}"
            );
            assert!(named(&response, header::CACHE_CONTROL).contains("immutable"));
            assert_eq!(
                named(&response, header::CONTENT_TYPE),
                "text/javascript; charset=utf-8"
            );
            assert_eq!(text(response).await, body);
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_no_page() {
        for path in ["assets/old-9f.js", "robots.txt", "assets/none"] {
            let response = answer(path, &HeaderMap::new(), built);
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        }
        let icon = answer("icon.svg", &asking("br"), built);
        assert_eq!(named(&icon, header::CONTENT_TYPE), "image/svg+xml");
    }

    #[tokio::test]
    async fn a_binary_without_the_ui_says_how_to_build_it() {
        let response = answer("", &HeaderMap::new(), |_| None);
        assert_eq!(response.status(), StatusCode::OK);
        assert!(text(response).await.contains("make web"));
    }
}
