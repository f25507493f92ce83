//! Faults of a real nats-server and its clients: a killed server, malformed messages, garbage.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::{Bus, Code, Reason, Status};
use micro_testkit::within;
use micro_tests::behavior::{BehaviorClient, Blob, WaitRequest};

use crate::carriers::{BehaviorFixture, Carrier};
use crate::polling::wait_until_served;
use crate::until::until;

/// Number of calls in flight when the nats-server is killed.
const CALLS: usize = 64;
/// Number of permits: for those calls, whose handlers continue, for as many beside them, and for some
/// echoes.
const PERMITS: usize = 3 * CALLS;

fn wait(
    client: &BehaviorClient,
    milliseconds: u32,
) -> micro_runtime::call::UnaryCall<WaitRequest, Blob> {
    client.wait(WaitRequest { milliseconds })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_calls_in_flight_fail_when_the_nats_server_is_killed() {
    within(Duration::from_secs(60), async {
        let mut carrier = Carrier::nats().await;
        let fixture = carrier
            .serve_with(|server| server.max_concurrent(PERMITS))
            .await;
        let callers = carrier.another_bus().await;
        let client: BehaviorClient = callers.client();
        wait_until_served(&client).await;
        let tasks_before = live_tasks();
        let calls = (0..CALLS).map(|_| {
            let call = wait(&client, 3_000).timeout(Duration::from_secs(5));
            tokio::spawn(async { (call.await, Instant::now()) })
        });
        let calls = calls.collect::<Vec<_>>();
        until(|| fixture.handler.running() == CALLS).await;
        // Requests that NATS has not confirmed are canceled once they are lost.
        callers.flush().await.unwrap();
        let nats = carrier.nats.as_mut().unwrap();
        let killed_at = Instant::now();
        nats.kill().unwrap();
        for call in calls {
            let (result, ended_at) = call.await.unwrap();
            check_failed_at_once(&result.unwrap_err(), ended_at - killed_at);
        }
        nats.restart().await.unwrap();
        wait_until_served(&client).await;
        let after = join_all((0..CALLS).map(|_| async { wait(&client, 0).await })).await;
        assert!(after.iter().all(Result::is_ok), "{after:?}");
        // The handlers of the failed calls run to their end, and leave no task behind; the connection
        // has the same two tasks as before.
        until(|| fixture.handler.running() == 0).await;
        assert_eq!(fixture.handler.dropped(), 0);
        // One more task may write the log lines that are held back.
        until(|| live_tasks() <= tasks_before + 1).await;
        check_every_permit(fixture, &client).await;
    })
    .await;
}

fn live_tasks() -> usize {
    let runtime = tokio::runtime::Handle::current();
    runtime.metrics().num_alive_tasks()
}

fn check_failed_at_once(status: &Status, elapsed: Duration) {
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.reason(), Some(Reason::Disconnected));
    // Less than the time of the handlers: the failure does not wait for a reply or a deadline.
    let limit = Duration::from_secs(3);
    assert!(elapsed < limit, "failed {elapsed:?} after the kill");
}

/// Checks that as many calls run at once as there are permits, and that the shutdown loses none of them.
async fn check_every_permit(fixture: BehaviorFixture, client: &BehaviorClient) {
    let calls = (0..PERMITS).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            loop {
                match wait(&client, 3_000).await {
                    // A handler returns its permit a moment after its reply.
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

/// Sends raw bytes to the nats-server, without a client library.
fn publish_raw(bus: &Bus, message: &[u8]) {
    let info = bus.nats().unwrap().server_info();
    let mut socket = TcpStream::connect(("127.0.0.1", info.port)).unwrap();
    let mut reply = [0; 4096];
    let _ = socket.read(&mut reply).unwrap();
    socket
        .write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\n")
        .unwrap();
    socket.write_all(message).unwrap();
    socket.write_all(b"PING\r\n").unwrap();
    let length = socket.read(&mut reply).unwrap();
    let text = String::from_utf8_lossy(&reply[..length]).into_owned();
    assert!(text.contains("PONG"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_calls_in_flight_fail_after_a_malformed_message() {
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
            wait_until_served(&client).await;
            let length = header.len();
            let subject = "behavior.v1.Behavior.Echo";
            let mut message = format!("HPUB {subject} {length} {length}\r\n").into_bytes();
            message.extend_from_slice(header);
            message.extend_from_slice(b"\r\n");
            publish_raw(&carrier.bus, &message);
        }
        wait_until_served(&client).await;
        fixture.server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_call_of_a_disconnected_caller_frees_its_permit() {
    within(Duration::from_secs(30), async {
        let carrier = Carrier::nats().await;
        let fixture = carrier.serve_with(|server| server.max_concurrent(1)).await;
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
        wait_until_served(&fixture.client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_every_subject_gets_a_reply() {
    use async_nats::HeaderMap;
    within(Duration::from_secs(60), async {
        let carrier = Carrier::nats().await;
        let fixture = carrier.serve().await;
        let plain_client = carrier.bus.nats().unwrap();
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
                    // Fails without a reply within ten seconds.
                    plain_client
                        .request(subject.clone(), payload.into())
                        .await
                        .unwrap();
                }
                for lines in headers {
                    let mut map = HeaderMap::new();
                    for (name, value) in lines {
                        map.append(*name, *value);
                    }
                    let reply = plain_client.request_with_headers(subject.clone(), map, "".into());
                    reply.await.unwrap();
                }
            }
        }
        fixture.client.echo(Blob::default()).await.unwrap();
    })
    .await;
}
