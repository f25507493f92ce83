//! Faults over a real server: it is killed, it is flooded, it carries garbage.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::{Bus, Code, Reason, Status};
use micro_testkit::within;
use micro_tests::behavior::{BehaviorClient, Blob, WaitRequest};

use crate::carriers::{BehaviorFixture, Carrier};
use crate::polling::until;

/// So many calls are in flight when their server dies.
const CALLS: usize = 64;
/// For those, whose handlers run on, and as many beside them, and some echoes.
const PERMITS: usize = 3 * CALLS;

fn rest(client: &BehaviorClient, milliseconds: u32) -> micro_runtime::UnaryCall<WaitRequest, Blob> {
    client.wait(WaitRequest { milliseconds })
}

/// Calls until one succeeds: the connections are back.
pub(crate) async fn recovered(client: &BehaviorClient) {
    let succeeds = async {
        while client
            .echo(Blob::default())
            .timeout(Duration::from_millis(500))
            .await
            .is_err()
        {}
    };
    within(Duration::from_secs(20), succeeds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_that_dies_costs_the_calls_in_flight_and_no_more() {
    within(Duration::from_secs(60), async {
        let mut carrier = Carrier::nats().await;
        let fixture = carrier
            .serve_with(|server| server.max_in_flight(PERMITS))
            .await;
        let callers = carrier.another_bus().await;
        let client: BehaviorClient = callers.client();
        recovered(&client).await;
        let tasks_before = alive_tasks();
        let calls = (0..CALLS).map(|_| {
            let call = rest(&client, 3_000).timeout(Duration::from_secs(5));
            tokio::spawn(async {
                let started = Instant::now();
                (call.await, started.elapsed())
            })
        });
        let calls = calls.collect::<Vec<_>>();
        until(|| fixture.handler.running() == CALLS).await;
        let nats = carrier.nats.as_mut().unwrap();
        nats.kill().unwrap();
        for call in calls {
            let (result, elapsed) = call.await.unwrap();
            failed_at_once(&result.unwrap_err(), elapsed);
        }
        nats.restart().await.unwrap();
        recovered(&client).await;
        let after = join_all((0..CALLS).map(|_| async { rest(&client, 0).await })).await;
        assert!(after.iter().all(Result::is_ok), "{after:?}");
        // The handlers that nobody waits for any more end by themselves, and leave no task behind; a
        // connection that came back has the two tasks that it had.
        until(|| fixture.handler.running() == 0).await;
        assert_eq!(fixture.handler.dropped(), 0);
        until(|| alive_tasks() <= tasks_before).await;
        every_permit_serves_until_the_end(fixture, &client).await;
    })
    .await;
}

fn alive_tasks() -> usize {
    let runtime = tokio::runtime::Handle::current();
    runtime.metrics().num_alive_tasks()
}

fn failed_at_once(status: &Status, elapsed: Duration) {
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.reason(), Some(Reason::Disconnected));
    let limit = Duration::from_secs(3);
    assert!(elapsed < limit, "{elapsed:?}: it did not fail at once");
}

/// As many calls run at once as there are permits, and the server stops without losing one.
async fn every_permit_serves_until_the_end(fixture: BehaviorFixture, client: &BehaviorClient) {
    let calls = (0..PERMITS).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            loop {
                match rest(&client, 1_000).await {
                    // A handler that ended gives its permit back a moment later.
                    Err(status) if status.code() == Code::ResourceExhausted => {}
                    result => return result,
                }
            }
        })
    });
    let calls = calls.collect::<Vec<_>>();
    until(|| fixture.handler.running() == PERMITS).await;
    fixture.server.shutdown().await.unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

/// Publishes bytes as they are, past every client library.
fn publish_raw(bus: &Bus, message: &[u8]) {
    let info = bus.nats().unwrap().server_info();
    let mut socket = TcpStream::connect(("127.0.0.1", info.port)).unwrap();
    let mut answer = [0; 4096];
    let _ = socket.read(&mut answer).unwrap();
    socket
        .write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\n")
        .unwrap();
    socket.write_all(message).unwrap();
    socket.write_all(b"PING\r\n").unwrap();
    let length = socket.read(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(text.contains("PONG"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_message_costs_the_calls_in_flight_and_no_more() {
    within(Duration::from_secs(60), async {
        let carrier = Carrier::nats().await;
        let fixture = carrier.serve().await;
        let callers = carrier.another_bus().await;
        let client: BehaviorClient = callers.client();
        let headers: [&[u8]; 4] = [
            b"NATS/1.0\r\nno colon\r\n\r\n",
            b"NATS/1.0\r\na b: c\r\n\r\n",
            b"NATS/1.0\r\nname: caf\xe9\r\n\r\n",
            b"HTTP/1.1 200\r\n\r\n",
        ];
        for header in headers {
            recovered(&client).await;
            let length = header.len();
            let subject = "behavior.v1.Behavior.Echo";
            let mut message = format!("HPUB {subject} {length} {length}\r\n").into_bytes();
            message.extend_from_slice(header);
            message.extend_from_slice(b"\r\n");
            publish_raw(&carrier.bus, &message);
        }
        recovered(&client).await;
        fixture.server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_disappears_frees_its_place() {
    within(Duration::from_secs(30), async {
        let carrier = Carrier::nats().await;
        let fixture = carrier.serve_with(|server| server.max_in_flight(1)).await;
        let caller = async_nats::connect(carrier.nats.as_ref().unwrap().url())
            .await
            .unwrap();
        let inbox = caller.new_inbox();
        // WaitRequest { milliseconds: 300 }
        let payload = b"\x08\xac\x02".as_slice();
        caller
            .publish_with_reply("behavior.v1.Behavior.Wait", inbox, payload.into())
            .await
            .unwrap();
        caller.flush().await.unwrap();
        while fixture.handler.started() < 1 {
            tokio::task::yield_now().await;
        }
        drop(caller);
        recovered(&fixture.client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_every_subject_is_answered() {
    use async_nats::HeaderMap;
    within(Duration::from_secs(60), async {
        let carrier = Carrier::nats().await;
        let fixture = carrier.serve().await;
        let hand = carrier.bus.nats().unwrap();
        let id = &fixture.server.instances()[0];
        let payloads: [&[u8]; 5] = [
            b"",
            b"\xff\xff\xff\xff",
            b"\x0a\x7f",
            b"{}",
            b"\x0b\x0b\x0b",
        ];
        let headers: [&[(&str, &str)]; 5] = [
            &[("Micro-Timeout", "soon")],
            &[("Micro-Timeout", "18446744073709551616")],
            &[("Content-Type", "application/x-unknown")],
            &[("id-bin", "=====")],
            &[("Micro-Stream", "v=9;w=0"), ("Micro-Timeout", "1")],
        ];
        let methods = [
            "Echo",
            "Fail",
            "Wait",
            "Describe",
            "Fill",
            "WaitWithTimeout",
            "WaitSerially",
            "Relay",
            "Nothing",
            "Flaky",
            "FlakyNonIdempotent",
            "Swap",
            "Panic",
        ];
        for base in [
            "behavior.v1.Behavior".to_owned(),
            format!("behavior.v1.Behavior._i.{id}"),
        ] {
            for method in methods {
                let subject = format!("{base}.{method}");
                for payload in payloads {
                    // Fails if nobody answers within ten seconds.
                    hand.request(subject.clone(), payload.into()).await.unwrap();
                }
                for lines in headers {
                    let mut map = HeaderMap::new();
                    for (name, value) in lines {
                        map.append(*name, *value);
                    }
                    let reply = hand.request_with_headers(subject.clone(), map, "".into());
                    reply.await.unwrap();
                }
            }
        }
        fixture.client.echo(Blob::default()).await.unwrap();
    })
    .await;
}
