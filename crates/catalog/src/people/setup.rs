//! The first account: made with a token that only who sees the server's terminal knows.

use super::users::{NewUser, User, insert};
use crate::Catalog;
use crate::db::params;
use crate::error::Result;

impl Catalog {
    /// Whether there is no account yet.
    pub async fn setup_needed(&self) -> Result<bool> {
        let row = self
            .db()
            .row("SELECT count(*) AS users FROM users", params![])
            .await?;
        Ok(row.map_or(Ok(0), |row| row.int("users"))? == 0)
    }

    /// Keeps the hash of a setup token, in place of the one before.
    pub async fn put_setup_token_hash(&self, token_hash: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        tx.run("DELETE FROM setup_tokens", params![]).await?;
        tx.run(
            "INSERT INTO setup_tokens (token_hash, created_at) VALUES ($1, $2)",
            params![token_hash, now],
        )
        .await?;
        tx.commit().await
    }

    /// Uses the token up and makes the first account, in one step; `None` where the token is not the one, was used before,
    /// or there is an account already.
    pub async fn take_setup_token(
        &self,
        token_hash: &str,
        first: &NewUser,
    ) -> Result<Option<User>> {
        let mut tx = self.begin().await?;
        tx.lock("admins").await?;
        let found = tx
            .run(
                "DELETE FROM setup_tokens WHERE token_hash = $1 AND NOT EXISTS (SELECT 1 FROM users)",
                params![token_hash],
            )
            .await?;
        if found == 0 {
            return Ok(None);
        }
        tx.run("DELETE FROM setup_tokens", params![]).await?;
        let user = insert(&mut tx, self.new_id(), first).await?;
        tx.commit().await?;
        Ok(Some(user))
    }
}
