//! A server without a network, and browsers and programs that talk to it.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, header};
use jiff::SignedDuration;
use pgkeep_catalog::{Catalog, KeySource, Location, OpenOptions};
use pgkeep_model::Clock;
use pgkeep_model::access::{Access, Permission, Role};
use pgkeep_server::api;
use pgkeep_server::auth::{password, secret};
use pgkeep_server::http::Client;
use pgkeep_server::settings::{Places, Rate, ServerSettings, ThrottleScope};
use pgkeep_server::state::AppState;
use pgkeep_server::targets::Machine;
use pgkeep_testkit::ManualClock;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tempfile::TempDir;
use tower::ServiceExt as _;

pub const PASSWORD: &str = "correct horse battery staple";

pub struct Scene {
    pub clock: Arc<ManualClock>,
    pub catalog: Catalog,
    pub state: AppState,
    router: Router,
    pub dir: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub headers: axum::http::HeaderMap,
}

/// Somebody with cookies, at an address.
#[derive(Debug, Clone)]
pub struct Browser {
    pub address: IpAddr,
    pub cookies: BTreeMap<String, String>,
    pub csrf: Option<String>,
}

impl Scene {
    pub async fn new() -> Scene {
        Scene::with(ServerSettings::default()).await
    }

    /// The settings but for places and limits, which are the test's.
    pub async fn with(mut settings: ServerSettings) -> Scene {
        let dir = TempDir::new().expect("a folder for the test");
        let clock = Arc::new(ManualClock::at("2026-03-01T12:00:00Z"));
        settings.places = Places::inside(dir.path());
        for scope in ThrottleScope::ALL {
            settings.throttles.rates.insert(scope, Rate::Off);
        }
        let options = OpenOptions::new(
            Location::Sqlite(dir.path().join("catalog.sqlite")),
            KeySource::File(dir.path().join("catalog.key")),
            clock.clone(),
        );
        let catalog = Catalog::open(options).await.expect("a catalog opens");
        let machine = Machine::here(clock.clone(), Default::default());
        let state = AppState::new(settings, catalog.clone(), machine);
        Scene {
            clock,
            catalog,
            router: api::router(state.clone()),
            state,
            dir,
        }
    }

    pub fn advance(&self, secs: i64) {
        self.clock.advance(SignedDuration::from_secs(secs));
    }

    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Makes an account whose password is [`PASSWORD`].
    pub async fn account(&self, name: &str, access: Access) -> String {
        let new = pgkeep_catalog::people::NewUser {
            name: name.to_owned(),
            email: None,
            access,
            password_hash: Some(password::hash(&PASSWORD.to_owned().into())),
            identity: None,
            made_by: None,
        };
        self.catalog.create_user(&new).await.expect("made").id
    }

    /// A browser that is logged in.
    pub async fn logged_in(&self, name: &str) -> Browser {
        let mut browser = Browser::new();
        let answer = browser.log_in(self, name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        browser
    }

    /// An API token of an account.
    pub async fn token(&self, user_id: &str, access: Access, hours: Option<i64>) -> String {
        let token = secret::new_token();
        let new = pgkeep_catalog::people::NewToken {
            user_id: user_id.to_owned(),
            name: secret::token_prefix(token.expose_secret()).to_owned(),
            token_hash: secret::hash(token.expose_secret()),
            prefix: secret::token_prefix(token.expose_secret()).to_owned(),
            access,
            made_by: None,
            expires_at: hours.map(|hours| self.now() + SignedDuration::from_hours(hours)),
        };
        self.catalog.create_token(&new).await.expect("made");
        token.expose_secret().to_owned()
    }

    /// Asks as a program with a token.
    pub async fn ask(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let headers = [("authorization", format!("Bearer {token}"))];
        self.send(
            "127.0.0.1".parse().expect("an address"),
            method,
            path,
            &headers,
            body,
        )
        .await
    }

    pub async fn send(
        &self,
        address: IpAddr,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).expect("a method"))
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, "keep.example.org")
            .extension(Client {
                address,
                secure: true,
            });
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let body = match body {
            None => Body::empty(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
        };
        let request = request.body(body).expect("a request");
        let response: Response<Body> = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.expect("read");
        Answer {
            status: parts.status.as_u16(),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            headers: parts.headers,
        }
    }

    /// The audit log as `actor action object result`, the oldest first.
    pub async fn trail(&self) -> Vec<String> {
        let page = pgkeep_catalog::Page {
            descending: false,
            limit: 500,
            after: None,
        };
        let found = self.catalog.audit(&Default::default(), &page).await;
        found
            .expect("listed")
            .items
            .into_iter()
            .map(|record| {
                let entry = record.entry;
                let result = entry.result.as_str();
                format!("{} {} {} {result}", entry.actor, entry.action, entry.object)
            })
            .collect()
    }
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Browser {
    pub fn new() -> Browser {
        Browser::at("127.0.0.1")
    }

    pub fn at(address: &str) -> Browser {
        Browser {
            address: address.parse().expect("an address"),
            cookies: BTreeMap::new(),
            csrf: None,
        }
    }

    pub async fn log_in(&mut self, scene: &Scene, name: &str, password: &str) -> Answer {
        let body = json!({ "name": name, "password": password });
        self.post(scene, "/session", body).await
    }

    pub async fn log_in_with_code(&mut self, scene: &Scene, name: &str, code: &str) -> Answer {
        let body = json!({ "name": name, "password": PASSWORD, "code": code });
        self.post(scene, "/session", body).await
    }

    pub async fn get(&mut self, scene: &Scene, path: &str) -> Answer {
        self.request(scene, "GET", path, None, &[]).await
    }

    pub async fn post(&mut self, scene: &Scene, path: &str, body: Value) -> Answer {
        self.request(scene, "POST", path, Some(body), &[]).await
    }

    /// Sends a request as pgkeep's own pages do, keeps the cookies, and learns the CSRF token from the answer.
    pub async fn request(
        &mut self,
        scene: &Scene,
        method: &str,
        path: &str,
        body: Option<Value>,
        more: &[(&str, String)],
    ) -> Answer {
        let mut headers: Vec<(&str, String)> = Vec::new();
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            headers.push(("cookie", pairs.join("; ")));
        }
        let said = |name: &str| more.iter().any(|(said, _)| *said == name);
        if let Some(csrf) = &self.csrf
            && !said("x-csrf-token")
        {
            headers.push(("x-csrf-token", csrf.clone()));
        }
        headers.extend(more.iter().filter(|(_, value)| !value.is_empty()).cloned());
        let answer = scene.send(self.address, method, path, &headers, body).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let text = cookie.to_str().expect("a cookie is text");
            let (pair, rest) = text.split_once(';').expect("cookies have attributes");
            for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
                assert!(rest.contains(attribute), "{text}");
            }
            let (name, value) = pair.split_once('=').expect("cookies are pairs");
            match rest.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        if let Some(csrf) = answer.body["csrfToken"].as_str() {
            self.csrf = Some(csrf.to_owned());
        }
        answer
    }
}

/// An access of these apps only.
pub fn of_apps(role: Role, apps: &[&str]) -> Access {
    Access {
        apps: Some(apps.iter().map(|app| app.to_string()).collect()),
        ..Access::of(role)
    }
}

/// An access with grants besides the role's.
pub fn with_grants(role: Role, grants: &[Permission]) -> Access {
    Access {
        grants: grants.iter().copied().collect(),
        ..Access::of(role)
    }
}
