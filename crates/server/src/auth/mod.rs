//! Who asks: accounts, sessions, tokens, single sign-on.
