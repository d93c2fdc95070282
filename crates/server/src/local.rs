//! The API without HTTP: who may open the catalog's file and its key on this machine asks the same handlers as everybody
//! else, as an administrator.
//!
//! Nothing runs besides the handlers: no scheduler, no worker, no notifier. What is put into the queue is done by the
//! server that works on the same catalog.

use crate::api;
use crate::auth::{Credential, Principal, Recognised};
use crate::http::Client;
use crate::settings::ServerSettings;
use crate::state::AppState;
use crate::targets::Machine;
use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use pgkeep_catalog::blocking::Blocking;
use pgkeep_model::access::Role;
use std::net::{IpAddr, Ipv4Addr};
use tower::ServiceExt;

/// The API of a catalog that is opened in this process.
pub struct Local {
    catalog: Blocking,
    router: Router,
    principal: Principal,
}

/// A request as it would come over HTTP.
#[derive(Debug)]
pub struct Request {
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// JSON.
    pub body: Option<Vec<u8>>,
    pub if_match: Option<String>,
    /// Only where nothing is there yet.
    pub if_absent: bool,
}

/// The answer to a [`Request`].
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub etag: Option<String>,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Local {
    /// The machine's account stands in the audit log.
    pub fn new(catalog: Blocking, settings: ServerSettings, machine: Machine) -> Self {
        let name = machine.username.clone();
        let state = catalog.block_on(|catalog| async { AppState::new(settings, catalog, machine) });
        let principal = Principal::new(Recognised {
            user_id: "local".into(),
            name,
            role: Role::Admin,
            permissions: Role::Admin.permissions(),
            apps: None,
            credential: Credential::Local,
        });
        Self {
            catalog,
            router: api::router(state),
            principal,
        }
    }

    /// The catalog itself, for what the API does not do.
    pub fn catalog(&self) -> &Blocking {
        &self.catalog
    }

    /// Asks and waits for the answer.
    pub fn call(&self, request: Request) -> Result<Reply, String> {
        let mut builder = axum::http::Request::builder()
            .method(request.method)
            .uri(&request.target);
        if request.body.is_some() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        if let Some(etag) = &request.if_match {
            builder = builder.header(IF_MATCH, etag);
        }
        if request.if_absent {
            builder = builder.header(IF_NONE_MATCH, "*");
        }
        let body = request.body.map_or_else(Body::empty, Body::from);
        let mut request = builder.body(body).map_err(|e| e.to_string())?;
        let extensions = request.extensions_mut();
        extensions.insert(self.principal.clone());
        extensions.insert(Client {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            secure: true,
        });
        let router = self.router.clone();
        self.catalog.block_on(|_| async move {
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let header = |name| {
                let value = response.headers().get(name);
                value.and_then(|v| v.to_str().ok()).map(str::to_owned)
            };
            let (etag, content_type) = (header(ETAG), header(CONTENT_TYPE).unwrap_or_default());
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX)
                .await
                .map_err(|e| e.to_string())?;
            Ok(Reply {
                status,
                etag,
                content_type,
                body: body.into(),
            })
        })
    }
}
