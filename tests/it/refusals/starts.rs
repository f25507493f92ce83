//! Starts of servers: each missing line, the limit of subscriptions, refusals of others, and the time that they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use micro_runtime::{
    Bus, Context, Error, ErrorKind, RunningServer, Server, Status, Subscriber, Subscription,
    service,
};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::market::Closed;

use super::users::{ALL, User, connect, nats_with};

const LIMIT: Duration = Duration::from_secs(60);

/// Handler of events that does nothing.
struct Ignoring;

#[service]
impl Subscriber<Closed> for Ignoring {
    async fn on_event(&self, _: Context, _: Closed) -> Result<(), Status> {
        Ok(())
    }
}

async fn start(bus: &Bus) -> Result<RunningServer, Error> {
    let server = Server::new(bus).add(BehaviorServer::new(BehaviorHandler::on(bus)));
    server.start().await
}

#[tokio::test]
async fn each_subscription_that_is_denied_fails_the_start_by_name() {
    within(LIMIT, async {
        for denied in [
            "behavior.v1.Behavior.Swap",
            "behavior.v1.Behavior._i._all.>",
            "behavior.v1.Behavior._health",
            "behavior.v1.Behavior._schema",
            "$SRV.STATS.behavior-v1-Behavior",
            "evt.market.closed",
        ] {
            let service = User::new("service", ALL, ALL);
            let deny = format!("\"{denied}\"");
            let config = super::users::config(&[service]);
            let config = config.replacen("] }", &format!("], deny: [{deny}] }}"), 1);
            let nats = NatsServer::builder().config(&config).start().await.unwrap();
            let bus = connect(&nats, "service").await;
            let server = Server::new(&bus)
                .add(BehaviorServer::new(BehaviorHandler::on(&bus)))
                .subscribe::<Closed>(Ignoring, Subscription::broadcast());
            let error = server.start().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
            let named = format!("subscribe to `{denied}`");
            assert!(error.to_string().contains(&named), "{error}");
        }
    })
    .await;
}

/// The subscriptions are 17 of methods, 4 of the instance and its queries, 9 of discovery, and the inbox.
#[tokio::test]
async fn a_start_above_max_subscriptions_fails_and_one_with_room_serves() {
    within(LIMIT, async {
        let starts = async |limit: usize| {
            let config = format!("max_subscriptions: {limit}\n");
            let nats = NatsServer::builder().config(&config).start().await.unwrap();
            let bus = Bus::connect(nats.url()).await.unwrap();
            let started = start(&bus).await;
            if let Ok(server) = &started {
                let client: BehaviorClient = bus.client();
                client.echo(Blob::default()).await.unwrap();
                assert_eq!(server.instances().len(), 1);
            }
            started.map(drop)
        };
        let refused = async |limit| {
            let error = starts(limit).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
            assert!(error.to_string().contains("max_subscriptions"), "{error}");
            assert!(error.to_string().contains("one to spare"), "{error}");
        };
        refused(5).await;
        refused(20).await;
        let mut least = 21;
        while starts(least).await.is_err() {
            refused(least).await;
            least += 1;
        }
        assert!((31..=33).contains(&least), "{least}");
    })
    .await;
}

#[tokio::test]
async fn an_event_subscription_above_the_limit_fails_alone() {
    within(LIMIT, async {
        let nats = NatsServer::builder().config("max_subscriptions: 33\n");
        let nats = nats.start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let mut server = start(&bus).await.unwrap();
        let mut open = Vec::new();
        let error = loop {
            match bus.subscribe_raw("evt.a").open().await {
                Ok(events) => open.push(events),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(error.to_string().contains("max_subscriptions"), "{error}");
        let _filler = bus.nats().unwrap().subscribe("x.y").await.unwrap();
        let client: BehaviorClient = bus.client();
        // Takes a reply slot, and no subscription.
        drop(client.echo(Blob::default()).to_all().await.unwrap());
        for _ in 0..3 {
            client.echo(Blob::default()).await.unwrap();
        }
        assert!(server.stopped().now_or_never().is_none());
    })
    .await;
}

/// Refused publishes of others on the same connection, some of which quote what the server serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_publishes_of_others_fail_no_start() {
    within(LIMIT, async {
        let nats = nats_with(&[User::new("service", ALL, &["_INBOX.>"])]).await;
        let bus = connect(&nats, "service").await;
        let is_over = Arc::new(AtomicBool::new(false));
        let load = tokio::spawn({
            let (bus, is_over) = (bus.clone(), Arc::clone(&is_over));
            async move {
                while !is_over.load(Ordering::Relaxed) {
                    for subject in [
                        "behavior.v1.Behavior.Echo",
                        "$SRV.PING",
                        "x\"Subscription",
                        "evt.x",
                    ] {
                        bus.publish_raw(subject, "x").await.unwrap();
                    }
                    tokio::task::yield_now().await;
                }
            }
        });
        // Until enough of them were refused in the middle of a start.
        let mut disturbed = 0;
        while disturbed < 5 {
            let before = bus.refused_events();
            let server = start(&bus).await.unwrap();
            disturbed += u32::from(bus.refused_events() > before);
            drop(server);
        }
        is_over.store(true, Ordering::Relaxed);
        load.await.unwrap();
    })
    .await;
}

/// A refused subscription of another part of the program is not the server's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_subscriptions_of_others_fail_no_start() {
    within(LIMIT, async {
        let config = super::users::config(&[User::any("service")]);
        let config = config.replacen(
            "] }",
            "], deny: [\"other.>\", \"behavior.v1.Behavior.Echo g\"] }",
            1,
        );
        let nats = NatsServer::builder().config(&config).start().await.unwrap();
        let bus = connect(&nats, "service").await;
        for _ in 0..5 {
            let other = bus.subscribe_raw("other.x");
            let grouped = bus.subscribe_raw("behavior.v1.Behavior.Echo").queue("g");
            let (server, refused, grouped) =
                tokio::join!(start(&bus), other.open(), grouped.open());
            let error = refused.unwrap_err();
            assert!(
                error.to_string().contains("subscribe to `other.x`"),
                "{error}"
            );
            let error = grouped.unwrap_err();
            assert!(error.to_string().contains("queue group `g`"), "{error}");
            drop(server.unwrap());
        }
    })
    .await;
}

/// Until one of each was fast: a wait of a fixed length would be in all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_and_a_subscription_take_no_fixed_time() {
    within(LIMIT, async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let fast = Duration::from_millis(20);
        let (mut started, mut opened) = (Duration::MAX, Duration::MAX);
        while started > fast || opened > fast {
            let began = Instant::now();
            let server = start(&bus).await.unwrap();
            started = started.min(began.elapsed());
            drop(server);
            let began = Instant::now();
            drop(bus.subscribe_raw("evt.>").open().await.unwrap());
            opened = opened.min(began.elapsed());
        }
    })
    .await;
}
