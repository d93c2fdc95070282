//! Who is there to run jobs, and whether a server is there to plan them and to send messages.

use crate::Catalog;
use crate::db::{Row, json, params};
use crate::error::Result;
use crate::events::NewEvent;
use jiff::{SignedDuration, Timestamp};

/// A worker that was not seen for so long counts as gone.
const ALIVE: SignedDuration = SignedDuration::from_secs(30);
/// And after so long it is forgotten.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);
/// Among the settings: the last sign of life of any server.
const SERVER_SEEN_AT: &str = "server.seen_at";

/// A sign of life.
#[derive(Debug, Clone)]
pub struct NodeBeat {
    /// Unique among all workers, and another one at every start.
    pub node: String,
    pub host: String,
    pub pid: u32,
    /// How many jobs it runs at once.
    pub slots: u32,
    /// Kinds of jobs that it takes; all where empty.
    pub kinds: Vec<String>,
    pub version: String,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub node: String,
    pub host: String,
    pub pid: u32,
    pub slots: u32,
    pub kinds: Vec<String>,
    pub version: String,
    pub started_at: Timestamp,
    pub seen_at: Timestamp,
    pub alive: bool,
}

impl Catalog {
    /// Says that a worker is there; to be said again every few seconds. Also asks for the database's time again.
    pub async fn node_beat(&self, beat: &NodeBeat) -> Result<()> {
        self.follow_clock().await?;
        let mut tx = self.begin().await?;
        let now = tx.now();
        let row = tx
            .row(
                "INSERT INTO nodes (node, host, pid, slots, kinds, version, started_at, seen_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
                 ON CONFLICT (node) DO UPDATE SET slots = excluded.slots, kinds = excluded.kinds, seen_at = excluded.seen_at
                 RETURNING started_at, seen_at",
                params![
                    &beat.node,
                    &beat.host,
                    beat.pid,
                    beat.slots,
                    beat.kinds.join(" "),
                    &beat.version,
                    now
                ],
            )
            .await?;
        let joined = match row {
            Some(row) => row.int("started_at")? == row.int("seen_at")?,
            None => false,
        };
        if joined {
            let forgotten = now.checked_sub(FORGOTTEN).unwrap_or(now);
            tx.run("DELETE FROM nodes WHERE seen_at < $1", params![forgotten])
                .await?;
            tx.event(
                NewEvent::new("node", &beat.node).data(serde_json::json!({ "change": "joined" })),
            );
        }
        tx.commit().await
    }

    /// All workers of the last day.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        let alive_since = self.alive_since();
        self.db()
            .rows("SELECT * FROM nodes ORDER BY started_at, node", params![])
            .await?
            .iter()
            .map(|row| read_node(row, alive_since))
            .collect()
    }

    /// How many workers are there.
    pub async fn live_workers(&self) -> Result<u32> {
        let row = self
            .db()
            .row(
                "SELECT count(*) AS n FROM nodes WHERE seen_at >= $1",
                params![self.alive_since()],
            )
            .await?;
        let count = row.map_or(Ok(0), |row| row.int("n"))?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// A worker leaves in order.
    pub async fn drop_node(&self, node: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        if tx
            .run("DELETE FROM nodes WHERE node = $1", params![node])
            .await?
            > 0
        {
            tx.event(NewEvent::new("node", node).data(serde_json::json!({ "change": "left" })));
        }
        tx.commit().await
    }

    /// Says that a server is there, which plans runs and sends messages; to be said again every few seconds. Several servers
    /// share the sign: any one of them will do. It raises no event, for nothing has changed.
    pub async fn server_beat(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        tx.run(
            "INSERT INTO settings (key, value, updated_at) VALUES ($1, $2, $3)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
            params![SERVER_SEEN_AT, json(&now)?, now],
        )
        .await?;
        tx.commit().await
    }

    /// The last sign of life of any server, if there ever was one.
    pub async fn server_seen_at(&self) -> Result<Option<Timestamp>> {
        let seen = self.setting(SERVER_SEEN_AT).await?;
        Ok(seen.and_then(|seen| seen.as_str()?.parse().ok()))
    }

    /// Whether a server gave a sign of life not long ago. A worker is none.
    pub async fn is_server_alive(&self) -> Result<bool> {
        let seen = self.server_seen_at().await?;
        Ok(seen.is_some_and(|seen| seen >= self.alive_since()))
    }

    fn alive_since(&self) -> Timestamp {
        let now = self.now();
        now.checked_sub(ALIVE).unwrap_or(now)
    }
}

fn read_node(row: &Row, alive_since: Timestamp) -> Result<Node> {
    let seen_at = row.time("seen_at")?;
    let small = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(Node {
        node: row.text("node")?,
        host: row.text("host")?,
        pid: small(row.int("pid")?),
        slots: small(row.int("slots")?),
        kinds: row
            .text("kinds")?
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        version: row.text("version")?,
        started_at: row.time("started_at")?,
        seen_at,
        alive: seen_at >= alive_since,
    })
}
