//! `DeclaredStreams`: the streams of JetStream that were declared over one connection.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::log_limit::LogLimit;
use crate::subject;
use crate::sync::lock;

/// The streams that were declared over one connection, by their names in NATS, with the configuration by which one that
/// is gone is created again.
///
/// They outlive the server that declared them, as the streams do.
#[derive(Default)]
pub(crate) struct DeclaredStreams {
    streams: Mutex<BTreeMap<String, DeclaredStream>>,
    is_watched: AtomicBool,
    /// Of streams that were gone.
    pub(crate) loss_log: LogLimit,
    /// Of attempts to find out which are gone.
    pub(crate) failure_log: LogLimit,
}

struct DeclaredStream {
    subjects: Vec<String>,
    /// In JSON.
    config: Value,
}

impl DeclaredStreams {
    /// Adds a stream, in place of one with the same name.
    pub(crate) fn add(&self, name: &str, subjects: &[String], config: Value) {
        let subjects = subjects.to_vec();
        let stream = DeclaredStream { subjects, config };
        lock(&self.streams).insert(name.to_owned(), stream);
    }

    /// Returns the configuration of a stream; `None` if it was not declared here.
    pub(crate) fn config(&self, name: &str) -> Option<Value> {
        Some(lock(&self.streams).get(name)?.config.clone())
    }

    /// Returns the name of the stream that stores a subject; `None` if none was declared here.
    pub(crate) fn stream_of(&self, subject: &str) -> Option<String> {
        let streams = lock(&self.streams);
        let stores = |stream: &DeclaredStream| {
            let mut subjects = stream.subjects.iter();
            subjects.any(|pattern| subject::overlap(pattern, subject))
        };
        let (name, _) = streams.iter().find(|(_, stream)| stores(stream))?;
        Some(name.clone())
    }

    /// Returns the names of all streams.
    pub(crate) fn names(&self) -> Vec<String> {
        lock(&self.streams).keys().cloned().collect()
    }

    /// Returns whether nothing watches the streams yet; whoever gets `true` does from now on.
    pub(crate) fn begin_watch(&self) -> bool {
        !self.is_watched.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_stream_of_a_subject_is_the_one_that_covers_it() {
        let streams = DeclaredStreams::default();
        streams.add("A", &["evt.a.>".to_owned()], json!({"name": "A"}));
        streams.add("B", &["evt.b".to_owned()], json!({"name": "B"}));
        assert_eq!(streams.stream_of("evt.a.x").as_deref(), Some("A"));
        assert_eq!(streams.stream_of("evt.b").as_deref(), Some("B"));
        assert_eq!(streams.stream_of("evt.c"), None);
        assert_eq!(streams.config("A"), Some(json!({"name": "A"})));
        assert_eq!(streams.names(), ["A", "B"]);
        assert!(streams.begin_watch());
        assert!(!streams.begin_watch());
    }
}
