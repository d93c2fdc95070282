//! Sentry for errors and panics, OpenTelemetry for traces. Each exists only where its address is set.

use super::{LoggingError, scrub};
use opentelemetry::{
    KeyValue,
    trace::{Span as _, SpanBuilder, SpanKind, Status, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use secrecy::{ExposeSecret as _, SecretString};
use sentry::{
    ClientInitGuard, ClientOptions,
    integrations::tracing::{BreadcrumbLayer, ErrorLayer},
    protocol::{Breadcrumb, Event},
    types::Dsn,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};
use url::Url;

/// What the end of a process waits for.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// Tells Sentry of errors and panics.
pub(super) struct Sentry {
    _client: ClientInitGuard,
}

impl Sentry {
    pub(super) fn start(dsn: &SecretString) -> Result<Sentry, LoggingError> {
        let dsn: Dsn = dsn
            .expose_secret()
            .parse()
            .map_err(|_| LoggingError::SentryDsn)?;
        choose_cryptography();
        Ok(Sentry {
            _client: sentry::init(options(dsn)),
        })
    }

    pub(super) fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let before = BreadcrumbLayer::new().with_filter(filter_fn(|metadata| {
            is_ours(metadata) && matches!(*metadata.level(), Level::WARN | Level::INFO)
        }));
        let errors = ErrorLayer::new().with_filter(filter_fn(|metadata| {
            is_ours(metadata) && *metadata.level() == Level::ERROR
        }));
        before.and_then(errors).boxed()
    }
}

impl std::fmt::Debug for Sentry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sentry")
    }
}

fn options(dsn: Dsn) -> ClientOptions {
    let mut options = ClientOptions::new()
        .release(concat!("pgkeep@", env!("CARGO_PKG_VERSION")))
        .send_default_pii(false)
        .shutdown_timeout(FLUSH_LIMIT)
        .before_send(|event: Event<'static>| scrubbed(&event))
        .before_breadcrumb(|breadcrumb: Breadcrumb| scrubbed(&breadcrumb));
    options.dsn = Some(dsn);
    options
}

/// The same value with every text in it scrubbed; nothing at all where that fails.
fn scrubbed<T: Serialize + DeserializeOwned>(value: &T) -> Option<T> {
    let mut document = serde_json::to_value(value).ok()?;
    scrub_texts(&mut document);
    serde_json::from_value(document).ok()
}

fn scrub_texts(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let std::borrow::Cow::Owned(clean) = scrub(text) {
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(scrub_texts),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    // The name alone says that the value is a secret.
                    Value::String(text) if names_a_secret(name) => *text = "***".into(),
                    _ => scrub_texts(value),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a line would lose the value of a field of this name.
fn names_a_secret(name: &str) -> bool {
    matches!(scrub(&format!("{name}=x")), std::borrow::Cow::Owned(_))
}

/// Where spans go, once [`Traces::start`] has been called.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends spans by OTLP over HTTP.
#[derive(Debug)]
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

/// Something that is over, with what of it may leave the machine: ids, kinds, routes.
pub(super) struct Span {
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) from: SystemTime,
    pub(super) to: SystemTime,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) failed: bool,
}

impl Traces {
    pub(super) fn start(endpoint: &Url, service: &'static str) -> Result<Traces, LoggingError> {
        let address = traces_address(endpoint);
        choose_cryptography();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(address.as_str())
            .build()
            .map_err(|error| LoggingError::Otlp {
                endpoint: endpoint.host_str().unwrap_or_default().to_owned(),
                reason: scrub(&error.to_string()).into_owned(),
            })?;
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        TRACER
            .set(provider.tracer("pgkeep"))
            .map_err(|_| LoggingError::Started)?;
        Ok(Traces { provider })
    }
}

/// Sends a span, where anybody wants it.
pub(super) fn record(span: impl FnOnce() -> Span) {
    let Some(tracer) = TRACER.get() else {
        return;
    };
    let span = span();
    let builder = SpanBuilder::from_name(span.name)
        .with_kind(span.kind)
        .with_start_time(span.from)
        .with_attributes(span.attributes);
    let mut begun = tracer.build(builder);
    if span.failed {
        begun.set_status(Status::error("failed"));
    }
    begun.end_with_timestamp(span.to);
}

impl Drop for Traces {
    fn drop(&mut self) {
        // Nobody is left to be told that a collector is away.
        drop(self.provider.shutdown_with_timeout(FLUSH_LIMIT));
    }
}

/// A collector's address as people write it, `http://host:4318`, or with the path of the traces.
fn traces_address(endpoint: &Url) -> Url {
    const PATH: &str = "v1/traces";
    let mut address = endpoint.clone();
    let path = address.path().trim_end_matches('/').to_owned();
    if !path.ends_with(PATH) {
        address.set_path(&format!("{path}/{PATH}"));
    }
    address
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("pgkeep")
}

/// Both speak TLS by the library that the rest of the program uses.
fn choose_cryptography() {
    // Another part of the program may have chosen it already.
    let chosen: Result<(), Arc<_>> =
        rustls::crypto::aws_lc_rs::default_provider().install_default();
    drop(chosen);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_to_sentry_holds_no_secret() {
        let mut event: Event<'static> = Event {
            message: Some("connecting by postgres://u:CANARY@db/shop failed".into()),
            ..Event::default()
        };
        event.extra.insert("password".into(), "CANARY".into());
        event.extra.insert("job".into(), "7".into());
        event
            .extra
            .insert("error".into(), "refused at postgres://u:CANARY@db".into());
        event
            .tags
            .insert("url".into(), "postgres://u:CANARY@db".into());
        event.exception.values.push(sentry::protocol::Exception {
            ty: "Error".into(),
            value: Some("token=CANARY".into()),
            ..Default::default()
        });
        let clean = scrubbed(&event).expect("an event stays an event");
        let text = serde_json::to_string(&clean).expect("JSON");
        assert!(!text.contains("CANARY"), "{text}");
        assert_eq!(clean.extra["job"], "7");
        assert_eq!(clean.extra["error"], "refused at postgres://u:***@db");
        assert_eq!(clean.event_id, event.event_id);
    }

    #[test]
    fn a_collector_is_reached_by_its_address_with_or_without_the_path() {
        for (given, expected) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            (
                "https://collector/otlp/",
                "https://collector/otlp/v1/traces",
            ),
            ("https://collector/v1/traces", "https://collector/v1/traces"),
        ] {
            let given = Url::parse(given).expect("a valid address");
            assert_eq!(traces_address(&given).as_str(), expected);
        }
    }

    #[test]
    fn an_address_that_is_no_dsn_is_refused_without_being_shown() {
        let error = Sentry::start(&SecretString::from("https://CANARY")).expect_err("no DSN");
        assert!(!format!("{error} {error:?}").contains("CANARY"));
    }
}
