//! Turns what happened into notices and sends them.
