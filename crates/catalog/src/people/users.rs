//! Accounts.

use super::access_of;
use crate::Catalog;
use crate::db::{Row, Tx, json, params};
use crate::error::{CatalogError, Result};
use jiff::Timestamp;
use pgkeep_model::access::Access;
use secrecy::{ExposeSecret as _, SecretString};

/// An account, without what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub name: String,
    pub email: Option<String>,
    pub access: Access,
    pub disabled: bool,
    /// Whether it can log in with a password.
    pub has_password: bool,
    /// Whether a login needs a one-time code, too.
    pub has_totp: bool,
    /// Who it is at the identity provider.
    pub identity: Option<Identity>,
    /// Who else had a hand in what proves it.
    pub foreign_proof: Option<ForeignProof>,
    pub last_login_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub revision: i64,
}

/// Another account that gave an account its password, or took its second factor: since then it could log in as that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignProof {
    /// Id of the other account.
    pub by: String,
    pub at: Timestamp,
}

/// An account at an identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub issuer: String,
    pub subject: String,
}

#[derive(Debug, Clone)]
pub struct NewUser {
    pub name: String,
    pub email: Option<String>,
    pub access: Access,
    pub password_hash: Option<String>,
    pub identity: Option<Identity>,
    /// The account that makes it and chooses its password; absent where nobody else knows how it logs in.
    pub made_by: Option<String>,
}

/// What changes; absent stays as it is.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    pub name: Option<String>,
    pub email: Option<Option<String>>,
    pub access: Option<Access>,
    pub disabled: Option<bool>,
}

/// What a login is compared with.
#[derive(Debug, Clone)]
pub struct Proofs {
    pub user: User,
    pub password_hash: Option<String>,
    pub totp_secret: Option<SecretString>,
}

impl Catalog {
    /// Makes an account; [`CatalogError::Exists`] where one has the name already, whatever the case of its letters.
    pub async fn create_user(&self, new: &NewUser) -> Result<User> {
        let mut tx = self.begin().await?;
        let user = insert(&mut tx, self.new_id(), new).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// The account of this id, or [`CatalogError::NotFound`].
    pub async fn user(&self, id: &str) -> Result<User> {
        let row = self
            .db()
            .row("SELECT * FROM users WHERE id = $1", params![id])
            .await?;
        user_of(&row.ok_or_else(|| CatalogError::not_found("user", id))?)
    }

    /// Finds an account by its name, whatever the case of its letters.
    pub async fn user_named(&self, name: &str) -> Result<Option<User>> {
        let row = self
            .db()
            .row(
                "SELECT * FROM users WHERE name_key = $1",
                params![key_of(name)],
            )
            .await?;
        row.as_ref().map(user_of).transpose()
    }

    /// The account that an identity of single sign-on belongs to.
    pub async fn user_of_identity(&self, identity: &Identity) -> Result<Option<User>> {
        let row = self
            .db()
            .row(
                "SELECT * FROM users WHERE oidc_issuer = $1 AND oidc_subject = $2",
                params![&identity.issuer, &identity.subject],
            )
            .await?;
        row.as_ref().map(user_of).transpose()
    }

    /// All accounts, by name.
    pub async fn users(&self) -> Result<Vec<User>> {
        let rows = self
            .db()
            .rows("SELECT * FROM users ORDER BY name_key", params![])
            .await?;
        rows.iter().map(user_of).collect()
    }

    /// Changes an account. `expected` is the revision that the caller saw. Disabling ends its sessions.
    pub async fn update_user(
        &self,
        id: &str,
        change: &UserChange,
        expected: Option<i64>,
    ) -> Result<User> {
        let mut tx = self.begin().await?;
        tx.lock("admins").await?;
        let found = locked(&mut tx, id, expected).await?;
        let mut user = found.clone();
        if let Some(name) = &change.name {
            user.name = name.clone();
            if key_of(name) != key_of(&found.name) {
                refuse_taken(&mut tx, name).await?;
            }
        }
        if let Some(email) = &change.email {
            user.email = email.clone();
        }
        if let Some(access) = &change.access {
            user.access = access.clone();
        }
        if let Some(disabled) = change.disabled {
            user.disabled = disabled;
        }
        user.updated_at = tx.now();
        user.revision += 1;
        if is_admin(&found) && !is_admin(&user) {
            refuse_last_admin(&mut tx, &found).await?;
        }
        let apps = user.access.apps.as_ref().map(json).transpose()?;
        tx.run(
            "UPDATE users SET name = $2, name_key = $3, email = $4, role = $5, grants = $6, apps = $7,
                disabled = $8, updated_at = $9, revision = $10 WHERE id = $1",
            params![
                id,
                &user.name,
                key_of(&user.name),
                &user.email,
                user.access.role.as_str(),
                json(&user.access.grants)?,
                apps,
                user.disabled,
                user.updated_at,
                user.revision
            ],
        )
        .await?;
        if user.disabled {
            tx.run("DELETE FROM sessions WHERE user_id = $1", params![id])
                .await?;
        }
        tx.commit().await?;
        Ok(user)
    }

    /// Removes an account with its sessions and tokens.
    pub async fn delete_user(&self, id: &str, expected: Option<i64>) -> Result<User> {
        let mut tx = self.begin().await?;
        tx.lock("admins").await?;
        let user = locked(&mut tx, id, expected).await?;
        if is_admin(&user) {
            refuse_last_admin(&mut tx, &user).await?;
        }
        tx.run("DELETE FROM users WHERE id = $1", params![id])
            .await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Sets a password and ends the account's sessions, but for the one that it is changed from. `by` is the account that
    /// does it, where that is another one: what is known of that stays when the owner changes it, as nobody can tell who
    /// the owner is by then.
    pub async fn set_password(
        &self,
        id: &str,
        password_hash: &str,
        keep_session: Option<&str>,
        by: Option<&str>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let changed = tx
            .run(
                "UPDATE users SET password_hash = $2, updated_at = $3, revision = revision + 1,
                    proofs_by = CASE WHEN $4 = '' THEN proofs_by ELSE $4 END,
                    proofs_at = CASE WHEN $4 = '' THEN proofs_at ELSE $3 END
                 WHERE id = $1",
                params![id, password_hash, now, by.unwrap_or("")],
            )
            .await?;
        if changed == 0 {
            return Err(CatalogError::not_found("user", id));
        }
        tx.run(
            "DELETE FROM sessions WHERE user_id = $1 AND id <> $2",
            params![id, keep_session.unwrap_or("")],
        )
        .await?;
        tx.commit().await
    }

    /// What a login under this name is compared with.
    pub async fn proofs(&self, name: &str) -> Result<Option<Proofs>> {
        let row = self
            .db()
            .row(
                "SELECT * FROM users WHERE name_key = $1",
                params![key_of(name)],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let user = user_of(&row)?;
        let totp_secret = row
            .opt_text("totp_secret")?
            .map(|sealed| self.reveal(&totp_context(&user.id), &sealed))
            .transpose()?;
        Ok(Some(Proofs {
            password_hash: row.opt_text("password_hash")?,
            totp_secret,
            user,
        }))
    }

    /// Notes that the account logged in.
    pub async fn note_login(&self, id: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        tx.run(
            "UPDATE users SET last_login_at = $2 WHERE id = $1",
            params![id, now],
        )
        .await?;
        tx.commit().await
    }

    /// Stores the secret of a second factor. It counts only after [`Catalog::confirm_totp`].
    pub async fn begin_totp(&self, id: &str, secret: &SecretString) -> Result<()> {
        let sealed = self.seal(&totp_context(id), secret.expose_secret());
        let mut tx = self.begin().await?;
        let changed = tx
            .run(
                "UPDATE users SET totp_secret = $2, totp_last_step = 0 WHERE id = $1 AND totp_confirmed = 0",
                params![id, sealed],
            )
            .await?;
        if changed == 0 {
            return Err(CatalogError::NotNow {
                what: "user",
                name: id.to_owned(),
                why: "has a second factor already".to_owned(),
            });
        }
        tx.commit().await
    }

    /// Makes the second factor count, after its first code was checked, and stores hashes of the recovery codes.
    pub async fn confirm_totp(
        &self,
        id: &str,
        step: i64,
        recovery_hashes: &[String],
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let changed = tx
            .run(
                "UPDATE users SET totp_confirmed = 1, totp_last_step = $2, recovery_codes = $3, updated_at = $4,
                    revision = revision + 1
                 WHERE id = $1 AND totp_secret IS NOT NULL AND totp_confirmed = 0",
                params![id, step, json(&recovery_hashes)?, now],
            )
            .await?;
        if changed == 0 {
            return Err(CatalogError::NotNow {
                what: "user",
                name: id.to_owned(),
                why: "has not begun to set up a second factor".to_owned(),
            });
        }
        tx.commit().await
    }

    /// Uses the code of a step of time; false where that or a newer one was used before.
    pub async fn use_totp_step(&self, id: &str, step: i64) -> Result<bool> {
        let mut tx = self.begin().await?;
        let changed = tx
            .run(
                "UPDATE users SET totp_last_step = $2 WHERE id = $1 AND totp_confirmed = 1 AND totp_last_step < $2",
                params![id, step],
            )
            .await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Uses up a recovery code; false where it is not one, or not any more.
    pub async fn use_recovery_code(&self, id: &str, code_hash: &str) -> Result<bool> {
        let mut tx = self.begin().await?;
        let row = tx
            .row(
                // The update takes the row's lock, so that a code is not used twice at once.
                "UPDATE users SET totp_confirmed = totp_confirmed WHERE id = $1 AND totp_confirmed = 1 RETURNING recovery_codes",
                params![id],
            )
            .await?;
        let Some(row) = row else { return Ok(false) };
        let mut hashes: Vec<String> = row.json("recovery_codes")?;
        let Some(at) = hashes.iter().position(|hash| hash == code_hash) else {
            return Ok(false);
        };
        hashes.remove(at);
        tx.run(
            "UPDATE users SET recovery_codes = $2 WHERE id = $1",
            params![id, json(&hashes)?],
        )
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// How many recovery codes are left.
    pub async fn recovery_codes_left(&self, id: &str) -> Result<usize> {
        let row = self
            .db()
            .row(
                "SELECT recovery_codes FROM users WHERE id = $1",
                params![id],
            )
            .await?;
        let hashes: Vec<String> = row
            .ok_or_else(|| CatalogError::not_found("user", id))?
            .json("recovery_codes")?;
        Ok(hashes.len())
    }

    /// Takes the second factor away. `by` is the account that does it, where that is another one.
    pub async fn clear_totp(&self, id: &str, by: Option<&str>) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        tx.run(
            "UPDATE users SET totp_secret = NULL, totp_confirmed = 0, totp_last_step = 0, recovery_codes = '[]',
                updated_at = $2, revision = revision + 1,
                proofs_by = CASE WHEN $3 = '' THEN proofs_by ELSE $3 END,
                proofs_at = CASE WHEN $3 = '' THEN proofs_at ELSE $2 END
             WHERE id = $1",
            params![id, now, by.unwrap_or("")],
        )
        .await?;
        tx.commit().await
    }
}

pub(super) async fn insert(tx: &mut Tx, id: String, new: &NewUser) -> Result<User> {
    refuse_taken(tx, &new.name).await?;
    let now = tx.now();
    let user = User {
        id,
        name: new.name.clone(),
        email: new.email.clone(),
        access: new.access.clone(),
        disabled: false,
        has_password: new.password_hash.is_some(),
        has_totp: false,
        identity: new.identity.clone(),
        foreign_proof: (new.made_by.clone()).map(|by| ForeignProof { by, at: now }),
        last_login_at: None,
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    let apps = user.access.apps.as_ref().map(json).transpose()?;
    tx.run(
        "INSERT INTO users (id, name, name_key, email, role, grants, apps, password_hash, oidc_issuer, oidc_subject,
            created_at, updated_at, proofs_by, proofs_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $13)",
        params![
            &user.id,
            &user.name,
            key_of(&user.name),
            &user.email,
            user.access.role.as_str(),
            json(&user.access.grants)?,
            apps,
            &new.password_hash,
            user.identity.as_ref().map(|identity| identity.issuer.as_str()),
            user.identity.as_ref().map(|identity| identity.subject.as_str()),
            now,
            &new.made_by,
            user.foreign_proof.as_ref().map(|proof| proof.at)
        ],
    )
    .await?;
    Ok(user)
}

async fn locked(tx: &mut Tx, id: &str, expected: Option<i64>) -> Result<User> {
    let row = tx
        .row("SELECT * FROM users WHERE id = $1", params![id])
        .await?;
    let user = user_of(&row.ok_or_else(|| CatalogError::not_found("user", id))?)?;
    if expected.is_some_and(|revision| revision != user.revision) {
        return Err(CatalogError::Conflict {
            what: "user",
            name: user.name,
        });
    }
    Ok(user)
}

async fn refuse_taken(tx: &mut Tx, name: &str) -> Result<()> {
    let taken = tx
        .row(
            "SELECT id FROM users WHERE name_key = $1",
            params![key_of(name)],
        )
        .await?;
    match taken {
        None => Ok(()),
        Some(_) => Err(CatalogError::Exists {
            what: "user",
            name: name.to_owned(),
        }),
    }
}

async fn refuse_last_admin(tx: &mut Tx, user: &User) -> Result<()> {
    let others = tx
        .row(
            "SELECT count(*) AS others FROM users
             WHERE role = 'admin' AND disabled = 0 AND apps IS NULL AND id <> $1",
            params![&user.id],
        )
        .await?
        .map_or(Ok(0), |row| row.int("others"))?;
    if others > 0 {
        return Ok(());
    }
    Err(CatalogError::NotNow {
        what: "user",
        name: user.name.clone(),
        why: "is the last administrator".to_owned(),
    })
}

fn is_admin(user: &User) -> bool {
    user.access.role == pgkeep_model::access::Role::Admin
        && !user.disabled
        && user.access.apps.is_none()
}

pub(super) fn user_of(row: &Row) -> Result<User> {
    let identity = match (row.opt_text("oidc_issuer")?, row.opt_text("oidc_subject")?) {
        (Some(issuer), Some(subject)) => Some(Identity { issuer, subject }),
        _ => None,
    };
    Ok(User {
        id: row.text("id")?,
        name: row.text("name")?,
        email: row.opt_text("email")?,
        access: access_of(row, "")?,
        disabled: row.bool("disabled")?,
        has_password: row.opt_text("password_hash")?.is_some(),
        has_totp: row.bool("totp_confirmed")?,
        identity,
        foreign_proof: match (row.opt_text("proofs_by")?, row.opt_time("proofs_at")?) {
            (Some(by), Some(at)) => Some(ForeignProof { by, at }),
            _ => None,
        },
        last_login_at: row.opt_time("last_login_at")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        revision: row.int("revision")?,
    })
}

/// Names differ by more than the case of their letters.
pub(super) fn key_of(name: &str) -> String {
    name.to_lowercase()
}

fn totp_context(id: &str) -> String {
    format!("users/{id}/totp_secret")
}
