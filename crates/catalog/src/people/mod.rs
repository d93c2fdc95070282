//! People and what they leave behind: accounts, sessions, tokens, the audit log, and what requests need to be repeatable.
//!
//! Nothing here knows a password or a token: callers bring hashes, and compare what comes back. An account that is disabled
//! has no sessions and its tokens are not found. The last administrator cannot be removed, demoted or disabled.

pub mod audit;
pub mod deliveries;
pub mod guesses;
pub mod idempotency;
pub mod sessions;
pub mod setup;
pub mod sso;
pub mod tokens;
pub mod uploads;
pub mod users;

pub use audit::{AuditEntry, AuditFilter, AuditRecord, AuditResult, AuditVerdict};
pub use deliveries::{Delivery, DeliveryState, NewDelivery};
pub use idempotency::Idempotency;
pub use sessions::{NewSession, Session};
pub use sso::LoginAttempt;
pub use tokens::{ApiToken, NewToken};
pub use uploads::{NewUpload, Upload, UploadState, UploadTotals};
pub use users::{Identity, NewUser, Proofs, User, UserChange};

use crate::error::{CatalogError, Result};
use crate::{Catalog, db::Row, db::params};
use jiff::SignedDuration;
use pgkeep_model::access::{Access, GUESS_MEMORY_SECS, Role};

/// For how long an answered request can be repeated by its idempotency key.
const IDEMPOTENCY_MEMORY: SignedDuration = SignedDuration::from_hours(24);
/// For how long sent and given-up messages are remembered.
const DELIVERY_MEMORY: SignedDuration = SignedDuration::from_hours(30 * 24);

impl Catalog {
    /// Forgets what has run out: sessions, logins under way, guesses, idempotency keys, old messages. Returns how many rows.
    pub async fn expire_people(&self) -> Result<u64> {
        let now = self.now();
        let guesses = now - SignedDuration::from_secs(GUESS_MEMORY_SECS.into());
        let mut tx = self.begin().await?;
        let mut gone = tx
            .run(
                "DELETE FROM sessions WHERE idle_until <= $1 OR expires_at <= $1",
                params![now],
            )
            .await?;
        gone += tx
            .run(
                "DELETE FROM login_attempts WHERE expires_at <= $1",
                params![now],
            )
            .await?;
        gone += tx
            .run(
                "DELETE FROM login_failures WHERE last_at <= $1 AND blocked_until <= $2",
                params![guesses, now],
            )
            .await?;
        gone += tx
            .run(
                "DELETE FROM idempotency WHERE created_at <= $1",
                params![now - IDEMPOTENCY_MEMORY],
            )
            .await?;
        gone += tx
            .run(
                "DELETE FROM deliveries WHERE state <> 'due' AND created_at <= $1",
                params![now - DELIVERY_MEMORY],
            )
            .await?;
        tx.commit().await?;
        Ok(gone)
    }
}

/// Reads the columns `role`, `grants` and `apps` that accounts and tokens share; `prefix` stands before their names.
fn access_of(row: &Row, prefix: &str) -> Result<Access> {
    let column = |name| format!("{prefix}{name}");
    let role = row.text(&column("role"))?;
    Ok(Access {
        role: Role::named(&role).ok_or_else(|| CatalogError::corrupt("a role", &role))?,
        grants: row.json(&column("grants"))?,
        apps: row.opt_json(&column("apps"))?,
    })
}
