//! A million calls and more for each set-up in which a caller could get a reply that is not its own.
//!
//! `tests/it/replies.rs` is the short form in the first tier. With `REPLIES_DIVISOR=100` in the environment each
//! load makes the hundredth part of its calls.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "the figures are the result of a run")]

mod cluster;
#[path = "../it/disturbing_peers.rs"]
mod disturbing_peers;
mod figures;
#[path = "../it/round_trip.rs"]
mod round_trip;
mod workload;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::NatsServer;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;

use crate::disturbing_peers::{
    capture, delete_stream, guess_reply_subjects, reply_up_to_five_times,
};
use crate::figures::Figures;
use crate::workload::{LOADS, Load, Outcome};

/// Instances without a queue group: each of them replies to each request.
const INSTANCES: usize = 5;
/// Number of reply slots that are guessed: as many as the largest load has calls in flight, and some more.
const GUESSED_SLOTS: u64 = 2_048;
/// Name of the stream that captures requests, and their subject.
const STREAM: &str = "CAPTURED";
const CAPTURED: [&str; 1] = ["behavior.v1.Behavior.EchoAfter"];
/// Number of times that it is declared and deleted again during a load.
const CAPTURES: usize = 4;
/// Time for which it exists, and then does not: longer than the longest delay of a handler.
const CAPTURE_TIME: Duration = Duration::from_millis(700);
/// Part of the calls under a stream that captures them; most of them fail at once.
const CAPTURED_DIVISOR: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow replies"]
async fn two_queue_groups() {
    let nats = NatsServer::start().await.unwrap();
    let _first = serve(&nats, |server| server).await;
    let _second = serve(&nats, |server| server.queue_group("canary")).await;
    all_loads_succeed("two queue groups", &nats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow replies"]
async fn five_instances_without_a_queue_group() {
    let nats = NatsServer::start().await.unwrap();
    let mut servers = Vec::new();
    for _ in 0..INSTANCES {
        servers.push(serve(&nats, |server| server.queue_group("-")).await);
    }
    all_loads_succeed("five instances, no queue group", &nats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow replies"]
async fn a_responder_that_replies_one_to_five_times() {
    let nats = NatsServer::start().await.unwrap();
    let responder = reply_up_to_five_times(&nats).await;
    all_loads_succeed("one to five replies", &nats).await;
    responder.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow replies"]
async fn a_peer_that_sprays_guesses() {
    let nats = NatsServer::start().await.unwrap();
    let _server = serve(&nats, |server| server).await;
    let caller = Bus::connect(nats.url()).await.unwrap();
    let guesser = guess_reply_subjects(&nats, &caller, GUESSED_SLOTS).await;
    let mut figures = Figures::new("a peer that guesses");
    for load in LOADS {
        figures.add(load.run(&caller, || true).await);
    }
    let guesses = guesser.stop().await;
    figures.note(&format!("{guesses} guesses"));
    figures.print();
    assert!(guesses > 1_000, "{guesses}");
    figures.expect_every_call_succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow replies"]
async fn a_stream_that_captures_the_requests() {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let _server = serve(&nats, |server| server).await;
    let caller = Bus::connect(nats.url()).await.unwrap();
    let loads = LOADS.map(|load| Load {
        calls: load.calls / CAPTURED_DIVISOR,
        ..load
    });
    // NATS mostly acknowledges before the service replies: perhaps no call has its own reply.
    capture(&caller, STREAM, &CAPTURED).await;
    let mut figures = Figures::new("captured by a stream");
    for load in loads {
        figures.add(load.run(&caller, || true).await);
    }
    figures.print();
    figures.expect_own_replies_or_the_name_of_the_stream(STREAM);
    delete_stream(&caller, STREAM).await;

    let mut figures = Figures::new("captured now and then");
    for load in loads {
        figures.add(run_under_captures(load, &caller).await);
    }
    figures.print();
    figures.expect_own_replies_or_the_name_of_the_stream(STREAM);
    figures.expect_some_of_each();
}

/// Runs a load while a stream that captures its requests is declared and deleted a few times.
async fn run_under_captures(load: Load, caller: &Bus) -> Outcome {
    let is_over = Arc::new(AtomicBool::new(false));
    let may_end = {
        let is_over = Arc::clone(&is_over);
        move || is_over.load(Ordering::Relaxed)
    };
    let capturing = async {
        for _ in 0..CAPTURES {
            capture(caller, STREAM, &CAPTURED).await;
            tokio::time::sleep(CAPTURE_TIME).await; // sleep: the stream's life is the disturbance
            delete_stream(caller, STREAM).await;
            tokio::time::sleep(CAPTURE_TIME).await; // sleep: the time without it, too
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let (outcome, ()) = tokio::join!(load.run(caller, may_end), capturing);
    outcome
}

/// Starts an instance on a connection of its own.
async fn serve(nats: &NatsServer, set: impl FnOnce(Server) -> Server) -> RunningServer {
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
    set(server).start().await.unwrap()
}

/// Runs all loads, each of whose calls must succeed with its own reply.
async fn all_loads_succeed(set_up: &'static str, nats: &NatsServer) {
    let caller = Bus::connect(nats.url()).await.unwrap();
    let mut figures = Figures::new(set_up);
    for load in LOADS {
        figures.add(load.run(&caller, || true).await);
    }
    figures.print();
    figures.expect_every_call_succeeded();
}
