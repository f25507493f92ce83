//! Warns of JetStream streams that store the calls of a server.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::bus::{Connection, Outgoing};
use crate::wire::subject;

/// Maximum time to wait for a reply of JetStream.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Reply of JetStream to `STREAM.NAMES`, which has null in place of no names, and no names beside an error.
#[derive(Deserialize)]
struct CapturingStreams {
    streams: Option<Vec<String>>,
    error: Option<IgnoredAny>,
}

/// Looks in the background for streams that store what these patterns of calls match, and logs a warning for each.
///
/// Such a stream replies to each call, mostly before the service does: its acknowledgment takes the place of the reply.
/// A program cannot know of streams that others make, so it asks JetStream once, at its start. Nothing is logged where
/// JetStream is off or this user may not ask (`$JS.API.STREAM.NAMES`); the error of a call names the stream then.
pub(super) fn warn_of_captured_calls(connection: &Arc<Connection>, calls: Vec<Subject>) {
    if connection.is_in_process() || calls.is_empty() {
        return;
    }
    let connection = Arc::clone(connection);
    tokio::spawn(async move {
        for pattern in calls {
            let names = tokio::time::timeout(TIMEOUT, streams_of(&connection, &pattern)).await;
            let Ok(Some(names)) = names else { return };
            for stream in names {
                tracing::warn!(
                    stream,
                    calls = %pattern,
                    "a JetStream stream stores calls of this server, and acknowledges each in place of the reply, \
                     unless it has `no_ack`: take the subjects of services out of it"
                );
            }
        }
    });
}

/// Returns the names of the streams that store something of a pattern; `None` if JetStream does not reply, or
/// with an error.
async fn streams_of(connection: &Connection, pattern: &Subject) -> Option<Vec<String>> {
    let subject = subject::api(connection.jetstream_api(), "STREAM.NAMES", &[]);
    let request = json!({ "subject": pattern.as_str() }).to_string();
    let (mut slot, reply) = connection.mux().reserve(&subject).ok()?;
    let outgoing = Outgoing {
        reply: Some(reply),
        ..Outgoing::to(subject, Bytes::from(request))
    };
    connection.publish_request(&mut slot, outgoing).await.ok()?;
    let reply = poll_fn(|cx| slot.poll(cx)).await.ok()?;
    let names: CapturingStreams = serde_json::from_slice(reply.payload()).ok()?;
    match names.error {
        Some(_) => None,
        None => Some(names.streams.unwrap_or_default()),
    }
}
