//! How a repository is kept: how fast it grows, and whether its key would outlive the machine.

use super::seen;
use crate::api::definitions::sees_everything;
use crate::api::extract::{Json, Name, Path};
use crate::api::problem::Problem;
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::state::AppState;
use crate::status::doubts;
use crate::status::keeping::Kept;
use jiff::Timestamp;
use pgkeep_model::growth as model;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the recovery kit of the key (its address, the key, and how to recover) is in a safe place.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryKit {
    /// When somebody said so; absent where nobody did, or where the key was changed since.
    pub confirmed_at: Option<Timestamp>,
}

/// How a repository in a folder of the server's machine grew over the last 14 days.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Growth {
    /// Less than zero where more is removed than added.
    pub bytes_per_day: i64,
    /// Left on its file system when it was last measured.
    pub free_bytes: u64,
    /// Absent where it does not grow.
    pub full_in_days: Option<f64>,
}

impl From<&Kept> for RecoveryKit {
    fn from(kept: &Kept) -> Self {
        Self {
            confirmed_at: kept.kit_confirmed_at,
        }
    }
}

impl From<model::Growth> for Growth {
    fn from(growth: model::Growth) -> Self {
        Self {
            bytes_per_day: growth.bytes_per_day,
            free_bytes: growth.free_bytes,
            full_in_days: growth.full_in_days,
        }
    }
}

/// Records that the recovery kit of the repository's key was written down and put into a safe place. A change of the key ends
/// that. The kit itself is made by `recovery-kit`.
#[utoipa::path(post, path = "/repositories/{name}/recovery-kit/confirm", params(("name" = String, Path)), responses((status = 200, description = "Recorded", body = RecoveryKit)))]
pub(super) async fn confirm_recovery_kit(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
) -> Result<Json<RecoveryKit>, Problem> {
    seen(&state, &who, name.as_str()).await?;
    sees_everything(&who)?;
    let confirmed_at = state.catalog.confirm_recovery_kit(name.as_str()).await?;
    Act::done("recovery_kit.confirm", format!("repository/{name}"))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(Json(RecoveryKit {
        confirmed_at: Some(confirmed_at),
    }))
}

/// Backups that vanished from a repository, and whose loss is accepted.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedLoss {
    /// Their ids; none where nothing was known to be gone.
    pub backups: Vec<String>,
}

/// Records that backups which are gone from the repository, and which pgkeep did not remove, may be gone. It ends the alarm
/// about them; nothing is removed by it.
#[utoipa::path(post, path = "/repositories/{name}/accept-loss", params(("name" = String, Path)), responses((status = 200, description = "Recorded", body = AcceptedLoss)))]
pub(super) async fn accept_loss(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
) -> Result<Json<AcceptedLoss>, Problem> {
    seen(&state, &who, name.as_str()).await?;
    sees_everything(&who)?;
    let loss = doubts::accept_loss(&state.catalog, name.as_str()).await?;
    let gone = loss.into_iter().flat_map(|loss| loss.backups);
    let accepted = AcceptedLoss {
        backups: gone.map(|gone| gone.id).collect(),
    };
    Act::done("repository.accept_loss", format!("repository/{name}"))
        .before(&accepted)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(Json(accepted))
}
