//! A `tracing` layer that records spans and events, for tests to check.
#![allow(dead_code, reason = "each test binary checks a part of the records")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// Fields by name, as text. The message of an event is the field `message`.
pub(crate) type Fields = BTreeMap<&'static str, String>;

/// The spans and events so far. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct TraceLog(Arc<Mutex<Records>>);

#[derive(Default)]
struct Records {
    events: Vec<Fields>,
    spans: Vec<Fields>,
    /// Index in `spans` by the id of the span; the ids of closed spans are used again.
    latest: HashMap<u64, usize>,
}

/// Visitor that stores fields as text.
struct FieldVisitor<'a>(&'a mut Fields);

impl Visit for FieldVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// Installs a log for the whole process, which records every span and event of micro-runtime.
pub(crate) fn install() -> TraceLog {
    let log = TraceLog::default();
    let filter = tracing_subscriber::filter::Targets::new()
        .with_target("micro_runtime", tracing::Level::TRACE);
    let layer = log.clone().with_filter(filter);
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).expect("this process has one log");
    log
}

impl TraceLog {
    pub(crate) fn clear(&self) {
        *self.records() = Records::default();
    }

    /// Returns the values of one field in the events with this message.
    pub(crate) fn numbers(&self, message: &str, field: &str) -> Vec<u64> {
        self.events(message)
            .iter()
            .filter_map(|event| event.get(field)?.parse().ok())
            .collect()
    }

    /// Returns the events with this message.
    pub(crate) fn events(&self, message: &str) -> Vec<Fields> {
        let records = self.records();
        let with_message = |event: &&Fields| event.get("message").is_some_and(|m| m == message);
        records
            .events
            .iter()
            .filter(with_message)
            .cloned()
            .collect()
    }

    /// Returns the spans of this kind: `client`, `server`, `producer` or `consumer`.
    pub(crate) fn spans(&self, kind: &str) -> Vec<Fields> {
        let records = self.records();
        let of_kind = |span: &&Fields| span.get("otel.kind").is_some_and(|k| k == kind);
        records.spans.iter().filter(of_kind).cloned().collect()
    }

    fn records(&self) -> std::sync::MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for TraceLog {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut FieldVisitor(&mut fields));
        let mut records = self.records();
        let index = records.spans.len();
        records.latest.insert(id.into_u64(), index);
        records.spans.push(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut records = self.records();
        let index = records.latest.get(&id.into_u64()).copied();
        if let Some(fields) = index.and_then(|index| records.spans.get_mut(index)) {
            values.record(&mut FieldVisitor(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut FieldVisitor(&mut fields));
        self.records().events.push(fields);
    }
}
