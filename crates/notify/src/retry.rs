//! Whether an answer means "later" or "never".

use std::time::Duration;

/// What an HTTP answer says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    /// Worth another attempt, no sooner than the receiver asks.
    Later(Option<Duration>),
    /// The same message would be refused again.
    Never,
}

/// Longest wait that a receiver may ask for; one that asks for more is asked again after this.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Decides by the status and the headers `Retry-After` (seconds, or a time, which counts from the answer's own `Date`).
pub fn judge(status: u16, retry_after: Option<&str>, date: Option<&str>) -> Verdict {
    match status {
        200..=299 => Verdict::Taken,
        408 | 425 | 429 | 500..=599 => {
            Verdict::Later(retry_after.and_then(|text| wait(text, date)))
        }
        _ => Verdict::Never,
    }
}

fn wait(text: &str, date: Option<&str>) -> Option<Duration> {
    let text = text.trim();
    // Discord sends fractions of a second.
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.ceil())
            .ok()
            .map(|wait| wait.min(LONGEST_WAIT));
    }
    let until = time(text)?;
    let from = time(date?)?;
    let wait = Duration::try_from(until.duration_since(from)).unwrap_or_default();
    Some(wait.min(LONGEST_WAIT))
}

fn time(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, retry_after: Option<&str>, date: Option<&str>, expected: Verdict) {
        assert_eq!(
            judge(status, retry_after, date),
            expected,
            "{status} {retry_after:?} {date:?}"
        );
    }

    #[test]
    fn statuses_are_judged() {
        for status in [200, 201, 202, 204] {
            check(status, None, None, Verdict::Taken);
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            check(status, None, None, Verdict::Later(None));
        }
        for status in [301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 422] {
            check(status, None, None, Verdict::Never);
        }
    }

    #[test]
    fn a_wait_is_read_in_both_forms_and_bounded() {
        let seconds = |seconds| Verdict::Later(Some(Duration::from_secs(seconds)));
        check(429, Some("120"), None, seconds(120));
        check(429, Some(" 0.3 "), None, seconds(1));
        check(503, Some("99999999"), None, seconds(86_400));
        let date = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        check(
            503,
            Some("Wed, 21 Oct 2015 07:29:30 GMT"),
            date,
            seconds(90),
        );
        check(503, Some("Wed, 21 Oct 2015 07:00:00 GMT"), date, seconds(0));
        for nonsense in ["-5", "soon", "NaN", "inf", ""] {
            check(429, Some(nonsense), date, Verdict::Later(None));
        }
        check(
            503,
            Some("Wed, 21 Oct 2015 07:29:30 GMT"),
            None,
            Verdict::Later(None),
        );
    }
}
