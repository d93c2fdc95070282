//! Structured logs, and their way to Sentry and OpenTelemetry where asked for.
//!
//! A fact is one event and one line, as text or as JSON, on standard error. Every line passes through [`scrub::scrub`] on
//! its way out: nothing in this program writes a password to a log on purpose, and what a database server or a library puts
//! into its errors is not ours to know.
//!
//! Sentry hears of errors and panics, scrubbed alike. OpenTelemetry gets a span for each answered request and each job that
//! is over, made of ids, kinds, routes and times: no message leaves the machine that way.

mod ends;
mod scrub;
mod watchers;

pub use ends::{job_ended, request_answered};
pub use scrub::scrub;

use crate::settings::{LogFormat, TelemetrySettings};
use std::io;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::ParseError,
    fmt::{self, MakeWriter, time::SystemTime},
    layer::SubscriberExt as _,
    registry::LookupSpan,
};
use watchers::{Sentry, Traces};

/// What libraries say only where it is asked for by name.
const QUIET: [&str; 8] = [
    "h2=warn",
    "hyper=warn",
    "hyper_util=warn",
    "opentelemetry=warn",
    "opentelemetry_sdk=warn",
    "reqwest=warn",
    "rustls=warn",
    "sqlx=warn",
];

/// Why logging cannot begin. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("the log filter '{text}' is not understood: {source}")]
    Filter { text: String, source: ParseError },
    #[error("the address given for Sentry is not a DSN")]
    SentryDsn,
    #[error("traces cannot be sent to {endpoint}: {reason}")]
    Otlp { endpoint: String, reason: String },
    #[error("logging has begun already in this process")]
    Started,
}

/// Sends what is still on its way when it is dropped; keep it until the process ends.
#[derive(Debug)]
#[must_use = "logging to Sentry and OpenTelemetry ends when this is dropped"]
pub struct Logging {
    _sentry: Option<Sentry>,
    _traces: Option<Traces>,
}

/// Begins logging to standard error for the whole process. `service` names it among others, such as `pgkeep-worker`.
pub fn start(settings: &TelemetrySettings, service: &'static str) -> Result<Logging, LoggingError> {
    let sentry = match &settings.sentry_dsn {
        Some(dsn) => Some(Sentry::start(dsn)?),
        None => None,
    };
    let traces = match &settings.otlp_endpoint {
        Some(endpoint) => Some(Traces::start(endpoint, service)?),
        None => None,
    };
    let subscriber = subscriber(settings, io::stderr)?.with(sentry.as_ref().map(Sentry::layer));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Started)?;
    Ok(Logging {
        _sentry: sentry,
        _traces: traces,
    })
}

/// The layers that write lines.
fn subscriber<W>(
    settings: &TelemetrySettings,
    writer: W,
) -> Result<impl Subscriber + for<'span> LookupSpan<'span> + Send + Sync + use<W>, LoggingError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter = filter(&settings.log)?;
    let lines = fmt::layer()
        .with_timer(SystemTime)
        .with_ansi(false)
        .with_writer(OneLine(writer));
    let lines = match settings.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    Ok(tracing_subscriber::registry().with(lines.with_filter(filter)))
}

/// What is logged: directives such as `info` or `pgkeep_server=debug,warn`. Libraries are quiet where none of them names one.
fn filter(text: &str) -> Result<EnvFilter, LoggingError> {
    let failed = |source| LoggingError::Filter {
        text: text.to_owned(),
        source,
    };
    let text_or_default = if text.trim().is_empty() { "info" } else { text };
    let named = |directive: &str| {
        let target = directive.split('=').next().unwrap_or_default();
        text.split(',').any(|part| {
            let part = part.trim();
            part == target
                || part
                    .strip_prefix(target)
                    .is_some_and(|rest| rest.starts_with(['=', ':', '[']))
        })
    };
    let mut directives: Vec<&str> = QUIET.into_iter().filter(|quiet| !named(quiet)).collect();
    directives.push(text_or_default);
    EnvFilter::builder()
        .parse(directives.join(","))
        .map_err(failed)
}

/// Makes of each event one line without secrets.
struct OneLine<W>(W);

impl<'writer, W: MakeWriter<'writer>> MakeWriter<'writer> for OneLine<W> {
    type Writer = LineWriter<W::Writer>;

    fn make_writer(&'writer self) -> Self::Writer {
        LineWriter(self.0.make_writer())
    }

    fn make_writer_for(&'writer self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        LineWriter(self.0.make_writer_for(meta))
    }
}

/// Gets each event whole, in one call.
struct LineWriter<W>(W);

impl<W: io::Write> io::Write for LineWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut line = scrub(text.trim_end_matches('\n'))
            .replace('\n', "\\n")
            .replace('\r', "\\r");
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(settings: TelemetrySettings, log: impl FnOnce()) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = subscriber(&settings, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    fn settings(log: &str, log_format: LogFormat) -> TelemetrySettings {
        TelemetrySettings {
            log: log.into(),
            log_format,
            ..TelemetrySettings::default()
        }
    }

    #[test]
    fn a_fact_is_one_line_whatever_it_holds() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(settings("info", format), || {
                tracing::error!(job = "1\n2", error = %"first\r\nsecond", "a job\nfailed");
                tracing::info!("next");
            });
            assert_eq!(text.lines().count(), 2, "{text}");
        }
    }

    #[test]
    fn json_lines_are_json_with_their_fields_at_the_top() {
        let text = logged(settings("info", LogFormat::Json), || {
            let span = tracing::info_span!("job", id = "7");
            span.in_scope(|| tracing::info!(app = "shop", "job finished"));
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "job finished");
        assert_eq!(line["app"], "shop");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["span"]["id"], "7");
    }

    #[test]
    fn no_secret_of_a_field_message_or_span_is_logged() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(settings("info", format), || {
                let span = tracing::info_span!("job", url = "postgres://u:CANARY1@db/shop");
                span.in_scope(|| {
                    tracing::warn!(
                        error = ?std::io::Error::other("connecting by postgres://u:CANARY2@db:5432/shop"),
                        options = "host=db password='CANARY3 x' user=u",
                        header = "Authorization: Bearer CANARY4",
                        "token pgk_CANARY5abcdefgh and whsec_CANARY6"
                    );
                });
            });
            assert!(!text.contains("CANARY"), "{text}");
            assert!(text.contains("db"), "{text}");
        }
    }

    #[test]
    fn libraries_are_quiet_where_nobody_asks_for_them() {
        let log = || {
            tracing::info!(target: "hyper_util::client", "quiet");
            tracing::debug!(target: "sqlx::query", "asked for");
            tracing::info!(target: "pgkeep_server", "ours");
        };
        let text = logged(settings("info", LogFormat::Text), log);
        assert!(text.contains("ours") && !text.contains("quiet") && !text.contains("asked"));
        let text = logged(settings("info,sqlx=debug", LogFormat::Text), log);
        assert!(text.contains("asked for") && !text.contains("quiet"));
        let text = logged(settings("", LogFormat::Text), log);
        assert!(text.contains("ours"));
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let error = filter("pgkeep=loud").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the log filter 'pgkeep=loud'"),
            "{error}"
        );
    }
}
