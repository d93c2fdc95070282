//! PostgreSQL's own programs: finding them by version and running them.

/// What can go wrong with a client program.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// None is installed that fits.
    #[error("no {program} of PostgreSQL {wanted} was found")]
    Missing { program: &'static str, wanted: String },
}

impl ToolError {
    /// What the user can do next.
    pub fn hint(&self) -> Option<String> {
        None
    }
}
