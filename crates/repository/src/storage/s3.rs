//! S3-compatible object stores, through opendal.
//!
//! Every object is one request: one PUT with its MD5, one GET, one HEAD. opendal is asynchronous; each store owns a
//! small runtime and its own pool of connections, and callers block. Retries and speed limits are wrappers
//! ([`super::retry`], [`super::throttle`]), so one call here is one attempt.
//!
//! Creating only what is new is asked for with `If-None-Match: *`. Some servers ignore that and overwrite, so the
//! object is looked for first as well; only [`super::probe()`] tells whether a server can be relied on.

use std::{fmt, future::Future, time::Duration};

use opendal::{
    ErrorKind, HttpTransporter, OperationContext, Operator,
    options::{ListOptions, ReadOptions, WriteOptions},
    services::S3,
};
use opendal_http_transport_reqwest::ReqwestTransport;
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;

use super::{
    FileKind, ObjectKey, S3Options, ServerSideEncryption, Storage, StorageError, StorageErrorKind,
    StorageOptions, StoredObject,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The slowest transfer that is waited for, on top of the time-out of a request.
const SLOWEST_BYTES_PER_SEC: u64 = 32 * 1024;

/// opendal's words for a body that ends early, be it the object's fault or the connection's.
const TOO_LITTLE: &str = "too little data";

/// Where in which store, as an address says it: `s3://bucket/prefix?endpoint=https://host:port&region=name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct S3Address {
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
    pub endpoint: Option<String>,
    pub region: Option<String>,
}

impl S3Address {
    /// Reads an address; unknown parameters are refused.
    pub fn parse(address: &str) -> Result<Self, StorageError> {
        let bad = |message: &str| {
            StorageError::new(
                StorageErrorKind::Other,
                "open",
                "repository address",
                format!(
                    "{message}; write it like s3://bucket/folder?endpoint=https://host&region=name"
                ),
            )
        };
        let rest = address
            .strip_prefix("s3://")
            .ok_or_else(|| bad("it does not begin with s3://"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if place.contains('@') {
            return Err(bad("credentials do not belong into it"));
        }
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(bad("it names no bucket"));
        }
        let mut parsed = S3Address {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            ..Self::default()
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| bad("a parameter is not UTF-8"))?
                .into_owned();
            match name {
                "endpoint" => parsed.endpoint = Some(value),
                "region" => parsed.region = Some(value),
                _ => return Err(bad(&format!("parameter {name} is not known"))),
            }
        }
        Ok(parsed)
    }
}

/// A repository's place in an S3-compatible store.
pub struct S3Storage {
    // Shut down without waiting when dropped, because the last user may be a thread of another runtime.
    runtime: Option<tokio::runtime::Runtime>,
    operator: Operator,
    location: String,
    timeout: Duration,
}

impl fmt::Debug for S3Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Storage").field(&self.location).finish()
    }
}

impl Drop for S3Storage {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl S3Storage {
    /// Opens the store at `address` without asking it anything yet; its parameters win over those of `options`.
    pub fn open(address: &str, options: &StorageOptions) -> Result<Self, StorageError> {
        let address = S3Address::parse(address)?;
        let failed = |message: &dyn fmt::Display| {
            StorageError::new(
                StorageErrorKind::Other,
                "open",
                format!("bucket {}", address.bucket),
                message,
            )
        };
        let Some(s3) = &options.s3 else {
            return Err(StorageError::new(
                StorageErrorKind::PermissionDenied,
                "open",
                format!("bucket {}", address.bucket),
                "no credentials are given; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ));
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let client = http_client().map_err(|error| failed(&error))?;
        let transport = HttpTransporter::new(ReqwestTransport::new(client));
        let operator = Operator::new(builder(&address, s3))
            .map_err(|error| failed(&error))?
            .with_context(OperationContext::new().with_http_transport(transport));
        let endpoint = address.endpoint.as_ref().or(s3.endpoint.as_ref());
        let location = match endpoint {
            Some(endpoint) => format!("s3://{}/{} at {endpoint}", address.bucket, address.prefix),
            None => format!("s3://{}/{}", address.bucket, address.prefix),
        };
        Ok(Self {
            runtime: Some(runtime),
            operator,
            location,
            timeout: options.timeout,
        })
    }

    /// Runs one request of about `bytes` bytes, within the time-out.
    fn run<T>(
        &self,
        operation: &'static str,
        object: &dyn fmt::Display,
        bytes: u64,
        request: impl Future<Output = opendal::Result<T>>,
    ) -> Result<T, StorageError> {
        let runtime = self.runtime.as_ref().expect("present until dropped");
        let limit = self.timeout + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SEC);
        runtime
            .block_on(async { tokio::time::timeout(limit, request).await })
            .map_err(|_| {
                let message = format!("no answer within {} s", limit.as_secs());
                StorageError::new(StorageErrorKind::Temporary, operation, object, message)
            })?
            .map_err(|error| storage_error(operation, object, &error))
    }

    /// The bucket and folder as an address, without parameters.
    pub(super) fn address_text(&self) -> String {
        let end = self.location.find(" at ").unwrap_or(self.location.len());
        self.location[..end].trim_end_matches('/').to_owned()
    }

    /// The size of an object that is no part of a repository; `None` when there is none.
    pub(super) fn object_size(&self, name: &str) -> Result<Option<u64>, StorageError> {
        match self.run("stat", &name, 0, self.operator.stat(name)) {
            Ok(metadata) => Ok(Some(metadata.content_length())),
            Err(error) if error.kind == StorageErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Exactly this part of an object that is no part of a repository.
    pub(super) fn read_object(
        &self,
        name: &str,
        offset: u64,
        len: u64,
    ) -> Result<Vec<u8>, StorageError> {
        let options = ReadOptions {
            range: (offset..offset + len).into(),
            ..ReadOptions::default()
        };
        let request = self.operator.read_options(name, options);
        let buffer = self.run("read", &name, len, request)?;
        match buffer.len() as u64 == len {
            true => Ok(buffer.to_vec()),
            false => {
                let message = format!("{} of {len} bytes came at offset {offset}", buffer.len());
                let kind = StorageErrorKind::Truncated;
                Err(StorageError::new(kind, "read", name, message))
            }
        }
    }

    /// Begins an object in parts, each of which is one [`S3Storage::write_object`].
    pub(super) fn begin_object(&self, name: &str) -> Result<opendal::Writer, StorageError> {
        self.run("create", &name, 0, self.operator.writer(name))
    }

    pub(super) fn write_object(
        &self,
        name: &str,
        writer: &mut opendal::Writer,
        part: bytes::Bytes,
    ) -> Result<(), StorageError> {
        self.run("write", &name, part.len() as u64, writer.write(part))
    }

    pub(super) fn close_object(
        &self,
        name: &str,
        writer: &mut opendal::Writer,
    ) -> Result<(), StorageError> {
        // The last part is sent with it.
        self.run("write", &name, 64 << 20, writer.close()).map(drop)
    }

    /// Takes back the parts of an object that will not be finished; what cannot be taken back, the bucket's own rule for
    /// unfinished uploads removes.
    pub(super) fn abort_object(&self, writer: &mut opendal::Writer) {
        drop(self.run("abort", &"upload", 0, writer.abort()));
    }

    fn short_read(&self, key: &ObjectKey, offset: u64, len: u64, found: usize) -> StorageError {
        StorageError::new(
            StorageErrorKind::Truncated,
            "read",
            key,
            format!("{found} bytes are there instead of {len} from offset {offset}"),
        )
    }

    fn write(
        &self,
        operation: &'static str,
        key: &ObjectKey,
        data: &[u8],
        if_not_exists: bool,
    ) -> Result<(), StorageError> {
        let body = bytes::Bytes::copy_from_slice(data);
        let options = WriteOptions {
            if_not_exists,
            ..WriteOptions::default()
        };
        let path = key.path();
        let request = self.operator.write_options(&path, body, options);
        self.run(operation, key, data.len() as u64, request)
            .map(drop)
    }
}

impl Storage for S3Storage {
    fn put(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        self.write("write", key, data, false)
    }

    fn create_new(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        if self.stat(key)?.is_some() {
            let message = "an object of that name exists";
            return Err(StorageError::new(
                StorageErrorKind::AlreadyExists,
                "create",
                key,
                message,
            ));
        }
        self.write("create", key, data, true)
    }

    fn get(&self, key: &ObjectKey) -> Result<Vec<u8>, StorageError> {
        let path = key.path();
        // How long it is, is not known; no object is much larger than a pack.
        let buffer = self.run("read", key, 64 << 20, self.operator.read(&path))?;
        Ok(buffer.to_vec())
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, len: u64) -> Result<Vec<u8>, StorageError> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let path = key.path();
        let options = ReadOptions {
            range: (offset..offset + len).into(),
            ..ReadOptions::default()
        };
        let request = self.operator.read_options(&path, options);
        match self.run("read", key, len, request) {
            Ok(buffer) if buffer.len() as u64 == len => Ok(buffer.to_vec()),
            Ok(buffer) => Err(self.short_read(key, offset, len, buffer.len())),
            Err(error) if error.message.contains(TOO_LITTLE) => match self.stat(key) {
                Ok(Some(size)) if size < offset + len => {
                    let found = size.saturating_sub(offset);
                    Err(self.short_read(key, offset, len, found as usize))
                }
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StorageError> {
        let path = key.path();
        match self.run("stat", key, 0, self.operator.stat(&path)) {
            Ok(metadata) => Ok(Some(metadata.content_length())),
            Err(error) if error.kind == StorageErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, kind: FileKind) -> Result<Vec<StoredObject>, StorageError> {
        if kind == FileKind::Config {
            let size = self.stat(&ObjectKey::config())?;
            return Ok(size
                .map(|size| StoredObject {
                    name: "config".to_owned(),
                    size,
                })
                .into_iter()
                .collect());
        }
        let folder = format!("{}/", kind.folder());
        let options = ListOptions {
            recursive: kind == FileKind::Pack,
            ..ListOptions::default()
        };
        // A listing takes one request per thousand objects, and the whole of it is waited for here.
        let request = self.operator.list_options(&folder, options);
        let entries = self.run("list", &kind.noun(), 1 << 30, request)?;
        Ok(entries
            .iter()
            .filter(|entry| entry.metadata().is_file() && is_object_name(entry.name()))
            .map(|entry| StoredObject {
                name: entry.name().to_owned(),
                size: entry.metadata().content_length(),
            })
            .collect())
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let path = key.path();
        self.run("delete", key, 0, self.operator.delete(&path))
    }

    fn flush(&self) -> Result<(), StorageError> {
        // A store that answers a PUT has it.
        Ok(())
    }

    fn location(&self) -> String {
        self.location.clone()
    }
}

fn is_object_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A client that verifies certificates with the system's roots.
fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    // An error says that the process has a provider already, which serves as well.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(60))
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("pgkeep/", env!("CARGO_PKG_VERSION")))
        .build()
}

fn builder(address: &S3Address, options: &S3Options) -> S3 {
    let region = address.region.as_ref().or(options.region.as_ref());
    let mut builder = S3::default()
        .bucket(&address.bucket)
        .root(&format!("/{}", address.prefix))
        .region(region.map_or("us-east-1", String::as_str))
        .access_key_id(&options.access_key_id)
        .secret_access_key(options.secret_access_key.expose_secret())
        .checksum_algorithm("md5")
        // The environment and the instance's metadata service are the caller's to ask.
        .disable_config_load()
        .disable_ec2_metadata();
    if let Some(endpoint) = address.endpoint.as_ref().or(options.endpoint.as_ref()) {
        builder = builder.endpoint(endpoint);
    }
    if let Some(token) = &options.session_token {
        builder = builder.session_token(token.expose_secret());
    }
    if options.virtual_host_style {
        builder = builder.enable_virtual_host_style();
    }
    match &options.server_side_encryption {
        None => builder,
        Some(ServerSideEncryption::S3) => builder.server_side_encryption_with_s3_key(),
        Some(ServerSideEncryption::Kms { key_id: None }) => {
            builder.server_side_encryption_with_aws_managed_kms_key()
        }
        Some(ServerSideEncryption::Kms { key_id: Some(key) }) => {
            builder.server_side_encryption_with_customer_managed_kms_key(key)
        }
    }
}

fn storage_error(
    operation: &'static str,
    object: &dyn fmt::Display,
    error: &opendal::Error,
) -> StorageError {
    let text = cause(error);
    let kind = match error.kind() {
        ErrorKind::NotFound => StorageErrorKind::NotFound,
        ErrorKind::PermissionDenied => StorageErrorKind::PermissionDenied,
        ErrorKind::AlreadyExists | ErrorKind::ConditionNotMatch => StorageErrorKind::AlreadyExists,
        ErrorKind::RangeNotSatisfied => StorageErrorKind::Truncated,
        ErrorKind::RateLimited => StorageErrorKind::Temporary,
        _ if text.contains("XMinioStorageFull") || text.contains("QuotaExceeded") => {
            StorageErrorKind::NoSpace
        }
        // Neither the certificate nor what is trusted changes by waiting.
        _ if text.contains("certificate") => StorageErrorKind::Other,
        // A body that ends before its announced length.
        _ if error.is_temporary() || text.contains(TOO_LITTLE) => StorageErrorKind::Temporary,
        _ => StorageErrorKind::Other,
    };
    StorageError::new(kind, operation, object, text)
}

/// The error with everything that led to it, in one line and without opendal's list of context.
fn cause(error: &opendal::Error) -> String {
    let mut text = server_words(error.message()).unwrap_or_else(|| error.message().to_owned());
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The code and message of a server's error document, out of opendal's `S3Error { code: "…", message: "…", … }`.
fn server_words(text: &str) -> Option<String> {
    let fields = text.strip_prefix("S3Error {")?;
    let field = |name: &str| {
        let (_, rest) = fields.split_once(&format!(" {name}: \""))?;
        rest.split_once("\", ")
            .map(|(value, _)| value.replace("\\\"", "\""))
    };
    match (field("code")?, field("message")) {
        (code, Some(message)) if !message.is_empty() => Some(format!("{message} ({code})")),
        (code, _) => Some(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_mistakes_are_named() {
        let parsed = S3Address::parse(
            "s3://bucket/some/folder/?endpoint=http%3A%2F%2F127.0.0.1:9000&region=eu-west-1",
        );
        assert_eq!(
            parsed,
            Ok(S3Address {
                bucket: "bucket".into(),
                prefix: "some/folder".into(),
                endpoint: Some("http://127.0.0.1:9000".into()),
                region: Some("eu-west-1".into()),
            })
        );
        assert_eq!(
            S3Address::parse("s3://b").map(|address| address.prefix),
            Ok(String::new())
        );
        for (address, message) in [
            ("s3:///folder", "no bucket"),
            ("s3://bucket?endpont=x", "endpont is not known"),
            ("s3://key:secret@bucket", "credentials do not belong"),
            ("gs://bucket", "does not begin with s3://"),
        ] {
            let error = S3Address::parse(address).expect_err(address).to_string();
            assert!(error.contains(message), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn missing_credentials_are_a_clear_error() {
        let error =
            S3Storage::open("s3://bucket", &StorageOptions::default()).expect_err("no credentials");
        assert_eq!(error.kind, StorageErrorKind::PermissionDenied);
        assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
    }

    #[test]
    fn a_servers_error_document_becomes_words() {
        let text = r#"S3Error { code: "NoSuchBucket", message: "No \"such\" bucket, sorry", resource: "/b", request_id: "1" }"#;
        assert_eq!(
            server_words(text).as_deref(),
            Some(r#"No "such" bucket, sorry (NoSuchBucket)"#)
        );
        let text = r#"S3Error { code: "AccessDenied", message: "", resource: "", request_id: "" }"#;
        assert_eq!(server_words(text).as_deref(), Some("AccessDenied"));
        assert_eq!(server_words("send http request"), None);
    }
}
