//! The checksums of migrations as the tools compute them, so that a migration whose text was changed after it ran is named.

use siphasher::sip::SipHasher13;
use std::hash::{Hash, Hasher};

/// Flyway's: CRC-32 over the lines without what ends them, as a signed number. `None` where the text is in another encoding,
/// or is repeatable with placeholders, for then what they stand for is part of it.
pub(super) fn flyway(text: &[u8], repeatable: bool) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    if repeatable && text.contains("${") {
        return None;
    }
    let mut sum = crc32fast::Hasher::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for line in text.split(['\n', '\r']) {
        sum.update(line.as_bytes());
    }
    Some(sum.finalize().cast_signed().to_string())
}

/// Refinery's: SipHash 1-3 over name, version and text; versions count as 32 or as 64 bits, as it was built.
pub(super) fn refinery(name: &str, version: &str, text: &str) -> Vec<String> {
    let of = |version: &dyn Fn(&mut SipHasher13)| {
        let mut sum = SipHasher13::new();
        name.hash(&mut sum);
        version(&mut sum);
        text.hash(&mut sum);
        sum.finish().to_string()
    };
    let mut all = Vec::new();
    if let Ok(version) = version.parse::<i32>() {
        all.push(of(&|sum| version.hash(sum)));
    }
    if let Ok(version) = version.parse::<i64>() {
        all.push(of(&|sum| version.hash(sum)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flyway_counts_lines_and_not_what_ends_them() {
        // The check value of CRC-32 is that of these nine digits.
        let digits = 0xcbf4_3926_u32.cast_signed().to_string();
        for text in [
            "123456789",
            "1234\n56789\n",
            "1234\r\n\r\n56789",
            "\u{feff}12345\r6789",
        ] {
            assert_eq!(
                flyway(text.as_bytes(), false).as_deref(),
                Some(digits.as_str())
            );
        }
        assert_ne!(flyway(b"1234 56789", false), flyway(b"123456789", false));
        assert!(flyway(b"${schema}", false).is_some());
        assert_eq!(flyway(b"${schema}", true), None);
        assert_eq!(flyway(b"\xff", false), None);
    }

    #[test]
    fn refinery_counts_name_version_and_text() {
        let all = refinery("products", "1", "SELECT 1");
        assert_eq!(all.len(), 2);
        assert_ne!(all, refinery("products", "2", "SELECT 1"));
        assert_ne!(all, refinery("product", "1", "SELECT 1"));
        assert_ne!(all, refinery("products", "1", "SELECT 1\n"));
        assert_eq!(refinery("products", "99999999999", "").len(), 1);
    }
}
