//! A real identity provider on the loopback interface, for tests: `oidc-provider` from npm, which set-up installs into
//! `node/oidc` below the cache folder.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
};

/// Redirects that a login takes at most.
const STEPS: usize = 20;

/// A provider that knows one client; ended on drop.
#[derive(Debug)]
pub struct OidcProvider {
    process: Child,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    port: u16,
}

impl OidcProvider {
    pub const CLIENT_ID: &'static str = "pgkeep-test";
    pub const CLIENT_SECRET: &'static str = "pgkeep-test-secret";

    /// Starts a provider whose one client is called back at `redirect`.
    pub fn start(redirect: &str) -> OidcProvider {
        let folder = crate::cache_dir().join("node/oidc");
        assert!(
            folder.join("node_modules/oidc-provider").exists(),
            "oidc-provider is not installed in {}; run `make setup`",
            folder.display()
        );
        // Modules are looked for beside the script, so it lies beside them.
        let script = tempfile::Builder::new()
            .prefix("provider-")
            .suffix(".mjs")
            .tempfile_in(folder)
            .expect("the cache folder can be written");
        std::fs::write(script.path(), include_str!("../node/oidc/provider.mjs"))
            .expect("the cache folder can be written");
        let mut process = Command::new("node")
            .arg(script.path())
            .args([redirect, Self::CLIENT_ID, Self::CLIENT_SECRET])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is installed");
        let stdin = process.stdin.take().expect("it was asked for");
        let mut stdout = BufReader::new(process.stdout.take().expect("it was asked for"));
        let mut line = String::new();
        stdout
            .read_line(&mut line)
            .expect("the provider says its port");
        let port = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("the provider did not start: {line:?}"));
        OidcProvider {
            process,
            talk: Mutex::new((stdin, stdout)),
            port,
        }
    }

    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What is known of people: a JSON object of claims by subject.
    pub fn people(&self, claims: &str) {
        // A command is one line; between values, JSON does not care.
        self.tell(&format!(r#"{{"people": {}}}"#, claims.replace('\n', " ")));
    }

    /// Who logs in from now on; nobody, if the login is refused.
    pub fn log_in_as(&self, subject: Option<&str>) {
        let subject = subject.map_or("null".to_owned(), |subject| format!("{subject:?}"));
        self.tell(&format!(r#"{{"as": {subject}}}"#));
    }

    /// Signs with another key from now on.
    pub fn rotate_key(&self) {
        self.tell(r#"{"rotate": true}"#);
    }

    /// Does what a browser does that is sent to `url`: follows the provider's redirects with its cookies, until one leads
    /// elsewhere. Returns where.
    pub fn walk(&self, url: &str) -> String {
        let mut cookies = BTreeMap::new();
        let mut url = url.to_owned();
        for _ in 0..STEPS {
            let Some(target) = url.strip_prefix(&self.issuer()) else {
                return url;
            };
            let answer = self.get(target, &cookies);
            let mut location = None;
            for line in answer.lines().take_while(|line| !line.is_empty()) {
                let Some((name, value)) = line.split_once(": ") else {
                    continue;
                };
                if name.eq_ignore_ascii_case("location") {
                    location = Some(value.to_owned());
                } else if name.eq_ignore_ascii_case("set-cookie") {
                    let pair = value.split(';').next().unwrap_or_default();
                    if let Some((name, value)) = pair.split_once('=') {
                        cookies.insert(name.to_owned(), value.to_owned());
                    }
                }
            }
            let location =
                location.unwrap_or_else(|| panic!("the provider stops at {url}: {answer}"));
            url = match location.starts_with('/') {
                true => format!("{}{location}", self.issuer()),
                false => location,
            };
        }
        panic!("the provider goes in circles at {url}");
    }

    fn get(&self, target: &str, cookies: &BTreeMap<String, String>) -> String {
        let cookies: Vec<String> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nCookie: {}\r\nAccept: text/html\r\nConnection: close\r\n\r\n",
            self.port,
            cookies.join("; ")
        );
        let mut stream =
            TcpStream::connect(("127.0.0.1", self.port)).expect("the provider listens");
        stream
            .write_all(request.as_bytes())
            .expect("the provider reads a request");
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .expect("the provider answers");
        String::from_utf8_lossy(&answer).replace("\r\n", "\n")
    }

    fn tell(&self, command: &str) {
        let mut talk = self.talk.lock().expect("no user of it panics meanwhile");
        let (stdin, stdout) = &mut *talk;
        writeln!(stdin, "{command}").expect("the provider listens to commands");
        let mut line = String::new();
        stdout
            .read_line(&mut line)
            .expect("the provider answers commands");
        assert_eq!(line.trim(), "ok", "the provider did not do {command}");
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        // Nothing can be done about a failure while a test ends, perhaps in a panic.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
