//! The listener and what every request passes through.
