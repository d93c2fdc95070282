//! What keeps an app away from a database that is being replaced.

use crate::secret::SecretText;
use serde::{Deserialize, Serialize};

/// The fence of an app.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fence {
    /// Folder that the app can read: `.restore.lock` and `.backup.lock` are written there.
    pub lock_dir: Option<String>,
    /// Sets `default_transaction_read_only` on the live database while it is being replaced.
    pub read_only: bool,
    /// How long sessions have to end by themselves before they are ended, written like `10s`.
    pub grace: Option<String>,
    /// Connection to PgBouncer's console (`postgres://pgbouncer@host:6432/pgbouncer`): paused around the swap. A secret.
    pub pgbouncer: Option<SecretText>,
}
