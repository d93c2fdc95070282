//! Policies, their runs and their clean-ups as text. The documents are the API's; what one lacks is not shown.

use crate::output::{Column, Rows, Text, human};
use jiff::{Timestamp, tz::TimeZone};
use pgkeep_model::policy::Policy;
use serde_json::Value;

fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(", "),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        other => other.to_string(),
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// A moment in the zone of a schedule, for the times in a policy mean that zone.
fn in_zone(at: Timestamp, zone: Option<&str>) -> String {
    let zone = zone.unwrap_or("UTC");
    match TimeZone::get(zone) {
        Ok(tz) => format!(
            "{} {zone}",
            at.to_zoned(tz).strftime("%a %Y-%m-%d %H:%M %:z")
        ),
        Err(_) => human::time(at),
    }
}

pub fn all(text: &mut Text, policies: &[Value]) {
    if policies.is_empty() {
        text.line(
            "no policies; `pgkeep policy create` makes one, `pgkeep policy defaults APP` five",
        );
        return;
    }
    let mut table = Rows::new(&[
        Column::Left("policy"),
        Column::Left("app"),
        Column::Left("kind"),
        Column::Left("when"),
        Column::Left("kept"),
        Column::Left("next run"),
    ]);
    for document in policies {
        let Ok(policy) = super::policy_in(document) else {
            continue;
        };
        table.add([
            policy.name.clone(),
            policy.app.clone(),
            policy.kind.as_str().to_owned(),
            when(&policy),
            policy.retention.describe(),
            match policy.enabled {
                true => next_run(document, &policy),
                false => "off".into(),
            },
        ]);
    }
    text.table(&table);
}

fn when(policy: &Policy) -> String {
    match policy.runs() {
        Ok(schedule) => schedule.describe().to_owned(),
        Err(wrong) => format!("wrong: {wrong}"),
    }
}

fn next_run(document: &Value, policy: &Policy) -> String {
    let zone = policy.schedule.time_zone.as_deref();
    time(&document["next_run"]).map_or_else(String::new, |at| in_zone(at, zone))
}

pub fn one(text: &mut Text, document: &Value) {
    let Ok(policy) = super::policy_in(document) else {
        return;
    };
    let schedule = &policy.schedule;
    let blackout: Vec<String> = schedule
        .blackout
        .iter()
        .map(|span| {
            let days: Vec<String> = span.days.iter().map(|d| d.label().to_owned()).collect();
            match days.is_empty() {
                true => format!("{}-{}", span.from, span.to),
                false => format!("{}-{} on {}", span.from, span.to, days.join(", ")),
            }
        })
        .collect();
    let load = policy.load_limit.as_ref().map(|limit| {
        let sessions = limit
            .active_sessions
            .map(|n| format!("more than {n} active sessions"));
        let load = limit
            .load_percent
            .map(|p| format!("a load above {}.{:02}", p / 100, p % 100));
        let parts: Vec<String> = [sessions, load].into_iter().flatten().collect();
        format!(
            "with {}, at most {}",
            parts.join(" or "),
            human::seconds(f64::from(limit.deadline_secs))
        )
    });
    text.facts([
        ("policy", policy.name.clone()),
        ("app", policy.app.clone()),
        ("makes", policy.kind.as_str().to_owned()),
        (
            "runs",
            match policy.enabled {
                true => when(&policy),
                false => format!("{} (off)", when(&policy)),
            },
        ),
        ("next run", next_run(document, &policy)),
        ("not within", blackout.join("; ")),
        (
            "starts later by up to",
            match schedule.jitter_secs {
                0 => String::new(),
                secs => human::seconds(f64::from(secs)),
            },
        ),
        ("waits", load.unwrap_or_default()),
        (
            "adapts",
            policy.adaptive.as_ref().map_or_else(String::new, |a| {
                format!(
                    "after {} written, between {} and {}",
                    human::bytes(a.bytes_changed),
                    human::seconds(f64::from(a.at_most_every_secs)),
                    human::seconds(f64::from(a.at_least_every_secs))
                )
            }),
        ),
        (
            "drills",
            policy
                .drill
                .as_ref()
                .map(|every| format!("its newest good backup every {every}"))
                .unwrap_or_default(),
        ),
        (
            "skips",
            match policy.skip_if_unchanged {
                true => "a run when nothing was written".into(),
                false => String::new(),
            },
        ),
        ("keeps", policy.retention.describe()),
        ("cleans up", policy.cleanup_cron.clone().unwrap_or_default()),
        ("repositories", policy.repositories.join(", ")),
        ("describes as", policy.description.clone()),
        ("tags", policy.tags.join(", ")),
        ("tells", policy.notify.join(", ")),
        ("exports to", policy.export_to.clone().unwrap_or_default()),
        ("encrypts for", policy.export_recipients.join(", ")),
        (
            "compresses",
            match policy.export_zstd {
                true => "packages, with zstd".into(),
                false => String::new(),
            },
        ),
        (
            "compression",
            policy
                .compression
                .map(|level| level.to_string())
                .unwrap_or_default(),
        ),
        (
            "belongs to",
            match document["managed_by"].as_str() {
                Some("file") => "what `pgkeep apply` reads: pgkeep.toml, or the environment".into(),
                _ => word(&document["managed_by"]),
            },
        ),
    ]);
}

pub fn next(text: &mut Text, answer: &Value) {
    text.line(word(&answer["words"]));
    let runs = answer["runs"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if runs.is_empty() {
        return;
    }
    if answer["enabled"] == false {
        text.line("it is off; on, it would run at");
    }
    text.blank();
    let zone = answer["time_zone"].as_str();
    for run in runs {
        text.line(time(&run["start"]).map_or_else(|| word(&run["local"]), |at| in_zone(at, zone)));
    }
}

/// One plan for each repository.
fn plans(answer: &Value) -> &[Value] {
    let plans = answer["items"]
        .as_array()
        .or(answer["repositories"].as_array());
    plans.map(Vec::as_slice).unwrap_or_default()
}

/// How many backups a clean-up would remove.
pub fn to_remove(answer: &Value) -> u64 {
    let of_one = |plan: &Value| plan["remove"].as_array().map_or(0, Vec::len);
    plans(answer).iter().map(of_one).sum::<usize>() as u64
}

/// What a clean-up would remove or has removed, each with its reason.
pub fn cleanup(text: &mut Text, answer: &Value, planned: bool) {
    let plans = plans(answer);
    let mut table = Rows::new(&[
        Column::Left("backup"),
        Column::Left("repository"),
        Column::Left("decision"),
        Column::Left("why"),
    ]);
    let (mut removed, mut kept) = (0u64, 0u64);
    for plan in plans {
        let repository = word(&plan["repository"]);
        let of = |list: &str| plan[list].as_array().cloned().unwrap_or_default();
        for (list, decision) in [("keep", "keep"), ("remove", "remove")] {
            for entry in of(list) {
                let why = entry.get("why").or(entry.get("reasons"));
                let id: String = word(&entry["id"]).chars().take(8).collect();
                let why = word(why.unwrap_or(&Value::Null));
                table.add([id, repository.clone(), decision.to_owned(), why]);
                match decision {
                    "keep" => kept += 1,
                    _ => removed += 1,
                }
            }
        }
    }
    text.table(&table);
    for plan in plans {
        if let Some(why) = plan["held"].as_str() {
            text.line(format!("nothing goes at present: {why}"));
        }
        for failed in plan["failed"].as_array().into_iter().flatten() {
            text.line(format!("could not remove: {}", word(failed)));
        }
    }
    text.blank();
    text.line(format!(
        "{} {}, {} kept",
        human::counted(removed, "backup"),
        if planned {
            "would be removed"
        } else {
            "to remove"
        },
        human::count(kept)
    ));
}
