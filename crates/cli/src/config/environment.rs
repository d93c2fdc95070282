//! The process's environment, read once, so that everything below is a function of values.

pub use pgkeep_postgres::connect::Environment;

/// Reads the process's own environment; names and values that are not UTF-8 are left out.
pub fn process_environment() -> Environment {
    Environment::new(
        std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    )
}
