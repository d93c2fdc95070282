//! Policies whose run should have succeeded by now: silence is an alarm.
//!
//! The state is computed anew at every tick. Only its changes are written down, as events of the topic `policy` with
//! `{"change": "overdue"}` and `{"change": "recovered"}`, so that people are told once.

use super::Scheduler;
use crate::status::facts;
use pgkeep_catalog::{CatalogError, NewEvent};
use pgkeep_model::health;
use serde_json::{Value, json};

/// The setting under which it is noted that a policy is overdue.
fn key(policy: &str) -> String {
    format!("overdue.{policy}")
}

impl Scheduler {
    pub(super) async fn note_overdue(&self) -> Result<(), CatalogError> {
        let now = self.catalog.now();
        let settings = self.catalog.settings().await?;
        for (policy, facts) in facts::of_policies(&self.catalog).await? {
            let late = health::overdue(&facts, now);
            let noted = settings
                .get(&key(&policy.name))
                .is_some_and(|v| !v.is_null());
            let (note, data) = match (late, noted) {
                (Some(late), false) => {
                    tracing::warn!(policy = %policy.name, due = %late.due, "overdue");
                    let data = json!({
                        "change": "overdue",
                        "due": late.due.to_string(),
                        "since": late.since.to_string(),
                    });
                    (json!(late.due.to_string()), data)
                }
                (None, true) => {
                    tracing::info!(policy = %policy.name, "no longer overdue");
                    (Value::Null, json!({ "change": "recovered" }))
                }
                _ => continue,
            };
            self.catalog.put_setting(&key(&policy.name), &note).await?;
            let event = NewEvent::new("policy", &policy.name)
                .app(Some(&policy.app))
                .data(data);
            self.catalog.publish(event).await?;
        }
        Ok(())
    }
}
