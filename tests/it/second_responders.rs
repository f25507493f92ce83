//! Streams and messages in parts beside a second responder to the same subjects: one of another queue group, or a plain
//! service whose replies are valid `micro.v1.Frame`s. Nothing of it is taken for a part of the first one's reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use micro_runtime::{ClientOptions, Reason, Status};
use micro_testkit::within;
use micro_tests::streams::Summary;
use prost::Message as _;

use crate::carriers::{Carrier, on_both_carriers};
use crate::layered::with_and_without_layer;
use crate::numbered_calls::{CALLS, CallKind, ITEMS, KINDS, LIMIT, call_all, plain_reply, serve};
use crate::round_trip::round_trip;
use crate::streams::frames::{ACCEPT, END, OF_SERVER, bytes_field, flags, number_field};
use crate::until::until;

on_both_carriers! {
    calls_of_two_queue_groups
    calls_without_a_queue_group
}

/// Each call reaches a server of both groups. A second ACCEPT ends it, a second offer is ignored.
async fn check_two_servers(carrier: Carrier, groups: [&str; 2]) {
    let _first = serve(&carrier.bus, 1, groups[0]).await;
    let other = carrier.another_bus().await;
    let _second = serve(&other, 2, groups[1]).await;
    let caller = carrier.another_bus().await;
    for options in with_and_without_layer(&ClientOptions::new()) {
        call_all(&caller, &options, |kind, whole, failures| {
            for status in &failures {
                assert_eq!(
                    status.reason(),
                    Some(Reason::BadFrame),
                    "{kind:?}: {status}"
                );
                assert!(
                    status
                        .message()
                        .contains("a second instance took the stream"),
                    "{kind:?}: {status}"
                );
            }
            assert_eq!(whole + failures.len(), CALLS, "{kind:?}");
            if kind == CallKind::LargeReply {
                assert_eq!(whole, CALLS, "{failures:?}");
            }
        })
        .await;
    }
}

async fn calls_of_two_queue_groups(carrier: Carrier) {
    check_two_servers(carrier, ["q", "canary"]).await;
}

async fn calls_without_a_queue_group(carrier: Carrier) {
    check_two_servers(carrier, ["-", "-"]).await;
}

/// Replies of plain services that are valid frames: items by number, and the summary of a whole stream with END.
fn plain_replies() -> Vec<Bytes> {
    let summary = Summary {
        messages: ITEMS,
        bytes: 9,
        ..Summary::default()
    };
    let with_end = [
        number_field(1, 1),
        bytes_field(2, &summary.encode_to_vec()),
        number_field(3, END),
    ];
    let end = [number_field(1, 2), number_field(3, END)];
    vec![
        plain_reply(1).encode_to_vec().into(),
        with_end.concat().into(),
        plain_reply(2).encode_to_vec().into(),
        end.concat().into(),
        Bytes::new(),
        b"{}"[..].into(),
    ]
}

/// A plain service replies to every second request, at once and later, with one of its replies or all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beside_a_plain_service() {
    let carrier = Carrier::nats().await;
    let _server = serve(&carrier.bus, 1, "q").await;
    let plain = carrier.another_bus().await.nats().unwrap().clone();
    let requests = plain.subscribe("streams.v1.Streams.*").await.unwrap();
    let mut pairs = requests.chunks(2);
    round_trip(&plain).await;
    let responder = tokio::spawn(async move {
        let mut count = 0;
        while let Some([_, request]) = pairs.next().await.as_deref() {
            let (plain, reply) = (plain.clone(), request.reply.clone().unwrap());
            count += 1;
            tokio::spawn(async move {
                for payload in plain_replies() {
                    plain.publish(reply.clone(), payload).await.unwrap();
                    // sleep: spreads the replies over the time of the call.
                    tokio::time::sleep(Duration::from_millis(count % 4)).await;
                }
            });
        }
    });
    let caller = carrier.another_bus().await;
    for options in with_and_without_layer(&ClientOptions::new()) {
        let check = |kind, whole, failures: Vec<Status>| {
            assert!(whole >= CALLS / 2, "{kind:?}: {failures:?}");
            for status in failures {
                assert_eq!(
                    status.reason(),
                    Some(Reason::NotAService),
                    "{kind:?}: {status}"
                );
            }
        };
        within(LIMIT, call_all(&caller, &options, check)).await;
    }
    responder.abort();
}

/// A peer sends plain replies to each stream that was accepted or offered: all are dropped and counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_replies_after_the_server_has_accepted() {
    let carrier = Carrier::nats().await;
    let _server = serve(&carrier.bus, 1, "q").await;
    let caller = carrier.another_bus().await;
    let plain = carrier.another_bus().await.nats().unwrap().clone();
    let mut inboxes = plain.subscribe("_INBOX.>").await.unwrap();
    round_trip(&plain).await;
    let sent = Arc::new(AtomicU64::new(0));
    let responder = tokio::spawn({
        let sent = Arc::clone(&sent);
        async move {
            while let Some(frame) = inboxes.next().await {
                if frame.payload.starts_with(&[OF_SERVER]) && flags(&frame.payload) & ACCEPT != 0 {
                    for payload in plain_replies() {
                        plain.publish(frame.subject.clone(), payload).await.unwrap();
                        sent.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        }
    });
    for options in with_and_without_layer(&ClientOptions::new()) {
        let check = |kind, whole, failures: Vec<Status>| {
            assert_eq!(whole, CALLS, "{kind:?}: {failures:?}");
        };
        within(LIMIT, call_all(&caller, &options, check)).await;
    }
    let expected = 2 * (KINDS.len() * CALLS * plain_replies().len()) as u64;
    until(|| sent.load(Ordering::SeqCst) == expected).await;
    // A frame that arrives after the end of its stream counts, too.
    until(|| caller.unmatched_replies() >= expected).await;
    responder.abort();
}
