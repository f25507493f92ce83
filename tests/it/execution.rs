//! The rules of the handler runner, for each way in which a handler is run.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use micro_runtime::{
    Bus, Code, Context, RunningServer, Server, Status, Subscriber, Subscription, service,
};
use micro_tests::market::Trade;
use micro_tests::streams::{CountRequest, Item, StreamsClient, StreamsServer};
use micro_tests::{BLOCKED_HANDLERS, ExecutionProbe, PanicsOnDrop};
use prost::Message as _;

use super::carriers::{Carrier, on_both_carriers};
use super::polling::until;

on_both_carriers! {
    blocking_methods_leave_the_threads_of_the_runtime
    a_destructor_that_panics_at_the_deadline_leaves_the_call_its_reply
    a_destructor_that_panics_at_the_stop_leaves_the_call_its_reply
    a_destructor_that_panics_costs_no_event
    a_panic_whose_payload_panics_when_dropped_ends_nothing_else
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

async fn serve(bus: &Bus, set: impl FnOnce(Server) -> Server) -> RunningServer {
    let server = Server::new(bus).add(StreamsServer::new(ExecutionProbe::default()));
    set(server).start().await.unwrap()
}

/// Number of calls of all methods that the server counted as failed.
pub(crate) fn failed_calls(server: &RunningServer) -> u64 {
    let endpoints = server.stats().into_iter().flat_map(|stats| stats.endpoints);
    endpoints.map(|endpoint| endpoint.num_errors).sum()
}

async fn blocking_methods_leave_the_threads_of_the_runtime(carrier: Carrier) {
    let _server = serve(&carrier.bus, |server| server).await;
    for way in BLOCKING {
        let calls = (0..BLOCKED_HANDLERS).map(|_| way.call(&carrier.bus, "block"));
        for result in join_all(calls).await {
            assert!(result.is_ok(), "{way:?}: {result:?}");
        }
    }
}

async fn a_destructor_that_panics_at_the_deadline_leaves_the_call_its_reply(carrier: Carrier) {
    let server = serve(&carrier.bus, |server| server.max_timeout(MAX_TIMEOUT)).await;
    for (number, way) in (1..).zip(DROPPED) {
        let status = way.call(&carrier.bus, "panic-on-drop").await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{way:?}: {status}");
        until(|| failed_calls(&server) == number).await;
        // Another call is served as before.
        way.call(&carrier.bus, "").await.unwrap();
    }
    server.shutdown().await.unwrap();
}

async fn a_destructor_that_panics_at_the_stop_leaves_the_call_its_reply(carrier: Carrier) {
    for way in DROPPED {
        let server = serve(&carrier.bus, |server| server.grace(Duration::ZERO)).await;
        let call = way.call(&carrier.bus, "panic-on-drop");
        let stop = async {
            until(|| in_flight(&server) > 0).await;
            server.shutdown().await
        };
        let (result, stopped) = tokio::join!(call, stop);
        let status = result.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{way:?}: {status}");
        stopped.unwrap();
    }
}

fn in_flight(server: &RunningServer) -> u64 {
    let endpoints = server.stats().into_iter().flat_map(|stats| stats.endpoints);
    let data = endpoints.filter_map(|endpoint| endpoint.data);
    data.map(|data| data.in_flight).sum()
}

/// Waits for ever with a guard that panics, but for events with the number 0.
struct PanickingSubscriber;

#[service]
impl Subscriber<Trade> for PanickingSubscriber {
    async fn on_event(&self, _ctx: Context, trade: Trade) -> Result<(), Status> {
        if trade.number > 0 {
            let _panics = PanicsOnDrop;
            return std::future::pending().await;
        }
        Ok(())
    }
}

async fn a_destructor_that_panics_costs_no_event(carrier: Carrier) {
    let subscription = Subscription::broadcast()
        .max_concurrent(1)
        .timeout(MAX_TIMEOUT);
    let server = Server::new(&carrier.bus)
        .subscribe::<Trade>(PanickingSubscriber, subscription)
        .start()
        .await
        .unwrap();
    let publish = async |number| {
        let trade = Trade {
            venue: "a".into(),
            symbol: "b".into(),
            number,
            ..Trade::default()
        };
        carrier.bus.publish(&trade).await.unwrap();
    };
    for number in [0, 1, 2, 0] {
        publish(number).await;
    }
    let counts = || {
        let stats = &server.events()[0];
        (stats.handled, stats.failed)
    };
    until(|| counts() == (2, 2)).await;
    server.shutdown().await.unwrap();
}

async fn a_panic_whose_payload_panics_when_dropped_ends_nothing_else(carrier: Carrier) {
    let server = serve(&carrier.bus, |server| server).await;
    for (number, way) in (1..).zip(ALL) {
        // Handlers that have proved short run in the loop that reads the requests.
        for _ in 0..10 {
            way.call(&carrier.bus, "").await.unwrap();
        }
        let status = way.call(&carrier.bus, "panic-twice").await.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{way:?}: {status}");
        until(|| failed_calls(&server) == number).await;
        way.call(&carrier.bus, "").await.unwrap();
    }
    server.shutdown().await.unwrap();
}

/// Panics with a payload that panics when it is dropped, for events with the number 1; in place, and
/// after it has waited for events with the number 2.
struct PanickingTwice;

#[service]
impl Subscriber<Trade> for PanickingTwice {
    async fn on_event(&self, _ctx: Context, trade: Trade) -> Result<(), Status> {
        match trade.number {
            1 => std::panic::panic_any(PanicsOnDrop),
            2 => {
                tokio::task::yield_now().await;
                std::panic::panic_any(PanicsOnDrop)
            }
            _ => Ok(()),
        }
    }
}

async fn a_panic_in_the_key_of_an_event_costs_that_event_only(carrier: Carrier) {
    let keyed = Subscription::broadcast()
        .max_concurrent(2)
        .ordered_by(|trade: &Trade| match trade.number {
            1 => panic!("a key that panics"),
            2 => std::panic::panic_any(PanicsOnDrop),
            number => number,
        });
    let server = Server::new(&carrier.bus)
        .subscribe::<Trade>(PanickingTwice, Subscription::broadcast())
        .subscribe::<Trade>(KeyedSubscriber, keyed)
        .start()
        .await
        .unwrap();
    // Single events first: handlers prove short, and then run in place.
    for number in [0, 0, 0, 1, 2, 0, 1, 2, 0, 0] {
        let trade = Trade {
            venue: "a".into(),
            symbol: "b".into(),
            number,
            ..Trade::default()
        };
        carrier.bus.publish(&trade).await.unwrap();
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
    server.shutdown().await.unwrap();
}

struct KeyedSubscriber;

#[service]
impl Subscriber<Trade> for KeyedSubscriber {
    async fn on_event(&self, _ctx: Context, _trade: Trade) -> Result<(), Status> {
        Ok(())
    }
}
