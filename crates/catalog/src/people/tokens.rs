//! API tokens. A token belongs to an account and never does more than that account may at the moment of use.

use super::access_of;
use crate::Catalog;
use crate::db::{Row, json, params};
use crate::error::{CatalogError, Result};
use jiff::Timestamp;
use pgkeep_model::access::Access;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    pub id: String,
    pub user_id: String,
    /// Name of the owner.
    pub owner: String,
    pub name: String,
    /// The beginning of the token, by which its owner knows it again.
    pub prefix: String,
    pub access: Access,
    /// The account that made it, where that is another than its owner's.
    pub made_by: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub struct NewToken {
    pub user_id: String,
    pub name: String,
    pub token_hash: String,
    pub prefix: String,
    pub access: Access,
    /// The account that makes it, where that is another than its owner's.
    pub made_by: Option<String>,
    pub expires_at: Option<Timestamp>,
}

impl Catalog {
    /// Makes a token. An account has one token of a name that is not revoked.
    pub async fn create_token(&self, new: &NewToken) -> Result<ApiToken> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let owner = tx
            .row(
                "SELECT name FROM users WHERE id = $1",
                params![&new.user_id],
            )
            .await?
            .ok_or_else(|| CatalogError::not_found("user", &new.user_id))?
            .text("name")?;
        let taken = tx
            .row(
                "SELECT id FROM tokens WHERE user_id = $1 AND name = $2 AND revoked_at IS NULL",
                params![&new.user_id, &new.name],
            )
            .await?;
        if taken.is_some() {
            return Err(CatalogError::Exists {
                what: "token",
                name: new.name.clone(),
            });
        }
        let token = ApiToken {
            id: self.new_id(),
            user_id: new.user_id.clone(),
            owner,
            name: new.name.clone(),
            prefix: new.prefix.clone(),
            access: new.access.clone(),
            made_by: new.made_by.clone(),
            created_at: now,
            expires_at: new.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        let apps = token.access.apps.as_ref().map(json).transpose()?;
        tx.run(
            "INSERT INTO tokens (id, user_id, name, token_hash, prefix, role, grants, apps, created_at, expires_at, made_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            params![
                &token.id,
                &token.user_id,
                &token.name,
                &new.token_hash,
                &token.prefix,
                token.access.role.as_str(),
                json(&token.access.grants)?,
                apps,
                now,
                token.expires_at,
                &token.made_by
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(token)
    }

    /// The token and what its owner may do, while both are good.
    pub async fn token_by_hash(&self, token_hash: &str) -> Result<Option<(ApiToken, Access)>> {
        let now = self.now();
        let row = self
            .db()
            .row(
                "SELECT t.*, u.name AS owner, u.role AS owner_role, u.grants AS owner_grants, u.apps AS owner_apps
                 FROM tokens t JOIN users u ON u.id = t.user_id
                 WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)
                 AND u.disabled = 0",
                params![token_hash, now],
            )
            .await?;
        match row {
            Some(row) => Ok(Some((token_of(&row)?, access_of(&row, "owner_")?))),
            None => Ok(None),
        }
    }

    /// Notes that the token was used.
    pub async fn touch_token(&self, id: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        tx.run(
            "UPDATE tokens SET last_used_at = $2 WHERE id = $1",
            params![id, now],
        )
        .await?;
        tx.commit().await
    }

    /// Tokens of one account, or of all, the newest first; revoked ones too.
    pub async fn tokens(&self, user_id: Option<&str>) -> Result<Vec<ApiToken>> {
        let rows = self
            .db()
            .rows(
                "SELECT t.*, u.name AS owner FROM tokens t JOIN users u ON u.id = t.user_id
                 WHERE $1 = '' OR t.user_id = $1 ORDER BY t.created_at DESC, t.id DESC",
                params![user_id.unwrap_or("")],
            )
            .await?;
        rows.iter().map(token_of).collect()
    }

    pub async fn token(&self, id: &str) -> Result<ApiToken> {
        let row = self
            .db()
            .row(
                "SELECT t.*, u.name AS owner FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.id = $1",
                params![id],
            )
            .await?;
        token_of(&row.ok_or_else(|| CatalogError::not_found("token", id))?)
    }

    /// Ends a token for good; false where it had ended before.
    pub async fn revoke_token(&self, id: &str) -> Result<bool> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let changed = tx
            .run(
                "UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
                params![id, now],
            )
            .await?;
        tx.commit().await?;
        Ok(changed > 0)
    }
}

fn token_of(row: &Row) -> Result<ApiToken> {
    Ok(ApiToken {
        id: row.text("id")?,
        user_id: row.text("user_id")?,
        owner: row.text("owner")?,
        name: row.text("name")?,
        prefix: row.text("prefix")?,
        access: access_of(row, "")?,
        made_by: row.opt_text("made_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.opt_time("expires_at")?,
        last_used_at: row.opt_time("last_used_at")?,
        revoked_at: row.opt_time("revoked_at")?,
    })
}
