//! The two servers as wholes.

use crate::{Context, Result};
use pgkeep_postgres::{
    connect::{ConnectOptions, HostAddress},
    inspect,
    wire::Connection,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A server, as far as an upgrade cares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// Where it is, in words and without a password.
    pub server: String,
    pub version: String,
    pub major: u32,
    #[serde(skip)]
    pub version_num: u32,
    /// Empty where the user may not ask.
    pub system_identifier: String,
    pub data_checksums: bool,
    /// The user may do everything.
    pub superuser: bool,
    pub in_recovery: bool,
}

impl ClusterFacts {
    pub(super) fn of(connection: &mut Connection, options: &ConnectOptions) -> Result<Self> {
        let facts = inspect::server_facts(connection)?;
        let setting = |name: &str| facts.settings.get(name).map(String::as_str);
        Ok(Self {
            server: options.describe(),
            version: facts.version.clone(),
            major: facts.version_num / 10_000,
            version_num: facts.version_num,
            system_identifier: facts.system_identifier.clone(),
            data_checksums: setting("data_checksums") == Some("on"),
            superuser: inspect::current_user(connection)?.superuser,
            in_recovery: facts.in_recovery,
        })
    }
}

/// A connection to any database of the server.
pub(super) fn connect(options: &ConnectOptions, context: &Context) -> Result<Connection> {
    Ok(Connection::open_with(options, &context.cancel)?)
}

/// Free bytes on the disk of the server's data, where the server is on this machine and tells where its data is.
pub(crate) fn free_bytes(connection: &mut Connection, options: &ConnectOptions) -> Option<u64> {
    let local = |address: &HostAddress| match address {
        HostAddress::Socket(_) => true,
        HostAddress::Tcp { name, .. } => ["localhost", "127.0.0.1", "::1"].contains(&name.as_str()),
    };
    if !options.hosts.iter().all(|host| local(&host.address)) {
        return None;
    }
    // A container's server is reached through this machine's loopback too, and has another address itself.
    let folder = connection
        .query_value(
            "SELECT pg_catalog.current_setting('data_directory', true) \
             WHERE coalesce(pg_catalog.inet_server_addr() <<= '127.0.0.0/8' \
               OR pg_catalog.inet_server_addr() = '::1', true)",
        )
        .ok()??;
    let stat = rustix::fs::statvfs(Path::new(&folder)).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}
