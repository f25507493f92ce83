//! Streams and messages in parts beside a responder that repeats what it gets, as `nats reply --echo` does: frames that
//! come back to their client are no frames of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::Message;
use futures_util::StreamExt as _;
use micro_runtime::{ClientOptions, Reason, Status};
use micro_testkit::within;

use crate::carriers::Carrier;
use crate::layered::with_and_without_layer;
use crate::numbered_calls::{CALLS, CallKind, KINDS, LIMIT, call_all, serve};
use crate::round_trip::round_trip;
use crate::until::until;

/// A responder that publishes each message with a reply subject there again, until it is dropped.
struct EchoingResponder {
    task: tokio::task::JoinHandle<()>,
    sent: Arc<AtomicU64>,
}

impl EchoingResponder {
    async fn start(carrier: &Carrier, subjects: &'static str, has_headers: bool) -> Self {
        let nats = carrier.another_bus().await.nats().unwrap().clone();
        let mut messages = nats.subscribe(subjects).await.unwrap();
        round_trip(&nats).await;
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let Message {
                    reply: Some(reply),
                    payload,
                    headers,
                    ..
                } = message
                else {
                    continue;
                };
                if has_headers {
                    let mut headers = headers.unwrap_or_default();
                    headers.insert("NATS-Reply-Counter", "1");
                    let sending = nats.publish_with_headers(reply, headers, payload);
                    sending.await.unwrap();
                } else {
                    nats.publish(reply, payload).await.unwrap();
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { task, sent }
    }

    /// Returns the number of messages that were repeated so far.
    fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Drop for EchoingResponder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes calls of each kind beside a responder that repeats the messages to `subjects`, with headers and without. At
/// most `ending` of its messages may end a call.
async fn check(
    subjects: &'static str,
    ending: u64,
    check_calls: impl Fn(CallKind, usize, Vec<Status>),
) {
    for has_headers in [false, true] {
        let carrier = Carrier::nats().await;
        let _server = serve(&carrier.bus, 1, "q").await;
        let echo = EchoingResponder::start(&carrier, subjects, has_headers).await;
        let caller = carrier.another_bus().await;
        for options in with_and_without_layer(&ClientOptions::new()) {
            within(LIMIT, call_all(&caller, &options, &check_calls)).await;
        }
        let sent = echo.sent();
        assert!(sent > CALLS as u64, "{sent} messages were repeated");
        until(|| caller.unmatched_replies() + ending >= sent).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_come_back_are_dropped_and_counted() {
    check("streams.v1.Streams._i.>", 0, |kind, whole, failures| {
        assert_eq!(whole, CALLS, "{kind:?}: {failures:?}");
    })
    .await;
}

/// An opening that comes back before the server has accepted ends the call, and never as a success.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_that_come_back_are_no_replies() {
    let calls = (2 * KINDS.len() * CALLS) as u64;
    check("streams.v1.Streams.>", calls, |kind, _, failures| {
        for status in failures {
            let reason = status.reason();
            assert_eq!(reason, Some(Reason::NotAService), "{kind:?}: {status}");
            let text = status.message();
            assert!(text.contains("repeats what it gets"), "{kind:?}: {text}");
        }
    })
    .await;
}
