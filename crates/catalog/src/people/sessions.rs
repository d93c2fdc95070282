//! Sessions of browsers. One ends after a time without a request, and after its lifetime in any case.

use super::users::{User, user_of};
use crate::Catalog;
use crate::db::{Row, params};
use crate::error::Result;
use jiff::{SignedDuration, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: String,
    pub user_id: String,
    /// What unsafe requests of this session must repeat.
    pub csrf: String,
    pub from: Option<String>,
    pub agent: Option<String>,
    pub created_at: Timestamp,
    pub seen_at: Timestamp,
    pub idle_until: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct NewSession {
    pub user_id: String,
    pub token_hash: String,
    pub csrf: String,
    pub from: Option<String>,
    pub agent: Option<String>,
    pub idle: SignedDuration,
    pub lifetime: SignedDuration,
}

impl Catalog {
    pub async fn create_session(&self, new: &NewSession) -> Result<Session> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let session = Session {
            id: self.new_id(),
            user_id: new.user_id.clone(),
            csrf: new.csrf.clone(),
            from: new.from.clone(),
            agent: new.agent.clone(),
            created_at: now,
            seen_at: now,
            idle_until: now + new.idle,
            expires_at: now + new.lifetime,
        };
        tx.run(
            "INSERT INTO sessions (id, user_id, token_hash, csrf, from_address, agent, created_at, seen_at, idle_until, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)",
            params![
                &session.id,
                &session.user_id,
                &new.token_hash,
                &session.csrf,
                &session.from,
                &session.agent,
                now,
                session.idle_until,
                session.expires_at
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(session)
    }

    /// The session and its account, while both are good.
    pub async fn session_by_hash(&self, token_hash: &str) -> Result<Option<(Session, User)>> {
        let now = self.now();
        let row = self
            .db()
            .row(
                "SELECT * FROM sessions WHERE token_hash = $1 AND idle_until > $2 AND expires_at > $2",
                params![token_hash, now],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let session = session_of(&row)?;
        let user = self
            .db()
            .row(
                "SELECT * FROM users WHERE id = $1 AND disabled = 0",
                params![&session.user_id],
            )
            .await?;
        match user {
            Some(user) => Ok(Some((session, user_of(&user)?))),
            None => Ok(None),
        }
    }

    /// Puts off the end of an idle session.
    pub async fn touch_session(&self, id: &str, idle: SignedDuration) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        tx.run(
            "UPDATE sessions SET seen_at = $2, idle_until = $3 WHERE id = $1",
            params![id, now, now + idle],
        )
        .await?;
        tx.commit().await
    }

    /// The open sessions of an account, the newest first.
    pub async fn sessions_of(&self, user_id: &str) -> Result<Vec<Session>> {
        let now = self.now();
        let rows = self
            .db()
            .rows(
                "SELECT * FROM sessions WHERE user_id = $1 AND idle_until > $2 AND expires_at > $2
                 ORDER BY created_at DESC, id DESC",
                params![user_id, now],
            )
            .await?;
        rows.iter().map(session_of).collect()
    }

    /// Ends one session of an account; false where it has none of that id.
    pub async fn delete_session(&self, user_id: &str, id: &str) -> Result<bool> {
        let mut tx = self.begin().await?;
        let gone = tx
            .run(
                "DELETE FROM sessions WHERE user_id = $1 AND id = $2",
                params![user_id, id],
            )
            .await?;
        tx.commit().await?;
        Ok(gone > 0)
    }

    /// Ends all sessions of an account, but for `except`.
    pub async fn delete_sessions_of(&self, user_id: &str, except: Option<&str>) -> Result<u64> {
        let mut tx = self.begin().await?;
        let gone = tx
            .run(
                "DELETE FROM sessions WHERE user_id = $1 AND id <> $2",
                params![user_id, except.unwrap_or("")],
            )
            .await?;
        tx.commit().await?;
        Ok(gone)
    }
}

fn session_of(row: &Row) -> Result<Session> {
    Ok(Session {
        id: row.text("id")?,
        user_id: row.text("user_id")?,
        csrf: row.text("csrf")?,
        from: row.opt_text("from_address")?,
        agent: row.opt_text("agent")?,
        created_at: row.time("created_at")?,
        seen_at: row.time("seen_at")?,
        idle_until: row.time("idle_until")?,
        expires_at: row.time("expires_at")?,
    })
}
