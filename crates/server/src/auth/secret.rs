//! Random secrets that are shown once and kept as hashes only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::Sha256;

/// API tokens begin with this, so that scanners for leaked secrets can find them.
pub const TOKEN_PREFIX: &str = "pgk_";

/// 256 random bits as 43 characters that need no escaping anywhere.
pub fn random() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What the catalog keeps of a secret. These have 256 bits of their own, so a plain hash is enough.
pub fn hash(secret: &str) -> String {
    hex::encode(digest(secret))
}

/// SHA-256 of a secret.
pub type Digest = [u8; 32];

/// What [`hash`] writes in hexadecimal digits.
pub fn digest(secret: &str) -> Digest {
    <Sha256 as sha2::Digest>::digest(secret).into()
}

/// A new API token.
pub fn new_token() -> SecretString {
    format!("{TOKEN_PREFIX}{}", random()).into()
}

/// The part of a token by which its owner recognises it in a list.
pub fn token_prefix(token: &str) -> &str {
    token.get(..TOKEN_PREFIX.len() + 6).unwrap_or(token)
}

/// Compares without telling by its time where the difference is.
pub fn equal(a: &str, b: &str) -> bool {
    use subtle::ConstantTimeEq as _;
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn secrets_differ_and_are_long() {
        let (one, other) = (random(), random());
        assert_ne!(one, other);
        assert_eq!(one.len(), 43);
        assert_ne!(hash(&one), hash(&other));
        assert!(!hash(&one).contains(&one));
    }

    #[test]
    fn a_token_is_recognised_by_its_beginning_only() {
        let token = new_token();
        let prefix = token_prefix(token.expose_secret());
        assert!(prefix.starts_with("pgk_"));
        assert_eq!(prefix.len(), 10);
    }

    #[test]
    fn comparison_is_exact() {
        assert!(equal("abc", "abc"));
        assert!(!equal("abc", "abd"));
        assert!(!equal("abc", "ab"));
        assert!(!equal("", "a"));
    }
}
