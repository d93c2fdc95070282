//! Failed logins, and the pauses that follow. A name is counted whether it has an account or not, so that the answer
//! tells nobody which names exist.

use super::users::key_of;
use crate::Catalog;
use crate::db::params;
use crate::error::Result;
use jiff::{SignedDuration, Timestamp};
use pgkeep_model::access::{GUESS_MEMORY_SECS, GuessScope};

impl Catalog {
    /// Until when a login under this name, or from this address, is not even tried.
    pub async fn login_blocked(&self, name: &str, from: Option<&str>) -> Result<Option<Timestamp>> {
        let row = self
            .db()
            .row(
                "SELECT max(blocked_until) AS until FROM login_failures
                 WHERE (scope = 'account' AND subject = $1) OR (scope = 'address' AND subject = $2)",
                params![key_of(name), from.unwrap_or("")],
            )
            .await?;
        let until = row.map_or(Ok(None), |row| row.opt_time("until"))?;
        Ok(until.filter(|until| *until > self.now()))
    }

    /// Counts a failed login; returns until when no other one is tried.
    pub async fn record_login_failure(
        &self,
        name: &str,
        from: Option<&str>,
    ) -> Result<Option<Timestamp>> {
        let name = key_of(name);
        let subjects = [
            (GuessScope::Account, Some(name.as_str())),
            (GuessScope::Address, from),
        ];
        let mut tx = self.begin().await?;
        let now = tx.now();
        let forgotten = now - SignedDuration::from_secs(GUESS_MEMORY_SECS.into());
        let mut blocked = None;
        for (scope, subject) in subjects {
            let Some(subject) = subject else { continue };
            let row = tx
                .row(
                    "INSERT INTO login_failures (scope, subject, failures, last_at, blocked_until)
                     VALUES ($1, $2, 1, $3, 0)
                     ON CONFLICT (scope, subject) DO UPDATE SET
                        failures = CASE WHEN login_failures.last_at > $4 THEN login_failures.failures + 1 ELSE 1 END,
                        last_at = $3
                     RETURNING failures",
                    params![scope.as_str(), subject, now, forgotten],
                )
                .await?;
            let failures = row.map_or(Ok(1), |row| row.int("failures"))?;
            let pause = scope.lockout_secs(u32::try_from(failures).unwrap_or(u32::MAX));
            if pause > 0 {
                let until = now + SignedDuration::from_secs(pause.into());
                tx.run(
                    "UPDATE login_failures SET blocked_until = $3 WHERE scope = $1 AND subject = $2",
                    params![scope.as_str(), subject, until],
                )
                .await?;
                blocked = blocked.max(Some(until));
            }
        }
        tx.commit().await?;
        Ok(blocked)
    }

    /// Forgets an account's failures after a login that succeeded. Those of the address stay: it may be guessing others.
    pub async fn clear_login_failures(&self, name: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.run(
            "DELETE FROM login_failures WHERE scope = 'account' AND subject = $1",
            params![key_of(name)],
        )
        .await?;
        tx.commit().await
    }
}
