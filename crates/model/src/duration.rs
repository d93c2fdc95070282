//! Lengths of time as people write them in configuration files.

use std::time::Duration;

/// Parses `90s`, `15m`, `24h`, `7d`, `2w`, sums of them such as `1d12h`, and a bare `0`.
///
/// # Errors
/// A sentence for a user, naming the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a duration such as 90s, 15m, 24h, 7d or 1d12h");
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total: u64 = 0;
    let mut digits = String::new();
    for c in trimmed.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(wrong()),
        };
        let count: u64 = digits.parse().map_err(|_| wrong())?;
        digits.clear();
        total = count
            .checked_mul(unit)
            .and_then(|n| total.checked_add(n))
            .ok_or_else(wrong)?;
    }
    match digits.is_empty() && !trimmed.is_empty() {
        true => Ok(Duration::from_secs(total)),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_units_and_sums() {
        let secs = |text| parse_duration(text).map(|d| d.as_secs()).ok();
        assert_eq!(secs("90s"), Some(90));
        assert_eq!(secs("1d12h"), Some(36 * 3600));
        assert_eq!(secs("0"), Some(0));
        for wrong in ["", "5", "5x", "s", "99999999999999999999s", "-5s"] {
            assert_eq!(secs(wrong), None, "{wrong}");
        }
    }
}
