//! The API as clients meet it, on a real catalog.

mod definitions;
mod events;
mod jobs;
mod keys;
mod listener;
mod openapi;
mod problems;
mod scene;
mod uploads;
mod walk;
