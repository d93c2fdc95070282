//! A notice as Slack's blocks, with a plain text for notifications and old clients.

use crate::words::{Tone, cut, facts, heading, is_web, sentence, tone};
use pgkeep_model::notice::Notice;
use serde_json::{Value, json};

/// Slack's own limits, in characters, and on the number of fields in a section.
const HEADER: usize = 150;
const SECTION: usize = 2_900;
const FIELD: usize = 1_900;
const FIELDS: usize = 10;

pub(crate) fn message(notice: &Notice) -> Vec<u8> {
    let summary = sentence(&notice.summary);
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": cut(&format!("{} {}", sign(notice), heading(notice.kind)), HEADER), "emoji": false } }),
        section(&escape(&summary)),
    ];
    if let Some(hint) = &notice.hint {
        blocks.push(section(&format!(
            "*What to do:* {}",
            escape(&sentence(hint))
        )));
    }
    for fields in facts(notice).chunks(FIELDS) {
        let fields: Vec<Value> = fields
            .iter()
            .map(|(name, value)| json!({ "type": "mrkdwn", "text": cut(&format!("*{}*\n{}", escape(name), escape(value)), FIELD) }))
            .collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    if let Some(link) = notice.link.as_deref().filter(|link| is_web(link)) {
        let link = link.replace(['<', '>', '|'], "");
        blocks.push(section(&format!("<{link}|Open in pgkeep>")));
    }
    let message = json!({ "text": cut(&escape(&summary), SECTION), "blocks": blocks });
    message.to_string().into_bytes()
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": cut(text, SECTION) } })
}

fn sign(notice: &Notice) -> &'static str {
    match tone(notice.kind) {
        Tone::Good => "✅",
        Tone::Neutral => "ℹ️",
        Tone::Warning => "⚠️",
        Tone::Bad => "❌",
    }
}

/// The three characters that start links, mentions and entities.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
