//! Single sign-on by OpenID Connect: the authorization code flow with PKCE.
//!
//! What ties the way back to the way out: `state` comes back in the address and names the login in the catalog, once; a
//! cookie proves that it is the same browser; the nonce, that the identity was made for this login; the PKCE verifier, that
//! the code was. The identity token's signature, issuer, audience and time are checked by the library.
//!
//! An account is found by issuer and subject, never by name or e-mail address, which a provider may give to somebody else.
//! Role and grants follow the claims at every login; which apps the account sees is set in pgkeep.

use super::error::AuthError;
use super::login::{Opened, Origin};
use super::{Auth, secret};
use crate::settings::OidcSettings;
use jiff::SignedDuration;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AuthorizationCode, ClientId, ClientSecret, CsrfToken, DiscoveryError,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, StandardErrorResponse,
    StandardTokenResponse, TokenResponse as _, UserInfoClaims,
};
use pgkeep_catalog::CatalogError;
use pgkeep_catalog::people::sso::LoginAttempt;
use pgkeep_catalog::people::users::{Identity, NewUser, User, UserChange};
use pgkeep_model::access::{Access, Role};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Mutex;
use url::Url;

/// For how long a login may stay at the provider.
pub const AWAY: SignedDuration = SignedDuration::from_mins(10);
/// Where the provider sends the browser back to, below the public address.
pub const CALLBACK: &str = "api/v1/session/oidc/callback";

const REQUEST_TIME: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 1 << 20;

/// One identity provider.
#[derive(Debug)]
pub struct Oidc {
    settings: OidcSettings,
    redirect: Option<RedirectUrl>,
    /// What the provider says of itself, with its keys; asked for at the first login, and again when a key is unknown.
    metadata: Mutex<Option<Arc<CoreProviderMetadata>>>,
}

/// A login that is about to leave for the provider.
#[derive(Debug)]
pub struct Departure {
    /// Where the browser goes.
    pub url: Url,
    /// For the browser's cookie.
    pub browser: SecretString,
}

/// What the provider's redirect brings back.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Return {
    pub code: Option<String>,
    pub state: Option<String>,
    pub error: Option<String>,
    pub error_description: Option<String>,
    pub iss: Option<String>,
}

/// Somebody whom the provider vouches for.
#[derive(Debug, Clone, PartialEq)]
struct Person {
    identity: Identity,
    name: String,
    email: Option<String>,
    access: Access,
}

impl Oidc {
    pub fn new(settings: OidcSettings, public_url: Option<&Url>) -> Self {
        let redirect = public_url.map(|url| {
            let base = url.as_str().trim_end_matches('/');
            RedirectUrl::new(format!("{base}/{CALLBACK}")).expect("a URL with a longer path is one")
        });
        Self {
            settings,
            redirect,
            metadata: Mutex::new(None),
        }
    }

    /// What the login page calls the provider.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    async fn depart(&self, return_to: &str) -> Result<(Departure, LoginAttempt), AuthError> {
        let (client, _) = self.client(false).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (state, nonce, browser) = (secret::random(), secret::random(), secret::random());
        let (sent_state, sent_nonce) = (state.clone(), nonce.clone());
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(sent_state),
                move || Nonce::new(sent_nonce),
            )
            .set_pkce_challenge(challenge);
        for scope in &self.settings.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, ..) = request.url();
        let attempt = LoginAttempt {
            state_hash: secret::hash(&state),
            browser_hash: secret::hash(&browser),
            nonce: nonce.into(),
            verifier: verifier.into_secret().into(),
            return_to: local_path(return_to).to_owned(),
        };
        let browser = browser.into();
        Ok((Departure { url, browser }, attempt))
    }

    /// Exchanges the code, and reads who it is.
    async fn arrive(&self, code: &str, attempt: &LoginAttempt) -> Result<Person, AuthError> {
        let (client, fresh) = self.client(false).await?;
        let http = http_client()?;
        let call = |request| send(http.clone(), request);
        let verifier = PkceCodeVerifier::new(attempt.verifier.expose_secret().to_owned());
        let tokens: Tokens = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|error| AuthError::Provider(error.to_string()))?
            .set_pkce_verifier(verifier)
            .request_async(&call)
            .await
            .map_err(exchange_error)?;
        let token = tokens
            .id_token()
            .ok_or_else(|| AuthError::SignOn("the provider sent no identity".to_owned()))?;
        let nonce = Nonce::new(attempt.nonce.expose_secret().to_owned());
        let verified = match token.claims(&client.id_token_verifier(), &nonce) {
            // The provider may have taken a new key since its keys were read.
            Err(_) if !fresh => {
                let (client, _) = self.client(true).await?;
                let claims = token.claims(&client.id_token_verifier(), &nonce);
                claims.cloned()
            }
            claims => claims.cloned(),
        };
        let verified = verified.map_err(|error| {
            tracing::warn!(%error, "an identity token was refused");
            AuthError::SignOn("the identity that the provider sent cannot be trusted".to_owned())
        })?;

        let mut claims = object(&verified);
        if let Ok(request) = client.user_info(
            tokens.access_token().clone(),
            Some(verified.subject().clone()),
        ) {
            let info: UserInfoClaims<AllClaims, CoreGenderClaim> =
                request.request_async(&call).await.map_err(|error| {
                    tracing::warn!(%error, "the provider told nothing about a person");
                    AuthError::Provider("it tells nothing about who logged in".to_owned())
                })?;
            for (name, value) in object(&info) {
                claims.entry(name).or_insert(value);
            }
        }
        person(
            &self.settings,
            Identity {
                issuer: verified.issuer().to_string(),
                subject: verified.subject().to_string(),
            },
            &claims,
        )
    }

    /// The client, and whether the provider was asked just now.
    async fn client(&self, again: bool) -> Result<(Client, bool), AuthError> {
        let redirect = self.redirect.clone().ok_or_else(|| {
            AuthError::SignOn("the server's public address is not set".to_owned())
        })?;
        let mut cached = self.metadata.lock().await;
        let (metadata, fresh) = match &*cached {
            Some(metadata) if !again => (metadata.clone(), false),
            _ => {
                let metadata = Arc::new(self.discover().await?);
                *cached = Some(metadata.clone());
                (metadata, true)
            }
        };
        drop(cached);
        let secret = self.settings.client_secret.as_ref();
        let client = openidconnect::Client::from_provider_metadata(
            CoreProviderMetadata::clone(&metadata),
            ClientId::new(self.settings.client_id.clone()),
            secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned())),
        );
        Ok((client.set_redirect_uri(redirect), fresh))
    }

    async fn discover(&self) -> Result<CoreProviderMetadata, AuthError> {
        let http = http_client()?;
        let call = |request| send(http.clone(), request);
        // Issuers are compared as texts, and a URL without a path is written with and without its slash.
        let written = self.settings.issuer.as_str();
        let bare = match self.settings.issuer.path() {
            "/" => written.trim_end_matches('/'),
            _ => written,
        };
        let unusable = |error: DiscoveryError<CallError>| {
            let why = match &error {
                DiscoveryError::Request(error) => error.told(),
                error => error.to_string(),
            };
            AuthError::Provider(format!("{}: {why}", self.settings.issuer))
        };
        let issuer = |text: &str| {
            IssuerUrl::new(text.to_owned()).map_err(|error| AuthError::Provider(error.to_string()))
        };
        match CoreProviderMetadata::discover_async(issuer(bare)?, &call).await {
            Err(DiscoveryError::Validation(_)) if bare != written => {
                let issuer = issuer(written)?;
                CoreProviderMetadata::discover_async(issuer, &call).await
            }
            other => other,
        }
        .map_err(unusable)
    }
}

impl Auth {
    /// What the login page calls the identity provider, where there is one.
    pub fn sign_on_name(&self) -> Option<&str> {
        self.0.oidc.as_ref().map(Oidc::name)
    }

    /// Begins a login at the identity provider. Afterwards the browser is shown `return_to`, a path of this server.
    pub async fn begin_sign_on(&self, return_to: &str) -> Result<Departure, AuthError> {
        let oidc = self.0.oidc.as_ref().ok_or(AuthError::NoSignOn)?;
        let (departure, attempt) = oidc.depart(return_to).await?;
        self.0.catalog.begin_login(&attempt, AWAY).await?;
        Ok(departure)
    }

    /// Ends a login that comes back from the identity provider; also returns the path to show.
    pub async fn finish_sign_on(
        &self,
        back: &Return,
        browser: Option<&str>,
        origin: &Origin,
    ) -> Result<(Opened, String), AuthError> {
        let oidc = self.0.oidc.as_ref().ok_or(AuthError::NoSignOn)?;
        let stale =
            || AuthError::SignOn("the login took too long, or began in another browser".to_owned());
        let state = back.state.as_deref().ok_or_else(stale)?;
        let browser = browser.ok_or_else(stale)?;
        let attempt = self
            .0
            .catalog
            .take_login(&secret::hash(state), &secret::hash(browser))
            .await?
            .ok_or_else(stale)?;
        if let Some(error) = &back.error {
            let error: String = error.chars().take(100).collect();
            return Err(AuthError::SignOn(format!(
                "the provider refused it: {}",
                error.escape_debug()
            )));
        }
        let code = back.code.as_deref().ok_or_else(stale)?;
        let person = oidc.arrive(code, &attempt).await?;
        if back
            .iss
            .as_ref()
            .is_some_and(|iss| *iss != person.identity.issuer)
        {
            return Err(AuthError::SignOn("another provider answered".to_owned()));
        }
        let user = self.account_of(person).await?;
        let opened = self.open_session(user, origin).await?;
        Ok((opened, attempt.return_to))
    }

    /// The account of a person, made at the first login and brought up to date at the others.
    async fn account_of(&self, person: Person) -> Result<User, AuthError> {
        let catalog = &self.0.catalog;
        let Some(user) = catalog.user_of_identity(&person.identity).await? else {
            let new = NewUser {
                name: self.free_name(&person.name).await?,
                email: person.email,
                access: person.access,
                password_hash: None,
                identity: Some(person.identity),
                made_by: None,
            };
            return Ok(catalog.create_user(&new).await?);
        };
        if user.disabled {
            return Err(AuthError::SignOn("the account is disabled".to_owned()));
        }
        let access = Access {
            apps: user.access.apps.clone(),
            ..person.access
        };
        if access == user.access && person.email == user.email {
            return Ok(user);
        }
        let change = UserChange {
            access: Some(access),
            email: Some(person.email),
            ..UserChange::default()
        };
        match catalog.update_user(&user.id, &change, None).await {
            Ok(user) => Ok(user),
            // Keeping a role that the provider took away would be worse than a refused login.
            Err(error @ CatalogError::NotNow { .. }) => Err(AuthError::SignOn(format!(
                "{error}, and the provider gives it another role"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    async fn free_name(&self, wanted: &str) -> Result<String, AuthError> {
        for number in 1..1_000 {
            let name = match number {
                1 => wanted.to_owned(),
                number => format!("{wanted}-{number}"),
            };
            if self.0.catalog.user_named(&name).await?.is_none() {
                return Ok(name);
            }
        }
        Err(AuthError::SignOn(format!("no name like {wanted} is free")))
    }
}

/// Reads a person from what the provider says.
fn person(
    settings: &OidcSettings,
    identity: Identity,
    claims: &Map<String, Value>,
) -> Result<Person, AuthError> {
    let access = access_of(settings, claims).ok_or_else(|| {
        AuthError::SignOn(
            "nothing that the provider says of this person stands for a role".to_owned(),
        )
    })?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let name = ["preferred_username", "email", "nickname", "name"]
        .into_iter()
        .filter_map(text)
        .find_map(account_name)
        .unwrap_or_else(|| format!("user-{}", &secret::hash(&identity.subject)[..8]));
    Ok(Person {
        identity,
        name,
        email: text("email").map(str::to_owned),
        access,
    })
}

/// Role and grants by the claim that the settings name.
fn access_of(settings: &OidcSettings, claims: &Map<String, Value>) -> Option<Access> {
    let values = claim(claims, &settings.role_claim);
    let role = values
        .iter()
        .filter_map(|value| settings.roles.get(value))
        .max()
        .copied()
        .or(settings.default_role)?;
    let grants: BTreeSet<_> = match role {
        // An administrator has them all.
        Role::Admin => BTreeSet::new(),
        _ => values
            .iter()
            .filter_map(|value| settings.grants.get(value))
            .flatten()
            .copied()
            .collect(),
    };
    Some(Access {
        role,
        grants,
        apps: None,
    })
}

/// The texts of a claim: one, or a list. A claim whose very name has dots counts before a path.
fn claim(claims: &Map<String, Value>, path: &str) -> Vec<String> {
    let found = claims.get(path).or_else(|| {
        let mut parts = path.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    });
    match found {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(values)) => values
            .iter()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

/// A name as accounts have it, made of what the provider calls somebody.
fn account_name(text: &str) -> Option<String> {
    let name: String = text
        .chars()
        .map(|c| if c == ' ' { '.' } else { c })
        .filter(|c| c.is_ascii_alphanumeric() || "_-.@".contains(*c))
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(90)
        .collect();
    (!name.is_empty()).then_some(name)
}

/// A path of this server, or its first page: never another site.
fn local_path(text: &str) -> &str {
    let local = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains('\\')
        && text.len() <= 1_000
        && text.chars().all(|c| c.is_ascii_graphic());
    if local { text } else { "/" }
}

fn object(claims: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(claims) {
        Ok(Value::Object(fields)) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
        _ => Map::new(),
    }
}

/// Claims besides the standard ones, as they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct AllClaims {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for AllClaims {}

type Tokens = StandardTokenResponse<
    IdTokenFields<
        AllClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type TokenErrorBody = StandardErrorResponse<CoreErrorResponseType>;

type Client = openidconnect::Client<
    AllClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    TokenErrorBody,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Why a request to the provider failed; without its address, whose query may hold a code.
#[derive(Debug, Error)]
enum CallError {
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("it answers with more than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("it answers with something that is no HTTP")]
    Malformed,
}

impl CallError {
    /// With what lies at the bottom of it, such as `Connection refused`.
    fn told(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        match causes.last() {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}

fn exchange_error(error: RequestTokenError<CallError, TokenErrorBody>) -> AuthError {
    match error {
        RequestTokenError::ServerResponse(answer) => AuthError::SignOn(format!(
            "the provider does not take the code: {}",
            answer.error().as_ref()
        )),
        RequestTokenError::Request(error) => AuthError::Provider(error.told()),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            AuthError::Provider("its answer about the code makes no sense".to_owned())
        }
    }
}

fn http_client() -> Result<reqwest::Client, AuthError> {
    // Another part of the program may have chosen it already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    reqwest::Client::builder()
        // A redirect could lead the server anywhere.
        .redirect(reqwest::redirect::Policy::none())
        .timeout(REQUEST_TIME)
        .user_agent(concat!("pgkeep/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| AuthError::Provider(error.without_url().to_string()))
}

async fn send(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, CallError> {
    let unreachable = |error: reqwest::Error| CallError::Unreachable(error.without_url());
    let request = reqwest::Request::try_from(request).map_err(unreachable)?;
    let mut response = client.execute(request).await.map_err(unreachable)?;
    let mut answer = openidconnect::http::Response::builder().status(response.status());
    for (name, value) in response.headers() {
        answer = answer.header(name, value);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(CallError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    answer.body(body).map_err(|_| CallError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_model::access::Permission;
    use serde_json::json;

    fn settings() -> OidcSettings {
        OidcSettings {
            name: "Example".to_owned(),
            issuer: "https://id.example.org".parse().unwrap(),
            client_id: "pgkeep".to_owned(),
            client_secret: None,
            scopes: Vec::new(),
            role_claim: "realm_access.roles".to_owned(),
            roles: [
                ("staff".to_owned(), Role::Viewer),
                ("ops".to_owned(), Role::Operator),
                ("dba".to_owned(), Role::Admin),
            ]
            .into(),
            default_role: None,
            grants: [("restorers".to_owned(), vec![Permission::Restore])].into(),
        }
    }

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_highest_role_of_the_claim_counts() {
        for (value, expected) in [
            (
                json!({"realm_access": {"roles": ["staff"]}}),
                Some(Role::Viewer),
            ),
            (
                json!({"realm_access": {"roles": ["staff", "dba", "ops"]}}),
                Some(Role::Admin),
            ),
            (
                json!({"realm_access": {"roles": "ops"}}),
                Some(Role::Operator),
            ),
            (json!({"realm_access.roles": ["ops"]}), Some(Role::Operator)),
            (json!({"realm_access": {"roles": ["admin", "Dba"]}}), None),
            (json!({"realm_access": {"roles": {"dba": true}}}), None),
            (json!({"roles": ["dba"]}), None),
            (json!({}), None),
        ] {
            let role = access_of(&settings(), &claims(value.clone())).map(|access| access.role);
            assert_eq!(role, expected, "{value}");
        }
        let default = OidcSettings {
            default_role: Some(Role::Viewer),
            ..settings()
        };
        let role = access_of(&default, &claims(json!({}))).map(|access| access.role);
        assert_eq!(role, Some(Role::Viewer));
    }

    #[test]
    fn grants_come_from_the_same_claim() {
        let value = json!({"realm_access": {"roles": ["ops", "restorers"]}});
        let access = access_of(&settings(), &claims(value)).unwrap();
        assert_eq!(access.grants, [Permission::Restore].into());
        // A grant alone lets nobody in.
        let value = json!({"realm_access": {"roles": ["restorers"]}});
        assert_eq!(access_of(&settings(), &claims(value)), None);
    }

    #[test]
    fn names_of_the_provider_become_names_of_accounts() {
        for (text, expected) in [
            ("ann", Some("ann")),
            ("ann@example.org", Some("ann@example.org")),
            ("Ann Lee", Some("Ann.Lee")),
            ("../../etc", Some("etc")),
            ("<b>x</b>", Some("bxb")),
            ("日本", None),
            ("", None),
        ] {
            assert_eq!(account_name(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_login_never_ends_on_another_site() {
        for (text, expected) in [
            ("/backups?app=shop", "/backups?app=shop"),
            ("/", "/"),
            ("", "/"),
            ("//evil.example.org", "/"),
            ("/\\evil.example.org", "/"),
            ("https://evil.example.org", "/"),
            ("/a\r\nset-cookie: x", "/"),
        ] {
            assert_eq!(local_path(text), expected, "{text:?}");
        }
    }
}
