//! The rules of the handler runner, for each way in which a handler is run.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use micro_runtime::{
    Bus, Code, Context, RunningServer, Server, Status, Subscriber, Subscription, service,
};
use micro_tests::market::Trade;
use micro_tests::streams::{CountRequest, Item, StreamsClient, StreamsServer};
use micro_tests::{BLOCKED_HANDLERS, ExecutionProbe};
use prost::Message as _;
use tokio::task::Id;

use super::carriers::{Carrier, on_both_carriers};
use super::until::until;

on_both_carriers! {
    blocking_methods_leave_the_threads_of_the_runtime
    a_destructor_that_panics_at_the_deadline_leaves_the_call_its_reply
    a_destructor_that_panics_at_the_stop_leaves_the_call_its_reply
    a_destructor_that_panics_costs_no_event
    a_panic_whose_payload_panics_when_dropped_ends_nothing_else
    a_panic_in_place_and_in_a_worker_costs_that_event_only
    a_panic_in_the_key_of_an_event_costs_that_event_only
}

/// Longest time that a call may take at the server.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_millis(100);
/// Longer than any call here takes.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

/// The ways to call a method of `streams.v1.Streams` with a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Unary,
    ServerStreaming,
    ServerStreamingByHand,
    ClientStreaming,
    ClientStreamingByHand,
}

/// The ways to methods whose handlers are dropped at their deadline.
const DROPPED: [Way; 3] = [Way::Unary, Way::ServerStreaming, Way::ServerStreamingByHand];

/// All ways to call a method.
const ALL: [Way; 5] = [
    Way::Unary,
    Way::ServerStreaming,
    Way::ServerStreamingByHand,
    Way::ClientStreaming,
    Way::ClientStreamingByHand,
];

/// The ways to the method under `#[rpc(blocking)]`.
const BLOCKING: [Way; 2] = [Way::ClientStreaming, Way::ClientStreamingByHand];

impl Way {
    /// Makes one call, to its end.
    async fn call(self, bus: &Bus, plan: &str) -> Result<(), Status> {
        let client: StreamsClient = bus.client();
        let count = CountRequest {
            plan: plan.to_owned(),
            ..CountRequest::default()
        };
        let item = Item {
            plan: plan.to_owned(),
            ..Item::default()
        };
        match self {
            Self::Unary => client.repeat(item).timeout(PATIENT).await.map(drop),
            Self::ServerStreaming => {
                let mut items = client.count(count).timeout(PATIENT).await?;
                while items.message().await?.is_some() {}
                Ok(())
            }
            Self::ClientStreaming => {
                let mut items = client.collect().timeout(PATIENT).open().await?;
                items.send(item).await?;
                items.finish().await.map(drop)
            }
            Self::ServerStreamingByHand => by_hand(bus, "Count", count.encode_to_vec()).await,
            Self::ClientStreamingByHand => by_hand(bus, "Collect", item.encode_to_vec()).await,
        }
    }
}

/// Calls a streaming method without the header that asks for frames; returns with the first message.
pub(crate) async fn by_hand(bus: &Bus, method: &str, payload: Vec<u8>) -> Result<(), Status> {
    let client = bus.dynamic("streams.v1.Streams").await?;
    let call = client.call_raw(method, Bytes::from(payload));
    call.timeout(PATIENT).await.map(drop)
}

async fn serve(
    bus: &Bus,
    probe: &ExecutionProbe,
    set: impl FnOnce(Server) -> Server,
) -> RunningServer {
    let server = Server::new(bus).add(StreamsServer::new(probe.clone()));
    set(server).start().await.unwrap()
}

/// Trade whose number chooses what its subscriber does.
fn trade(number: u64) -> Trade {
    Trade {
        venue: "a".into(),
        symbol: "b".into(),
        number,
        ..Trade::default()
    }
}

/// Number of calls of all methods that the server counted as failed.
pub(crate) fn failed_calls(server: &RunningServer) -> u64 {
    let endpoints = server.stats().into_iter().flat_map(|stats| stats.endpoints);
    endpoints.map(|endpoint| endpoint.num_errors).sum()
}

async fn blocking_methods_leave_the_threads_of_the_runtime(carrier: Carrier) {
    let _server = serve(&carrier.bus, &ExecutionProbe::default(), |server| server).await;
    for way in BLOCKING {
        let calls = (0..BLOCKED_HANDLERS).map(|_| way.call(&carrier.bus, "block"));
        for result in join_all(calls).await {
            assert!(result.is_ok(), "{way:?}: {result:?}");
        }
    }
}

async fn a_destructor_that_panics_at_the_deadline_leaves_the_call_its_reply(carrier: Carrier) {
    let probe = ExecutionProbe::default();
    let limited = |server: Server| server.max_timeout(MAX_TIMEOUT);
    let server = serve(&carrier.bus, &probe, limited).await;
    for (number, way) in (1..).zip(DROPPED) {
        let status = way.call(&carrier.bus, "panic-on-drop").await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{way:?}: {status}");
        until(|| failed_calls(&server) == number as u64).await;
        assert_eq!(probe.drops(), number, "{way:?}");
        // Another call is served as before.
        way.call(&carrier.bus, "").await.unwrap();
    }
    server.shutdown().await.unwrap();
}

async fn a_destructor_that_panics_at_the_stop_leaves_the_call_its_reply(carrier: Carrier) {
    for way in DROPPED {
        let probe = ExecutionProbe::default();
        let server = serve(&carrier.bus, &probe, |server| server.grace(Duration::ZERO)).await;
        let call = way.call(&carrier.bus, "panic-on-drop");
        let stop = async {
            // The handler has begun, so that it holds what panics when it is dropped.
            until(|| in_flight(&server) == 1 && probe.spans() > 0).await;
            assert_eq!(probe.drops(), 0, "{way:?}");
            server.shutdown().await
        };
        let (result, stopped) = tokio::join!(call, stop);
        let status = result.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{way:?}: {status}");
        stopped.unwrap();
        assert_eq!(probe.drops(), 1, "{way:?}");
    }
}

fn in_flight(server: &RunningServer) -> u64 {
    let endpoints = server.stats().into_iter().flat_map(|stats| stats.endpoints);
    let data = endpoints.filter_map(|endpoint| endpoint.data);
    data.map(|data| data.in_flight).sum()
}

/// Waits for ever with a guard that panics, but for events with the number 0.
struct PanickingSubscriber(ExecutionProbe);

#[service]
impl Subscriber<Trade> for PanickingSubscriber {
    async fn on_event(&self, _ctx: Context, trade: Trade) -> Result<(), Status> {
        if trade.number > 0 {
            let _panics = self.0.panics_on_drop();
            return std::future::pending().await;
        }
        Ok(())
    }
}

async fn a_destructor_that_panics_costs_no_event(carrier: Carrier) {
    let subscription = Subscription::broadcast()
        .max_concurrent(1)
        .timeout(MAX_TIMEOUT);
    let probe = ExecutionProbe::default();
    let server = Server::new(&carrier.bus)
        .subscribe::<Trade>(PanickingSubscriber(probe.clone()), subscription)
        .start()
        .await
        .unwrap();
    for number in [0, 1, 2, 0] {
        carrier.bus.publish(&trade(number)).await.unwrap();
    }
    let counts = || {
        let stats = &server.events()[0];
        (stats.handled, stats.failed)
    };
    until(|| counts() == (2, 2)).await;
    assert_eq!(probe.drops(), 2);
    server.shutdown().await.unwrap();
}

async fn a_panic_whose_payload_panics_when_dropped_ends_nothing_else(carrier: Carrier) {
    let probe = ExecutionProbe::default();
    let server = serve(&carrier.bus, &probe, |server| server).await;
    let mut panics = 0;
    // Panics one handler; returns the tasks in which it was polled.
    let mut panic_in = async |way: Way| {
        drop(probe.take_tasks());
        let status = way.call(&carrier.bus, "panic-twice").await.unwrap_err();
        let tasks = probe.take_tasks();
        assert_eq!(status.code(), Code::Internal, "{way:?}: {status}");
        panics += 1;
        until(|| failed_calls(&server) == panics as u64).await;
        assert_eq!(probe.drops(), panics, "{way:?}");
        way.call(&carrier.bus, "").await.unwrap();
        tasks
    };
    // No method has proved short: each handler runs in a task of its own.
    let mut spawned = Vec::new();
    for way in ALL {
        spawned.extend(panic_in(way).await);
    }
    // Until a panic has happened in the loop that reads the requests.
    let in_place = loop {
        let reader = call_in_place(&carrier.bus, &probe).await;
        if panic_in(Way::Unary).await == [reader] {
            break reader;
        }
    };
    assert!(!spawned.is_empty() && !spawned.contains(&in_place));
    server.shutdown().await.unwrap();
}

/// Calls a unary method until it runs in place, and returns the task of the loop that reads its requests.
/// Only that task handles two calls: every handler that is spawned has its own.
async fn call_in_place(bus: &Bus, probe: &ExecutionProbe) -> Id {
    drop(probe.take_tasks());
    let mut last = None;
    loop {
        Way::Unary.call(bus, "").await.unwrap();
        let tasks = probe.take_tasks();
        let [task] = tasks[..] else {
            panic!("one handler in {tasks:?}");
        };
        if last.replace(task) == Some(task) {
            return task;
        }
    }
}

/// Panics with a payload that panics when it is dropped, for events with the number 1; after it has
/// waited, for events with the number 2. With the number 3 it only waits.
struct PanickingTwice(ExecutionProbe);

#[service]
impl Subscriber<Trade> for PanickingTwice {
    async fn on_event(&self, _ctx: Context, trade: Trade) -> Result<(), Status> {
        self.0.record_task();
        if matches!(trade.number, 2 | 3) {
            tokio::task::yield_now().await;
            self.0.record_task();
        }
        if matches!(trade.number, 1 | 2) {
            std::panic::panic_any(self.0.panics_on_drop());
        }
        Ok(())
    }
}

async fn a_panic_in_place_and_in_a_worker_costs_that_event_only(carrier: Carrier) {
    let probe = ExecutionProbe::default();
    let one_worker = Subscription::broadcast().max_concurrent(1);
    let server = Server::new(&carrier.bus)
        .subscribe::<Trade>(PanickingTwice(probe.clone()), one_worker)
        .start()
        .await
        .unwrap();
    let counts = || {
        let stats = &server.events()[0];
        (stats.handled, stats.panicked)
    };
    let mut expected = (0, 0);
    // Handles one event to its outcome; returns the tasks of its polls.
    let mut handle = async |number: u64| {
        carrier.bus.publish(&trade(number)).await.unwrap();
        match number {
            1 | 2 => expected.1 += 1,
            _ => expected.0 += 1,
        }
        until(|| counts() == expected).await;
        assert_eq!(probe.drops() as u64, expected.1);
        probe.take_tasks()
    };
    // The handlers have not proved short: the first event is the worker's.
    let worker = handle(1).await;
    assert_eq!(worker.len(), 1);
    let (mut is_done_in_place, mut is_done_after_waiting) = (false, false);
    while !(is_done_in_place && is_done_after_waiting) {
        // A handler that waits goes from the loop that reads the subscription to the worker, once
        // handlers have proved short.
        let waiting = handle(3).await;
        assert_eq!(waiting[1..], worker);
        let reader = waiting[0];
        if reader == worker[0] {
            continue;
        }
        is_done_after_waiting |= handle(2).await == [reader, worker[0]];
        is_done_in_place |= handle(1).await == [reader];
    }
    handle(0).await;
    server.shutdown().await.unwrap();
}

async fn a_panic_in_the_key_of_an_event_costs_that_event_only(carrier: Carrier) {
    let (probe, keys) = (ExecutionProbe::default(), ExecutionProbe::default());
    let payloads = keys.clone();
    let keyed = Subscription::broadcast()
        .max_concurrent(2)
        .ordered_by(move |trade: &Trade| match trade.number {
            1 => panic!("a key that panics"),
            2 => std::panic::panic_any(payloads.panics_on_drop()),
            number => number,
        });
    let server = Server::new(&carrier.bus)
        .subscribe::<Trade>(PanickingTwice(probe.clone()), Subscription::broadcast())
        .subscribe::<Trade>(KeyedSubscriber, keyed)
        .start()
        .await
        .unwrap();
    for number in [0, 0, 0, 1, 2, 0, 1, 2, 0, 0] {
        carrier.bus.publish(&trade(number)).await.unwrap();
        tokio::task::yield_now().await;
    }
    let counts = || {
        let stats = server.events();
        let counts = stats
            .iter()
            .map(|stats| (stats.received, stats.handled, stats.panicked));
        counts.collect::<Vec<_>>()
    };
    until(|| counts() == [(10, 6, 4), (10, 6, 4)]).await;
    assert_eq!((probe.drops(), keys.drops()), (4, 2));
    server.shutdown().await.unwrap();
}

struct KeyedSubscriber;

#[service]
impl Subscriber<Trade> for KeyedSubscriber {
    async fn on_event(&self, _ctx: Context, _trade: Trade) -> Result<(), Status> {
        Ok(())
    }
}
