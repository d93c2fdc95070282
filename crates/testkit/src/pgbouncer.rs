//! A real PgBouncer in front of a throwaway cluster.

use crate::{TestPostgres, cache_dir, installed::ServerUser, port::ReservedPort};
use std::{
    net::TcpStream,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Ends when it is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    process: Child,
    port: ReservedPort,
    folder: tempfile::TempDir,
}

impl PgBouncer {
    /// Offers the server's database `database` under the name `name`, in transaction mode, to everybody.
    pub fn start(server: &TestPostgres, name: &str, database: &str) -> PgBouncer {
        let program = program();
        let folder = tempfile::Builder::new()
            .prefix("pgkeep-pgbouncer-")
            .tempdir_in("/tmp")
            .expect("/tmp can be written");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))
            .expect("an own folder can be opened up");
        let port = ReservedPort::take();
        let users = folder.path().join("users.txt");
        std::fs::write(&users, "\"postgres\" \"\"\n").expect("an own folder can be written");
        let configuration = folder.path().join("pgbouncer.ini");
        std::fs::write(
            &configuration,
            format!(
                "[databases]\n{name} = host=127.0.0.1 port={} dbname={database} user=postgres\n\
                 [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\nadmin_users = postgres\n\
                 pool_mode = transaction\nmax_client_conn = 50\ndefault_pool_size = 5\n\
                 ignore_startup_parameters = extra_float_digits,options\n",
                server.port(),
                port.number,
                users.display()
            ),
        )
        .expect("an own folder can be written");
        let log = std::fs::File::create(folder.path().join("log")).expect("own file");
        let mut command = Command::new(program);
        command
            .arg("-q")
            .arg(&configuration)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        // It refuses to run as root.
        if let Some(user) = ServerUser::other_than_root() {
            command.uid(user.uid).gid(user.gid);
        }
        let process = command.spawn().expect("pgbouncer starts");
        let mut bouncer = PgBouncer {
            process,
            port,
            folder,
        };
        bouncer.wait_until_ready();
        bouncer
    }

    /// Address of a database that it offers; `pgbouncer` is its console.
    pub fn url_for(&self, name: &str) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{}/{name}?sslmode=disable",
            self.port.number
        )
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port.number)).is_err() {
            let ended = self
                .process
                .try_wait()
                .expect("an own child can be waited for");
            if ended.is_some() || Instant::now() > deadline {
                let log =
                    std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                panic!("pgbouncer did not start:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // Nothing can be done about a failure while a test ends, perhaps in a panic.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn program() -> PathBuf {
    let cached = cache_dir().join("pgbouncer/usr/sbin/pgbouncer");
    [
        cached,
        "/usr/sbin/pgbouncer".into(),
        "/usr/bin/pgbouncer".into(),
    ]
    .into_iter()
    .find(|program| program.is_file())
    .expect("PgBouncer is not installed: run `make setup`")
}
