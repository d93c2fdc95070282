//! The audit log: who did what, on which object, from where, and what came of it. Entries are added, never changed.
//!
//! Each entry's hash covers its texts as they are stored and the hash before it, so an entry that was edited, removed or put
//! in between breaks the chain. `audit_head` holds the newest number and hash, sealed under the catalog's key: whoever can
//! write to the database but does not have the key file cannot cut the end off unseen either. A head that does not fit is
//! written down as an entry of its own before the next one; [`Catalog::audit_verify`] finds that, too.

use crate::Catalog;
use crate::db::{Row, Tx, Value as Param, json, params};
use crate::error::{CatalogError, Result};
use crate::paging::{Cursor, Page, Paged};
use crate::seal::Seal;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;

const HEAD_CONTEXT: &str = "audit_head/1/seal";
/// The action of the entry that says that the log was changed behind the server's back.
const BROKEN: &str = "audit.broken";
/// Entries read at once when all are verified.
const BATCH: i64 = 1_000;

/// What is written down. Secrets in `before` and `after` are masked by whoever makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    pub actor: String,
    /// `user`, `token`, `cli`, `system`, or `nobody` for who was not recognised.
    pub actor_kind: String,
    pub from: Option<String>,
    /// Noun and verb: `user.create`.
    pub action: String,
    /// What it was done to: `user/ann`.
    pub object: String,
    pub app: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub result: AuditResult,
    pub reason: Option<String>,
    pub request_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditResult {
    Done,
    /// The permission, the confirmation or the right moment was missing.
    Refused,
    Failed,
}

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    pub seq: i64,
    pub at: Timestamp,
    pub entry: AuditEntry,
    pub hash: String,
}

/// Which entries are listed.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub actor: Option<String>,
    /// An action, or the noun before its dot.
    pub action: Option<String>,
    /// An object, or the noun before its slash.
    pub object: Option<String>,
    pub result: Option<AuditResult>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Entries about these apps only.
    pub apps: Option<Vec<String>>,
}

/// What verifying the whole log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditVerdict {
    Intact {
        entries: u64,
    },
    /// The first entry that does not fit, and why.
    Broken {
        seq: i64,
        why: String,
    },
}

impl AuditResult {
    pub fn as_str(self) -> &'static str {
        match self {
            AuditResult::Done => "done",
            AuditResult::Refused => "refused",
            AuditResult::Failed => "failed",
        }
    }

    pub fn named(name: &str) -> Option<AuditResult> {
        [AuditResult::Done, AuditResult::Refused, AuditResult::Failed]
            .into_iter()
            .find(|result| result.as_str() == name)
    }
}

impl Catalog {
    /// Adds an entry; returns its number.
    pub async fn audit_append(&self, entry: &AuditEntry) -> Result<i64> {
        let mut tx = self.begin().await?;
        let at = tx.now();
        let mut head = self.head(&mut tx).await?;
        if let Some(why) = head.broken.take() {
            let entry = AuditEntry {
                actor: "pgkeep".to_owned(),
                actor_kind: "system".to_owned(),
                from: None,
                action: BROKEN.to_owned(),
                object: "audit".to_owned(),
                app: None,
                before: None,
                after: None,
                result: AuditResult::Failed,
                reason: Some(why),
                request_id: None,
            };
            head = add(&mut tx, &head, at, &entry).await?;
        }
        let head = add(&mut tx, &head, at, entry).await?;
        let seal = self.seal(HEAD_CONTEXT, &head.text());
        tx.run(
            "INSERT INTO audit_head (id, seq, hash, seal) VALUES (1, $1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, seal = excluded.seal",
            params![head.seq, &head.hash, seal],
        )
        .await?;
        tx.commit().await?;
        Ok(head.seq)
    }

    /// Entries, the newest first unless the page says otherwise.
    pub async fn audit(&self, filter: &AuditFilter, page: &Page) -> Result<Paged<AuditRecord>> {
        const SORT: &str = "audit";
        let mut sql = String::from("SELECT * FROM audit WHERE 1 = 1");
        let mut values: Vec<Param> = Vec::new();
        let mut and = |condition: &str, value: Param| {
            values.push(value);
            let parameter = format!("${}", values.len());
            sql.push_str(" AND ");
            sql.push_str(&condition.replace('?', &parameter));
        };
        if let Some(actor) = &filter.actor {
            and("actor = ?", actor.into());
        }
        if let Some(action) = &filter.action {
            and(
                "(action = ? OR substr(action, 1, length(?) + 1) = ? || '.')",
                action.into(),
            );
        }
        if let Some(object) = &filter.object {
            and(
                "(object = ? OR substr(object, 1, length(?) + 1) = ? || '/')",
                object.into(),
            );
        }
        if let Some(result) = filter.result {
            and("result = ?", result.as_str().into());
        }
        if let Some(since) = filter.since {
            and("at >= ?", since.into());
        }
        if let Some(until) = filter.until {
            and("at < ?", until.into());
        }
        if let Some(after) = &page.after {
            let cursor = Cursor::decode(after, SORT)?;
            let seq: i64 = cursor.id.parse().map_err(|_| CatalogError::BadCursor)?;
            and(
                if page.descending {
                    "seq < ?"
                } else {
                    "seq > ?"
                },
                seq.into(),
            );
        }
        if let Some(apps) = &filter.apps {
            let mut list = Vec::with_capacity(apps.len());
            for app in apps {
                values.push(app.into());
                list.push(format!("${}", values.len()));
            }
            // An empty list matches nothing.
            let list = if list.is_empty() {
                "NULL".to_owned()
            } else {
                list.join(", ")
            };
            sql.push_str(&format!(" AND app IN ({list})"));
        }
        let rows = page.rows();
        values.push((rows + 1).into());
        let order = if page.descending { "DESC" } else { "ASC" };
        sql.push_str(&format!(" ORDER BY seq {order} LIMIT ${}", values.len()));
        // Only names of columns and numbers of parameters were put together.
        let found = self.db().rows(AssertSqlSafe(sql), values).await?;
        let records = found.iter().map(record_of).collect::<Result<Vec<_>>>()?;
        Ok(Paged::of(records, rows, |record| Cursor {
            sort: SORT.to_owned(),
            value: 0.0,
            id: record.seq.to_string(),
        }))
    }

    /// Reads the whole log and checks that nothing was changed, removed, put in between or cut off.
    pub async fn audit_verify(&self) -> Result<AuditVerdict> {
        // The head first: what is added meanwhile is read, too, and only what the head knew must be there.
        let head = self
            .db()
            .row(
                "SELECT seq, hash, seal FROM audit_head WHERE id = 1",
                params![],
            )
            .await?;
        let head = head.map(|row| stored_head(&row)).transpose()?;
        let (mut seq, mut hash) = (0, String::new());
        let mut hash_at_head =
            (head.as_ref().map(|(head, _)| head.seq) == Some(0)).then(String::new);
        loop {
            let rows = self
                .db()
                .rows(
                    "SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2",
                    params![seq, BATCH],
                )
                .await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let found = row.int("seq")?;
                let broken = |why: &str| AuditVerdict::Broken {
                    seq: found,
                    why: why.to_owned(),
                };
                if found != seq + 1 {
                    return Ok(AuditVerdict::Broken {
                        seq: seq + 1,
                        why: "the entry is missing".to_owned(),
                    });
                }
                if row.text("prev_hash")? != hash {
                    return Ok(broken("it does not follow the entry before it"));
                }
                if row.text("hash")? != hash_of(&hash, &texts_of(row)?) {
                    return Ok(broken("it was changed after it was written"));
                }
                if row.text("action")? == BROKEN {
                    return Ok(broken(&row.opt_text("reason")?.unwrap_or_default()));
                }
                seq = found;
                hash = row.text("hash")?;
                if head.as_ref().is_some_and(|(head, _)| head.seq == seq) {
                    hash_at_head = Some(hash.clone());
                }
            }
        }
        let why = match &head {
            None => Some("the head of the log is missing"),
            Some((head, seal)) if !self.is_sealed(head, seal) => {
                Some("the head of the log was changed without the catalog's key")
            }
            Some((head, _)) if hash_at_head.as_deref() != Some(head.hash.as_str()) => {
                Some("entries at the end are missing")
            }
            Some(_) => None,
        };
        Ok(match why {
            Some(why) => AuditVerdict::Broken {
                seq: seq + 1,
                why: why.to_owned(),
            },
            None => AuditVerdict::Intact {
                entries: u64::try_from(seq).unwrap_or(0),
            },
        })
    }

    /// The end of the chain, held until the transaction ends, and what does not fit there.
    async fn head(&self, tx: &mut Tx) -> Result<Head> {
        tx.lock("audit").await?;
        let stored = tx
            .row(
                "SELECT seq, hash, seal FROM audit_head WHERE id = 1",
                params![],
            )
            .await?;
        let last = tx
            .row(
                "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1",
                params![],
            )
            .await?;
        let (seq, hash) = match last {
            Some(row) => (row.int("seq")?, row.text("hash")?),
            None => (0, String::new()),
        };
        let stored = stored.map(|row| stored_head(&row)).transpose()?;
        let broken = match &stored {
            None => Some("the head of the log was removed"),
            Some((head, seal)) if !self.is_sealed(head, seal) => {
                Some("the head of the log was changed without the catalog's key")
            }
            Some((head, _)) if (head.seq, head.hash.as_str()) != (seq, hash.as_str()) => {
                Some("entries at the end were removed, changed or added")
            }
            Some(_) => None,
        };
        // After a cut the numbers go on where they were: the gap stays to be seen.
        let known = stored.map_or(0, |(head, _)| head.seq);
        Ok(Head {
            seq: seq.max(known),
            hash,
            broken: broken.map(str::to_owned),
        })
    }

    fn is_sealed(&self, head: &Head, seal: &str) -> bool {
        self.reveal(HEAD_CONTEXT, seal)
            .is_ok_and(|sealed| sealed.expose_secret() == head.text())
    }
}

/// Seals the end of the empty log of a new catalog, so that a log that was emptied does not look like one.
pub(crate) async fn begin(tx: &mut Tx, seal: &Seal) -> Result<()> {
    let head = Head {
        seq: 0,
        hash: String::new(),
        broken: None,
    };
    let sealed = seal.seal(HEAD_CONTEXT, &head.text());
    tx.run(
        "UPDATE audit_head SET seal = $1 WHERE id = 1",
        params![sealed],
    )
    .await?;
    Ok(())
}

struct Head {
    seq: i64,
    hash: String,
    broken: Option<String>,
}

impl Head {
    fn text(&self) -> String {
        format!("{}:{}", self.seq, self.hash)
    }
}

fn stored_head(row: &Row) -> Result<(Head, String)> {
    let head = Head {
        seq: row.int("seq")?,
        hash: row.text("hash")?,
        broken: None,
    };
    Ok((head, row.text("seal")?))
}

async fn add(tx: &mut Tx, head: &Head, at: Timestamp, entry: &AuditEntry) -> Result<Head> {
    let seq = head.seq + 1;
    let texts = Texts {
        seq,
        at: at.as_millisecond(),
        actor: entry.actor.clone(),
        actor_kind: entry.actor_kind.clone(),
        from: entry.from.clone(),
        action: entry.action.clone(),
        object: entry.object.clone(),
        app: entry.app.clone(),
        before: entry.before.as_ref().map(json).transpose()?,
        after: entry.after.as_ref().map(json).transpose()?,
        result: entry.result.as_str().to_owned(),
        reason: entry.reason.clone(),
        request_id: entry.request_id.clone(),
    };
    let hash = hash_of(&head.hash, &texts);
    tx.run(
        "INSERT INTO audit (seq, at, actor, actor_kind, from_address, action, object, app, before_value, after_value,
            result, reason, request_id, prev_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        params![
            seq,
            texts.at,
            texts.actor,
            texts.actor_kind,
            texts.from,
            texts.action,
            texts.object,
            texts.app,
            texts.before,
            texts.after,
            texts.result,
            texts.reason,
            texts.request_id,
            &head.hash,
            &hash
        ],
    )
    .await?;
    Ok(Head {
        seq,
        hash,
        broken: None,
    })
}

/// An entry as it lies in the table: what the hash covers.
struct Texts {
    seq: i64,
    at: i64,
    actor: String,
    actor_kind: String,
    from: Option<String>,
    action: String,
    object: String,
    app: Option<String>,
    before: Option<String>,
    after: Option<String>,
    result: String,
    reason: Option<String>,
    request_id: Option<String>,
}

fn texts_of(row: &Row) -> Result<Texts> {
    Ok(Texts {
        seq: row.int("seq")?,
        at: row.int("at")?,
        actor: row.text("actor")?,
        actor_kind: row.text("actor_kind")?,
        from: row.opt_text("from_address")?,
        action: row.text("action")?,
        object: row.text("object")?,
        app: row.opt_text("app")?,
        before: row.opt_text("before_value")?,
        after: row.opt_text("after_value")?,
        result: row.text("result")?,
        reason: row.opt_text("reason")?,
        request_id: row.opt_text("request_id")?,
    })
}

/// SHA-256 of the hash before, a line feed, and the entry as a JSON array: no two entries give the same bytes.
fn hash_of(prev_hash: &str, texts: &Texts) -> String {
    let array = serde_json::to_vec(&(
        texts.seq,
        texts.at,
        &texts.actor,
        &texts.actor_kind,
        &texts.from,
        &texts.action,
        &texts.object,
        &texts.app,
        &texts.before,
        &texts.after,
        &texts.result,
        &texts.reason,
        &texts.request_id,
    ))
    .expect("texts and numbers can be written as JSON");
    let digest = Sha256::new()
        .chain_update(prev_hash)
        .chain_update(b"\n")
        .chain_update(array)
        .finalize();
    hex::encode(digest)
}

fn record_of(row: &Row) -> Result<AuditRecord> {
    let result = row.text("result")?;
    Ok(AuditRecord {
        seq: row.int("seq")?,
        at: row.time("at")?,
        entry: AuditEntry {
            actor: row.text("actor")?,
            actor_kind: row.text("actor_kind")?,
            from: row.opt_text("from_address")?,
            action: row.text("action")?,
            object: row.text("object")?,
            app: row.opt_text("app")?,
            before: row.opt_json("before_value")?,
            after: row.opt_json("after_value")?,
            result: AuditResult::named(&result)
                .ok_or_else(|| CatalogError::corrupt("a result", &result))?,
            reason: row.opt_text("reason")?,
            request_id: row.opt_text("request_id")?,
        },
        hash: row.text("hash")?,
    })
}
