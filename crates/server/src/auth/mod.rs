//! Who asks: accounts, sessions, tokens, single sign-on.

pub mod principal;

pub use principal::{Credential, Principal};
