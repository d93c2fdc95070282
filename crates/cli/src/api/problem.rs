//! Problems of the API and failures of jobs as errors of the command line, with the same codes to exit with.

use super::{JobView, Reply};
use crate::{error::CliError, exit::Exit};
use pgkeep_server::api::problem::Code;
use serde::Deserialize;

/// `application/problem+json`, as far as the command line shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Problem {
    code: String,
    detail: String,
    hint: Option<String>,
    details: Vec<String>,
    fields: Vec<Field>,
    request_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Field {
    field: String,
    message: String,
}

pub fn error_of(reply: &Reply) -> CliError {
    let problem = match reply.content_type.starts_with("application/problem+json") {
        true => serde_json::from_slice::<Problem>(&reply.body).ok(),
        false => None,
    };
    let Some(problem) = problem else {
        return CliError::new(
            Exit::Server,
            format!("the server answered with status {}", reply.status),
        )
        .with_hint(
            "make sure that the address is that of a pgkeep server, not of something before it",
        );
    };
    let mut error = CliError::new(exit_of_code(&problem.code), problem.detail);
    error.details = problem.details;
    // A single field is named by the message already.
    if problem.fields.len() > 1 {
        error.details.extend(
            problem
                .fields
                .iter()
                .map(|f| format!("{}: {}", f.field, f.message)),
        );
    }
    if let (Exit::Failed, Some(id)) = (error.exit, problem.request_id) {
        error.details.push(format!("request {id}"));
    }
    error.hint = match &problem.hint {
        Some(hint) if !speaks_of_requests(&problem.code, hint) => problem.hint,
        hint => Some(match own_hint(&problem.code, &error.message) {
            Some(own) => own.into(),
            None => hint.clone().unwrap_or_else(|| UNKNOWN.into()),
        }),
    };
    error
}

const UNKNOWN: &str = "the server's log says more; compare `pgkeep --version` on both machines";

/// Whether a hint is meant for whoever writes requests by hand. What is wrong is an option here, and what is there is shown by
/// commands.
fn speaks_of_requests(code: &str, hint: &str) -> bool {
    let usual = Code::ALL.iter().find(|known| known.as_str() == code);
    code == "unauthenticated"
        || hint.starts_with("/api/")
        || hint.starts_with("GET /api/")
        || usual.is_some_and(|known| known.usual_hint() == hint)
}

/// The same in words of the command line.
fn own_hint(code: &str, message: &str) -> Option<&'static str> {
    Some(match code {
        "unauthenticated" => {
            "give a token by PGKEEP_TOKEN or --token-file; `pgkeep token create` on the server makes one"
        }
        "no_worker" => "start `pgkeep serve` or `pgkeep worker`",
        "precondition_failed" => "look at what it is now, then give the command again",
        "not_found" | "invalid" if message.contains("there is no ") => return list_of(message),
        "invalid" | "invalid_request" | "too_large" => "--help of the command says what it takes",
        "throttled" => "wait a moment, then give the command again",
        "confirmation_needed" => "look at --dry-run, then give the phrase by --confirm",
        "plan_changed" => "look at --dry-run once more",
        _ => return None,
    })
}

/// The command that shows those that there are, for a message like `there is no app 'shop'`.
fn list_of(message: &str) -> Option<&'static str> {
    let (_, named) = message.split_once("there is no ")?;
    let (what, _) = named.split_once(' ')?;
    Some(match what {
        "app" => "`pgkeep app list` shows the apps",
        "policy" => "`pgkeep policy list` shows the policies",
        "repository" => "`pgkeep repository list` shows the repositories",
        "target" | "notification" => "`pgkeep notify list` shows the targets",
        "user" | "account" => "`pgkeep user list` shows the accounts",
        "token" => "`pgkeep token list` shows the tokens",
        "job" => "`pgkeep job list` shows the jobs",
        "backup" => "`pgkeep list` shows the backups",
        "restore" => "`pgkeep job list` shows the restores",
        _ => "check the name",
    })
}

/// The code to exit with for a code of the API or of a failed job.
pub fn exit_of_code(code: &str) -> Exit {
    match code {
        "invalid_request"
        | "invalid"
        | "method_not_allowed"
        | "too_large"
        | "unsupported_media_type"
        | "range_not_satisfiable"
        | "headers_too_large" => Exit::Usage,
        "not_found" => Exit::NotFound,
        "proof_failed" | "damaged" | "not_proven" => Exit::NotProven,
        "busy" | "throttled" | "no_worker" | "timed_out" | "request_in_progress" => Exit::Busy,
        "unauthenticated"
        | "login_refused"
        | "second_factor_needed"
        | "forbidden"
        | "csrf_refused"
        | "repository_access" => Exit::NoAccess,
        "database" | "privilege" | "tools" => Exit::Database,
        "refused"
        | "confirmation_needed"
        | "conflict"
        | "exists"
        | "in_use"
        | "wrong_state"
        | "plan_changed"
        | "precondition_failed" => Exit::Refused,
        "storage" | "no_space" => Exit::Storage,
        "cancelled" => Exit::Cancelled,
        _ => Exit::Failed,
    }
}

/// The error of a job that did not succeed.
pub fn job_failure(job: &JobView) -> CliError {
    if job.state == "cancelled" {
        return CliError::from(pgkeep_model::Cancelled)
            .with_detail(format!("job {} was cancelled", job.id));
    }
    let Some(failed) = &job.error else {
        return CliError::new(
            Exit::Failed,
            format!("job {} is {} without saying why", job.id, job.state),
        )
        .with_hint(format!("its log may tell: pgkeep job log {}", job.id));
    };
    let mut error = CliError::new(exit_of_code(&failed.code), failed.message.clone());
    let details = failed.details.as_deref().unwrap_or_default();
    error.details = details.lines().map(str::to_owned).collect();
    error.hint.clone_from(&failed.hint);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_api_has_its_exit() {
        for code in Code::ALL.iter().filter(|code| code.as_str() != "failed") {
            assert_ne!(exit_of_code(code.as_str()), Exit::Failed, "{code:?}");
        }
    }

    #[test]
    fn a_problem_keeps_message_hint_and_fields() {
        let reply = |content_type: &str, body: &str| Reply {
            status: 422,
            etag: None,
            content_type: content_type.into(),
            body: body.into(),
        };
        let body = r#"{"code":"invalid","detail":"two fields are wrong","hint":"mend them",
            "fields":[{"field":"schedule.at","message":"not a time"},{"field":"app","message":"unknown"}]}"#;
        let error = error_of(&reply("application/problem+json", body));
        assert_eq!(
            (error.exit, error.message.as_str()),
            (Exit::Usage, "two fields are wrong")
        );
        assert_eq!(error.details, ["schedule.at: not a time", "app: unknown"]);
        assert_eq!(error.hint.as_deref(), Some("mend them"));
        // What speaks of requests is told in words of the command line.
        for (body, hint) in [
            (
                r#"{"code":"not_found","detail":"there is no app 'x'","hint":"GET /api/v1/apps lists those that there are"}"#,
                "`pgkeep app list` shows the apps",
            ),
            (
                r#"{"code":"precondition_failed","detail":"changed","hint":"read it again, and send the `ETag` of that as `If-Match`"}"#,
                "look at what it is now, then give the command again",
            ),
            (
                r#"{"code":"invalid","detail":"jobs: 1 to 256"}"#,
                "--help of the command says what it takes",
            ),
            (
                r#"{"code":"busy","detail":"busy","hint":"try again in a moment"}"#,
                "try again in a moment",
            ),
            (r#"{"code":"something_new","detail":"no"}"#, UNKNOWN),
        ] {
            let error = error_of(&reply("application/problem+json", body));
            assert_eq!(error.hint.as_deref(), Some(hint), "{body}");
        }
        let other = error_of(&reply("text/html", "<h1>Bad gateway</h1>"));
        assert_eq!(other.exit, Exit::Server);
    }
}
