//! A reply reaches the call that its subject was made for, or none: with several responders, responders that reply
//! more than once, replies that come late, and peers that guess subjects.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use micro_runtime::{Bus, ClientOptions, Code, Reason, RunningServer, Server, Status};
use micro_testkit::NatsServer;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, EchoAfterRequest, FillRequest};
use prost::Message as _;

use crate::carriers::{Carrier, on_both_carriers};
use crate::disturbing_peers::{
    capture, delete_stream, guess_reply_subjects, reply_up_to_five_times,
};
use crate::round_trip::round_trip;
use crate::until::until;

on_both_carriers! {
    two_queue_groups_on_one_service
    five_instances_without_a_queue_group
    a_method_without_a_queue_group_beside_one_that_has_one
    replies_after_the_deadline_of_their_calls
    replies_after_their_calls_were_dropped
    a_call_of_all_instances_beside_unary_calls
    replies_of_instances_after_the_end_of_their_call
    large_replies_of_two_queue_groups
}

/// Number of callers; each makes one call after another.
const CALLERS: u64 = 64;
/// Number of calls of each caller.
const CALLS: u64 = 50;

/// Counts of the results of many calls.
#[derive(Debug, Default)]
struct Results {
    own: AtomicU64,
    wrong: AtomicU64,
    failed: AtomicU64,
}

impl Results {
    fn count(&self, expected: &[u8], result: Result<Blob, Status>) {
        let counter = match result {
            Ok(reply) if reply.data == expected => &self.own,
            Ok(_) => &self.wrong,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> [u64; 3] {
        [&self.own, &self.wrong, &self.failed].map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// Makes all calls, each with data of its own and a delay of up to `max_delay`, and counts their results.
async fn call(client: &BehaviorClient, max_delay: Duration) -> Results {
    let results = Results::default();
    let max_delay = u32::try_from(max_delay.as_micros()).unwrap();
    let caller = async |caller: u64| {
        for number in 0..CALLS {
            let data = (caller * CALLS + number).to_be_bytes();
            let request = EchoAfterRequest {
                data: data.to_vec(),
                // Spread over the whole range, and not the same for callers that follow each other.
                microseconds: (data[7] as u32 * 7919) % (max_delay + 1),
            };
            results.count(&data, client.echo_after(request).await);
        }
    };
    join_all((0..CALLERS).map(caller)).await;
    results
}

async fn serve(bus: &Bus, set: impl FnOnce(Server) -> Server) -> RunningServer {
    let server = Server::new(bus).add(BehaviorServer::new(BehaviorHandler::default()));
    set(server).start().await.unwrap()
}

/// As in a rolling change of the queue group's name: each request reaches one member of each group.
async fn two_queue_groups_on_one_service(carrier: Carrier) {
    let _first = serve(&carrier.bus, |server| server).await;
    let _second = serve(&carrier.bus, |server| server.queue_group("canary")).await;
    let caller = carrier.another_bus().await;
    let results = call(&caller.client(), Duration::from_millis(2)).await;
    assert_eq!(results.counts(), [CALLERS * CALLS, 0, 0]);
    assert!(
        caller.unmatched_replies() > 0,
        "the second replies are counted"
    );
}

/// Each request gets two offers of a large reply.
async fn large_replies_of_two_queue_groups(carrier: Carrier) {
    let first = serve(&carrier.bus, |server| server).await;
    let second = serve(&carrier.bus, |server| server.queue_group("canary")).await;
    let client: BehaviorClient = carrier.another_bus().await.client();
    let calls = (0..10).map(|number| {
        let bytes = 1_200_000 + number;
        let call = client.fill(FillRequest { bytes });
        async move { assert_eq!(call.await.unwrap().data.len(), bytes as usize) }
    });
    join_all(calls).await;
    for server in [first, second] {
        let offers = || {
            let endpoints = server.stats().remove(0).endpoints;
            let fill = endpoints.iter().find(|endpoint| endpoint.name == "Fill");
            fill.unwrap().num_requests
        };
        until(|| offers() == 10).await;
    }
}

async fn five_instances_without_a_queue_group(carrier: Carrier) {
    let mut servers = Vec::new();
    for _ in 0..5 {
        servers.push(serve(&carrier.bus, |server| server.queue_group("-")).await);
    }
    let caller = carrier.another_bus().await;
    let results = call(&caller.client(), Duration::from_millis(2)).await;
    assert_eq!(results.counts(), [CALLERS * CALLS, 0, 0]);
    assert!(caller.unmatched_replies() > CALLERS * CALLS);
}

async fn a_method_without_a_queue_group_beside_one_that_has_one(carrier: Carrier) {
    let options = || micro_runtime::ServiceOptions::new().method_queue_group("Echo", "-");
    let mut servers = Vec::new();
    for _ in 0..3 {
        let service = BehaviorServer::new(BehaviorHandler::default());
        let server = Server::new(&carrier.bus).add_with(service, options());
        servers.push(server.start().await.unwrap());
    }
    let client: BehaviorClient = carrier.another_bus().await.client();
    let echoes = Results::default();
    let beside = async {
        for number in 0..CALLERS * CALLS / 4 {
            let data = number.to_be_bytes();
            let result = client
                .echo(Blob {
                    data: data.to_vec(),
                })
                .await;
            echoes.count(&data, result);
        }
    };
    let (results, ()) = tokio::join!(call(&client, Duration::from_millis(1)), beside);
    assert_eq!(results.counts(), [CALLERS * CALLS, 0, 0]);
    assert_eq!(echoes.counts(), [CALLERS * CALLS / 4, 0, 0]);
}

async fn replies_after_the_deadline_of_their_calls(carrier: Carrier) {
    let _server = serve(&carrier.bus, |server| server).await;
    let bus = carrier.another_bus().await;
    let options = ClientOptions::new().timeout(Duration::from_millis(2));
    let hasty: BehaviorClient = bus.client_with(options);
    let patient: BehaviorClient = bus.client();
    let (late, results) = tokio::join!(
        call(&hasty, Duration::from_millis(4)),
        call(&patient, Duration::from_millis(4))
    );
    let [_, wrong, failed] = late.counts();
    assert_eq!(wrong, 0);
    assert!(failed > 0, "some replies came too late");
    assert_eq!(results.counts(), [CALLERS * CALLS, 0, 0]);
}

async fn replies_after_their_calls_were_dropped(carrier: Carrier) {
    let _server = serve(&carrier.bus, |server| server).await;
    let bus = carrier.another_bus().await;
    let client: BehaviorClient = bus.client();
    let dropping = async {
        for number in 0..CALLERS * CALLS {
            let request = EchoAfterRequest {
                data: vec![0xff],
                microseconds: (number % 5) as u32 * 100,
            };
            let mut call = std::pin::pin!(client.echo_after(request).into_future());
            let _ = futures_util::poll!(&mut call);
            tokio::task::yield_now().await;
        }
    };
    let (results, ()) = tokio::join!(call(&client, Duration::from_millis(1)), dropping);
    assert_eq!(results.counts(), [CALLERS * CALLS, 0, 0]);
}

async fn a_call_of_all_instances_beside_unary_calls(carrier: Carrier) {
    let _first = serve(&carrier.bus, |server| server).await;
    let _second = serve(&carrier.bus, |server| server).await;
    let client: BehaviorClient = carrier.another_bus().await.client();
    let to_all = async {
        for number in 0..100_u64 {
            let data = number.to_be_bytes();
            let mut replies = client
                .echo(Blob {
                    data: data.to_vec(),
                })
                .to_all()
                .expected(2)
                .await
                .unwrap();
            let mut count = 0;
            while let Some(reply) = replies.next().await {
                assert_eq!(reply.result.unwrap().data, data);
                count += 1;
            }
            assert_eq!(count, 2);
        }
    };
    let (results, ()) = tokio::join!(call(&client, Duration::from_millis(1)), to_all);
    assert_eq!(results.counts(), [CALLERS * CALLS, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_responder_that_replies_up_to_five_times() {
    let carrier = Carrier::nats().await;
    let responder = reply_up_to_five_times(carrier.nats.as_ref().unwrap()).await;
    let caller = carrier.another_bus().await;
    let results = call(&caller.client(), Duration::ZERO).await;
    assert_eq!(results.counts(), [CALLERS * CALLS, 0, 0]);
    responder.abort();
}

/// A peer that was called knows one subject, and guesses others from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_guesses_reply_subjects() {
    let carrier = Carrier::nats().await;
    let _server = serve(&carrier.bus, |server| server).await;
    let caller = carrier.another_bus().await;
    let nats = carrier.nats.as_ref().unwrap();
    let guesser = guess_reply_subjects(nats, &caller, CALLERS).await;
    let results = call(&caller.client(), Duration::from_millis(2)).await;
    let guesses = guesser.stop().await;
    assert_eq!(results.counts(), [CALLERS * CALLS, 0, 0]);
    assert!(guesses > 1_000, "{guesses}");
    until(|| caller.unmatched_replies() >= guesses).await;
}

/// JetStream acknowledges each request that a stream captures, on the reply subject.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_captures_a_method() {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let carrier = Carrier {
        bus: Bus::connect(nats.url()).await.unwrap(),
        nats: Some(nats),
    };
    let _server = serve(&carrier.bus, |server| server).await;
    let caller = carrier.another_bus().await;
    capture(&caller, "CAPTURED", &["behavior.v1.Behavior.Echo"]).await;
    let client: BehaviorClient = caller.client();
    let acknowledged = AtomicU64::new(0);
    let beside = async {
        for number in 0..500_u64 {
            let data = number.to_be_bytes().to_vec();
            match client.echo(Blob { data: data.clone() }).await {
                Ok(reply) => assert_eq!(reply.data, data),
                Err(status) => {
                    assert_eq!(status.reason(), Some(Reason::NotAService), "{status}");
                    assert!(status.message().contains("`CAPTURED`"), "{status}");
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    let (results, ()) = tokio::join!(call(&client, Duration::from_millis(1)), beside);
    assert_eq!(
        results.counts(),
        [CALLERS * CALLS, 0, 0],
        "calls to another method"
    );
    assert!(acknowledged.into_inner() > 0);
    let service = caller.dynamic("behavior.v1.Behavior").await.unwrap();
    let own = Blob {
        data: b"own".to_vec(),
    };
    let own = own.encode_to_vec();
    let mut failures = 0;
    for _ in 0..50 {
        match service.call_raw("Echo", own.clone()).await {
            Ok(reply) => assert_eq!(reply.message, own),
            Err(status) => {
                assert_eq!(status.reason(), Some(Reason::NotAService), "{status}");
                assert!(status.message().contains("`CAPTURED`"), "{status}");
                failures += 1;
            }
        }
    }
    assert!(failures > 0);
    delete_stream(&caller, "CAPTURED").await;
    for number in 0..100_u8 {
        let message = Blob { data: vec![number] };
        assert_eq!(client.echo(message.clone()).await.unwrap(), message);
    }
}

async fn replies_of_instances_after_the_end_of_their_call(carrier: Carrier) {
    let _servers = [
        serve(&carrier.bus, |server| server).await,
        serve(&carrier.bus, |server| server).await,
    ];
    let caller = carrier.another_bus().await;
    let client: BehaviorClient = caller.client();
    for _ in 0..20 {
        let call = client.echo(Blob::default()).to_all().expected(1);
        drop(call.await.unwrap());
    }
    until(|| caller.unmatched_replies() == 20).await;
}

/// A message of NATS itself is not the reply of a service: its payload is empty, which decodes as a message.
#[tokio::test]
async fn a_status_of_nats_is_no_reply() {
    let carrier = Carrier::nats().await;
    let nats = carrier.bus.nats().unwrap().clone();
    let mut requests = nats.subscribe("behavior.v1.Behavior.Echo").await.unwrap();
    round_trip(&nats).await;
    let client: BehaviorClient = carrier.another_bus().await.client();
    let address = ("127.0.0.1", carrier.nats.as_ref().unwrap().port());
    let mut raw = tokio::net::TcpStream::connect(address).await.unwrap();
    let replying = async {
        let reply = requests.next().await.unwrap().reply.unwrap();
        let header = "NATS/1.0 409 Exceeded MaxWaiting\r\n\r\n";
        let line = format!(
            "CONNECT {{\"headers\":true,\"verbose\":false}}\r\nHPUB {reply} {0} {0}\r\n{header}\r\n",
            header.len()
        );
        tokio::io::AsyncWriteExt::write_all(&mut raw, line.as_bytes())
            .await
            .unwrap();
    };
    let (result, ()) = tokio::join!(client.echo(Blob::default()), replying);
    let status = result.unwrap_err();
    assert_eq!(
        (status.code(), status.reason()),
        (Code::Internal, Some(Reason::NotAService))
    );
    assert!(
        status.message().contains("409 Exceeded MaxWaiting"),
        "{status}"
    );
}
