//! The command line of the server: the file that is applied, policies, the server itself, and the same commands from afar.

#[path = "../pgkeep/mod.rs"]
mod pgkeep;

mod apply;
mod asking;
mod bounds;
mod chaos;
mod data;
mod duties;
mod house;
mod keys;
mod moves;
mod policy;
mod remote;
mod same;
mod serve;
mod trees;
mod trust;
