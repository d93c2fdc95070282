//! A notice as an adaptive card, posted to a workflow of Teams that was made for webhooks.

use crate::words::{Tone, cut, facts, heading, is_web, sentence, tone};
use pgkeep_model::notice::Notice;
use serde_json::{Value, json};

/// The workflow takes 28 KiB in all.
const TEXT: usize = 2_000;
const FACT: usize = 300;
const FACTS: usize = 25;

pub(crate) fn message(notice: &Notice) -> Vec<u8> {
    let mut body = vec![
        json!({ "type": "TextBlock", "text": heading(notice.kind), "weight": "bolder", "size": "medium", "color": colour(notice) }),
        block(&sentence(&notice.summary)),
    ];
    if let Some(hint) = &notice.hint {
        body.push(block(&format!("What to do: {}", sentence(hint))));
    }
    let facts: Vec<Value> = facts(notice)
        .iter()
        .take(FACTS)
        .map(|(name, value)| json!({ "title": cut(&escape(name), FACT), "value": cut(&escape(value), FACT) }))
        .collect();
    body.push(json!({ "type": "FactSet", "facts": facts }));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    });
    if let Some(link) = notice.link.as_deref().filter(|link| is_web(link)) {
        card["actions"] =
            json!([{ "type": "Action.OpenUrl", "title": "Open in pgkeep", "url": link }]);
    }
    let message = json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    });
    message.to_string().into_bytes()
}

fn block(text: &str) -> Value {
    json!({ "type": "TextBlock", "text": cut(&escape(text), TEXT), "wrap": true })
}

fn colour(notice: &Notice) -> &'static str {
    match tone(notice.kind) {
        Tone::Good => "good",
        Tone::Neutral => "default",
        Tone::Warning => "warning",
        Tone::Bad => "attention",
    }
}

/// The signs of the card's small markdown as themselves.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '*' | '_' | '[' | ']' | '`') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
