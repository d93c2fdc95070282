//! Files that come in: how far each has come, and whose it is. The bytes lie in the data folder under the upload's id.

use crate::Catalog;
use crate::db::{Row, params};
use crate::error::{CatalogError, Result};
use jiff::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub id: String,
    /// Id of the account that sends it.
    pub owner: String,
    pub app: Option<String>,
    /// As the client calls it: for people to read, never a path.
    pub file_name: String,
    /// As announced.
    pub size_bytes: Option<u64>,
    pub sha256: Option<String>,
    pub received_bytes: u64,
    pub state: UploadState,
    /// The job that reads it.
    pub job: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// Bytes are still to come.
    Open,
    /// All bytes are here and checked.
    Complete,
    /// A job reads it.
    Taken,
}

#[derive(Debug, Clone)]
pub struct NewUpload {
    pub owner: String,
    pub app: Option<String>,
    pub file_name: String,
    pub size_bytes: Option<u64>,
    pub sha256: Option<String>,
    pub expires_at: Timestamp,
}

/// What is in quarantine now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadTotals {
    pub uploads: u64,
    /// Announced, or received where more has come.
    pub bytes: u64,
    /// Uploads of the account that was asked for.
    pub of_owner: u64,
}

impl UploadState {
    pub fn as_str(self) -> &'static str {
        match self {
            UploadState::Open => "open",
            UploadState::Complete => "complete",
            UploadState::Taken => "taken",
        }
    }

    fn named(name: &str) -> Option<UploadState> {
        [UploadState::Open, UploadState::Complete, UploadState::Taken]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

impl Catalog {
    pub async fn create_upload(&self, new: &NewUpload) -> Result<Upload> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let upload = Upload {
            id: self.new_id(),
            owner: new.owner.clone(),
            app: new.app.clone(),
            file_name: new.file_name.clone(),
            size_bytes: new.size_bytes,
            sha256: new.sha256.clone(),
            received_bytes: 0,
            state: UploadState::Open,
            job: None,
            created_at: now,
            updated_at: now,
            expires_at: new.expires_at,
        };
        tx.run(
            "INSERT INTO uploads (id, owner, app, file_name, size_bytes, sha256, state, created_at, updated_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, 'open', $7, $7, $8)",
            params![
                &upload.id,
                &upload.owner,
                &upload.app,
                &upload.file_name,
                upload.size_bytes,
                &upload.sha256,
                now,
                upload.expires_at
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(upload)
    }

    pub async fn upload(&self, id: &str) -> Result<Upload> {
        let row = self
            .db()
            .row("SELECT * FROM uploads WHERE id = $1", params![id])
            .await?;
        upload_of(&row.ok_or_else(|| CatalogError::not_found("upload", id))?)
    }

    /// Uploads of one account, or of all, the newest first.
    pub async fn uploads(&self, owner: Option<&str>) -> Result<Vec<Upload>> {
        let rows = self
            .db()
            .rows(
                "SELECT * FROM uploads WHERE $1 = '' OR owner = $1 ORDER BY id DESC",
                params![owner.unwrap_or("")],
            )
            .await?;
        rows.iter().map(upload_of).collect()
    }

    pub async fn upload_totals(&self, owner: &str) -> Result<UploadTotals> {
        let row = self
            .db()
            .row(
                "SELECT count(*) AS uploads,
                    CAST(coalesce(sum(CASE WHEN size_bytes > received_bytes THEN size_bytes ELSE received_bytes END), 0)
                        AS BIGINT) AS bytes,
                    count(CASE WHEN owner = $1 THEN 1 END) AS of_owner
                 FROM uploads",
                params![owner],
            )
            .await?
            .ok_or_else(|| CatalogError::corrupt("uploads", "an aggregate gave no row"))?;
        Ok(UploadTotals {
            uploads: unsigned(row.int("uploads")?),
            bytes: unsigned(row.int("bytes")?),
            of_owner: unsigned(row.int("of_owner")?),
        })
    }

    /// Notes that the bytes from `from` to `to` are stored. Refused where others came in between.
    pub async fn advance_upload(
        &self,
        id: &str,
        from: u64,
        to: u64,
        expires_at: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let changed = tx
            .run(
                "UPDATE uploads SET received_bytes = $3, updated_at = $4, expires_at = $5
                 WHERE id = $1 AND received_bytes = $2 AND state = 'open'",
                params![id, from, to, now, expires_at],
            )
            .await?;
        if changed == 0 {
            return Err(refusal(&mut tx, id, "is not where these bytes belong").await?);
        }
        tx.commit().await
    }

    /// Notes that all bytes are there and checked.
    pub async fn complete_upload(&self, id: &str, sha256: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let changed = tx
            .run(
                "UPDATE uploads SET state = 'complete', sha256 = $2, size_bytes = received_bytes, updated_at = $3
                 WHERE id = $1 AND state = 'open'",
                params![id, sha256, now],
            )
            .await?;
        if changed == 0 {
            return Err(refusal(&mut tx, id, "is complete already").await?);
        }
        tx.commit().await
    }

    /// Notes the job that reads a complete upload.
    pub async fn take_upload(&self, id: &str, job: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let changed = tx
            .run(
                "UPDATE uploads SET state = 'taken', job = $2, updated_at = $3 WHERE id = $1 AND state = 'complete'",
                params![id, job, now],
            )
            .await?;
        if changed == 0 {
            return Err(refusal(&mut tx, id, "is not complete, or another job has it").await?);
        }
        tx.commit().await
    }

    /// Forgets an upload; its file goes first.
    pub async fn drop_upload(&self, id: &str) -> Result<bool> {
        let mut tx = self.begin().await?;
        let gone = tx
            .run("DELETE FROM uploads WHERE id = $1", params![id])
            .await?;
        tx.commit().await?;
        Ok(gone > 0)
    }

    /// Uploads that nobody went on with in time.
    pub async fn expired_uploads(&self) -> Result<Vec<Upload>> {
        let now = self.now();
        let rows = self
            .db()
            .rows(
                "SELECT * FROM uploads WHERE expires_at <= $1 AND state <> 'taken' ORDER BY id",
                params![now],
            )
            .await?;
        rows.iter().map(upload_of).collect()
    }
}

async fn refusal(tx: &mut crate::db::Tx, id: &str, why: &str) -> Result<CatalogError> {
    let found = tx
        .row("SELECT id FROM uploads WHERE id = $1", params![id])
        .await?;
    Ok(match found {
        None => CatalogError::not_found("upload", id),
        Some(_) => CatalogError::NotNow {
            what: "upload",
            name: id.to_owned(),
            why: why.to_owned(),
        },
    })
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn upload_of(row: &Row) -> Result<Upload> {
    let state = row.text("state")?;
    Ok(Upload {
        id: row.text("id")?,
        owner: row.text("owner")?,
        app: row.opt_text("app")?,
        file_name: row.text("file_name")?,
        size_bytes: row.opt_int("size_bytes")?.map(unsigned),
        sha256: row.opt_text("sha256")?,
        received_bytes: unsigned(row.int("received_bytes")?),
        state: UploadState::named(&state)
            .ok_or_else(|| CatalogError::corrupt("the state of an upload", &state))?,
        job: row.opt_text("job")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        expires_at: row.time("expires_at")?,
    })
}
