//! A test message that the server sends: with the server's environment, which is the one that alarms are sent with, and not
//! with that of the shell in which somebody asks for the test.
//!
//! It is handed in like any other message and is due at once. Whoever asks looks whether somebody takes it, and takes it
//! back where nobody does.

use super::sending::{TAKEN_FOR, test_notice};
use jiff::SignedDuration;
use pgkeep_catalog::{
    Catalog, CatalogError,
    people::deliveries::{Delivery, DeliveryState},
};
use pgkeep_model::notice::NotificationTarget;
use std::time::{Duration, Instant};

/// A server looks for messages every few seconds.
const TAKEN_WITHIN: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What became of a test message that a server was asked to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    Arrived,
    /// Why it did not.
    Failed(String),
    /// No server that sends messages works with this catalog.
    NobodyThere,
}

/// Has the server send a test message to a stored target, and waits for what becomes of it.
pub async fn ask_server(
    catalog: &Catalog,
    target: &NotificationTarget,
) -> Result<Asked, CatalogError> {
    // A worker sends none.
    if !catalog.is_server_alive().await? {
        return Ok(Asked::NobodyThere);
    }
    let notice = test_notice(target, catalog.now());
    catalog
        .enqueue_delivery(&target.name, &notice, &notice.id)
        .await?;
    let asked = Instant::now();
    loop {
        let Some(delivery) = newest(catalog, &target.name, &notice.id).await? else {
            return Ok(Asked::NobodyThere);
        };
        match (delivery.state, delivery.error.clone()) {
            (DeliveryState::Sent, _) => return Ok(Asked::Arrived),
            (_, Some(error)) => return Ok(Asked::Failed(error)),
            _ if asked.elapsed() > TAKEN_WITHIN && !is_taken(&delivery) => {
                let until = catalog.now() + SignedDuration::from_hours(1);
                // Somebody may have taken it at this very moment.
                if catalog.take_delivery(&delivery, until).await? {
                    catalog
                        .delivery_failed(&delivery.id, "no server took it", None)
                        .await?;
                    return Ok(Asked::NobodyThere);
                }
            }
            _ if catalog.now().duration_since(delivery.created_at) > TAKEN_FOR => {
                let why = "the server took the message and did not say what became of it";
                return Ok(Asked::Failed(why.to_owned()));
            }
            _ => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_taken(delivery: &Delivery) -> bool {
    delivery.next_at != delivery.created_at
}

async fn newest(
    catalog: &Catalog,
    target: &str,
    notice: &str,
) -> Result<Option<Delivery>, CatalogError> {
    let recent = catalog.deliveries(Some(target), 100).await?;
    Ok(recent
        .into_iter()
        .find(|delivery| delivery.notice.id == notice))
}
