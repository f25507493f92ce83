//! Streams whose frames and openings are lost, repeated or out of order: whole and right, or ended with an error.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::faults::{Forgery, MessageKind, Rule};
use micro_runtime::{Code, Reason, Status, Streaming};
use micro_testkit::within;
use micro_tests::streams::{CountRequest, Item};

use super::fixture::{Injected, with_and_without_a_layer};
use crate::until::until;

with_and_without_a_layer! {
    repeated_frames_are_read_once
    each_lost_frame_ends_its_stream_with_an_error
    frames_out_of_order_end_their_stream_with_an_error
    a_lost_opening_ends_at_the_deadline
    an_opening_that_arrives_twice_never_mixes_two_streams
    frames_of_a_stream_that_has_ended_reach_no_other
    bytes_that_are_no_frame_end_the_stream_with_an_error
    plain_messages_beside_a_stream_are_dropped_and_counted
    a_server_that_accepts_behind_another_reply_is_reset
}

/// Number of items of each stream.
const ITEMS: u64 = 40;
/// Timeout of each stream, which none may need: a busy machine holds up many at once for seconds.
const PATIENT: Duration = Duration::from_secs(60);
/// Delay of frames that other messages overtake.
const LATE: Duration = Duration::from_millis(50);

/// Reads numbered items of this size to the end, and returns the error if there is one.
async fn read(items: &mut Streaming<Item>, size: usize) -> Result<(), Status> {
    let mut number = 0;
    while let Some(item) = items.message().await? {
        assert_eq!(item.number, number, "items arrive in order, without gaps");
        assert_eq!(item.data.len(), size, "the item of another stream");
        number += 1;
    }
    assert_eq!(number, ITEMS, "a stream without an error is whole");
    Ok(())
}

/// Runs a server-streaming call with items of this size.
async fn count(injected: &Injected, size: usize) -> Result<(), Status> {
    let request = CountRequest {
        messages: ITEMS,
        size: u32::try_from(size).unwrap(),
        pause_us: 1,
        ..CountRequest::default()
    };
    let call = injected.stream_client.count(request).no_retry();
    read(&mut call.timeout(PATIENT).await?, size).await
}

/// Runs a client-streaming call with items of this size.
async fn collect(injected: &Injected, size: usize) -> Result<(), Status> {
    let call = injected.stream_client.collect().no_retry();
    let mut collect = call.timeout(PATIENT).open().await?;
    for number in 0..ITEMS {
        // The error of a stream that has ended is the one of `finish`.
        if collect.send(item(number, size)).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let summary = collect.finish().await?;
    assert_eq!(summary.messages, ITEMS);
    assert_eq!(summary.bytes, ITEMS * size as u64);
    assert!(summary.is_in_order);
    Ok(())
}

/// Runs a bidirectional call with items of this size.
async fn echo(injected: &Injected, size: usize) -> Result<(), Status> {
    let call = injected.stream_client.echo().no_retry();
    let (mut sender, mut items) = call.timeout(PATIENT).open().await?;
    let writing = async move {
        for number in 0..ITEMS {
            if sender.send(item(number, size)).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = sender.finish().await;
    };
    tokio::join!(writing, read(&mut items, size)).1
}

fn item(number: u64, size: usize) -> Item {
    Item {
        number,
        data: vec![b'x'; size],
        ..Item::default()
    }
}

async fn run(kind: usize, injected: &Injected, size: usize) -> Result<(), Status> {
    match kind {
        0 => count(injected, size).await,
        1 => collect(injected, size).await,
        _ => echo(injected, size).await,
    }
}

fn check_allowed(result: Result<(), Status>, allowed: &[Code]) -> Option<Status> {
    let status = result.err()?;
    assert!(allowed.contains(&status.code()), "{status}");
    let is_of_idle_timeout = status.message().contains("was silent for");
    assert!(!is_of_idle_timeout, "a PING finds it earlier: {status}");
    Some(status)
}

async fn repeated_frames_are_read_once(injected: Injected) {
    let twice = Rule::duplicate(">", 2, Duration::ZERO..Duration::ZERO);
    let twice = injected.faults.add(twice.of_kind(MessageKind::Frame));
    let streams = (0..9).map(|number| run(number % 3, &injected, number));
    for result in join_all(streams).await {
        result.unwrap();
    }
    assert!(twice.applied() > 27, "{}", twice.applied());
    injected.wait_until_idle().await;
}

/// Each frame in turn is lost, on a bus of its own, so that the streams wait side by side.
async fn each_lost_frame_ends_its_stream_with_an_error(injected: Injected) {
    let mut failures = 0;
    for kind in 0..3 {
        let all = injected
            .faults
            .add(Rule::pass(">").of_kind(MessageKind::Frame));
        run(kind, &injected, 3).await.unwrap();
        let frames = all.applied();
        injected.faults.clear();
        let streams = (1..=frames).map(|n| async move {
            let injected = Injected::start(n, false).await;
            let lost = Rule::drop(">").of_kind(MessageKind::Frame).nth(n);
            injected.faults.add(lost);
            let result = run(kind, &injected, n as usize).await;
            let allowed = [Code::DataLoss, Code::Unavailable, Code::Internal];
            let failure = check_allowed(result, &allowed);
            injected.faults.clear();
            run(kind, &injected, n as usize).await.unwrap();
            failure
        });
        failures += join_all(streams).await.into_iter().flatten().count();
    }
    assert!(failures > 20, "{failures}");
}

async fn frames_out_of_order_end_their_stream_with_an_error(injected: Injected) {
    let mut failures = Vec::new();
    for kind in 0..3 {
        let all = injected
            .faults
            .add(Rule::pass(">").of_kind(MessageKind::Frame));
        run(kind, &injected, 3).await.unwrap();
        let frames = all.applied();
        injected.faults.clear();
        let streams = (1..frames).map(|n| async move {
            let injected = Injected::start(n, false).await;
            let swapped = Rule::reorder(">").of_kind(MessageKind::Frame);
            injected.faults.add(swapped.skip(n - 1).times(2));
            let result = run(kind, &injected, n as usize).await;
            check_allowed(result, &[Code::DataLoss, Code::Internal, Code::Unavailable])
        });
        failures.extend(join_all(streams).await.into_iter().flatten());
    }
    let lost = |status: &&Status| status.reason() == Some(Reason::FramesLost);
    assert!(failures.iter().filter(lost).count() > 5, "{failures:?}");
}

async fn a_lost_opening_ends_at_the_deadline(injected: Injected) {
    injected
        .faults
        .add(Rule::drop("streams.v1.Streams.*").of_kind(MessageKind::Request));
    let limit = Duration::from_millis(100);
    let client = &injected.stream_client;
    let counting = async {
        let call = client.count(CountRequest::default()).no_retry();
        call.timeout(limit).await.map(drop)
    };
    // A stream to the server opens before the server has accepted it.
    let collecting = async {
        let collect = client.collect().timeout(limit).open().await?;
        collect.finish().await.map(drop)
    };
    let echoing = async {
        let (_sender, mut items) = client.echo().timeout(limit).open().await?;
        items.message().await.map(drop)
    };
    let ended: (_, Result<(), Status>, Result<(), Status>) =
        tokio::join!(counting, collecting, echoing);
    for result in [ended.0, ended.1, ended.2] {
        let status = result.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    }
    assert_eq!(injected.streams.live_calls(), 0);
    injected.wait_until_idle().await;
}

async fn an_opening_that_arrives_twice_never_mixes_two_streams(injected: Injected) {
    let twice = Rule::duplicate(
        "streams.v1.Streams.*",
        1,
        Duration::ZERO..Duration::from_millis(2),
    );
    let twice = injected.faults.add(twice.of_kind(MessageKind::Request));
    for kind in 0..3 {
        let streams = (1..20).map(|size| run(kind, &injected, size));
        let mut noticed = 0;
        for result in join_all(streams).await {
            let allowed = [Code::Internal, Code::DataLoss, Code::Canceled];
            let failure = check_allowed(result, &allowed);
            if let Some(status) = failure.filter(|status| status.code() == Code::Internal) {
                let text = status.message();
                assert!(text.contains("a second instance took the stream"), "{text}");
                noticed += 1;
            }
        }
        assert!(noticed > 0, "kind {kind}");
    }
    assert_eq!(twice.applied(), 3 * 19);
    injected.faults.clear();
    injected.wait_until_idle().await;
    count(&injected, 1).await.unwrap();
}

async fn frames_of_a_stream_that_has_ended_reach_no_other(injected: Injected) {
    let late = Rule::duplicate(">", 1, Duration::from_millis(5)..Duration::from_millis(60));
    injected.faults.add(late.of_kind(MessageKind::Frame));
    for size in 0..30 {
        run(size % 3, &injected, size).await.unwrap();
    }
    until(|| injected.bus.unmatched_replies() > 30).await;
    injected.wait_until_idle().await;
}

/// A peer that forges the mark of frames can end a stream, but what it sends is never read as an item.
async fn bytes_that_are_no_frame_end_the_stream_with_an_error(injected: Injected) {
    for payload in [
        &b"\x0f"[..],
        b"\x0f\xff",
        b"\x0f\x12\x7f",
        b"\x0fno frame at all",
    ] {
        let request = CountRequest {
            messages: 3,
            plan: "wait".into(),
            ..CountRequest::default()
        };
        let mut items = injected.stream_client.count(request).await.unwrap();
        for number in 0..3 {
            assert_eq!(items.message().await.unwrap().unwrap().number, number);
        }
        let subject = injected.faults.reply_subjects().pop().unwrap();
        injected
            .faults
            .forge(&subject, &Forgery::new().payload(payload));
        let status = items.message().await.unwrap_err();
        assert_eq!(
            (status.code(), status.reason()),
            (Code::Internal, Some(Reason::BadFrame)),
            "{status}"
        );
        injected.wait_until_idle().await;
    }
}

/// Messages of a second responder after the server has accepted: replies that are valid frames but for the mark, a
/// failure, an offer, an acknowledgment of JetStream, and frames of a client: a whole stream, a RESET, an opening.
fn plain_messages() -> [Forgery; 10] {
    let offer = || Forgery::new().header("Micro-Stream", "v=2;u=1;l=9");
    let accept = &b"\x0f\x18\x10\x42\x02b2\x4a\x028e"[..];
    [
        Forgery::new().payload(&b"\x08\x01\x12\x02\x08\x07"[..]),
        Forgery::new().payload(&b"\x08\x01\x18\x02"[..]),
        Forgery::new(),
        Forgery::new().header("Micro-Status", "5"),
        offer().header("Micro-Status", "8").payload(accept),
        offer().payload(accept),
        Forgery::new().payload(r#"{"stream":"CALLS","seq":7}"#),
        Forgery::new().payload(&b"\x07\x12\x02\x08\x07\x18\x02\x08\x01"[..]),
        Forgery::new().payload(&b"\x07\x18\x04"[..]),
        Forgery::new().payload([&b"\x7f"[..], &[0xff; 11]].concat()),
    ]
}

async fn plain_messages_beside_a_stream_are_dropped_and_counted(injected: Injected) {
    let mut sent = 0;
    let mut forge = |injected: &Injected| {
        let subject = injected.faults.reply_subjects().pop().unwrap();
        for forgery in plain_messages() {
            injected.faults.forge(&subject, &forgery);
            sent += 1;
        }
        sent
    };
    let client = &injected.stream_client;
    let (mut sender, mut items) = client.echo().open().await.unwrap();
    for number in 0..3 {
        let expected = forge(&injected);
        until(|| injected.bus.unmatched_replies() == expected).await;
        sender.send(item(number, 2)).await.unwrap();
        assert_eq!(items.message().await.unwrap(), Some(item(number, 2)));
    }
    sender.finish().await.unwrap();
    assert_eq!(items.message().await.unwrap(), None);

    let mut collect = client.collect().open().await.unwrap();
    forge(&injected);
    collect.send(item(0, 5)).await.unwrap();
    let expected = forge(&injected);
    let summary = collect.finish().await.unwrap();
    assert_eq!((summary.messages, summary.bytes), (1, 5));
    until(|| injected.bus.unmatched_replies() == expected).await;

    // A large reply: they come between the offer and the parts.
    let late = Rule::delay(">", LATE..LATE).of_kind(MessageKind::Frame);
    let late = injected.faults.add(late);
    let large = Item {
        number: 1_200,
        data: vec![9; 1_000],
        ..Item::default()
    };
    let call = async { client.repeat(large).no_retry().await.unwrap() };
    let forging = async {
        until(|| late.applied() > 0).await;
        forge(&injected)
    };
    let (reply, expected) = tokio::join!(call, forging);
    assert_eq!(reply.data, vec![9; 1_200_000]);
    until(|| injected.bus.unmatched_replies() == expected).await;
    injected.faults.clear();
    injected.wait_until_idle().await;
}

/// Another responder ends the opening, of a stream or of a large request. The handler of the server that accepts it as
/// well does not run on.
async fn a_server_that_accepts_behind_another_reply_is_reset(injected: Injected) {
    let failure = Forgery::new().header("Micro-Status", "8");
    for forgery in [
        Forgery::new(),
        Forgery::new().payload(r#"{"stream":"CALLS","seq":7}"#),
        failure,
        Forgery::new().status(409, "Exceeded MaxWaiting"),
        // A RESET.
        Forgery::new().payload(&b"\x0f\x18\x04"[..]),
    ] {
        let forged = Rule::forge_reply("streams.v1.Streams.*", forgery);
        injected.faults.add(forged);
        let started = Instant::now();
        let opened = injected.stream_client.echo().no_retry().open().await;
        opened.map(drop).unwrap_err();
        let request = CountRequest {
            messages: 1_000_000,
            pause_us: 1_000_000,
            ..CountRequest::default()
        };
        let opened = injected.stream_client.count(request).no_retry().await;
        opened.map(drop).unwrap_err();
        let large = item(1, 3 << 20);
        let called = injected.stream_client.repeat(large).no_retry().await;
        called.unwrap_err();
        // Far less than a heartbeat, after which a server finds that its caller is gone.
        let handlers = injected.streams.wait_until_idle();
        within(Duration::from_secs(1), handlers).await;
        injected.wait_until_idle().await;
        let elapsed = started.elapsed();
        assert!(
            elapsed < Duration::from_secs(3),
            "no slot is left: {elapsed:?}"
        );
        injected.faults.clear();
    }
}
