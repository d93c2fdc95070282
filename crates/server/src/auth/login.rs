//! Logging in with a name, a password and perhaps a one-time code; the first account; changing what proves oneself.
//!
//! The order of a login: pauses after failures first, then, one turn at a time, the pauses again and the password, so that
//! guesses sent side by side are counted one after another. A failure is counted before the turn ends.

use super::error::AuthError;
use super::{Auth, Principal, csrf, password, secret, totp};
use axum::http::HeaderMap;
use jiff::Timestamp;
use pgkeep_catalog::people::sessions::{NewSession, Session};
use pgkeep_catalog::people::users::{NewUser, Proofs, User};
use pgkeep_model::access::{Access, Role};
use secrecy::{ExposeSecret as _, SecretString};

/// From where somebody logs in.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub address: Option<String>,
    /// The browser, as it calls itself.
    pub agent: Option<String>,
}

/// A session that was just made; the secret is for the browser's cookie only.
#[derive(Debug)]
pub struct Opened {
    pub user: User,
    pub session: Session,
    pub secret: SecretString,
}

/// What an account needs to set up a second factor.
#[derive(Debug)]
pub struct TotpOffer {
    pub secret: SecretString,
    /// For the code that an authenticator app scans.
    pub url: SecretString,
}

impl Auth {
    /// Logs in with a password, and a one-time or recovery code where the account has a second factor.
    pub async fn login(
        &self,
        headers: &HeaderMap,
        name: &str,
        password: SecretString,
        code: Option<&str>,
        origin: &Origin,
    ) -> Result<Opened, AuthError> {
        csrf::check_origin(headers, self.0.public_origin.as_deref())?;
        let user = self.prove(name, password, code, origin).await?;
        if let Some(old) = super::cookie::get(headers, super::cookie::SESSION) {
            self.end_by_secret(old).await?;
        }
        self.open_session(user, origin).await
    }

    /// Checks a password and a code, counting failures.
    async fn prove(
        &self,
        name: &str,
        password: SecretString,
        code: Option<&str>,
        origin: &Origin,
    ) -> Result<User, AuthError> {
        let catalog = &self.0.catalog;
        self.refuse_blocked(name, origin).await?;
        let turn = self.0.passwords.turn().await;
        self.refuse_blocked(name, origin).await?;
        let proofs = catalog.proofs(name).await?;
        let hash = proofs
            .as_ref()
            .and_then(|proofs| proofs.password_hash.clone());
        let right = turn.verify(password, hash).await;
        let Some(proofs) = proofs.filter(|proofs| right && !proofs.user.disabled) else {
            return Err(self.failed(name, origin, AuthError::WrongPassword).await?);
        };
        if proofs.user.has_totp {
            let code = code.ok_or(AuthError::CodeNeeded)?;
            if !self.use_code(&proofs, code).await? {
                return Err(self.failed(name, origin, AuthError::WrongCode).await?);
            }
        }
        drop(turn);
        catalog.clear_login_failures(name).await?;
        Ok(proofs.user)
    }

    async fn refuse_blocked(&self, name: &str, origin: &Origin) -> Result<(), AuthError> {
        let catalog = &self.0.catalog;
        let blocked = catalog
            .login_blocked(name, origin.address.as_deref())
            .await?;
        match blocked {
            None => Ok(()),
            Some(until) => Err(AuthError::Blocked {
                seconds: seconds_until(until, catalog.now()),
            }),
        }
    }

    /// Counts a failure; the error to answer with.
    async fn failed(
        &self,
        name: &str,
        origin: &Origin,
        error: AuthError,
    ) -> Result<AuthError, AuthError> {
        self.0
            .catalog
            .record_login_failure(name, origin.address.as_deref())
            .await?;
        Ok(error)
    }

    /// Uses a code of the second factor up.
    async fn use_code(&self, proofs: &Proofs, code: &str) -> Result<bool, AuthError> {
        let catalog = &self.0.catalog;
        let id = &proofs.user.id;
        let step = proofs
            .totp_secret
            .as_ref()
            .and_then(|secret| totp::check(secret, code, catalog.now()));
        if let Some(step) = step {
            return Ok(catalog.use_totp_step(id, step).await?);
        }
        let code = secret::hash(&totp::normal_recovery_code(code));
        Ok(catalog.use_recovery_code(id, &code).await?)
    }

    /// Begins a session of an account that has proven itself.
    pub(super) async fn open_session(
        &self,
        user: User,
        origin: &Origin,
    ) -> Result<Opened, AuthError> {
        let catalog = &self.0.catalog;
        let secret = secret::random();
        let session = catalog
            .create_session(&NewSession {
                user_id: user.id.clone(),
                token_hash: secret::hash(&secret),
                csrf: secret::random(),
                from: origin.address.clone(),
                agent: origin
                    .agent
                    .as_ref()
                    .map(|agent| agent.chars().take(200).collect()),
                idle: self.idle(),
                lifetime: self.lifetime(),
            })
            .await?;
        catalog.note_login(&user.id).await?;
        Ok(Opened {
            user,
            session,
            secret: secret.into(),
        })
    }

    /// Ends the session that a cookie belongs to, if it does.
    async fn end_by_secret(&self, token: &str) -> Result<(), AuthError> {
        let catalog = &self.0.catalog;
        if let Some((session, user)) = catalog.session_by_hash(&secret::hash(token)).await? {
            catalog.delete_session(&user.id, &session.id).await?;
        }
        Ok(())
    }

    /// Makes the token with which the first account is made, where there is none yet. It is shown on the terminal only.
    pub async fn offer_setup(&self) -> Result<Option<SecretString>, AuthError> {
        let catalog = &self.0.catalog;
        if !catalog.setup_needed().await? {
            return Ok(None);
        }
        let token = secret::random();
        catalog.put_setup_token_hash(&secret::hash(&token)).await?;
        Ok(Some(token.into()))
    }

    /// Makes the first account, an administrator, and logs it in.
    pub async fn set_up(
        &self,
        headers: &HeaderMap,
        token: &SecretString,
        name: &str,
        email: Option<String>,
        password: SecretString,
        origin: &Origin,
    ) -> Result<Opened, AuthError> {
        csrf::check_origin(headers, self.0.public_origin.as_deref())?;
        password::check(&password, name, email.as_deref())?;
        if !self.0.catalog.setup_needed().await? {
            return Err(AuthError::WrongSetupToken);
        }
        let first = NewUser {
            name: name.to_owned(),
            email,
            access: Access::of(Role::Admin),
            password_hash: Some(self.hash(password).await),
            identity: None,
            made_by: None,
        };
        let user = self
            .0
            .catalog
            .take_setup_token(&secret::hash(token.expose_secret()), &first)
            .await?
            .ok_or(AuthError::WrongSetupToken)?;
        self.open_session(user, origin).await
    }

    /// Hashes a password for the catalog when its turn comes.
    pub async fn hash(&self, password: SecretString) -> String {
        self.0.passwords.turn().await.hash(password).await
    }

    /// Changes one's own password; all other sessions end.
    pub async fn change_password(
        &self,
        who: &Principal,
        current: SecretString,
        new: SecretString,
        origin: &Origin,
    ) -> Result<(), AuthError> {
        let session = who.session_id().ok_or_else(needs_session)?;
        let user = self.reprove(who, current, origin).await?;
        password::check(&new, &user.name, user.email.as_deref())?;
        let hash = self.hash(new).await;
        self.0
            .catalog
            .set_password(&who.user_id, &hash, Some(session), None)
            .await?;
        Ok(())
    }

    /// Begins to set up a second factor.
    pub async fn begin_totp(
        &self,
        who: &Principal,
        password: SecretString,
        origin: &Origin,
    ) -> Result<TotpOffer, AuthError> {
        let user = self.reprove(who, password, origin).await?;
        let secret = totp::new_secret();
        self.0.catalog.begin_totp(&user.id, &secret).await?;
        let url = totp::url(&secret, &user.name)
            .ok_or_else(|| AuthError::Forbidden("the account's name fits no code".to_owned()))?;
        Ok(TotpOffer {
            secret,
            url: url.into(),
        })
    }

    /// Checks the first code of a second factor; from now on it is asked for. The recovery codes are shown this once.
    pub async fn confirm_totp(
        &self,
        who: &Principal,
        code: &str,
        origin: &Origin,
    ) -> Result<Vec<String>, AuthError> {
        who.session_id().ok_or_else(needs_session)?;
        self.refuse_blocked(&who.name, origin).await?;
        let catalog = &self.0.catalog;
        let proofs = catalog.proofs(&who.name).await?;
        let proofs = proofs.ok_or(AuthError::UnknownCredential)?;
        let step = proofs
            .totp_secret
            .as_ref()
            .and_then(|secret| totp::check(secret, code, catalog.now()));
        let Some(step) = step else {
            return Err(self.failed(&who.name, origin, AuthError::WrongCode).await?);
        };
        let codes = totp::new_recovery_codes();
        let hashes: Vec<String> = codes
            .iter()
            .map(|code| secret::hash(&totp::normal_recovery_code(code)))
            .collect();
        catalog.confirm_totp(&who.user_id, step, &hashes).await?;
        Ok(codes)
    }

    /// Takes one's own second factor away.
    pub async fn disable_totp(
        &self,
        who: &Principal,
        password: SecretString,
        code: &str,
        origin: &Origin,
    ) -> Result<(), AuthError> {
        who.session_id().ok_or_else(needs_session)?;
        self.prove(&who.name, password, Some(code), origin).await?;
        self.0.catalog.clear_totp(&who.user_id, None).await?;
        Ok(())
    }

    /// Asks for the password again before something delicate.
    async fn reprove(
        &self,
        who: &Principal,
        password: SecretString,
        origin: &Origin,
    ) -> Result<User, AuthError> {
        who.session_id().ok_or_else(needs_session)?;
        self.refuse_blocked(&who.name, origin).await?;
        let turn = self.0.passwords.turn().await;
        self.refuse_blocked(&who.name, origin).await?;
        let proofs = self.0.catalog.proofs(&who.name).await?;
        let proofs = proofs.ok_or(AuthError::UnknownCredential)?;
        if turn.verify(password, proofs.password_hash.clone()).await {
            return Ok(proofs.user);
        }
        Err(self
            .failed(&who.name, origin, AuthError::WrongPassword)
            .await?)
    }
}

fn needs_session() -> AuthError {
    AuthError::Forbidden("this is for people who are logged in, not for API tokens".to_owned())
}

fn seconds_until(until: Timestamp, now: Timestamp) -> u64 {
    let left = until.duration_since(now);
    // Whole seconds, rounded up: coming back exactly then succeeds.
    u64::try_from(left.as_millis())
        .unwrap_or(0)
        .div_ceil(1_000)
        .max(1)
}
