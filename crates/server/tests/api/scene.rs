//! A server with accounts, on a catalog in a folder of its own. Nothing runs besides the handlers.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use pgkeep_catalog::people::tokens::NewToken;
use pgkeep_catalog::people::users::NewUser;
use pgkeep_catalog::{Catalog, ManagedBy, NodeBeat};
use pgkeep_model::access::{Access, Permission, Role};
use pgkeep_model::app::{AppDefinition, RepositoryDefinition};
use pgkeep_postgres::connect::Environment;
use pgkeep_server::api;
use pgkeep_server::auth::secret;
use pgkeep_server::http::Front;
use pgkeep_server::settings::{Places, Rate, ServerSettings, ThrottleScope, WorkSettings};
use pgkeep_server::state::AppState;
use pgkeep_server::targets::Machine;
use pgkeep_server::worker::open_options;
use pgkeep_testkit::ManualClock;
use secrecy::ExposeSecret;
use serde_json::Value;
use std::sync::Arc;

pub struct Scene {
    pub state: AppState,
    pub front: Front,
    pub clock: Arc<ManualClock>,
    pub admin: String,
    _dir: tempfile::TempDir,
}

/// An answer, with its body read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_else(|| panic!("no header {name}: {:?}", self.headers))
    }
}

/// Settings without limits, in a folder.
pub fn settings(dir: &std::path::Path) -> ServerSettings {
    let mut settings = ServerSettings {
        places: Places::inside(dir),
        work: WorkSettings {
            slots: 0,
            ..WorkSettings::default()
        },
        ..ServerSettings::default()
    };
    for scope in ThrottleScope::ALL {
        settings.throttles.rates.insert(scope, Rate::Off);
    }
    settings
}

impl Scene {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut ServerSettings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(dir.path());
        change(&mut settings);
        let clock = Arc::new(ManualClock::at("2026-03-02T10:00:00Z"));
        let catalog = Catalog::open(open_options(&settings.places, clock.clone(), true))
            .await
            .unwrap();
        let machine = Machine::here(clock.clone(), Environment::new::<String, String>([]));
        let state = AppState::new(settings, catalog, machine);
        let front = Front::new(
            api::router(state.clone()),
            &state.settings.http,
            state.requests.clone(),
        );
        let mut scene = Self {
            state,
            front,
            clock,
            admin: String::new(),
            _dir: dir,
        };
        scene.admin = scene.token("root", Access::of(Role::Admin)).await;
        scene
    }

    /// An account of this name with a token that may do all that the account may.
    pub async fn token(&self, name: &str, access: Access) -> String {
        let user = self
            .state
            .catalog
            .create_user(&NewUser {
                name: name.into(),
                email: None,
                access: access.clone(),
                password_hash: None,
                identity: None,
                made_by: None,
            })
            .await
            .unwrap();
        let token = secret::new_token();
        let text = token.expose_secret().to_string();
        self.state
            .catalog
            .create_token(&NewToken {
                user_id: user.id,
                name: "test".into(),
                token_hash: secret::hash(&text),
                prefix: secret::token_prefix(&text).to_string(),
                access,
                made_by: None,
                expires_at: None,
            })
            .await
            .unwrap();
        text
    }

    /// One more token of an account.
    pub async fn another_token(&self, name: &str) -> String {
        let catalog = &self.state.catalog;
        let user = catalog.user_named(name).await.unwrap().unwrap();
        let token = secret::new_token();
        let text = token.expose_secret().to_string();
        let new = NewToken {
            user_id: user.id,
            name: "another".into(),
            token_hash: secret::hash(&text),
            prefix: secret::token_prefix(&text).to_string(),
            access: user.access,
            made_by: None,
            expires_at: None,
        };
        catalog.create_token(&new).await.unwrap();
        text
    }

    /// A role with permissions of its own, in some apps.
    pub fn access(role: Role, grants: &[Permission], apps: Option<&[&str]>) -> Access {
        Access {
            role,
            grants: grants.iter().copied().collect(),
            apps: apps.map(|apps| apps.iter().map(|app| app.to_string()).collect()),
        }
    }

    /// An app with a repository.
    pub async fn app(&self, name: &str) {
        let catalog = &self.state.catalog;
        let repository = RepositoryDefinition {
            address: Some(format!("/backups/{name}")),
            key: Some("env:PGKEEP_KEY".into()),
            ..RepositoryDefinition::default()
        };
        let app = AppDefinition {
            databases: vec![format!("postgres://app:canary-{name}@db/{name}").into()],
            repository: Some(format!("{name}-store")),
            ..AppDefinition::default()
        };
        catalog
            .put_repository(&format!("{name}-store"), &repository, ManagedBy::Api, None)
            .await
            .unwrap();
        catalog
            .put_app(name, &app, ManagedBy::Api, None)
            .await
            .unwrap();
    }

    /// A worker that says that it is there and never takes a job.
    pub async fn worker(&self) {
        let beat = NodeBeat {
            node: "idle-1".into(),
            host: "idle".into(),
            pid: 1,
            slots: 1,
            kinds: Vec::new(),
            version: "0".into(),
        };
        self.state.catalog.node_beat(&beat).await.unwrap();
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("/api/v1{path}"));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let response = self.front.answer_locally(request.body(body).unwrap()).await;
        read(response).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Some(&self.admin), &[], None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask("PUT", path, Some(&self.admin), &[], Some(body))
            .await
    }

    pub async fn post(&self, path: &str, body: Option<Value>) -> Answer {
        self.ask("POST", path, Some(&self.admin), &[], body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, Some(&self.admin), &[], None).await
    }
}

pub async fn read(response: axum::response::Response) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 16 << 20).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}
