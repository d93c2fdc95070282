//! A small HTTP server on the loopback interface that keeps what it is sent and answers as it is told, for tests of webhooks.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Keeps requests; each connection serves one.
#[derive(Debug)]
pub struct HttpReceiver {
    address: SocketAddr,
    requests: Receiver<ReceivedRequest>,
    answers: Arc<Mutex<VecDeque<HttpAnswer>>>,
}

/// A request as it came in. Names of headers are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRequest {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpAnswer {
    /// Status, headers, body.
    Answer(u16, Vec<(String, String)>, String),
    /// Nothing, while the connection stays open.
    Hang,
    /// The connection is closed without an answer.
    Close,
}

impl HttpReceiver {
    /// Starts one that answers `200 ok` for as long as it is told nothing else.
    pub fn start() -> HttpReceiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let (sender, requests) = channel();
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let shared = Arc::clone(&answers);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (sender, answers) = (sender.clone(), Arc::clone(&shared));
                std::thread::spawn(move || serve(stream, &sender, &answers));
            }
        });
        HttpReceiver {
            address,
            requests,
            answers,
        }
    }

    /// Address of a path such as `/hook/token`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers the next request with a status; further calls are for the requests after it.
    pub fn answer(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.push(HttpAnswer::Answer(status, headers, body.to_owned()));
    }

    /// Adds an answer for a request to come.
    pub fn push(&self, answer: HttpAnswer) {
        self.answers
            .lock()
            .expect("no thread panics while it holds the answers")
            .push_back(answer);
    }

    /// Waits for the next request.
    pub fn next_request(&self) -> ReceivedRequest {
        self.requests
            .recv_timeout(TIMEOUT)
            .expect("a request comes in")
    }

    /// Whether nothing came in that was not taken by [`HttpReceiver::next_request`].
    pub fn is_empty(&self) -> bool {
        self.requests.try_recv().is_err()
    }
}

impl ReceivedRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

fn serve(
    stream: TcpStream,
    requests: &Sender<ReceivedRequest>,
    answers: &Mutex<VecDeque<HttpAnswer>>,
) {
    let mut reader = BufReader::new(stream);
    let Some(request) = read_request(&mut reader) else {
        return;
    };
    let answer = answers
        .lock()
        .expect("no thread panics while it holds the answers")
        .pop_front()
        .unwrap_or_else(|| HttpAnswer::Answer(200, Vec::new(), "ok".to_owned()));
    // Nobody may be left to take the request: the test has seen enough.
    drop(requests.send(request));
    let mut stream = reader.into_inner();
    match answer {
        HttpAnswer::Close => {}
        // Ends when the client hangs up.
        HttpAnswer::Hang => drop(stream.read(&mut [0])),
        HttpAnswer::Answer(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} Answer\r\nConnection: close\r\n");
            for (name, value) in &headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
            // A client may hang up before it has read all.
            drop(stream.write_all(head.as_bytes()));
            drop(stream.write_all(body.as_bytes()));
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<ReceivedRequest> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(ReceivedRequest {
        method,
        target,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
