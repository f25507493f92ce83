//! Servers whose start fails, that are dropped, that have stopped by themselves, and that share an id of an instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::jetstream::Durable;
use micro_runtime::{
    Bus, Code, ConnectOptions, Context, ErrorKind, RunningServer, Server, ServiceOptions, Status,
    StreamOptions, Subscriber, Subscription, service,
};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::market::Trade;
use micro_tests::streams::{CountRequest, Item, StreamsClient, StreamsServer};

use crate::behavior::requests::blob;
use crate::carriers::{Carrier, on_both_carriers};
use crate::log_lines::LogLines;

const LIMIT: Duration = Duration::from_secs(90);
/// Callers at a time.
const CALLERS: usize = 32;

on_both_carriers! {
    calls_to_a_server_that_is_dropped_end_at_once
    a_server_with_nothing_to_serve_does_not_start
    a_server_that_has_stopped_can_be_stopped
    instances_of_one_id_leave_each_others_streams_alone
}

struct Ignore;

#[service]
impl Subscriber<Trade> for Ignore {
    async fn on_event(&self, _ctx: Context, _trade: Trade) -> Result<(), Status> {
        Ok(())
    }
}

async fn serve(bus: &Bus) -> RunningServer {
    let server = Server::new(bus).add(BehaviorServer::new(BehaviorHandler::on(bus)));
    server.start().await.unwrap()
}

/// Calls from [`CALLERS`] tasks until `test` is over, and checks each end.
async fn call_meanwhile(
    bus: &Bus,
    check: fn(Result<Blob, Status>),
    test: impl Future<Output = ()>,
) {
    let client: BehaviorClient = bus.client();
    let is_over = Arc::new(AtomicBool::new(false));
    let callers = (0..CALLERS).map(|_| {
        let (client, is_over) = (client.clone(), Arc::clone(&is_over));
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                // Far less than the deadline.
                let call = within(Duration::from_secs(10), async {
                    client.echo(blob(b"x")).timeout(LIMIT).await
                });
                check(call.await);
                tokio::task::yield_now().await;
            }
        })
    });
    let callers = callers.collect::<Vec<_>>();
    test.await;
    is_over.store(true, Ordering::Relaxed);
    for ended in join_all(callers).await {
        ended.unwrap();
    }
}

/// A start that fails for a permission, and one that fails for a stream that does not exist.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_that_fail_lose_no_call() {
    within(LIMIT, async {
        let config = r#"authorization { users: [
          { user: all, password: p },
          { user: some, password: p, permissions: { subscribe: { deny: "evt.market.>" } } },
        ] }"#;
        let nats = NatsServer::builder().config(config).jetstream();
        let nats = nats.start().await.unwrap();
        let connect = async |user: &str| {
            let options = ConnectOptions::new().user_and_password(user, "p");
            Bus::connect_with(options, nats.url()).await.unwrap()
        };
        let (all, some) = (connect("all").await, connect("some").await);
        let _server = serve(&all).await;
        let failing = async {
            for _ in 0..25 {
                let service = BehaviorServer::new(BehaviorHandler::on(&some));
                let server = Server::new(&some).add(service);
                let server = server.subscribe::<Trade>(Ignore, Subscription::broadcast());
                let error = server.start().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Permission, "{error}");

                let service = BehaviorServer::new(BehaviorHandler::on(&all));
                let server = Server::new(&all).add(service);
                let server = server.subscribe::<Trade>(Ignore, Durable::named("ignore"));
                let error = server.start().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::JetStream, "{error}");
            }
        };
        let check = |end: Result<Blob, Status>| {
            end.unwrap();
        };
        call_meanwhile(&connect("all").await, check, failing).await;
    })
    .await;
}

async fn calls_to_a_server_that_is_dropped_end_at_once(carrier: Carrier) {
    let dropping = async {
        for _ in 0..20 {
            let server = serve(&carrier.bus).await;
            let client: BehaviorClient = carrier.bus.client();
            client.echo(blob(b"")).await.unwrap();
            drop(server);
            // At once, in the same order of messages.
            let call = client.echo(blob(b"")).no_retry().timeout(LIMIT);
            if let Err(status) = within(Duration::from_secs(10), async { call.await }).await {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
            }
        }
    };
    let check = |end: Result<Blob, Status>| {
        if let Err(status) = end {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
        }
    };
    call_meanwhile(&carrier.another_bus().await, check, dropping).await;
}

async fn a_server_with_nothing_to_serve_does_not_start(carrier: Carrier) {
    let empty = || Server::new(&carrier.bus);
    for server in [
        empty(),
        empty().readiness_check("database", || async { Ok(()) }),
        empty().max_concurrent(1).queue_group("a"),
    ] {
        let error = server.start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Service, "{error}");
        assert!(error.to_string().contains("nothing to serve"), "{error}");
    }
    let events = empty().subscribe::<Trade>(Ignore, Subscription::broadcast());
    events.start().await.unwrap().shutdown().await.unwrap();
}

async fn a_server_that_has_stopped_can_be_stopped(carrier: Carrier) {
    // As where a signal comes while `stopped` is awaited.
    let mut server = serve(&carrier.bus).await;
    let early = tokio::time::timeout(Duration::ZERO, server.stopped()).await;
    assert!(early.is_err(), "{early:?}");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_server_that_has_stopped_by_itself_can_be_stopped() {
    let (bus, faults) = Bus::in_process_with_faults(1);
    let mut server = serve(&bus).await;
    faults.refuse_subscribe("behavior.v1.Behavior.Echo");
    let error = within(LIMIT, server.stopped()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    // Its error was returned.
    within(LIMIT, server.stopped()).await.unwrap();
    within(LIMIT, server.shutdown()).await.unwrap();

    faults.allow_all();
    let server = serve(&bus).await;
    faults.refuse_subscribe("behavior.v1.Behavior.Echo");
    // sleep: it stops by itself meanwhile, or is stopped.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = within(LIMIT, server.shutdown()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
}

async fn serve_streams(bus: &Bus, id: &str) -> RunningServer {
    let options = ServiceOptions::new().instance(id);
    let service = StreamsServer::new(micro_tests::StreamsHandler::default());
    let server = Server::new(bus).grace(Duration::from_secs(1));
    server.add_with(service, options).start().await.unwrap()
}

async fn instances_of_one_id_leave_each_others_streams_alone(carrier: Carrier) {
    let others = [carrier.another_bus().await, carrier.another_bus().await];
    let _first = serve_streams(&others[0], "pod-1").await;
    let second = serve_streams(&others[1], "pod-1").await;
    let client: StreamsClient = carrier.bus.client();
    // Each PING asks for the stream, as does the first message after 5 ms.
    let options = StreamOptions::new().heartbeat(Duration::from_secs(2));
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(client.echo().stream_options(options).open().await.unwrap());
    }
    let request = CountRequest {
        messages: 1,
        plan: "wait".to_owned(),
        ..CountRequest::default()
    };
    let mut idle = Vec::new();
    for _ in 0..16 {
        let call = client.count(request.clone()).stream_options(options);
        idle.push(call.await.unwrap());
    }
    for number in 0..5 {
        // sleep: longer than two heartbeats in all.
        tokio::time::sleep(Duration::from_millis(900)).await;
        for (sender, items) in &mut streams {
            let item = Item {
                number,
                ..Item::default()
            };
            sender.send(item).await.unwrap();
            assert_eq!(items.message().await.unwrap().unwrap().number, number);
        }
    }
    for items in &mut idle {
        items.message().await.unwrap().unwrap();
        let more = tokio::time::timeout(Duration::ZERO, items.message()).await;
        assert!(more.is_err(), "{more:?}");
    }
    // Those of one that stops end, and the others go on.
    second.shutdown().await.unwrap();
    let (mut live, mut ended) = (0, 0);
    for (sender, items) in &mut streams {
        match sender.send(Item::default()).await {
            Ok(()) => match items.message().await {
                Ok(_) => live += 1,
                Err(_) => ended += 1,
            },
            Err(_) => ended += 1,
        }
    }
    assert_eq!(live + ended, streams.len());
}

#[tokio::test]
async fn an_instance_whose_id_is_in_use_is_warned_of() {
    within(LIMIT, async {
        let nats = NatsServer::start().await.unwrap();
        let connect = async || Bus::connect(nats.url()).await.unwrap();
        let (one, other) = (connect().await, connect().await);
        let warning = "another instance of this id runs";
        let (lines, _guard) = LogLines::start();
        let _first = serve_streams(&one, "pod-1").await;
        let _second = serve_streams(&other, "pod-2").await;
        let _random = serve(&one).await;
        let _another_random = serve(&other).await;
        assert!(!lines.has_warning(warning));
        let _third = serve_streams(&other, "pod-1").await;
        assert!(lines.has_warning(warning));
    })
    .await;
}

#[tokio::test]
async fn a_new_process_takes_the_id_of_one_that_has_stopped_without_a_warning() {
    let bus = Bus::in_process();
    let (lines, _guard) = LogLines::start();
    for _ in 0..3 {
        let server = serve_streams(&bus, "pod-1").await;
        server.shutdown().await.unwrap();
    }
    assert!(!lines.has_warning("another instance"));
}
