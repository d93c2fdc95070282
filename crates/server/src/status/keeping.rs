//! What is known of repositories, and of how the copies elsewhere follow.
//!
//! Read from the catalog alone: sizes are measured by the job that reads a repository's list anew.

use super::facts;
use jiff::Timestamp;
use pgkeep_catalog::{Catalog, CatalogError, Stored};
use pgkeep_engine::storage;
use pgkeep_model::app::AppDefinition;
use pgkeep_model::growth::{self, Growth, MEASURED_OVER};
use pgkeep_model::health::{self, CopyFacts, PolicyFacts, StoreFacts};
use pgkeep_model::policy::Policy;
use pgkeep_model::status::RepositoryHolding;
use std::collections::{BTreeMap, BTreeSet};

/// A repository as far as health is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// It is object storage, somewhere else than the machine.
    pub offsite: bool,
    /// Since when it is known.
    pub since: Timestamp,
    /// Of a folder of this machine, once it was measured for some days.
    pub growth: Option<Growth>,
    pub kit_confirmed_at: Option<Timestamp>,
}

/// All repositories by name.
pub async fn of_repositories(catalog: &Catalog) -> Result<BTreeMap<String, Kept>, CatalogError> {
    let now = catalog.now();
    let kits = catalog.recovery_kits().await?;
    let begin = now.checked_sub(MEASURED_OVER).unwrap_or(Timestamp::MIN);
    let sizes = catalog.sizes_since(begin).await?;
    let all = catalog.repositories().await?.into_iter().map(|stored| {
        let address = stored.value.address.unwrap_or_default();
        let local = storage::local_folder(&address).is_some();
        let sizes = sizes.get(&stored.name).filter(|_| local);
        let kept = Kept {
            offsite: !local,
            since: stored.created_at,
            growth: sizes.and_then(|sizes| growth::growth(sizes, now)),
            kit_confirmed_at: kits.get(&stored.name).copied(),
        };
        (stored.name, kept)
    });
    Ok(all.collect())
}

/// The repositories that an app's backups are in, or are to go to.
pub(super) fn stores(
    app: &AppDefinition,
    policies: &[(Policy, PolicyFacts)],
    holdings: &[RepositoryHolding],
    known: &BTreeMap<String, Kept>,
) -> Vec<StoreFacts> {
    let mut names: BTreeSet<&str> = targets(app, policies, known).into_keys().collect();
    names.extend(holdings.iter().map(|holding| holding.repository.as_str()));
    names
        .into_iter()
        .filter_map(|name| {
            let kept = known.get(name)?;
            Some(StoreFacts {
                repository: name.to_owned(),
                since: kept.since,
                growth: kept.growth,
                kit_confirmed_at: kept.kit_confirmed_at,
            })
        })
        .collect()
}

/// The repositories that backups go to by themselves or by default, each with the policies that send them there.
fn targets<'a>(
    app: &'a AppDefinition,
    policies: &'a [(Policy, PolicyFacts)],
    known: &'a BTreeMap<String, Kept>,
) -> BTreeMap<&'a str, Vec<&'a PolicyFacts>> {
    let only = match known.len() {
        1 => known.keys().next().map(String::as_str),
        _ => None,
    };
    let usual = app.repository.as_deref().or(only);
    let mut targets: BTreeMap<&str, Vec<&PolicyFacts>> = BTreeMap::new();
    if let Some(usual) = usual {
        targets.entry(usual).or_default();
    }
    for (policy, facts) in policies.iter().filter(|(policy, _)| policy.enabled) {
        let named = policy.repositories.iter().map(String::as_str);
        let usual = usual.filter(|_| policy.repositories.is_empty());
        for name in named.chain(usual) {
            targets.entry(name).or_default().push(facts);
        }
    }
    targets
}

/// How each repository elsewhere follows: those that backups are to go to, or else those that hold some.
pub(super) async fn copies(
    catalog: &Catalog,
    app: &Stored<AppDefinition>,
    policies: &[(Policy, PolicyFacts)],
    holdings: &[RepositoryHolding],
    known: &BTreeMap<String, Kept>,
) -> Result<Vec<CopyFacts>, CatalogError> {
    let now = catalog.now();
    let elsewhere = |name: &str| known.get(name).is_some_and(|kept| kept.offsite);
    let mut followed = targets(&app.value, policies, known);
    followed.retain(|name, _| elsewhere(name));
    if followed.is_empty() {
        let holding = holdings.iter().map(|holding| holding.repository.as_str());
        followed.extend(
            holding
                .filter(|name| elsewhere(name))
                .map(|name| (name, Vec::new())),
        );
    }
    let mut copies = Vec::new();
    for (name, policies) in followed {
        let newest = catalog.newest_good_backup_in(&app.name, name).await?;
        let last = facts::last_backup_job(catalog, &app.name, Some(name)).await?;
        let unchanged = newest
            .as_ref()
            .and_then(|row| facts::proved_unchanged(last.as_ref()?, &row.id));
        let intervals = policies.iter().flat_map(|policy| {
            let scheduled = policy.schedule.interval_after(now);
            let longest = policy
                .at_least_every_secs
                .map(|secs| jiff::SignedDuration::from_secs(secs.into()));
            scheduled.into_iter().chain(longest).min()
        });
        let graces = policies.iter().map(|policy| health::grace(policy));
        copies.push(CopyFacts {
            repository: name.to_owned(),
            newest: newest.map(|row| row.time).max(unchanged),
            since: known.get(name).map_or(now, |kept| kept.since).max(
                policies
                    .iter()
                    .map(|policy| policy.since)
                    .min()
                    .unwrap_or(Timestamp::MIN),
            ),
            interval: intervals.min(),
            grace: graces.max().unwrap_or_default(),
            failure: last.as_ref().and_then(facts::failure_of),
        });
    }
    Ok(copies)
}
