//! What makes a green light a lie, gathered from the catalog: see [`pgkeep_model::health::Trouble`].
//!
//! What vanished is written down by the job that reads a repository's list, and by the scheduler's look at the folders of
//! this machine; it stays until the backups are there again or somebody accepts the loss.

use jiff::{SignedDuration, Timestamp};
use pgkeep_catalog::people::DeliveryState;
use pgkeep_catalog::{BackupFilter, BackupRow, BackupSort, Catalog, CatalogError, Page};
use pgkeep_engine::catalog::PRE_RESTORE;
use pgkeep_model::health::{NobodyWorks, Point, Unheard, Vanished};
use pgkeep_model::shrunk::{Doubt, Seen, standing as newest_doubt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Among the catalog's settings: when a worker last left in order.
pub const LEFT_AT: &str = "workers.left_at";
/// Among the catalog's settings, by target: when a test message last arrived.
pub const HEARD: &str = "heard.";
const VANISHED: &str = "vanished.";
const UNREACHABLE: &str = "unreachable.";
/// More backups than these are not written down as gone.
const MOST: usize = 1_000;
/// A target that answers nothing is told of after so long: it may be having a rest.
const DEAF_FOR: SignedDuration = SignedDuration::from_mins(5);

/// A backup that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    pub id: String,
    pub app: String,
    pub time: Timestamp,
}

/// What is gone from a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    pub since: Timestamp,
    pub backups: Vec<Gone>,
}

/// A repository on this machine that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreachable {
    pub since: Timestamp,
    pub why: String,
}

/// The newest doubt about the backups of an app, in whichever repository.
pub async fn standing(catalog: &Catalog, app: &str) -> Result<Option<Doubt>, CatalogError> {
    let rows = catalog.backups_since_shrunk(app).await?;
    let mut by_repository: BTreeMap<(&str, &str), Vec<&BackupRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !is_safety(row)) {
        let key = (row.repository.as_str(), row.environment.as_str());
        by_repository.entry(key).or_default().push(row);
    }
    let doubts = by_repository.into_values().filter_map(|rows| {
        newest_doubt(rows.into_iter().map(|row| Seen {
            id: &row.id,
            time: row.time,
            databases: &row.databases,
            files: &row.files,
            shrunk: row.shrunk.as_deref(),
        }))
    });
    Ok(doubts.max_by_key(|doubt| doubt.time))
}

fn is_safety(row: &BackupRow) -> bool {
    row.tags.iter().any(|tag| tag == PRE_RESTORE)
}

/// What is gone, by repository.
#[derive(Debug, Default)]
pub struct Losses {
    vanished: BTreeMap<String, Loss>,
    unreachable: BTreeMap<String, Unreachable>,
}

/// All that is written down as gone.
pub async fn losses(catalog: &Catalog) -> Result<Losses, CatalogError> {
    let mut losses = Losses::default();
    for (key, value) in catalog.settings().await? {
        if let Some(repository) = key.strip_prefix(VANISHED) {
            if let Ok(Some(loss)) = serde_json::from_value::<Option<Loss>>(value) {
                losses.vanished.insert(repository.to_owned(), loss);
            }
        } else if let Some(repository) = key.strip_prefix(UNREACHABLE)
            && let Ok(Some(why)) = serde_json::from_value::<Option<Unreachable>>(value)
        {
            losses.unreachable.insert(repository.to_owned(), why);
        }
    }
    Ok(losses)
}

impl Losses {
    /// What is gone of one app, from the repositories that are still defined.
    pub async fn of_app(
        &self,
        catalog: &Catalog,
        app: &str,
    ) -> Result<Vec<Vanished>, CatalogError> {
        let mut all = Vec::new();
        if self.vanished.is_empty() && self.unreachable.is_empty() {
            return Ok(all);
        }
        for stored in catalog.repositories().await? {
            let repository = stored.name;
            if let Some(unreachable) = self.unreachable.get(&repository) {
                let backups = newest_in(catalog, app, &repository).await?;
                if !backups.is_empty() {
                    all.push(Vanished {
                        repository: repository.clone(),
                        since: unreachable.since,
                        backups,
                        unreachable: Some(unreachable.why.clone()),
                    });
                }
            }
            let Some(loss) = self.vanished.get(&repository) else {
                continue;
            };
            let own = loss.backups.iter().filter(|gone| gone.app == app);
            let mut backups: Vec<Point> = own
                .map(|gone| Point {
                    id: gone.id.clone(),
                    time: gone.time,
                })
                .collect();
            backups.sort_by_key(|point| std::cmp::Reverse(point.time));
            if !backups.is_empty() {
                all.push(Vanished {
                    repository,
                    since: loss.since,
                    backups,
                    unreachable: None,
                });
            }
        }
        Ok(all)
    }
}

async fn newest_in(
    catalog: &Catalog,
    app: &str,
    repository: &str,
) -> Result<Vec<Point>, CatalogError> {
    let filter = BackupFilter {
        apps: Some(vec![app.to_owned()]),
        repository: Some(repository.to_owned()),
        ..BackupFilter::default()
    };
    let page = Page {
        limit: Page::MAX,
        ..Page::default()
    };
    let found = catalog.backups(&filter, BackupSort::Time, &page).await?;
    let points = found.items.into_iter().map(|row| Point {
        id: row.id,
        time: row.time,
    });
    Ok(points.collect())
}

/// What a look at the list of a repository found to be gone and to be there: writes down the first and takes back the second.
pub async fn note_vanished(
    catalog: &Catalog,
    repository: &str,
    gone: Vec<Gone>,
    there: impl Fn(&str) -> bool,
) -> Result<(), CatalogError> {
    let key = format!("{VANISHED}{repository}");
    let before = catalog.setting(&key).await?;
    let before = before.and_then(|value| serde_json::from_value::<Option<Loss>>(value).ok()?);
    let since = match &before {
        Some(loss) if gone.is_empty() => loss.since,
        _ => catalog.now(),
    };
    let mut backups = before.clone().map(|loss| loss.backups).unwrap_or_default();
    backups.retain(|known| !there(&known.id) && gone.iter().all(|new| new.id != known.id));
    backups.extend(gone);
    backups.sort_by_key(|gone| std::cmp::Reverse(gone.time));
    backups.truncate(MOST);
    let now = (!backups.is_empty()).then_some(Loss { since, backups });
    write(catalog, &key, &before, &now).await
}

/// Somebody says that the loss is known and meant; what it was. `None` where nothing is gone.
pub async fn accept_loss(
    catalog: &Catalog,
    repository: &str,
) -> Result<Option<Loss>, CatalogError> {
    let key = format!("{VANISHED}{repository}");
    let before = catalog.setting(&key).await?;
    let before = before.and_then(|value| serde_json::from_value::<Option<Loss>>(value).ok()?);
    write(catalog, &key, &before, &None).await?;
    Ok(before)
}

/// Writes down that a repository of this machine is not there, or is there again.
pub async fn note_unreachable(
    catalog: &Catalog,
    repository: &str,
    why: Option<String>,
) -> Result<(), CatalogError> {
    let key = format!("{UNREACHABLE}{repository}");
    let before = catalog.setting(&key).await?;
    let before =
        before.and_then(|value| serde_json::from_value::<Option<Unreachable>>(value).ok()?);
    let since = before
        .as_ref()
        .map_or_else(|| catalog.now(), |before| before.since);
    let now = why.map(|why| Unreachable { since, why });
    write(catalog, &key, &before, &now).await
}

async fn write<T: Serialize + PartialEq>(
    catalog: &Catalog,
    key: &str,
    before: &Option<T>,
    now: &Option<T>,
) -> Result<(), CatalogError> {
    if before == now {
        return Ok(());
    }
    let value = serde_json::to_value(now)
        .map_err(|error| CatalogError::Database(format!("writing {key}: {error}")))?;
    catalog.put_setting(key, &value).await
}

/// Since when nobody is there to plan runs or to make them; `None` while somebody is.
pub async fn nobody_works(catalog: &Catalog) -> Result<Option<NobodyWorks>, CatalogError> {
    let nodes = catalog.nodes().await?;
    let working = nodes.iter().any(|node| node.alive);
    let left = catalog.setting(LEFT_AT).await?;
    let left = left.and_then(|value| value.as_str()?.parse().ok());
    let worked = nodes.iter().map(|node| node.seen_at).max().max(left);
    let server = (
        catalog.server_seen_at().await?,
        catalog.is_server_alive().await?,
    );
    Ok(NobodyWorks::judge(server, (worked, working)))
}

/// Targets of which no message has arrived since some that did not.
pub async fn unheard(catalog: &Catalog) -> Result<Vec<Unheard>, CatalogError> {
    let now = catalog.now();
    let mut unheard = Vec::new();
    for target in catalog.targets().await? {
        if !target.value.enabled {
            continue;
        }
        let heard = catalog.setting(&format!("{HEARD}{}", target.name)).await?;
        let heard: Option<Timestamp> = heard.and_then(|value| value.as_str()?.parse().ok());
        // What was said to the target as it was before tells nothing of it as it is.
        let from = heard.max(Some(target.updated_at));
        let mut oldest: Option<Unheard> = None;
        // Newest first.
        for delivery in catalog.deliveries(Some(&target.name), 100).await? {
            match (delivery.state, delivery.error) {
                (DeliveryState::Sent, _) => break,
                _ if Some(delivery.created_at) < from => break,
                (_, Some(error)) => {
                    let message = oldest.map_or(error, |newer| newer.message);
                    oldest = Some(Unheard {
                        target: target.name.clone(),
                        since: delivery.created_at,
                        message,
                    });
                }
                (_, None) => {}
            }
        }
        unheard.extend(oldest.filter(|one| now.duration_since(one.since) > DEAF_FOR));
    }
    Ok(unheard)
}
