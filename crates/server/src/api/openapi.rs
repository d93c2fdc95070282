//! The OpenAPI document, and its pages.

use super::problem::{Code, Problem, ProblemBody};
use super::routes::BASE;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    ResponseBuilder, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

/// The document without paths.
pub fn base() -> OpenApi {
    let mut document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("pgkeep")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "Backups of PostgreSQL applications that prove they can be restored.\n\nErrors are \
                     `application/problem+json`. Times are ISO 8601 in UTC. Long work answers 202 with the job that does \
                     it. Lists come in pages: `nextCursor` asks for the next one.",
                ))
                .license(Some(
                    LicenseBuilder::new()
                        .name("MIT OR Apache-2.0")
                        .identifier(Some("MIT OR Apache-2.0"))
                        .build(),
                ))
                .build(),
        )
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .build();
    let components = document.components.get_or_insert_default();
    components.security_schemes.insert(
        "bearer".into(),
        RefOr::T(SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("pgk_…")
                .description(Some("An API token."))
                .build(),
        )),
    );
    components.security_schemes.insert(
        "session".into(),
        RefOr::T(SecurityScheme::ApiKey(ApiKey::Cookie(
            ApiKeyValue::with_description(
                "__Host-pgkeep",
                "The cookie of a login. Requests that change something also send `X-CSRF-Token`.",
            ),
        ))),
    );
    let mut schemas = Vec::new();
    ProblemBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components
        .schemas
        .insert("Problem".into(), ProblemBody::schema());
    components.responses = problems();
    document
}

/// One response for each status that a problem may have.
fn problems() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in Code::ALL {
        by_status
            .entry(code.status().as_u16())
            .or_default()
            .push(*code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| {
            let description = codes
                .iter()
                .map(|code| format!("`{}`: {}", code.as_str(), code.title()))
                .collect::<Vec<_>>()
                .join("; ");
            let response = ResponseBuilder::new()
                .description(description)
                .content(
                    "application/problem+json",
                    ContentBuilder::new()
                        .schema(Some(Ref::from_schema_name("Problem")))
                        .build(),
                )
                .build();
            (format!("Problem{status}"), RefOr::T(response))
        })
        .collect()
}

/// The document as it is served, made once.
#[derive(Clone)]
pub struct Document(Arc<str>);

impl Document {
    pub fn new(document: &OpenApi) -> Self {
        Self(
            document
                .to_json()
                .expect("a document of texts serialises")
                .into(),
        )
    }

    pub fn respond(&self) -> Response {
        (
            [(header::CONTENT_TYPE, "application/json")],
            self.0.to_string(),
        )
            .into_response()
    }
}

/// The browser for the document; all of it comes from the binary.
pub async fn pages(path: Option<Path<String>>) -> Response {
    let Some(Path(path)) = path else {
        return Redirect::permanent("/api/docs/index.html").into_response();
    };
    let config = Arc::new(utoipa_swagger_ui::Config::from(format!(
        "{BASE}/openapi.json"
    )));
    match utoipa_swagger_ui::serve(&path, config) {
        Ok(Some(file)) => {
            let mut response = file.bytes.into_owned().into_response();
            let headers = response.headers_mut();
            if let Ok(kind) = HeaderValue::from_str(&file.content_type) {
                headers.insert(header::CONTENT_TYPE, kind);
            }
            if file.gzpipped {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        }
        Ok(None) => Problem::not_found("page", &path).into_response(),
        Err(error) => Problem::internal(error).into_response(),
    }
}
