//! Outside of a tokio runtime, and after the end of the runtime that a bus was made in, each operation ends at once
//! with an error that names the cause.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use micro_runtime::jetstream::{Durable, EventStream};
use micro_runtime::{
    Bus, ClientOptions, Code, Context, Error, ErrorKind, Reason, Server, Status, Subscriber,
    Subscription,
};
use micro_testkit::NatsServer;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer};
use micro_tests::market::{Trade, TradeFilter};
use micro_tests::streams::{CountRequest, StreamsClient};
use tokio::runtime::Runtime;

use crate::behavior::requests::{blob, millis};
use crate::layered::with_and_without_layer;
use crate::until::until;

/// Polls once, as an executor that is not tokio's does.
#[track_caller]
fn poll<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    match future
        .as_mut()
        .poll(&mut TaskContext::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[track_caller]
fn check_status<T>(result: Result<T, Status>) {
    let status = result.err().unwrap();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let text = status.message();
    assert!(text.contains("outside of a tokio runtime"), "{text}");
    assert!(text.contains("`Runtime::block_on`"), "{text}");
}

#[track_caller]
fn check_error<T>(result: Result<T, Error>) {
    let error = result.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Runtime, "{error}");
    assert!(
        error.to_string().contains("outside of a tokio runtime"),
        "{error}"
    );
}

struct IdleSubscriber;

impl Subscriber<Trade> for IdleSubscriber {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        Ok(())
    }
}

/// The bus outlives the call of this, and its runtime does, too.
fn check_outside(bus: &Bus) {
    for options in with_and_without_layer(&ClientOptions::new()) {
        let client: BehaviorClient = bus.client_with(options.clone());
        check_status(poll(client.echo(blob(b""))));
        check_status(poll(client.echo(blob(b"")).with_metadata()));
        check_status(poll(client.echo(blob(b"")).to_all()));
        let large = micro_tests::behavior::Blob {
            data: vec![0; 2 << 20],
        };
        check_status(poll(client.echo(large)));
        let client: StreamsClient = bus.client_with(options);
        check_status(poll(client.count(CountRequest::default())));
        check_status(poll(client.collect().open()));
        check_status(poll(client.echo().open()));
    }
    check_error(poll(bus.discovery().ping()));
    check_error(poll(bus.discovery().list()));
    check_error(poll(bus.discovery().watch().open()));
    check_error(poll(bus.subscribe_raw("evt.>").open()));
    check_error(poll(bus.subscribe::<Trade>(TradeFilter::new()).open()));
    let server = || Server::new(bus).add(BehaviorServer::new(BehaviorHandler::default()));
    check_error(poll(server().start()));
    check_error(poll(server().serve_until(std::future::pending())));
    // Without a service, and with subscribers only, nothing is subscribed to before the proof.
    check_error(poll(Server::new(bus).start()));
    let subscription = Subscription::broadcast().max_concurrent(4);
    let recorder = Server::new(bus).subscribe::<Trade>(IdleSubscriber, subscription);
    check_error(poll(recorder.start()));
    check_error(poll(
        bus.discovery().cached(Duration::from_secs(1)).snapshot(),
    ));
    check_error(poll(bus.discovery().ping().expected(1)));
    check_status(poll(bus.dynamic("behavior.v1.Behavior")));
    // A publish needs no timer and no task.
    poll(bus.publish_raw("evt.outside", "")).unwrap();
}

#[test]
fn nothing_panics_outside_of_a_runtime_in_process() {
    check_outside(&Bus::in_process());
}

#[test]
fn nothing_panics_outside_of_a_runtime_over_nats() {
    let runtime = Runtime::new().unwrap();
    let nats = runtime
        .block_on(NatsServer::builder().jetstream().start())
        .unwrap();
    let bus = runtime.block_on(Bus::connect(nats.url())).unwrap();
    check_outside(&bus);
    check_error(poll(Bus::connect(nats.url())));
    check_error(poll(Bus::from_nats(bus.nats().unwrap().clone())));
    check_error(poll(Bus::from_env()));
    let market = EventStream::named("MARKET").subject("evt.market.>");
    check_error(poll(bus.declare(&market)));
    check_error(poll(Server::new(&bus).declare(market).start()));
    let durable = Server::new(&bus).subscribe::<Trade>(IdleSubscriber, Durable::named("books"));
    check_error(poll(durable.start()));
    check_status(poll(bus.replay::<Trade>().open()));
    check_status(poll(bus.replay::<Trade>().stream("MARKET").open()));
    let trade = Trade {
        venue: "v".into(),
        symbol: "s".into(),
        ..Trade::default()
    };
    check_status(poll(bus.publish_durable(&trade)));
    check_status(poll(bus.publish_durable(&trade).send()));
    let publisher = bus.durable_publisher();
    check_status(poll(publisher.publish(&trade).send()));
    poll(publisher.flush()).unwrap();
    let _entered = runtime.enter();
    drop((bus, nats));
}

/// What was made within a runtime and is polled outside of it does not panic either.
fn check_left(runtime: &Runtime, bus: &Bus) {
    let server = Server::new(bus).add(BehaviorServer::new(BehaviorHandler::default()));
    let mut server = runtime.block_on(server.start()).unwrap();
    let client: BehaviorClient = bus.client();
    // Two are expected, and one instance replies.
    let all = client.echo(blob(b"")).to_all().expected(2);
    let mut replies = runtime.block_on(all.into_future()).unwrap();
    assert!(poll(replies.next()).unwrap().result.is_ok());
    assert!(poll(replies.next()).is_none());
    let opening = bus.discovery().watch().open();
    let mut watch = runtime.block_on(opening).unwrap();
    let mut streams = runtime.block_on(bus.client::<StreamsClient>().echo().open().into_future());
    assert!(
        streams
            .as_mut()
            .is_err_and(|status| status.reason() == Some(Reason::NoResponders))
    );
    for _ in 0..2 {
        let mut cx = TaskContext::from_waker(Waker::noop());
        assert!(pin!(server.stopped()).as_mut().poll(&mut cx).is_pending());
        let _ = pin!(watch.next()).as_mut().poll(&mut cx);
    }
    let mut cx = TaskContext::from_waker(Waker::noop());
    let _ = pin!(server.shutdown()).as_mut().poll(&mut cx);
    drop((watch, replies, client));
}

#[test]
fn nothing_panics_that_is_polled_outside_of_its_runtime() {
    let runtime = Runtime::new().unwrap();
    check_left(&runtime, &Bus::in_process());
    let nats = runtime.block_on(NatsServer::start()).unwrap();
    let bus = runtime.block_on(Bus::connect(nats.url())).unwrap();
    check_left(&runtime, &bus);
}

/// A status whose cause is the end of the bus's runtime: at its deadline a call would end for another reason.
#[track_caller]
fn check_lost<T>(result: Result<T, Status>, what: &str) {
    let status = result.err().unwrap();
    assert_eq!(status.code(), Code::Unavailable, "{what}: {status}");
    assert_eq!(
        status.reason(),
        Some(Reason::Disconnected),
        "{what}: {status}"
    );
    assert!(
        status.message().contains("the tokio runtime"),
        "{what}: {status}"
    );
}

/// Each operation over a bus whose runtime has ended.
async fn check_all_lost(bus: &Bus, options: &ClientOptions) {
    for options in with_and_without_layer(options) {
        let client: BehaviorClient = bus.client_with(options.clone());
        for _ in 0..20 {
            check_lost(client.echo(blob(b"")).await, "unary");
        }
        let calls = (0..20).map(|_| client.echo(blob(b"")).into_future());
        for result in futures_util::future::join_all(calls).await {
            check_lost(result, "unary, together");
        }
        let all = client.echo(blob(b"")).to_all().await;
        check_lost(all, "to all");
        let streams: StreamsClient = bus.client_with(options);
        let counting = streams.count(CountRequest::default()).await;
        check_lost(counting, "a stream of replies");
        check_lost(streams.echo().open().await, "both ways");
    }
    check_lost(bus.publish_raw("evt.x", "").await, "publish");
    let server = Server::new(bus).add(BehaviorServer::new(BehaviorHandler::default()));
    let errors = [
        bus.subscribe_raw("evt.>").open().await.err().unwrap(),
        server.start().await.err().unwrap(),
        bus.discovery().ping().await.err().unwrap(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    }
}

#[test]
fn calls_end_at_once_when_the_runtime_of_their_bus_is_gone() {
    let serving = Runtime::new().unwrap();
    let calling = Runtime::new().unwrap();
    let nats = serving.block_on(NatsServer::start()).unwrap();
    let handler = BehaviorHandler::default();
    let server = serving.block_on(async {
        let bus = Bus::connect(nats.url()).await.unwrap();
        let server = Server::new(&bus).add(BehaviorServer::new(handler.clone()));
        server.start().await.unwrap()
    });
    for workers in [1, 2] {
        let connecting = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build()
            .unwrap();
        let bus = connecting.block_on(Bus::connect(nats.url())).unwrap();
        let options = ClientOptions::new().timeout(Duration::from_secs(60));
        let client: BehaviorClient = bus.client_with(options.clone());
        calling
            .block_on(client.echo(blob(b"before")).into_future())
            .unwrap();
        let before = handler.started();
        // Enough calls that some of them go through the outbox.
        let in_flight = (0..20).map(|_| {
            let call = client.wait(millis(60_000));
            calling.spawn(call.into_future())
        });
        let in_flight: Vec<_> = in_flight.collect();
        calling.block_on(until(|| handler.started() == before + 20));
        connecting.shutdown_background();
        calling.block_on(async {
            for call in in_flight {
                check_lost(call.await.unwrap(), "in flight");
            }
            check_all_lost(&bus, &options).await;
        });
    }
    serving.block_on(async { drop((server, nats)) });
}

/// A subscription of the bus ends.
#[test]
fn subscriptions_end_when_the_runtime_of_their_bus_is_gone() {
    let [connecting, reading] = [(); 2].map(|()| Runtime::new().unwrap());
    let nats = reading.block_on(NatsServer::start()).unwrap();
    let bus = connecting.block_on(Bus::connect(nats.url())).unwrap();
    let mut events = reading
        .block_on(bus.subscribe::<Trade>(TradeFilter::new()).open())
        .unwrap();
    connecting.shutdown_background();
    let end = async {
        let end = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
        assert!(end.unwrap().is_none());
    };
    reading.block_on(end);
    reading.block_on(async { drop(nats) });
}
