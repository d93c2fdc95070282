//! A file on its way to a server, piece by piece. One that does not get there whole is removed there again.

use super::folders;
use crate::{
    api::{Api, Call, Http, encoded},
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use serde_json::json;
use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

/// How much of a file is sent with one request.
const PIECE: usize = 8 << 20;

struct Sending<'a> {
    http: &'a Http,
    session: &'a Session,
    /// The upload's address below the API's.
    path: String,
    sent: u64,
    piece: Vec<u8>,
    /// Why a piece could not be sent.
    failed: Option<CliError>,
}

/// Sends a file, a folder as the tar file of it, or with `-` standard input. Gives the address of the finished upload.
pub fn send(what: &Path, api: &Api, http: &Http, session: &Session) -> CliResult<String> {
    let is_stdin = what == Path::new("-");
    let (mut file, size) = match is_stdin || what.is_dir() {
        true => (None, None),
        false => {
            let file = File::open(what).map_err(|e| unreadable(what, &e))?;
            let size = file.metadata().map_err(|e| unreadable(what, &e))?.len();
            (Some(file), Some(size))
        }
    };
    if what.is_dir() {
        // Says what a folder lacks that is no dump.
        pgkeep_engine::import::detect(what)?;
    }
    let name = match is_stdin {
        true => String::new(),
        false => {
            let name = what.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        }
    };
    let begin = json!({ "file_name": name, "size_bytes": size });
    let upload = api.document(&Call::post("/backups/uploads").body(begin))?;
    let id = upload["id"]
        .as_str()
        .ok_or_else(|| CliError::new(Exit::Server, "the server names no upload"))?;
    let mut sending = Sending {
        http,
        session,
        path: format!("/backups/uploads/{}", encoded(id)),
        sent: 0,
        piece: Vec::with_capacity(PIECE),
        failed: None,
    };
    let sent = match &mut file {
        Some(file) => sending.copy(file, what),
        None if is_stdin => sending.copy(&mut io::stdin().lock(), what),
        None => folders::pack(what, &mut sending),
    };
    let sent = sent.and_then(|()| sending.flush().map_err(|e| unreadable(what, &e)));
    match (sent, sending.failed.take()) {
        (Ok(()), None) => Ok(sending.path),
        (Ok(()), Some(error)) | (Err(_), Some(error)) | (Err(error), None) => {
            // Where the server cannot be reached, it removes it when its time is over.
            let _ = api.send(&Call::delete(&sending.path));
            Err(error)
        }
    }
}

impl Sending<'_> {
    fn copy(&mut self, from: &mut impl Read, what: &Path) -> CliResult<()> {
        let mut buffer = vec![0; 1 << 18];
        loop {
            let n = from.read(&mut buffer).map_err(|e| unreadable(what, &e))?;
            if n == 0 {
                return Ok(());
            }
            self.write_all(&buffer[..n])
                .map_err(|e| unreadable(what, &e))?;
        }
    }

    fn send_piece(&mut self) -> CliResult<()> {
        self.session.cancel.check()?;
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let length = piece.len() as u64;
        let call = Call::patch(&self.path);
        let headers = [("Upload-Offset", self.sent.to_string())];
        self.http.upload(&call, piece, &headers)?;
        self.sent += length;
        Ok(())
    }
}

impl Write for Sending<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = data.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&data[..n]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.send_piece().map_err(|e| {
            self.failed = Some(e);
            io::Error::other("it cannot be sent")
        })
    }
}

fn unreadable(what: &Path, error: &io::Error) -> CliError {
    let exit = match error.kind() {
        io::ErrorKind::NotFound => Exit::NotFound,
        _ => Exit::Usage,
    };
    let what = match what == Path::new("-") {
        true => "standard input".into(),
        false => what.display().to_string(),
    };
    CliError::new(exit, format!("cannot read {what}: {error}"))
}
