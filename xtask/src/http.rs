//! As much HTTP as it takes to ask the server on this machine, without anything between that would cost time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// A connection that is used for one request after the other.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    head: String,
}

pub(crate) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, token: &str) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let authorization = match token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        Ok(Client {
            stream: BufReader::new(stream),
            head: format!("Host: {address}\r\n{authorization}"),
        })
    }

    pub(crate) fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send("GET", path, "")
    }

    /// Sends a JSON document, or nothing.
    pub(crate) fn send(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
        self.ask(method, path, body)?;
        self.answer().with_context(|| format!("{method} {path}"))
    }

    /// Sends a request whose [`Client::answer`] is read later.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<()> {
        let about = match body {
            "" => String::new(),
            body => format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            ),
        };
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\n{}{about}\r\n{body}",
            self.head
        );
        Ok(self.stream.get_mut().write_all(request.as_bytes())?)
    }

    /// Waits until an answer begins to arrive.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        self.stream.fill_buf()?;
        Ok(())
    }

    pub(crate) fn answer(&mut self) -> anyhow::Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.with_context(|| format!("no answer, but {line:?}"))?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                bail!("the answer's length is not known");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }
}

/// A server that gives everybody the same answer, as fast as that can be done; it ends with the process.
pub(crate) struct Idler {
    address: SocketAddr,
}

impl Idler {
    pub(crate) fn start(body: &[u8]) -> anyhow::Result<Idler> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer: Arc<[u8]> = [head.as_bytes(), body].concat().into();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = answer.clone();
                std::thread::spawn(move || Self::answer(stream, &answer));
            }
        });
        Ok(Idler { address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers each request, which comes in one piece and has no body, until the client goes.
    fn answer(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut request = [0; 4096];
        while stream.read(&mut request)? > 0 {
            stream.write_all(answer)?;
        }
        Ok(())
    }
}

impl Answer {
    pub(crate) fn json(&self, status: u16) -> anyhow::Result<Value> {
        let text = String::from_utf8_lossy(&self.body);
        ensure!(self.status == status, "{}: {text}", self.status);
        serde_json::from_str(&text).with_context(|| text.into_owned())
    }
}
