//! Settings that are changed while the server runs, each a JSON value under a name.

use crate::Catalog;
use crate::db::{json, params};
use crate::error::Result;
use crate::events::NewEvent;
use serde_json::Value;
use std::collections::BTreeMap;

impl Catalog {
    /// The value of a setting; `None` where nobody ever set it, which means its default.
    pub async fn setting(&self, key: &str) -> Result<Option<Value>> {
        self.db()
            .row("SELECT value FROM settings WHERE key = $1", params![key])
            .await?
            .map(|row| row.json("value"))
            .transpose()
    }

    /// Sets it, whatever it was before, and tells of it by an event.
    pub async fn put_setting(&self, key: &str, value: &Value) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        tx.run(
            "INSERT INTO settings (key, value, updated_at) VALUES ($1, $2, $3)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
            params![key, json(value)?, now],
        )
        .await?;
        tx.event(NewEvent::new("setting", key));
        tx.commit().await
    }

    /// Everything that was ever set, by name.
    pub async fn settings(&self) -> Result<BTreeMap<String, Value>> {
        self.db()
            .rows("SELECT key, value FROM settings", params![])
            .await?
            .iter()
            .map(|row| Ok((row.text("key")?, row.json("value")?)))
            .collect()
    }
}
