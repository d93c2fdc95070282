//! Which backups are kept and which go: see [`plan`].
