//! Requests that this process has answered: how many, and how fast.
//!
//! Routes are patterns, and methods those that exist, so that no client can make the list grow.

use super::text::{Kind, Text};
use crate::{http::front::RequestWatcher, logging};
use axum::http::Method;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Upper ends of the buckets, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Counts answered requests.
#[derive(Debug, Default)]
pub struct Requests {
    counted: Mutex<Counted>,
}

/// By route, then by method.
#[derive(Debug, Default)]
struct Counted(BTreeMap<String, BTreeMap<&'static str, Answers>>);

#[derive(Debug, Default)]
struct Answers {
    statuses: BTreeMap<u16, u64>,
    durations: Durations,
}

#[derive(Debug, Clone, Default)]
struct Durations {
    /// Those within each bucket and not within the one before.
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum_secs: f64,
}

impl RequestWatcher for Requests {
    fn answered(&self, method: &Method, route: Option<&str>, status: u16, took: Duration) {
        let method = known(method);
        logging::request_answered(method, route, status, took);
        let route = route.unwrap_or("none");
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        // Almost all routes are known already, and need no text of their own.
        let methods = match counted.0.get_mut(route) {
            Some(methods) => methods,
            None => counted.0.entry(route.to_owned()).or_default(),
        };
        let answers = methods.entry(method).or_default();
        *answers.statuses.entry(status).or_default() += 1;
        answers.durations.add(took.as_secs_f64());
    }
}

impl Durations {
    fn add(&mut self, seconds: f64) {
        self.count += 1;
        self.sum_secs += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|end| seconds <= *end) {
            self.buckets[bucket] += 1;
        }
    }
}

impl Counted {
    /// Route, method, and what was answered there.
    fn lines(&self) -> impl Iterator<Item = (&str, &'static str, &Answers)> {
        self.0.iter().flat_map(|(route, methods)| {
            methods
                .iter()
                .map(move |(method, answers)| (route.as_str(), *method, answers))
        })
    }
}

fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

impl Requests {
    pub(super) fn write(&self, text: &mut Text) {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut family = text.family(
            "pgkeep_http_requests_total",
            Kind::Counter,
            "Requests that were answered.",
        );
        for (route, method, answers) in counted.lines() {
            for (status, count) in &answers.statuses {
                let labels = [
                    ("method", method),
                    ("route", route),
                    ("status", &status.to_string()),
                ];
                family.add(&labels, *count as f64);
            }
        }
        let mut family = text.family(
            "pgkeep_http_request_duration_seconds",
            Kind::Histogram,
            "Time from the head of a request to the head of its answer.",
        );
        for (route, method, answers) in counted.lines() {
            let labels = [("method", method), ("route", route)];
            let durations = &answers.durations;
            let mut below = 0;
            for (end, count) in BUCKETS.iter().zip(durations.buckets) {
                below += count;
                let [method, route] = labels;
                family.add_part(
                    "_bucket",
                    &[method, route, ("le", &end.to_string())],
                    below as f64,
                );
            }
            let [method, route] = labels;
            family.add_part(
                "_bucket",
                &[method, route, ("le", "+Inf")],
                durations.count as f64,
            );
            family.add_part("_sum", &labels, durations.sum_secs);
            family.add_part("_count", &labels, durations.count as f64);
        }
    }
}
