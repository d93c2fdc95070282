//! The second factor: one-time codes of an authenticator app (RFC 6238, as all such apps know it: SHA-1, six digits,
//! 30 seconds), and recovery codes for the day when the phone is gone.
//!
//! One step before and after the present is accepted. A code counts once: the catalog keeps the newest step used, and an
//! older or equal one is refused.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use totp_rs::{Algorithm, Builder, Secret, Totp};

/// How many recovery codes an account gets.
pub const RECOVERY_CODES: usize = 10;

/// A new secret, as base 32.
pub fn new_secret() -> SecretString {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    Secret::from(bytes.to_vec()).to_base32().into()
}

/// What the authenticator app scans.
pub fn url(secret: &SecretString, account: &str) -> Option<String> {
    totp(secret, account)?.to_url().ok()
}

/// The step of time whose code this is, if it is a code of now.
pub fn check(secret: &SecretString, code: &str, now: Timestamp) -> Option<i64> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let now = u64::try_from(now.as_second()).ok()?;
    let step = totp(secret, "account")?.check(&code, now)?;
    i64::try_from(step).ok()
}

/// New recovery codes, like `8f2k-91mz-0qpd`.
pub fn new_recovery_codes() -> Vec<String> {
    (0..RECOVERY_CODES).map(|_| recovery_code()).collect()
}

/// A recovery code as it is hashed: however it was typed.
pub fn normal_recovery_code(code: &str) -> String {
    code.chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn recovery_code() -> String {
    // 32 characters, none of which looks like another.
    const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    let letters = bytes.map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    let groups: Vec<String> = letters
        .chunks(4)
        .map(|group| group.iter().collect())
        .collect();
    groups.join("-")
}

fn totp(secret: &SecretString, account: &str) -> Option<Totp> {
    let secret = Secret::try_from_base32(secret.expose_secret()).ok()?;
    // A colon would end the name in the address that the app scans.
    let account = account.replace(':', " ");
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(30)
        .with_secret(secret)
        .with_issuer(Some("pgkeep"))
        .with_account_name(account)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238's appendix B.
    fn rfc_secret() -> SecretString {
        Secret::from(b"12345678901234567890".to_vec())
            .to_base32()
            .into()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (20_000_000_000, "353130"),
        ] {
            let now = Timestamp::from_second(time).unwrap();
            assert_eq!(check(&rfc_secret(), code, now), Some(time / 30), "{time}");
        }
    }

    #[test]
    fn a_code_is_good_for_one_step_around_its_own() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (code, step) = ("005924", 1_234_567_890 / 30);
        for (second, expected) in [
            (1_234_567_890, Some(step)),
            (1_234_567_890 + 30, Some(step)),
            (1_234_567_890 - 30, Some(step)),
            (1_234_567_890 + 90, None),
            (1_234_567_890 - 90, None),
        ] {
            assert_eq!(check(&rfc_secret(), code, at(second)), expected, "{second}");
        }
        for wrong in ["", "005925", "5924", "0059240", "abcdef"] {
            assert_eq!(
                check(&rfc_secret(), wrong, at(1_234_567_890)),
                None,
                "{wrong}"
            );
        }
        assert_eq!(
            check(&rfc_secret(), "005 924", at(1_234_567_890)),
            Some(step)
        );
    }

    #[test]
    fn the_address_names_the_account_and_the_product() {
        let url = url(&new_secret(), "ann:lee").unwrap();
        assert!(
            url.starts_with("otpauth://totp/pgkeep:ann%20lee?secret="),
            "{url}"
        );
        assert!(url.contains("issuer=pgkeep"), "{url}");
    }

    #[test]
    fn recovery_codes_differ_and_are_read_however_typed() {
        let codes = new_recovery_codes();
        let mut different = codes.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), RECOVERY_CODES);
        let code = &codes[0];
        assert_eq!(code.len(), 14);
        let typed = format!(" {} ", code.to_uppercase().replace('-', " "));
        assert_eq!(normal_recovery_code(&typed), normal_recovery_code(code));
    }
}
