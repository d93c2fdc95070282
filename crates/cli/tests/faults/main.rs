//! Failures lose nothing: the binary is killed, cut off, starved of space and fed bad input, and what was there before is
//! there afterwards.

#![allow(clippy::disallowed_methods, reason = "mounts a small disk to fill it")]

#[path = "../pgkeep/mod.rs"]
mod pgkeep;

mod connection;
mod crowded;
mod damage;
mod input;
mod killed;
mod paused;
mod secrets;
mod space;
