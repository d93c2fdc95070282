//! Who asks: accounts, sessions, tokens, single sign-on.

pub mod password;
pub mod principal;
pub mod secret;
pub mod totp;

pub use principal::{Credential, Principal};
