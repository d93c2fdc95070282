//! Plans and reports of an upgrade as lines for people.

use crate::output::{Column, Rows, Text, human};
use pgkeep_engine::{
    restore::Refusal,
    upgrade::{self, RollbackReport, RollbackSummary, UpgradeReport, UpgradeSummary, VerifyReport},
};

pub(super) fn render_plan(text: &mut Text, plan: &UpgradeSummary) {
    let server = |server: &upgrade::ClusterFacts| {
        format!("PostgreSQL {}, {}", server.version, server.server)
    };
    text.facts([
        ("from", server(&plan.from)),
        ("to", server(&plan.to)),
        ("size", human::bytes(plan.bytes)),
        (
            "free on the new server",
            plan.free_bytes.map(human::bytes).unwrap_or_default(),
        ),
        (
            "window",
            format!(
                "about {}: backup {}, restore and proof {} at {}/s ({})",
                human::seconds(plan.window.seconds()),
                human::seconds(plan.window.backup_seconds),
                human::seconds(plan.window.restore_seconds),
                human::bytes(plan.window.restore_rate),
                plan.window.restore_rate_from
            ),
        ),
        (
            "programs",
            format!(
                "pg_dump {}, pg_restore {}",
                plan.tools.dump, plan.tools.restore
            ),
        ),
        ("roles to make", plan.new_roles.join(", ")),
    ]);
    text.blank();
    let mut table = Rows::new(&[
        Column::Left("database"),
        Column::Right("size"),
        Column::Right("tables"),
        Column::Left("locale"),
        Column::Left("extensions"),
    ]);
    for database in &plan.databases {
        let extensions = database.extensions.iter().map(|e| match &e.to {
            Some(to) if *to == e.from => format!("{} {}", e.name, e.from),
            Some(to) => format!("{} {} -> {to}", e.name, e.from),
            None => format!("{} {} (missing)", e.name, e.from),
        });
        table.add([
            database.name.clone(),
            human::bytes(database.size_bytes),
            human::count(database.tables),
            database.locale.clone(),
            extensions.collect::<Vec<_>>().join(", "),
        ]);
    }
    text.table(&table);
    list(text, "steps", &plan.steps);
    list(text, "to know", &plan.warnings);
    refusals(text, &plan.refusals);
}

fn list(text: &mut Text, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.heading(title);
    for line in lines {
        text.line(format!("- {line}"));
    }
}

fn refusals(text: &mut Text, refusals: &[Refusal]) {
    let lines: Vec<String> = refusals
        .iter()
        .map(|r| format!("{}; {}", r.message, r.remedy))
        .collect();
    list(text, "cannot be done", &lines);
}

pub(super) fn render_report(text: &mut Text, report: &UpgradeReport) {
    let mut table = Rows::new(&[
        Column::Left("database"),
        Column::Right("rows"),
        Column::Right("restored in"),
        Column::Right("proven in"),
        Column::Left("proof"),
        Column::Left("structure"),
    ]);
    for database in &report.databases {
        table.add([
            database.name.clone(),
            human::count(database.rows),
            human::seconds(database.restore_seconds),
            human::seconds(database.prove_seconds),
            crate::commands::restore::proof_words(&database.proof),
            database.structure.words(),
        ]);
    }
    text.table(&table);
    text.blank();
    let mut remarks = report.roles.left_out.clone();
    for database in &report.databases {
        let name = &database.name;
        let mut add = |words: String| remarks.push(format!("{name}: {words}"));
        database
            .proof
            .differences
            .iter()
            .for_each(|d| add(format!("differs: {d}")));
        database
            .structure
            .problems
            .iter()
            .for_each(|p| add(p.clone()));
        for check in database.checks.iter().filter(|c| !c.succeeded) {
            add(format!("check failed: {}", check.command));
        }
        database
            .expected_differences
            .iter()
            .for_each(|d| add(d.clone()));
        database.warnings.iter().for_each(|w| add(w.clone()));
    }
    text.facts([
        ("backup", report.backup[..8].to_owned()),
        ("roles made", report.roles.created.join(", ")),
        (
            "old databases",
            match report.fenced {
                true => format!(
                    "read-only, {} ended",
                    human::counted(report.sessions_ended as u64, "session")
                ),
                false => "as they were".into(),
            },
        ),
        ("took", human::seconds(report.seconds)),
    ]);
    list(text, "to know", &remarks);
    text.blank();
    text.line(match report.succeeded {
        true => format!(
            "Every database is proven equal. Point the app at {}.",
            report.to.server
        ),
        false => "Something was found wrong; the old server is as it was.".into(),
    });
    text.line("Then: pgkeep upgrade verify, and pgkeep upgrade accept or pgkeep upgrade rollback");
}

pub(super) fn render_verify(text: &mut Text, report: &VerifyReport) {
    for database in &report.databases {
        text.heading(&format!("database {}", database.name));
        text.line(format!(
            "{} with {} compared",
            human::counted(database.tables as u64, "table"),
            human::counted(database.rows, "row")
        ));
        for extension in &database.extensions {
            text.line(format!(
                "extension {}: {} there, {} here, as is to be",
                extension.name,
                extension.from,
                extension.to.clone().unwrap_or_default()
            ));
        }
        for difference in &database.differences {
            text.line(format!("differs: {difference}"));
        }
    }
    text.blank();
    text.line(match report.equal {
        true => format!("both servers hold the same; compared in {}", human::seconds(report.seconds)),
        false => "the servers differ: what was written to either since the backup, or the fence was left out".into(),
    });
}

pub(super) fn render_rollback(text: &mut Text, plan: &RollbackSummary) {
    text.facts([
        (
            "back to",
            format!("PostgreSQL {}, {}", plan.from.version, plan.from.server),
        ),
        (
            "from",
            format!("PostgreSQL {}, {}", plan.to.version, plan.to.server),
        ),
        ("read-only by pgkeep", plan.fenced.join(", ")),
    ]);
    for database in &plan.databases {
        text.heading(&format!("database {}", database.name));
        text.facts([
            ("made", human::time(database.finished_at)),
            ("of backup", database.backup.chars().take(8).collect()),
            ("size", human::bytes(database.size_bytes)),
            (
                "written since",
                match &database.written {
                    None => "not looked at".into(),
                    Some(written) if written.is_empty() => "nothing".into(),
                    Some(written) => written.join("; "),
                },
            ),
        ]);
    }
    list(text, "steps", &plan.steps);
    refusals(text, &plan.refusals);
}

pub(super) fn render_rolled_back(text: &mut Text, report: &RollbackReport) {
    text.facts([
        ("dropped", report.dropped.join(", ")),
        ("changed meanwhile, and left", report.left.join(", ")),
        ("roles dropped", report.roles_dropped.join(", ")),
        (
            "roles left",
            report
                .roles_left
                .iter()
                .map(|role| match &role.stays_because {
                    Some(why) => format!("{} ({why})", role.name),
                    None => role.name.clone(),
                })
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("can be written to again", report.unfenced.join(", ")),
        ("now", report.next.clone()),
    ]);
}
