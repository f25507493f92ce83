//! Unary calls whose peer is killed: at one instance they end within a heartbeat, others at their deadline; and so do
//! the handlers of a caller that is killed.

use std::future::IntoFuture as _;
use std::process::Command;
use std::time::{Duration, Instant};

use micro_runtime::faults::{MessageKind, Rule};
use micro_runtime::{Bus, ClientOptions, Code, Reason, Server, Status};
use micro_testkit::{NatsServer, Process, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, WaitRequest};
use tokio::task::JoinHandle;

use crate::carriers::{BehaviorFixture, Carrier, on_both_carriers};
use crate::server_process::start_server_process;
use crate::until::until;

on_both_carriers! {
    a_call_of_an_instance_that_lives_or_stops_in_order_outlasts_heartbeats
}

const HEARTBEAT: Duration = Duration::from_secs(5);
/// Allowance for a query on a busy machine.
const ALLOWANCE: Duration = Duration::from_millis(500);
/// Timeout of a call that is to end for another reason.
const PATIENT: Duration = Duration::from_secs(40);

/// Begins a call that does not end by itself.
fn call(client: &BehaviorClient, timeout: Duration) -> JoinHandle<(Status, Duration)> {
    let call = client.wait(BehaviorHandler::UNTIL_RELEASED);
    let call = call.timeout(timeout).into_future();
    tokio::spawn(async move {
        let begun = Instant::now();
        let status = call.await.unwrap_err();
        (status, begun.elapsed())
    })
}

fn client_of(bus: &Bus, instance: &str) -> BehaviorClient {
    bus.client_with(ClientOptions::new().instance(instance))
}

/// The stop begins while the call is at the instance, which refuses further ones.
async fn a_call_of_an_instance_that_lives_or_stops_in_order_outlasts_heartbeats(carrier: Carrier) {
    let BehaviorFixture {
        handler, server, ..
    } = carrier.serve().await;
    let caller = carrier.another_bus().await;
    let client = client_of(&caller, &server.instances()[0]);
    let begun = Instant::now();
    let milliseconds = 12_000;
    let calling = client.wait(WaitRequest { milliseconds });
    let calling = tokio::spawn(calling.timeout(PATIENT).into_future());
    until(|| handler.running() == 1).await;
    // sleep: the instance lives for more than a heartbeat.
    tokio::time::sleep(HEARTBEAT + ALLOWANCE).await;
    server.shutdown().await.unwrap();
    calling.await.unwrap().unwrap();
    assert!(begun.elapsed() > HEARTBEAT * 2);
}

/// Three calls: of the instance, of the queue group, and of the instance with a time that is over before a heartbeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_killed_instance_end_within_a_heartbeat_or_at_their_deadline() {
    within(Duration::from_secs(60), async {
        let nats = NatsServer::start().await.unwrap();
        let mut process = start_server_process(&nats).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let found = bus.discovery().ping().await.unwrap();
        let client = client_of(&bus, &found[0].instance.id);
        let group: BehaviorClient = bus.client();
        let calls = [
            call(&client, PATIENT),
            call(&client, Duration::from_secs(1)),
            call(&group, HEARTBEAT * 2),
        ];
        // All three are at the instance: a call behind them gets its reply.
        bus.flush().await.unwrap();
        client.wait(WaitRequest { milliseconds: 1 }).await.unwrap();
        let [at_instance, short, of_group] = calls;
        let (status, took) = short.await.unwrap();
        assert_eq!(status.reason(), Some(Reason::Deadline), "{status}");
        assert!(took < Duration::from_secs(1) + ALLOWANCE, "{took:?}");
        // sleep: the instance has lived for a heartbeat.
        tokio::time::sleep(HEARTBEAT).await;
        process.kill().unwrap();
        let killed = Instant::now();
        let (status, _) = at_instance.await.unwrap();
        assert_eq!(status.reason(), Some(Reason::PeerGone), "{status}");
        assert!(killed.elapsed() < HEARTBEAT + ALLOWANCE, "{status}");
        let (status, took) = of_group.await.unwrap();
        assert_eq!(status.reason(), Some(Reason::Deadline), "{status}");
        assert!(took < HEARTBEAT * 2 + ALLOWANCE, "{took:?}");
        // Later calls find nobody.
        let status = client.wait(WaitRequest::default()).await.unwrap_err();
        assert_eq!(status.reason(), Some(Reason::NoResponders), "{status}");
    })
    .await;
}

/// In process an instance that is dropped replies to its calls. That reply is lost, as if it was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_an_instance_that_has_gone_in_process_ends_within_a_heartbeat() {
    within(Duration::from_secs(60), async {
        for _ in 0..10 {
            let (bus, faults) = Bus::in_process_with_faults(1);
            let handler = BehaviorHandler::default();
            let server = Server::new(&bus).add(BehaviorServer::new(handler.clone()));
            let server = server.start().await.unwrap();
            let client = client_of(&bus, &server.instances()[0]);
            let calling = call(&client, PATIENT);
            until(|| handler.running() == 1).await;
            let lost = faults.add(Rule::drop(">").of_kind(MessageKind::Reply).times(1));
            drop(server);
            let dropped = Instant::now();
            let (status, _) = calling.await.unwrap();
            if status.reason() == Some(Reason::ShuttingDown) {
                // Another reply was lost, as that to a probe of the instance.
                continue;
            }
            assert_eq!(status.reason(), Some(Reason::PeerGone), "{status}");
            assert_eq!(status.code(), Code::Unavailable);
            assert!(dropped.elapsed() < HEARTBEAT + ALLOWANCE, "{status}");
            assert_eq!(lost.applied(), 1);
            return;
        }
        panic!("it was never the reply of the call that was lost");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_of_a_killed_caller_ends_at_the_deadline_of_its_call() {
    const TIMEOUT: Duration = Duration::from_secs(3);
    within(Duration::from_secs(60), async {
        let carrier = Carrier::nats().await;
        let fixture = carrier.serve().await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_program-end"));
        let url = carrier.nats.as_ref().unwrap().url();
        let timeout = TIMEOUT.as_millis().to_string();
        command.env("NATS_URL", url).args(["call", &timeout]);
        let mut caller = Process::spawn(command).unwrap();
        until(|| fixture.handler.running() == 1).await;
        let begun = Instant::now();
        caller.kill().unwrap();
        until(|| fixture.handler.running() == 0).await;
        let ran = begun.elapsed();
        assert!(ran < TIMEOUT + ALLOWANCE, "{ran:?}");
        assert!(ran > TIMEOUT / 2, "it had its time: {ran:?}");
        assert_eq!(fixture.handler.dropped(), 1);
        fixture.server.shutdown().await.unwrap();
    })
    .await;
}
