//! Keeps what is traced, for tests to look at.
#![allow(dead_code, reason = "each test binary looks at what it is about")]

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

/// What was traced so far.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    events: Vec<Fields>,
    spans: Vec<Fields>,
    /// Where the span with an id lies; ids are used again when a span has closed.
    latest: HashMap<u64, usize>,
}

struct Read<'a>(&'a mut Fields);

impl Visit for Read<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// Makes a log and keeps everything that our crates trace from now on, in the whole process.
pub(crate) fn install() -> Log {
    let log = Log::default();
    let filter = tracing_subscriber::filter::Targets::new()
        .with_target("micro_runtime", tracing::Level::TRACE);
    let layer = log.clone().with_filter(filter);
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).expect("this process has one log");
    log
}

impl Log {
    pub(crate) fn clear(&self) {
        *self.kept() = Kept::default();
    }

    /// The values of one field in the events with this message.
    pub(crate) fn numbers(&self, message: &str, field: &str) -> Vec<u64> {
        self.events(message)
            .iter()
            .filter_map(|event| event.get(field)?.parse().ok())
            .collect()
    }

    pub(crate) fn events(&self, message: &str) -> Vec<Fields> {
        let kept = self.kept();
        let with_message = |event: &&Fields| event.get("message").is_some_and(|m| m == message);
        kept.events.iter().filter(with_message).cloned().collect()
    }

    pub(crate) fn spans(&self, kind: &str) -> Vec<Fields> {
        let kept = self.kept();
        let of_kind = |span: &&Fields| span.get("otel.kind").is_some_and(|k| k == kind);
        kept.spans.iter().filter(of_kind).cloned().collect()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Read(&mut fields));
        let mut kept = self.kept();
        let place = kept.spans.len();
        kept.latest.insert(id.into_u64(), place);
        kept.spans.push(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut kept = self.kept();
        let place = kept.latest.get(&id.into_u64()).copied();
        if let Some(fields) = place.and_then(|place| kept.spans.get_mut(place)) {
            values.record(&mut Read(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Read(&mut fields));
        self.kept().events.push(fields);
    }
}
