//! How the server is set up, without secrets, and the settings that change while it runs.

use super::definitions::sees_everything;
use super::extract::Json;
use super::problem::Problem;
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use crate::status::PROVE_EVERY_DAYS;
use pgkeep_model::access::Permission;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("settings")
        .add(needs(Permission::Configure), routes!(get))
        .add(needs(Permission::Configure), routes!(change))
}

/// How the server is set up.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    pub version: String,
    /// Names this catalog for good.
    pub instance: String,
    /// Where the catalog is, without secrets.
    pub catalog: String,
    pub data_dir: String,
    pub listen: String,
    pub public_url: Option<String>,
    pub tls: bool,
    pub trusted_proxies: Vec<String>,
    /// Limits by scope, written like `2/hour` or `off`.
    pub throttles: BTreeMap<String, String>,
    /// Jobs that this server runs at the same time.
    pub workers: u32,
    pub soft_limit_secs: u32,
    pub hard_limit_secs: u32,
    /// A restore that replaces a database waits for the yes of a second person.
    pub two_person_restore: bool,
    /// Whether single sign-on is set up.
    pub oidc: bool,
    pub upload_max_file_bytes: u64,
    /// A backup should be proven by a drill at least every so many days.
    pub prove_every_days: Option<u32>,
}

/// What changes while the server runs; what is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct SettingsChange {
    /// 1 to 3650.
    #[schema(minimum = 1, maximum = 3650)]
    prove_every_days: Option<u32>,
}

async fn look(state: &AppState) -> Result<Settings, Problem> {
    let settings = &state.settings;
    let prove = state.catalog.setting(PROVE_EVERY_DAYS).await?;
    Ok(Settings {
        version: env!("CARGO_PKG_VERSION").to_string(),
        instance: state.catalog.instance_id().to_string(),
        catalog: state.catalog.location().to_string(),
        data_dir: settings.places.data_dir.display().to_string(),
        listen: settings.http.listen.to_string(),
        public_url: settings.http.public_url.as_ref().map(ToString::to_string),
        tls: settings.http.tls.is_some(),
        trusted_proxies: settings
            .http
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect(),
        throttles: ThrottleScope::ALL
            .into_iter()
            .map(|scope| {
                let rate = settings.throttles.rate(scope);
                (scope.as_str().to_string(), rate.to_string())
            })
            .collect(),
        workers: u32::try_from(settings.work.slots).unwrap_or(u32::MAX),
        soft_limit_secs: settings.work.limits.default.soft_secs,
        hard_limit_secs: settings.work.limits.default.hard_secs,
        two_person_restore: settings.auth.two_person_restore,
        oidc: settings.auth.oidc.is_some(),
        upload_max_file_bytes: settings.uploads.max_file_bytes,
        prove_every_days: prove.and_then(|value| u32::try_from(value.as_u64()?).ok()),
    })
}

/// Shows how the server is set up.
#[utoipa::path(get, path = "/settings", responses((status = 200, description = "The settings", body = Settings)))]
async fn get(state: AppState, who: Principal) -> Result<Json<Settings>, Problem> {
    sees_everything(&who)?;
    look(&state).await.map(Json)
}

/// Changes settings while the server runs.
#[utoipa::path(patch, path = "/settings", request_body = SettingsChange, responses((status = 200, description = "The settings", body = Settings)))]
async fn change(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<SettingsChange>,
) -> Result<Json<Settings>, Problem> {
    sees_everything(&who)?;
    if let Some(days) = body.prove_every_days {
        if !(1..=3_650).contains(&days) {
            return Err(Problem::invalid("proveEveryDays", "is between 1 and 3650"));
        }
        let before = state.catalog.setting(PROVE_EVERY_DAYS).await?;
        state
            .catalog
            .put_setting(PROVE_EVERY_DAYS, &days.into())
            .await?;
        Act::done("settings.change", format!("setting/{PROVE_EVERY_DAYS}"))
            .before(before)
            .after(days)
            .by(&state.catalog, &who, &client)
            .await?;
    }
    look(&state).await.map(Json)
}
