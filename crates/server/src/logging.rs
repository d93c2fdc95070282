//! Structured logs, and their way to Sentry and OpenTelemetry where asked for.
