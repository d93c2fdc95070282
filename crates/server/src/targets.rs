//! From definitions of apps and repositories to what the engine opens.
