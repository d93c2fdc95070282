//! Who asks: accounts, sessions, tokens, single sign-on.
//!
//! - [`Auth::authenticate`] turns the credentials of a request into a [`Principal`], or refuses. An `Authorization` header
//!   counts before a cookie; only cookies need protection against other sites' requests ([`csrf`]).
//! - [`login`] lets in with a password and, where set up, a one-time code; [`oidc`] through an identity provider. Both end in
//!   a new session, whose secret the browser keeps in a cookie and the catalog as a hash.
//! - What is wrong about a login is never told more closely than "the name or the password", and takes as long for names
//!   that do not exist. Guessing gets slower and slower, by name and by address ([`pgkeep_model::access::GuessScope`]).
//! - Whoever grants access never grants more than they have ([`Principal::covers`]).
//! - [`audit`] writes down who did what.

pub mod audit;
pub mod cookie;
pub mod csrf;
pub mod error;
mod known;
pub mod login;
pub mod oidc;
pub mod password;
pub mod principal;
mod refusals;
pub mod secret;
pub mod totp;

pub use error::AuthError;
pub use principal::{Credential, Principal, Recognised};

use crate::settings::{AuthSettings, ServerSettings};
use axum::http::{HeaderMap, Method, header};
use jiff::{SignedDuration, Timestamp};
use known::KnownTokens;
use oidc::Oidc;
use password::PasswordHasher;
use pgkeep_catalog::{Catalog, Stamp};
use refusals::Refusals;
use std::sync::Arc;

/// Passwords that are hashed at the same time.
const PARALLEL_HASHES: usize = 2;
/// Uses within this time are noted once.
const NOTE_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// What recognises people; cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    catalog: Catalog,
    settings: AuthSettings,
    /// `https://keep.example.org`, where the settings say where people reach the server.
    public_origin: Option<String>,
    passwords: PasswordHasher,
    oidc: Option<Oidc>,
    tokens: KnownTokens,
    refusals: Refusals,
}

impl Auth {
    pub fn new(catalog: Catalog, settings: &ServerSettings) -> Self {
        let public_url = settings.http.public_url.as_ref();
        let auth = settings.auth.clone();
        Self(Arc::new(Inner {
            catalog,
            public_origin: public_url.map(|url| url.origin().ascii_serialization()),
            passwords: PasswordHasher::new(PARALLEL_HASHES),
            tokens: KnownTokens::default(),
            refusals: Refusals::default(),
            oidc: auth.oidc.clone().map(|oidc| Oidc::new(oidc, public_url)),
            settings: auth,
        }))
    }

    /// Recognises who sends a request.
    pub async fn authenticate(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Principal, AuthError> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(bearer);
            return self
                .by_token(token.ok_or(AuthError::UnknownCredential)?)
                .await;
        }
        let session = cookie::get(headers, cookie::SESSION).ok_or(AuthError::Unauthenticated)?;
        let (principal, csrf) = Box::pin(self.by_session(session)).await?;
        if !csrf::is_safe(method) {
            csrf::check_origin(headers, self.0.public_origin.as_deref())?;
            csrf::check_token(headers, &csrf)?;
        }
        Ok(principal)
    }

    /// Whether it is to be written down that somebody was refused this: once in a while for each account and route.
    pub fn is_news(&self, who: &Principal, route: String, now: Timestamp) -> bool {
        self.0.refusals.is_news(who.account(), route, now)
    }

    async fn by_token(&self, token: &str) -> Result<Principal, AuthError> {
        let (digest, catalog) = (secret::digest(token), &self.0.catalog);
        let stamp = catalog.stamp();
        let known = stamp
            .as_ref()
            .and_then(|stamp| self.0.tokens.find(&digest, stamp, catalog.now()));
        match known {
            Some(principal) => Ok(principal),
            // Apart, so that requests with a known token do not carry the room that this takes.
            None => Box::pin(self.by_catalog(digest, stamp)).await,
        }
    }

    /// Asks the catalog for a token, after `stamp` was taken.
    async fn by_catalog(
        &self,
        digest: secret::Digest,
        stamp: Option<Stamp>,
    ) -> Result<Principal, AuthError> {
        let catalog = &self.0.catalog;
        let now = catalog.now();
        let found = catalog.token_by_hash(&hex::encode(digest)).await?;
        let (token, owner) = found.ok_or(AuthError::UnknownCredential)?;
        if token.last_used_at.is_none_or(|at| at + NOTE_EVERY <= now) {
            catalog.touch_token(&token.id).await?;
        }
        let (permissions, apps) = token.access.within(&owner);
        let principal = Principal::new(Recognised {
            user_id: token.user_id,
            name: token.owner,
            role: token.access.role.min(owner.role),
            permissions,
            apps,
            credential: Credential::Token {
                id: token.id,
                name: token.name,
            },
        });
        if let Some(stamp) = stamp {
            let known = &self.0.tokens;
            known.remember(digest, stamp, token.expires_at, &principal);
        }
        Ok(principal)
    }

    async fn by_session(&self, token: &str) -> Result<(Principal, String), AuthError> {
        let catalog = &self.0.catalog;
        let found = catalog.session_by_hash(&secret::hash(token)).await?;
        let (session, user) = found.ok_or(AuthError::UnknownCredential)?;
        let now = catalog.now();
        if session.seen_at + NOTE_EVERY <= now {
            catalog.touch_session(&session.id, self.idle()).await?;
        }
        let principal = Principal::new(Recognised {
            permissions: user.access.permissions(),
            user_id: user.id,
            name: user.name,
            role: user.access.role,
            apps: user.access.apps,
            credential: Credential::Session {
                id: session.id,
                csrf: session.csrf.clone(),
                expires_at: session.expires_at,
            },
        });
        Ok((principal, session.csrf))
    }

    fn idle(&self) -> SignedDuration {
        duration(self.0.settings.session_idle)
    }

    fn lifetime(&self) -> SignedDuration {
        duration(self.0.settings.session_lifetime)
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim())
}

fn duration(time: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}
