//! Logins that are at an identity provider: what must still be known when the browser comes back.

use crate::Catalog;
use crate::db::params;
use crate::error::Result;
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};

#[derive(Debug, Clone)]
pub struct LoginAttempt {
    /// Hash of the `state` that comes back in the address.
    pub state_hash: String,
    /// Hash of the cookie that ties the login to the browser in which it began.
    pub browser_hash: String,
    pub nonce: SecretString,
    /// PKCE verifier.
    pub verifier: SecretString,
    /// Path of the page to show afterwards.
    pub return_to: String,
}

impl Catalog {
    pub async fn begin_login(&self, attempt: &LoginAttempt, time: SignedDuration) -> Result<()> {
        let context = context(&attempt.state_hash);
        let nonce = self.seal(&context, attempt.nonce.expose_secret());
        let verifier = self.seal(&context, attempt.verifier.expose_secret());
        let mut tx = self.begin().await?;
        let until = tx.now() + time;
        tx.run(
            "INSERT INTO login_attempts (state_hash, browser_hash, nonce, verifier, return_to, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![
                &attempt.state_hash,
                &attempt.browser_hash,
                nonce,
                verifier,
                &attempt.return_to,
                until
            ],
        )
        .await?;
        tx.commit().await
    }

    /// Takes a login that came back. It can come back once, whether in time, in the right browser, or not.
    pub async fn take_login(
        &self,
        state_hash: &str,
        browser_hash: &str,
    ) -> Result<Option<LoginAttempt>> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let row = tx
            .row(
                "DELETE FROM login_attempts WHERE state_hash = $1
                 RETURNING browser_hash, nonce, verifier, return_to, expires_at",
                params![state_hash],
            )
            .await?;
        tx.commit().await?;
        let Some(row) = row else { return Ok(None) };
        if row.time("expires_at")? <= now || row.text("browser_hash")? != browser_hash {
            return Ok(None);
        }
        let context = context(state_hash);
        Ok(Some(LoginAttempt {
            state_hash: state_hash.to_owned(),
            browser_hash: browser_hash.to_owned(),
            nonce: self.reveal(&context, &row.text("nonce")?)?,
            verifier: self.reveal(&context, &row.text("verifier")?)?,
            return_to: row.text("return_to")?,
        }))
    }
}

fn context(state_hash: &str) -> String {
    format!("login_attempts/{state_hash}")
}
