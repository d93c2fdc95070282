//! The repository's config file: its format version and id, and the polynomial that stock tools cut chunks with.

use crate::crypto::fill_random;
use serde::{Deserialize, Serialize};

/// The format version that this build reads and writes.
pub const FORMAT_VERSION: u32 = 2;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) version: u32,
    pub(crate) id: String,
    /// Hexadecimal. pgkeep cuts chunks its own way, for boundaries are no part of the format; stock tools that write to
    /// the repository refuse one whose polynomial is not irreducible of degree 53.
    pub(crate) chunker_polynomial: String,
}

impl Config {
    pub(crate) fn random() -> Self {
        let mut id = [0; 32];
        fill_random(&mut id);
        Self {
            version: FORMAT_VERSION,
            id: hex::encode(id),
            chunker_polynomial: format!("{:x}", random_polynomial()),
        }
    }
}

const DEGREE: u32 = 53;

/// A random irreducible polynomial over GF(2) of degree 53, one bit a coefficient.
fn random_polynomial() -> u64 {
    loop {
        let mut bytes = [0; 8];
        fill_random(&mut bytes);
        let low = u64::from_le_bytes(bytes) & ((1 << DEGREE) - 1);
        let candidate = 1 << DEGREE | low | 1;
        if is_irreducible(candidate) {
            return candidate;
        }
    }
}

/// Rabin's test: f of degree n is irreducible when it divides x^(2^n) - x and shares no factor with x^(2^(n/p)) - x for
/// any prime p that divides n. The degree 53 is prime, so the only such p leaves x^2 - x.
fn is_irreducible(f: u64) -> bool {
    const X: u64 = 2;
    debug_assert_eq!(degree(f), DEGREE);
    let mut power = X;
    for _ in 0..DEGREE {
        power = multiply(power, power, f);
    }
    power == X && greatest_common_divisor(f, 0b110) == 1
}

fn degree(f: u64) -> u32 {
    f.checked_ilog2().unwrap_or(0)
}

fn multiply(a: u64, mut b: u64, modulus: u64) -> u64 {
    let (mut a, mut product) = (a, 0);
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        b >>= 1;
        a <<= 1;
        if a >> degree(modulus) & 1 == 1 {
            a ^= modulus;
        }
    }
    product
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        while a != 0 && degree(a) >= degree(b) {
            a ^= b << (degree(a) - degree(b));
            if b == 1 {
                a = 0;
            }
        }
        std::mem::swap(&mut a, &mut b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_polynomials_are_told_apart() {
        assert!(is_irreducible(0x3d_a335_8b4d_c173));
        assert!(!is_irreducible(0x3d_a335_8b4d_c172), "divisible by x");
        assert!(!is_irreducible(1 << DEGREE | 1), "divisible by x + 1");
        let wrong = (1u64..500)
            .filter(|n| is_irreducible(1 << DEGREE | n << 1 | 1))
            .count();
        assert!(
            (5..60).contains(&wrong),
            "about one in 27 odd ones is irreducible: {wrong}"
        );
    }
}
