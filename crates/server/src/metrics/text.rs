//! Prometheus' text format: families with their help and type, samples with escaped labels.

use std::fmt::Write as _;

#[derive(Debug, Default)]
pub(super) struct Text {
    written: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The samples of one name.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Text {
    /// Begins a family; each name is begun once.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.written
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family {
            text: &mut self.written,
            name,
        }
    }

    pub(super) fn into_string(self) -> String {
        self.written
    }
}

impl Family<'_> {
    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.add_part("", labels, value)
    }

    /// A sample that is left out where its value is not known.
    pub(super) fn add_known(&mut self, labels: &[(&str, &str)], value: Option<f64>) {
        if let Some(value) = value {
            self.add(labels, value);
        }
    }

    /// A sample for each app whose value is known.
    pub(super) fn add_all<'b>(&mut self, values: impl Iterator<Item = (&'b str, Option<f64>)>) {
        for (app, value) in values {
            self.add_known(&[("app", app)], value);
        }
    }

    /// A sample of a histogram: `_bucket`, `_sum`, `_count`.
    pub(super) fn add_part(
        &mut self,
        part: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) -> &mut Self {
        self.text.push_str(self.name);
        self.text.push_str(part);
        for (at, (name, value)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            // Writing to a text cannot fail.
            let _ = write!(self.text, "{open}{name}=\"{value}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
        self
    }
}
