//! Every key that `pgkeep.toml` may hold, table by table.
//!
//! The values themselves are read by serde into [`super::RawConfig`]; this list exists so that a mistake is told with its
//! line and the nearest known key. Tests keep the two, the example and the reference page together.

use Shape::{Channel, List, Named, Table, Value};

/// The keys of one table, each with what stands under it.
pub type Keys = &'static [(&'static str, Shape)];

pub enum Shape {
    /// A value; also a table whose keys are data, such as a map of names.
    Value,
    /// A table of its own.
    Table(Keys),
    /// Tables that bear names of the user's choice.
    Named(Keys),
    /// A list of tables.
    List(Keys),
    /// Named tables whose keys depend on their `channel`.
    Channel,
}

pub const ROOT: Keys = &[
    ("catalog", Value),
    ("data_dir", Value),
    ("defaults", Table(DEFAULTS)),
    ("app", Named(APP)),
    ("repository", Named(REPOSITORY)),
    ("policy", Named(POLICY)),
    ("notify", Channel),
    ("server", Table(SERVER)),
];

pub const DEFAULTS: Keys = &[
    ("app", Value),
    ("repository", Value),
    ("environment", Value),
    ("jobs", Value),
    ("compression", Value),
    ("bin_dirs", Value),
];

pub const APP: Keys = &[
    ("databases", Value),
    ("admin_url", Value),
    ("environment", Value),
    ("repository", Value),
    ("jobs", Value),
    ("compression", Value),
    ("exclude_table_data", Value),
    ("schemas", Value),
    ("bin_dirs", Value),
    ("files", List(FILES)),
    ("migrations", Table(MIGRATIONS)),
    ("commands", Table(COMMANDS)),
    ("hooks", List(HOOK)),
    ("fence", Table(FENCE)),
    ("drill", Table(DRILL)),
    ("upgrade", Table(UPGRADE)),
];

pub const FILES: Keys = &[
    ("name", Value),
    ("path", Value),
    ("exclude", Value),
    ("one_file_system", Value),
    ("references", Table(REFERENCES)),
];

pub const REFERENCES: Keys = &[
    ("sql", Value),
    ("database", Value),
    ("ignore_orphans", Value),
];

pub const MIGRATIONS: Keys = &[
    ("framework", Value),
    ("database", Value),
    ("query", Value),
    ("table", Value),
    ("code", Value),
    ("command", Value),
    ("harmless", Value),
];

pub const COMMANDS: Keys = &[
    ("directory", Value),
    ("migrate", Value),
    ("migrate_check", Value),
    ("check", Value),
    ("version", Value),
    ("version_file", Value),
    ("version_env", Value),
    ("runtime", Value),
    ("url_variable", Value),
    ("environment", Value),
    ("timeout", Value),
];

pub const HOOK: Keys = &[
    ("on", Value),
    ("command", Value),
    ("url", Value),
    ("timeout", Value),
    ("may_fail", Value),
];

pub const FENCE: Keys = &[
    ("lock_dir", Value),
    ("read_only", Value),
    ("grace", Value),
    ("pgbouncer", Value),
];

pub const DRILL: Keys = &[
    ("admin_url", Value),
    ("assertions", Value),
    ("commands", Value),
    ("amcheck", Value),
    ("every", Value),
    ("databases_only", Value),
    ("scratch", Value),
    ("objective", Value),
    ("leave_free", Value),
    ("max_load_percent", Value),
];

pub const UPGRADE: Keys = &[("from", Value), ("to", Value)];

pub const REPOSITORY: Keys = &[
    ("address", Value),
    ("key", Value),
    ("endpoint", Value),
    ("region", Value),
    ("access_key_id", Value),
    ("secret_access_key", Value),
    ("session_token", Value),
    ("server_side_encryption", Value),
    ("virtual_host_style", Value),
    ("upload_limit", Value),
    ("download_limit", Value),
    ("retries", Value),
    ("timeout", Value),
];

pub const POLICY: Keys = &[
    ("app", Value),
    ("kind", Value),
    ("enabled", Value),
    ("schedule", Table(SCHEDULE)),
    ("retention", Table(RETENTION)),
    ("cleanup_cron", Value),
    ("compression", Value),
    ("repositories", Value),
    ("description", Value),
    ("tags", Value),
    ("notify", Value),
    ("skip_if_unchanged", Value),
    ("drill", Value),
    ("load_limit", Table(LOAD_LIMIT)),
    ("adaptive", Table(ADAPTIVE)),
    ("export_to", Value),
    ("export_recipients", Value),
    ("export_zstd", Value),
];

pub const SCHEDULE: Keys = &[
    ("frequency", Value),
    ("at", Value),
    ("weekday", Value),
    ("day", Value),
    ("cron", Value),
    ("time_zone", Value),
    ("jitter_secs", Value),
    ("catch_up", Value),
    ("blackout", List(BLACKOUT)),
];

pub const BLACKOUT: Keys = &[("from", Value), ("to", Value), ("days", Value)];

pub const RETENTION: Keys = &[
    ("days", Value),
    ("max_backups", Value),
    ("keep", Table(KEEP)),
];

pub const KEEP: Keys = &[
    ("last", Value),
    ("hourly", Value),
    ("daily", Value),
    ("weekly", Value),
    ("monthly", Value),
    ("yearly", Value),
    ("within", Value),
    ("keep_tags", Value),
    ("protect_newest", Value),
];

const LOAD_LIMIT: Keys = &[
    ("active_sessions", Value),
    ("load_percent", Value),
    ("deadline_secs", Value),
];

const ADAPTIVE: Keys = &[
    ("at_least_every_secs", Value),
    ("at_most_every_secs", Value),
    ("bytes_changed", Value),
];

pub const SERVER: Keys = &[
    ("listen", Value),
    ("public_url", Value),
    ("tls_cert", Value),
    ("tls_key", Value),
    ("trusted_proxies", Value),
    ("workers", Value),
    ("two_person_restore", Value),
    ("open_metrics", Value),
    ("log", Value),
    ("log_format", Value),
    ("sentry_dsn", Value),
    ("otlp_endpoint", Value),
    ("session_idle", Value),
    ("session_lifetime", Value),
    ("upload_max_file", Value),
    ("upload_max_total", Value),
    ("upload_max_expanded", Value),
    ("upload_per_user", Value),
    ("upload_expire", Value),
    ("throttle", Table(THROTTLE)),
    ("limits", Table(LIMITED)),
    ("oidc", Table(OIDC)),
];

/// The scopes of requests that are counted.
pub const THROTTLE: Keys = &[
    ("backup_create", Value),
    ("backup_delete", Value),
    ("backup_download", Value),
    ("restore", Value),
    ("status", Value),
    ("login", Value),
    ("upload", Value),
    ("guard", Value),
];

/// The kinds of jobs, and `default` for those without limits of their own.
const LIMITED: Keys = &[
    ("default", Table(LIMITS)),
    ("backup", Table(LIMITS)),
    ("verify", Table(LIMITS)),
    ("restore", Table(LIMITS)),
    ("undo", Table(LIMITS)),
    ("drill", Table(LIMITS)),
    ("cleanup", Table(LIMITS)),
    ("forget", Table(LIMITS)),
    ("prune", Table(LIMITS)),
    ("check", Table(LIMITS)),
    ("export", Table(LIMITS)),
    ("import", Table(LIMITS)),
    ("diff", Table(LIMITS)),
    ("doctor", Table(LIMITS)),
    ("sync", Table(LIMITS)),
    ("catalog_backup", Table(LIMITS)),
    ("upgrade", Table(LIMITS)),
];

pub const LIMITS: Keys = &[("soft", Value), ("hard", Value)];

pub const OIDC: Keys = &[
    ("name", Value),
    ("issuer", Value),
    ("client_id", Value),
    ("client_secret", Value),
    ("scopes", Value),
    ("role_claim", Value),
    ("roles", Value),
    ("default_role", Value),
    ("grants", Value),
];

/// What every notification target has.
#[cfg(test)]
pub const TARGET: Keys = &[
    ("on", Value),
    ("default", Value),
    ("enabled", Value),
    ("repeat_secs", Value),
];

const EMAIL: Keys = &[
    ("channel", Value),
    ("to", Value),
    ("from", Value),
    ("host", Value),
    ("port", Value),
    ("tls", Value),
    ("username", Value),
    ("password", Value),
    ("ca_file", Value),
    ("on", Value),
    ("default", Value),
    ("enabled", Value),
    ("repeat_secs", Value),
];

const WEBHOOK: Keys = &[
    ("channel", Value),
    ("url", Value),
    ("secret", Value),
    ("on", Value),
    ("default", Value),
    ("enabled", Value),
    ("repeat_secs", Value),
];

const ADDRESS_ONLY: Keys = &[
    ("channel", Value),
    ("url", Value),
    ("on", Value),
    ("default", Value),
    ("enabled", Value),
    ("repeat_secs", Value),
];

/// The keys of a target whose channel is missing or unknown, which is told by whoever reads the value.
pub const ANY_CHANNEL: Keys = &[
    ("channel", Value),
    ("to", Value),
    ("from", Value),
    ("host", Value),
    ("port", Value),
    ("tls", Value),
    ("username", Value),
    ("password", Value),
    ("ca_file", Value),
    ("url", Value),
    ("secret", Value),
    ("on", Value),
    ("default", Value),
    ("enabled", Value),
    ("repeat_secs", Value),
];

pub fn of_channel(channel: &str) -> Keys {
    match channel {
        "email" => EMAIL,
        "webhook" => WEBHOOK,
        "slack" | "discord" | "teams" | "dead_man_ping" => ADDRESS_ONLY,
        _ => ANY_CHANNEL,
    }
}

/// The name of every key that holds a value, at whatever depth.
#[cfg(test)]
pub fn every() -> std::collections::BTreeSet<&'static str> {
    fn collect(keys: Keys, into: &mut std::collections::BTreeSet<&'static str>) {
        for (name, shape) in keys {
            match shape {
                Value => {
                    into.insert(name);
                }
                Table(keys) | Named(keys) | List(keys) => collect(keys, into),
                Channel => collect(ANY_CHANNEL, into),
            }
        }
    }
    let mut all = std::collections::BTreeSet::new();
    collect(ROOT, &mut all);
    all
}
