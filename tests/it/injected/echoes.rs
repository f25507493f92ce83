//! Messages of a client that a responder repeats to it: frames under way, and openings.

use std::time::Duration;

use micro_runtime::faults::{Forgery, MessageKind, Rule};
use micro_runtime::{Reason, Status};
use micro_tests::streams::{CountRequest, Item};
use prost::Message as _;

use super::fixture::{Injected, with_and_without_a_layer};
use crate::streams::frames::{END, PING, RESET, bytes_field, client_frame, number_field};
use crate::until::until;

with_and_without_a_layer! {
    frames_that_come_back_are_dropped_and_counted
    openings_that_come_back_end_their_call_by_name
}

/// Limit for one call.
const LIMIT: Duration = Duration::from_secs(60);
/// Frames of the services' clients that have a reply subject.
const FRAMES: &str = "streams.v1.Streams._i.*._up.*";

fn item(number: u64, length: usize) -> Item {
    Item {
        number,
        data: vec![b'x'; length],
        ..Item::default()
    }
}

/// Returns the payload of an opening without a message.
fn opening() -> Vec<u8> {
    [&b"\x7f"[..], &[0xff; 11]].concat()
}

/// Frames of a client as they come back: a stream of one item, whose bytes are those of a summary, too, its next
/// frames, and an opening.
fn frames() -> [Vec<u8>; 6] {
    let end_of = |seq| {
        let item = bytes_field(2, &item(1, 0).encode_to_vec());
        [item, number_field(3, END), number_field(1, seq)].concat()
    };
    [
        client_frame(end_of(1)),
        client_frame(end_of(2)),
        client_frame(number_field(3, RESET)),
        client_frame(number_field(3, PING)),
        client_frame([number_field(5, 1), number_field(6, 1 << 20)].concat()),
        opening(),
    ]
}

async fn count(injected: &Injected) -> Result<(), Status> {
    let request = CountRequest {
        messages: 3,
        size: 2,
        ..CountRequest::default()
    };
    let call = injected.stream_client.count(request).no_retry();
    let mut items = call.timeout(LIMIT).await?;
    for number in 0..3 {
        let found = items.message().await?.unwrap();
        assert_eq!((found.number, found.data.len()), (number, 2));
    }
    assert_eq!(items.message().await?, None);
    Ok(())
}

async fn collect(injected: &Injected, messages: u64) -> Result<(), Status> {
    let call = injected.stream_client.collect().no_retry();
    let mut collect = call.timeout(LIMIT).open().await?;
    for number in 0..messages {
        collect.send(item(number, 5)).await?;
    }
    let summary = collect.finish().await?;
    assert_eq!((summary.messages, summary.bytes), (messages, 5 * messages));
    Ok(())
}

async fn echo(injected: &Injected) -> Result<(), Status> {
    let call = injected.stream_client.echo().no_retry();
    let (mut sender, mut items) = call.timeout(LIMIT).open().await?;
    for number in 0..3 {
        sender.send(item(number, 9)).await?;
        assert_eq!(items.message().await?, Some(item(number, 9)));
    }
    sender.finish().await?;
    assert_eq!(items.message().await?, None);
    Ok(())
}

/// Calls with a request and a reply of these lengths, of which one is above `max_payload`.
async fn repeat(injected: &Injected, length: usize, times: usize) -> Result<(), Status> {
    let request = item(times as u64, length);
    let call = injected.stream_client.repeat(request).no_retry();
    let reply = call.timeout(LIMIT).await?;
    assert!(reply == item(times as u64, length * times));
    Ok(())
}

async fn frames_that_come_back_are_dropped_and_counted(injected: Injected) {
    for frame in frames() {
        for kind in 0..6 {
            let before = injected.bus.unmatched_replies();
            let repeated = Forgery::new().payload(frame.clone());
            injected.faults.add(Rule::forge_reply(FRAMES, repeated));
            let result = match kind {
                0 => count(&injected).await,
                1 => collect(&injected, 1).await,
                2 => collect(&injected, 3).await,
                3 => echo(&injected).await,
                4 => repeat(&injected, 1_200_000, 1).await,
                _ => repeat(&injected, 1_000, 1_200).await,
            };
            result.unwrap_or_else(|status| panic!("{kind}: {frame:?}: {status}"));
            // The caller of a server stream this short sends no frame.
            if kind > 0 {
                until(|| injected.bus.unmatched_replies() > before).await;
            }
            injected.faults.clear();
        }
    }
    injected.wait_until_idle().await;
}

/// The opening of a call comes back before the server has accepted it, with its headers and without.
async fn openings_that_come_back_end_their_call_by_name(injected: Injected) {
    let plain = Forgery::new().payload(opening());
    let with_headers = plain.clone().header("Micro-Stream", "v=2;w=4;b=65536;hb=5");
    for forgery in [plain, with_headers] {
        for kind in 0..4 {
            let repeated = Rule::forge_reply("streams.v1.Streams.*", forgery.clone());
            let repeated = repeated.of_kind(MessageKind::Request).times(1);
            let repeated = injected.faults.add(repeated);
            let result = match kind {
                0 => count(&injected).await,
                1 => collect(&injected, 1).await,
                2 => echo(&injected).await,
                _ => repeat(&injected, 1_200_000, 1).await,
            };
            let status = result.unwrap_err();
            assert_eq!(status.reason(), Some(Reason::NotAService), "{status}");
            let text = status.message();
            assert!(text.contains("repeats what it gets"), "{text}");
            assert_eq!(repeated.applied(), 1);
            injected.faults.clear();
        }
    }
}
