//! Passwords: what is accepted, and how they are hashed.
//!
//! Argon2id as OWASP advises (19 MiB, two passes, one lane). Each hash takes those 19 MiB while it runs, so only a few
//! run at a time, away from the threads that answer requests; logins beyond that wait their turn.

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::{Arc, OnceLock};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Characters that a password has at least.
pub const MIN_PASSWORD: usize = 12;
/// Bytes that a password has at most; hashing longer ones is only work for nothing.
pub const MAX_PASSWORD: usize = 1_024;

const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Why a password is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WeakPassword {
    #[error("the password has fewer than {MIN_PASSWORD} characters")]
    Short,
    #[error("the password is longer than {MAX_PASSWORD} bytes")]
    Long,
    #[error("the password holds the account's name or a word that everybody tries first")]
    Guessable,
    #[error("the password repeats too few different characters")]
    Monotonous,
}

/// Refuses what a guesser tries first. Length does the rest.
pub fn check(password: &SecretString, name: &str, email: Option<&str>) -> Result<(), WeakPassword> {
    let password = password.expose_secret();
    if password.chars().count() < MIN_PASSWORD {
        return Err(WeakPassword::Short);
    }
    if password.len() > MAX_PASSWORD {
        return Err(WeakPassword::Long);
    }
    let mut characters: Vec<char> = password.chars().collect();
    characters.sort_unstable();
    characters.dedup();
    if characters.len() < 5 {
        return Err(WeakPassword::Monotonous);
    }
    // What is left without the words must still be long.
    let mut rest = password.to_lowercase();
    let mailbox = email.and_then(|email| email.split('@').next());
    let own = [Some(name), mailbox];
    let own = own.into_iter().flatten().map(str::to_lowercase);
    let common = [
        "password",
        "passwort",
        "pgkeep",
        "postgres",
        "letmein",
        "welcome",
        "changeme",
        "qwertyuiop",
        "qwerty",
        "admin",
        "123456789",
        "12345678",
        "1234567890",
    ];
    // The longest first: a short one inside it would leave the rest standing.
    let mut words: Vec<String> = own.chain(common.map(String::from)).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
    for word in words.iter().filter(|word| word.chars().count() >= 3) {
        rest = rest.replace(word, "");
    }
    if rest.chars().count() < 8 {
        return Err(WeakPassword::Guessable);
    }
    Ok(())
}

/// Hashes and compares passwords, a few at a time.
#[derive(Debug, Clone)]
pub struct PasswordHasher {
    turns: Arc<Semaphore>,
}

/// One's turn to hash; given back when dropped.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl PasswordHasher {
    /// At most so many hashes at the same time.
    pub fn new(parallel: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(parallel.max(1))),
        }
    }

    pub async fn turn(&self) -> Turn {
        let permit = self.turns.clone().acquire_owned().await;
        Turn {
            _permit: permit.expect("the semaphore is never closed"),
        }
    }
}

impl Turn {
    pub async fn hash(&self, password: SecretString) -> String {
        run(move || hash(&password)).await
    }

    /// Whether the password is the one that was hashed. Without a hash (no such account, or one that logs in elsewhere)
    /// the same work is done, and the answer is no.
    pub async fn verify(&self, password: SecretString, hash: Option<String>) -> bool {
        run(move || match hash {
            Some(hash) => matches(&password, &hash),
            None => {
                matches(&password, nobodys_hash());
                false
            }
        })
        .await
    }
}

async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("hashing does not panic")
}

/// Hashes a password for the catalog, in PHC form.
pub fn hash(password: &SecretString) -> String {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).expect("the system gives random bytes");
    argon2()
        .hash_password_with_salt(password.expose_secret().as_bytes(), &salt)
        .expect("the parameters are valid")
        .to_string()
}

fn matches(password: &SecretString, hash: &str) -> bool {
    password.expose_secret().len() <= MAX_PASSWORD
        && argon2()
            .verify_password(password.expose_secret().as_bytes(), hash)
            .is_ok()
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The hash that is compared with where there is none.
fn nobodys_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash(&super::secret::random().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(password: &str) -> Result<(), WeakPassword> {
        check(
            &password.to_owned().into(),
            "ann",
            Some("ann.lee@example.org"),
        )
    }

    #[test]
    fn what_a_guesser_tries_first_is_refused() {
        for (password, expected) in [
            ("", Err(WeakPassword::Short)),
            ("elevenchars", Err(WeakPassword::Short)),
            ("aaaaaaaaaaaaaaaa", Err(WeakPassword::Monotonous)),
            ("abababababababab", Err(WeakPassword::Monotonous)),
            ("password1234", Err(WeakPassword::Guessable)),
            ("PASSWORD-Admin-99", Err(WeakPassword::Guessable)),
            ("ann.lee-ann.lee!", Err(WeakPassword::Guessable)),
            ("pgkeeppostgres1", Err(WeakPassword::Guessable)),
            ("correct horse battery staple", Ok(())),
            ("vier Wörter hier", Ok(())),
            ("Xk3-pq9-Lm2z", Ok(())),
        ] {
            assert_eq!(check_text(password), expected, "{password}");
        }
        assert_eq!(check_text(&"xyzab".repeat(300)), Err(WeakPassword::Long));
    }

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let turn = PasswordHasher::new(1).turn().await;
        let hash = turn.hash("correct horse battery".to_owned().into()).await;
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let verify = |password: &str, hash: Option<&str>| {
            turn.verify(password.to_owned().into(), hash.map(str::to_owned))
        };
        assert!(verify("correct horse battery", Some(&hash)).await);
        assert!(!verify("correct horse batterz", Some(&hash)).await);
        assert!(!verify("correct horse battery", None).await);
        assert!(!verify("correct horse battery", Some("not a hash")).await);
    }
}
