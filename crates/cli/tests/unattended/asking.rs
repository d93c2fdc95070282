//! Requests to a server as any client sends them.

use crate::{house::Served, pgkeep::scene::wait_until};
use reqwest::{
    blocking::{Client, RequestBuilder, Response},
    header::HeaderMap,
};
use serde_json::Value;
use std::time::Duration;

/// A client with a token.
pub struct Asking {
    client: Client,
    base: String,
    token: String,
}

/// An answer that was read to its end.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Asking {
    pub fn new(served: &Served<'_>, token: &str) -> Self {
        // Without TLS nothing is encrypted, but the client wants the choice to be made.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder().timeout(Duration::from_secs(120));
        Self {
            client: client.build().unwrap(),
            base: format!("{}/api/v1", served.url()),
            token: token.to_owned(),
        }
    }

    /// The same client with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            client: self.client.clone(),
            base: self.base.clone(),
            token: token.to_owned(),
        }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        let request = self
            .client
            .request(method.parse().unwrap(), url)
            .bearer_auth(&self.token);
        headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    #[track_caller]
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        Answer::of(self.request("GET", path, headers).send().unwrap())
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request("DELETE", path, &[]).send().unwrap())
    }

    /// Sends a JSON document.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send_with(method, path, &[], body)
    }

    #[track_caller]
    pub fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        Answer::of(
            self.request(method, path, headers)
                .json(body)
                .send()
                .unwrap(),
        )
    }

    /// Sends a JSON document to a server that may be gone.
    pub fn try_to_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> reqwest::Result<Answer> {
        Answer::read(self.request(method, path, headers).json(body).send()?)
    }

    /// Sends a JSON document as nobody in particular.
    #[track_caller]
    pub fn without_token(&self, method: &str, path: &str, body: &Value) -> Answer {
        let url = format!("{}{path}", self.base);
        let request = self.client.request(method.parse().unwrap(), url);
        Answer::of(request.json(body).send().unwrap())
    }

    /// Sends bytes that say nothing of what they are.
    #[track_caller]
    pub fn send_bytes(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        bytes: &[u8],
    ) -> Answer {
        let request = self
            .request(method, path, headers)
            .header("content-type", "application/octet-stream");
        Answer::of(request.body(bytes.to_vec()).send().unwrap())
    }

    /// Waits until the job that an answer named is over.
    #[track_caller]
    pub fn job_of(&self, accepted: &Answer) -> Value {
        assert_eq!(accepted.status, 202, "{}", accepted.text());
        let path = format!("/jobs/{}", accepted.json()["jobId"].as_str().unwrap());
        let mut job = Value::Null;
        wait_until("the job is over", || {
            job = self.get(&path).expect(200).json();
            !job["finishedAt"].is_null()
        });
        job
    }

    /// The result of a job that succeeds.
    #[track_caller]
    pub fn result_of(&self, accepted: &Answer) -> Value {
        let job = self.job_of(accepted);
        assert_eq!(job["state"], "succeeded", "{job:#}");
        job["result"].clone()
    }
}

impl Answer {
    #[track_caller]
    fn of(response: Response) -> Self {
        Self::read(response).unwrap()
    }

    fn read(response: Response) -> reqwest::Result<Self> {
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            bytes: response.bytes()?.to_vec(),
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("no header {name}: {:?}", self.headers));
        value.to_str().unwrap()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// A refusal with this code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        let problem = self.expect(status).json();
        assert_eq!(problem["code"], code, "{problem:#}");
        problem
    }
}
