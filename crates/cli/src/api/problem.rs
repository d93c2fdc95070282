//! Problems of the API and failures of jobs as errors of the command line, with the same codes to exit with.

use super::{JobView, Reply};
use crate::{error::CliError, exit::Exit};
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
    error.hint = match problem.code.as_str() {
        // The server's own speaks of headers and of a page to log in at.
        "unauthenticated" => usual_hint("unauthenticated"),
        // What is wrong is an option here, not a field of a request.
        "invalid" => problem.hint.filter(|hint| !hint.starts_with("/api/")),
        code => problem.hint.or_else(|| usual_hint(code)),
    };
    error
}

fn usual_hint(code: &str) -> Option<String> {
    let hint = match code {
        "unauthenticated" => {
            "give a token by PGKEEP_TOKEN or --token-file; `pgkeep token create` on the server makes one"
        }
        "no_worker" => "start `pgkeep serve` or `pgkeep worker`",
        _ => return None,
    };
    Some(hint.into())
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
    use pgkeep_server::api::problem::Code;

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
        let other = error_of(&reply("text/html", "<h1>Bad gateway</h1>"));
        assert_eq!(other.exit, Exit::Server);
    }
}
