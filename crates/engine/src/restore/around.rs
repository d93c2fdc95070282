//! What a plan says of the app around the database: its fence, its programs, and who else hangs on the database.

use super::{Content, Refusal, RestoreRequest, RestoreTarget};
use crate::{Result, fence};
use pgkeep_postgres::{inspect, read_only, wire::Connection};

/// Adds what a user should know, and what forbids the restore.
pub(super) fn check(
    request: &RestoreRequest,
    exists: bool,
    admin: &mut Connection,
    warnings: &mut Vec<String>,
    refusals: &mut Vec<Refusal>,
) -> Result<()> {
    check_programs(request, refusals);
    let name = request.target.name();
    if !exists || !request.target.overwrites() {
        return Ok(());
    }
    let app = &request.around.application;
    let fence = &app.fence;
    if app.read_only_mode {
        warnings.push(
            "READ_ONLY_MODE is set here: an app that heeds it takes no writes meanwhile, others do"
                .into(),
        );
    }
    let replaces = matches!(request.target, RestoreTarget::Replace { .. });
    if fence.read_only && !replaces {
        warnings.push(format!(
            "{name} does not refuse writes meanwhile, for the restore writes to it: keep the app away by other means"
        ));
    }
    if read_only::is_fenced_for(admin, name, read_only::Reason::Restore)? {
        warnings.push(format!(
            "{name} refuses writes since a restore that did not end; this one lets it be written to again"
        ));
    }
    if !replaces {
        return Ok(());
    }
    if let Some(console) = &fence.pgbouncer {
        match fence::pooled(console, name) {
            Ok(found) if found.is_empty() => warnings.push(format!(
                "PgBouncer knows no database {name}, so none will be paused"
            )),
            Ok(found) => {
                let left = fence::left_paused(&request.admin)?;
                for paused in found.iter().filter(|pooled| pooled.paused) {
                    let ours = left.iter().any(|left| left.names.contains(&paused.name));
                    let then = match ours {
                        true => "since a restore that did not end; it is resumed first",
                        false => "already; it stays so",
                    };
                    warnings.push(format!("PgBouncer holds {} paused {then}", paused.name));
                }
            }
            Err(e) => refusals.push(Refusal {
                message: e.message,
                remedy: e.hint.unwrap_or_default(),
            }),
        }
    }
    for replica in inspect::replicas(admin)? {
        warnings.push(format!(
            "{replica} follows this server and will take part in the restore and in the swap; it has to receive all of it"
        ));
    }
    match inspect::publications(&request.admin.with_dbname(name)) {
        Ok(published) if published.is_empty() => {}
        Ok(published) => warnings.push(format!(
            "{name} publishes {}: subscribers go on with the replaced database, not with the restored one",
            published.join(", ")
        )),
        Err(e) => warnings.push(format!("whether {name} publishes anything is not known: {e}")),
    }
    Ok(())
}

fn check_programs(request: &RestoreRequest, refusals: &mut Vec<Refusal>) {
    let around = &request.around;
    let commands = &around.application.commands;
    let mut refuse = |message: &str, remedy: &str| {
        refusals.push(Refusal {
            message: message.into(),
            remedy: remedy.into(),
        })
    };
    if around.migrate && commands.migrate.is_empty() {
        refuse(
            "no command is known that migrates this app's database",
            "set `migrate` under [app.NAME.commands], or leave out --migrate",
        );
    }
    if around.check && commands.check.is_empty() {
        refuse(
            "no command is known that checks this app's database",
            "set `check` under [app.NAME.commands], or leave out --check",
        );
    }
    if !around.migrate && !around.check {
        return;
    }
    if matches!(request.target, RestoreTarget::InPlace { .. }) {
        refuse(
            "a restore in place commits at once, so nothing can be migrated or checked before it is used",
            "use --replace, or run the app's commands afterwards",
        );
    }
    if request.content != Content::All || !request.selection.is_everything() {
        refuse(
            "the app's commands expect a whole database, not a part of one",
            "leave out --migrate and --check, or the selection",
        );
    }
}

/// What comes before everything else.
pub(super) fn steps_before(request: &RestoreRequest) -> Vec<String> {
    let fence = &request.around.application.fence;
    let mut steps = Vec::new();
    if !request.target.overwrites() {
        return steps;
    }
    if let Some(dir) = &fence.lock_dir {
        steps.push(format!("write {}", dir.join(".restore.lock").display()));
    }
    if fence.read_only && matches!(request.target, RestoreTarget::Replace { .. }) {
        steps.push(format!(
            "let {} refuse writes, and end its sessions so that they notice",
            request.target.name()
        ));
    }
    steps
}

/// What comes between the proof and the swap.
pub(super) fn steps_between(request: &RestoreRequest) -> Vec<String> {
    let around = &request.around;
    let commands = &around.application.commands;
    let mut steps = Vec::new();
    if around.migrate {
        steps.push(format!(
            "migrate the restored database: {}",
            commands.migrate.join(" ")
        ));
    }
    if around.check {
        for command in &commands.check {
            steps.push(format!("check it: {}", command.join(" ")));
        }
    }
    if matches!(request.target, RestoreTarget::Replace { .. })
        && around.application.fence.pgbouncer.is_some()
    {
        steps.push("pause PgBouncer for the swap".into());
    }
    steps
}
