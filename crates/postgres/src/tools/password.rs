//! Handing a password to a client program without showing it to anyone.
//!
//! Arguments and environment of a process can be read by others; a file can stay behind. So libpq's password file is
//! made in memory (`memfd_create`), readable by its owner only, and the child is told to open it through
//! `/proc/<our pid>/fd/<n>`: nothing is inherited by accident, and nothing is left when we die. Where that way is not
//! open (not Linux, or a process whose `/proc` is closed) a temporary file of mode 0600 takes its place.

use crate::connect::{ConnectOptions, HostAddress, passfile_line};
use secrecy::{ExposeSecret, SecretString};
use std::{
    io::{self, Write},
    path::PathBuf,
};

/// A password file that lives as long as this value.
#[derive(Debug)]
pub(super) struct PasswordFile {
    path: PathBuf,
    _keep: Keep,
}

#[derive(Debug)]
#[allow(dead_code, reason = "held for their drop only")]
enum Keep {
    Memory(std::fs::File),
    Disk(tempfile::NamedTempFile),
}

impl PasswordFile {
    /// `None` when there is no password to hand over.
    pub fn for_connection(connection: &ConnectOptions) -> io::Result<Option<Self>> {
        let mut content = String::new();
        for host in &connection.hosts {
            if let Some(password) = connection.password_for(host) {
                // libpq looks for the name, or for "localhost" when it uses its default socket directory.
                let names = match &host.address {
                    HostAddress::Tcp { name, .. } => vec![name.clone()],
                    HostAddress::Socket(dir) => vec![dir.display().to_string(), "localhost".into()],
                };
                for name in names {
                    content.push_str(passfile_line(&name, host.port, &password).expose_secret());
                }
            }
        }
        if content.is_empty() {
            return Ok(None);
        }
        let content = SecretString::from(content);
        match Self::in_memory(&content) {
            Ok(file) => Ok(Some(file)),
            Err(_) => Self::on_disk(&content).map(Some),
        }
    }

    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    #[cfg(target_os = "linux")]
    fn in_memory(content: &SecretString) -> io::Result<Self> {
        use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
        use std::os::{fd::AsRawFd, unix::fs::MetadataExt};
        // The kernel gives /proc/<pid> of a process that may not be looked into to root.
        if std::fs::metadata("/proc/self")?.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("/proc is closed for this process"));
        }
        let fd = memfd_create("pgkeep-passfile", MemfdFlags::CLOEXEC)?;
        fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
        let mut file = std::fs::File::from(fd);
        file.write_all(content.expose_secret().as_bytes())?;
        let path = PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            file.as_raw_fd()
        ));
        std::fs::metadata(&path)?;
        Ok(Self {
            path,
            _keep: Keep::Memory(file),
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn in_memory(_: &SecretString) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn on_disk(content: &SecretString) -> io::Result<Self> {
        // Made with mode 0600.
        let mut file = tempfile::Builder::new().prefix(".pgkeep-").tempfile()?;
        file.write_all(content.expose_secret().as_bytes())?;
        Ok(Self {
            path: file.path().to_owned(),
            _keep: Keep::Disk(file),
        })
    }
}
