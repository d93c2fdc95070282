//! Who is a second person: somebody else than the one who asked, and not the same one in another's clothes.
//!
//! Names are not compared, as they can be changed. A token counts only where its owner made it. An account whose password
//! another one set, or whose second factor another one took, says yes to nothing for a day, and never to what was asked
//! before: until then only the audit log can tell who is behind it, and there is time to read it.

use super::problem::Problem;
use crate::auth::{Credential, Principal};
use crate::state::AppState;
use jiff::SignedDuration;
use pgkeep_catalog::Job;

/// How long an account waits that another one could have logged in as.
const WAIT: SignedDuration = SignedDuration::from_hours(24);

/// Why the principal cannot say yes to this job, if so.
pub async fn objection(
    state: &AppState,
    who: &Principal,
    job: &Job,
) -> Result<Option<Problem>, Problem> {
    let second = "a second person with the permission 'approve_restore' can";
    let asked_for_it = match &job.asked_by {
        Some(account) => *account == who.account(),
        // Asked for by an earlier version. A token of an account is the same person as the account.
        None => {
            job.created_by == who.name
                || job.created_by.starts_with(&format!("{} (token ", who.name))
        }
    };
    if asked_for_it {
        let problem = Problem::forbidden("the one who asked for it cannot say yes to it");
        return Ok(Some(problem.hint(second)));
    }
    if let Credential::Token { id, .. } = &who.credential
        && state.catalog.token(id).await?.made_by.is_some()
    {
        let problem = Problem::forbidden(format!(
            "somebody else made this token for {}, so it is no word of theirs",
            who.name
        ));
        return Ok(Some(problem.hint(format!(
            "{} can say yes after a login, or with a token of their own making",
            who.name
        ))));
    }
    if who.credential == Credential::Local {
        return Ok(None);
    }
    let user = state.catalog.user(&who.user_id).await?;
    let Some(proof) = user.foreign_proof else {
        return Ok(None);
    };
    let from = proof.at + WAIT;
    if proof.at < job.created_at && from <= state.catalog.now() {
        return Ok(None);
    }
    let by = match state.catalog.user(&proof.by).await {
        Ok(user) => user.name,
        Err(_) => "an account that is gone".to_owned(),
    };
    let problem = Problem::forbidden(format!(
        "{by} gave {} its password or took its second factor at {}, and could be behind this",
        who.name, proof.at
    ));
    Ok(Some(problem.hint(format!(
        "it may say yes from {from} to what is asked for after that change; until then {second}"
    ))))
}
