//! A notice as one embed of Discord.

use crate::words::{cut, facts, heading, is_web, sentence, tone};
use pgkeep_model::notice::Notice;
use serde_json::{Value, json};

/// Discord's own limits: characters of each part, and the number of fields. All parts together stay below 6,000.
const DESCRIPTION: usize = 2_000;
const HINT: usize = 1_000;
const FIELD_NAME: usize = 60;
const FIELD_VALUE: usize = 100;
const FIELDS: usize = 15;

pub(crate) fn message(notice: &Notice) -> Vec<u8> {
    let mut fields: Vec<Value> = Vec::new();
    if let Some(hint) = &notice.hint {
        fields.push(json!({ "name": "What to do", "value": cut(&escape(&sentence(hint)), HINT), "inline": false }));
    }
    fields.extend(facts(notice).iter().take(FIELDS).map(|(name, value)| {
        json!({ "name": cut(&escape(name), FIELD_NAME), "value": cut(&escape(value), FIELD_VALUE), "inline": true })
    }));
    let mut embed = json!({
        "title": heading(notice.kind),
        "description": cut(&escape(&sentence(&notice.summary)), DESCRIPTION),
        "color": tone(notice.kind).colour(),
        "timestamp": notice.time.to_string(),
        "fields": fields,
    });
    if let Some(link) = notice.link.as_deref().filter(|link| is_web(link)) {
        embed["url"] = json!(link);
    }
    // Whatever a database is called, nobody is mentioned.
    let message =
        json!({ "username": "pgkeep", "embeds": [embed], "allowed_mentions": { "parse": [] } });
    message.to_string().into_bytes()
}

/// Markdown's signs as themselves.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(
            letter,
            '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '[' | ']' | '#' | '@'
        ) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
