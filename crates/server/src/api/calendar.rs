//! The coming runs as a calendar (iCalendar, RFC 5545), for people who plan around them.

use super::extract::{Json, Query};
use super::paging::PageOf;
use super::problem::{Code, Problem};
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::state::AppState;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use pgkeep_model::access::Permission;
use pgkeep_model::policy::Policy;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

/// Runs of one policy in a calendar.
const MOST_RUNS: usize = 400;
const DEFAULT_DAYS: u16 = 30;
/// A run is shown as long as that.
const SHOWN_MINUTES: i64 = 15;

pub fn routes() -> Routes {
    Routes::new("calendar")
        .add(needs(Permission::View), routes!(ics))
        .add(needs(Permission::View), routes!(list))
}

/// How far the calendar reaches.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CalendarQuery {
    /// 1 to 366, 30 where absent.
    #[param(minimum = 1, maximum = 366, nullable = false)]
    days: Option<u16>,
    /// Of this app only.
    #[param(nullable = false)]
    app: Option<String>,
}

/// A run that is to come.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRun {
    pub policy: String,
    pub app: String,
    pub scheduled: Timestamp,
    pub start: Timestamp,
}

async fn planned(
    state: &AppState,
    who: &Principal,
    query: &CalendarQuery,
) -> Result<Vec<(Policy, Vec<PlannedRun>)>, Problem> {
    let days = match query.days.unwrap_or(DEFAULT_DAYS) {
        days @ 1..=366 => days,
        days => {
            return Err(Problem::new(
                Code::InvalidRequest,
                format!("days: {days} is not between 1 and 366"),
            ));
        }
    };
    let now = state.catalog.now();
    let until = now
        .checked_add(SignedDuration::from_hours(24 * i64::from(days)))
        .map_err(Problem::internal)?;
    let policies = state.catalog.policies().await?;
    Ok(policies
        .into_iter()
        .map(|stored| stored.value)
        .filter(|policy| policy.enabled && who.sees(&policy.app))
        .filter(|policy| query.app.as_ref().is_none_or(|app| *app == policy.app))
        .map(|policy| {
            let runs = runs(&policy, now, until);
            (policy, runs)
        })
        .collect())
}

fn runs(policy: &Policy, now: Timestamp, until: Timestamp) -> Vec<PlannedRun> {
    let Ok(schedule) = policy.runs() else {
        return Vec::new();
    };
    schedule
        .runs_after(now)
        .take_while(|run| run.start <= until)
        .take(MOST_RUNS)
        .map(|run| PlannedRun {
            policy: policy.name.clone(),
            app: policy.app.clone(),
            scheduled: run.scheduled,
            start: run.start,
        })
        .collect()
}

/// Lists the coming runs of all policies, soonest first.
#[utoipa::path(get, path = "/calendar", params(CalendarQuery), responses((status = 200, description = "The coming runs", body = PageOf<PlannedRun>)))]
async fn list(
    state: AppState,
    who: Principal,
    Query(query): Query<CalendarQuery>,
) -> Result<Json<PageOf<PlannedRun>>, Problem> {
    let planned = planned(&state, &who, &query).await?;
    let mut runs: Vec<PlannedRun> = planned.into_iter().flat_map(|(_, runs)| runs).collect();
    runs.sort_by(|a, b| (a.start, &a.policy).cmp(&(b.start, &b.policy)));
    Ok(Json(PageOf::whole(runs)))
}

/// Gives the coming runs as a calendar that other programs subscribe to.
#[utoipa::path(get, path = "/calendar.ics", params(CalendarQuery), responses((status = 200, description = "iCalendar", content_type = "text/calendar", body = String)))]
async fn ics(
    state: AppState,
    who: Principal,
    Query(query): Query<CalendarQuery>,
) -> Result<Response, Problem> {
    let planned = planned(&state, &who, &query).await?;
    let text = calendar(&planned, state.catalog.now(), state.catalog.instance_id());
    let mut response = text.into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/calendar; charset=utf-8"),
    );
    Ok(response)
}

fn calendar(planned: &[(Policy, Vec<PlannedRun>)], now: Timestamp, instance: &str) -> String {
    let mut out = String::new();
    let mut line = |text: &str| fold(&mut out, text);
    line("BEGIN:VCALENDAR");
    line("VERSION:2.0");
    line("PRODID:-//pgkeep//pgkeep//EN");
    line("CALSCALE:GREGORIAN");
    line("METHOD:PUBLISH");
    line("X-WR-CALNAME:pgkeep");
    for (policy, runs) in planned {
        for run in runs {
            let end = run.start + SignedDuration::from_mins(SHOWN_MINUTES);
            let id = run.scheduled.as_millisecond();
            line("BEGIN:VEVENT");
            line(&format!(
                "UID:{}-{id}@{instance}.pgkeep",
                escape(&policy.name)
            ));
            line(&format!("DTSTAMP:{}", stamp(now)));
            line(&format!("DTSTART:{}", stamp(run.start)));
            line(&format!("DTEND:{}", stamp(end)));
            line(&format!(
                "SUMMARY:{}",
                escape(&format!(
                    "{} backup of {} ({})",
                    policy.kind.as_str(),
                    policy.app,
                    policy.name
                ))
            ));
            line(&format!(
                "DESCRIPTION:{}",
                escape(&format!(
                    "{}\nkept: {}",
                    policy.schedule.describe(),
                    policy.retention.describe()
                ))
            ));
            line("TRANSP:TRANSPARENT");
            line("END:VEVENT");
        }
    }
    line("END:VCALENDAR");
    out
}

fn stamp(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC)
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string()
}

/// RFC 5545, 3.3.11.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// RFC 5545, 3.1: lines end with CRLF and have 75 octets at most; what is longer goes on after a space.
fn fold(out: &mut String, text: &str) {
    let mut width = 0;
    for c in text.chars() {
        if width + c.len_utf8() > 75 {
            out.push_str("\r\n ");
            width = 1;
        }
        out.push(c);
        width += c.len_utf8();
    }
    let _ = write!(out, "\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_events_in_utc() {
        let mut policy = Policy::new("nightly", "shop");
        policy.schedule.at = Some("02:00".into());
        policy.schedule.time_zone = Some("Europe/Berlin".into());
        let now: Timestamp = "2026-03-27T12:00:00Z".parse().unwrap();
        let until: Timestamp = "2026-03-30T12:00:00Z".parse().unwrap();
        let runs = runs(&policy, now, until);
        let text = calendar(&[(policy, runs)], now, "instance");
        let starts: Vec<&str> = text
            .split("\r\n")
            .filter_map(|line| line.strip_prefix("DTSTART:"))
            .collect();
        // The clocks go forward on the 29th: two o'clock is three o'clock.
        assert_eq!(
            starts,
            ["20260328T010000Z", "20260329T010000Z", "20260330T000000Z"]
        );
        assert!(text.starts_with("BEGIN:VCALENDAR\r\n") && text.ends_with("END:VCALENDAR\r\n"));
    }

    #[test]
    fn long_lines_are_folded_and_signs_escaped() {
        let mut out = String::new();
        fold(&mut out, &"ä".repeat(100));
        for line in out.trim_end().split("\r\n") {
            assert!(line.len() <= 75, "{}", line.len());
        }
        assert_eq!(out.replace("\r\n ", "").trim_end(), "ä".repeat(100));
        assert_eq!(escape("a,b;c\\d\ne"), "a\\,b\\;c\\\\d\\ne");
    }
}
