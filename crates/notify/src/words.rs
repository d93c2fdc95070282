//! A notice in words, the same for every channel.

use jiff::Timestamp;
use pgkeep_model::notice::{Notice, NoticeKind};

/// What a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// One line.
    pub subject: String,
    pub text: String,
    /// A whole document, with nothing loaded from elsewhere.
    pub html: String,
}

/// Longest subject, in characters; the text below it holds the whole sentence.
const SUBJECT_LENGTH: usize = 150;

/// Puts a notice into words.
pub fn words(notice: &Notice) -> Words {
    Words {
        subject: cut(
            &format!("[pgkeep] {}", line(&notice.summary)),
            SUBJECT_LENGTH,
        ),
        text: text(notice),
        html: html(notice),
    }
}

/// The kind in a word or two, to stand above or before the sentence.
pub(crate) fn heading(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Success => "Succeeded",
        NoticeKind::Failure => "Failed",
        NoticeKind::Overdue => "Overdue",
        NoticeKind::Recovery => "Works again",
        NoticeKind::Restore => "Restore",
        NoticeKind::Drill => "Restore drill",
        NoticeKind::Cleanup => "Cleanup",
        NoticeKind::StorageNearlyFull => "Storage nearly full",
        NoticeKind::Test => "Test",
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Neutral,
    Warning,
    Bad,
}

pub(crate) fn tone(kind: NoticeKind) -> Tone {
    match kind {
        NoticeKind::Success | NoticeKind::Recovery => Tone::Good,
        NoticeKind::Failure | NoticeKind::Overdue => Tone::Bad,
        NoticeKind::StorageNearlyFull => Tone::Warning,
        NoticeKind::Restore | NoticeKind::Drill | NoticeKind::Cleanup | NoticeKind::Test => {
            Tone::Neutral
        }
    }
}

impl Tone {
    /// Red, green and blue.
    pub(crate) fn colour(self) -> u32 {
        match self {
            Tone::Good => 0x1a_7f_37,
            Tone::Neutral => 0x4a_55_68,
            Tone::Warning => 0xb4_5f_06,
            Tone::Bad => 0xb4_23_18,
        }
    }
}

/// What it is about, then the facts, then when.
pub(crate) fn facts(notice: &Notice) -> Vec<(String, String)> {
    let subjects = [
        ("app", &notice.app),
        ("policy", &notice.policy),
        ("backup", &notice.backup),
        ("job", &notice.job),
    ];
    let mut all: Vec<(String, String)> = subjects
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), line(value.as_deref()?))))
        .collect();
    all.extend(
        notice
            .facts
            .iter()
            .map(|(name, value)| (line(name), line(value))),
    );
    all.push(("time".to_owned(), moment(notice.time)));
    all
}

/// The sentence with a capital letter and a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let text = line(text);
    let mut letters = text.chars();
    let mut sentence: String = match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => return String::new(),
    };
    if !sentence.ends_with(['.', '!', '?', ':']) {
        sentence.push('.');
    }
    sentence
}

/// The first `length` characters, the last of them an ellipsis where something was cut off.
pub(crate) fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let kept: String = text.chars().take(length.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// One line without control characters, so that no text from a database server can start a header or a line of its own.
pub(crate) fn line(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn text(notice: &Notice) -> String {
    let mut text = format!("{}\n", sentence(&notice.summary));
    if let Some(hint) = &notice.hint {
        text.push_str(&format!("\nWhat to do: {}\n", sentence(hint)));
    }
    let facts = facts(notice);
    let width = facts
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    text.push('\n');
    for (name, value) in &facts {
        text.push_str(&format!("{name:width$}  {value}\n"));
    }
    if let Some(link) = &notice.link {
        text.push_str(&format!("\n{}\n", line(link)));
    }
    text.push_str("\n-- \npgkeep\n");
    text
}

fn html(notice: &Notice) -> String {
    let mut body = format!(
        "<p style=\"margin:0 0 4px;font-weight:bold;color:#{:06x}\">{}</p>\n<p style=\"margin:0 0 12px;font-size:16px\">{}</p>\n",
        tone(notice.kind).colour(),
        heading(notice.kind),
        escape(&sentence(&notice.summary)),
    );
    if let Some(hint) = &notice.hint {
        body.push_str(&format!(
            "<p style=\"margin:0 0 12px\"><b>What to do:</b> {}</p>\n",
            escape(&sentence(hint))
        ));
    }
    body.push_str("<table style=\"border-collapse:collapse\">\n");
    for (name, value) in facts(notice) {
        body.push_str(&format!(
            "<tr><td style=\"padding:2px 16px 2px 0;color:#667085\">{}</td><td style=\"padding:2px 0\">{}</td></tr>\n",
            escape(&name),
            escape(&value)
        ));
    }
    body.push_str("</table>\n");
    if let Some(link) = notice.link.as_deref().filter(|link| is_web(link)) {
        let link = escape(&line(link));
        body.push_str(&format!(
            "<p style=\"margin:12px 0 0\"><a href=\"{link}\">{link}</a></p>\n"
        ));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"></head>\n\
         <body style=\"font-family:sans-serif;font-size:14px;color:#101828\">\n{body}</body></html>\n"
    )
}

/// Whether a link may be made clickable.
pub(crate) fn is_web(link: &str) -> bool {
    link.starts_with("https://") || link.starts_with("http://")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_no_line_break_or_control_character() {
        assert_eq!(
            line("a\r\nBcc: x@example.com\0\u{1b}[31m b"),
            "a Bcc: x@example.com [31m b"
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("größer", 6), "größer");
        assert_eq!(cut("größer", 5), "größ…");
        assert_eq!(cut("a b c", 3), "a…");
    }

    #[test]
    fn a_sentence_gets_its_capital_and_its_stop() {
        assert_eq!(sentence("über nacht kam nichts"), "Über nacht kam nichts.");
        assert_eq!(sentence("done."), "Done.");
        assert_eq!(sentence(""), "");
    }
}
