//! The lines for `nats-server.conf` in docs/PROTOCOL.md, "Permissions": each role does its work with its lines alone.

use std::time::Duration;

use micro_runtime::jetstream::{Durable, EventStream};
use micro_runtime::{Bus, ConnectOptions, Context, Server, Status, Subscriber};
use micro_testkit::{NatsServer, within, workspace_root};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::market::{Trade, TradeFilter};
use tokio::sync::mpsc;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A nats-server whose users have the lines of the document, with JetStream; `admin` may do everything.
async fn start() -> NatsServer {
    let page = std::fs::read_to_string(workspace_root().join("docs/PROTOCOL.md")).unwrap();
    let blocks = page.split("```conf\n# ").skip(1);
    let users = blocks.map(|block| {
        let block = block.split("```").next().unwrap();
        let (role, permissions) = block.split_once('\n').unwrap();
        format!("{{ user: {role}, password: secret\n{permissions} }}\n")
    });
    let users: String = users.collect();
    assert_eq!(users.matches("user: ").count(), 8, "{users}");
    let users = users
        .replace("greeter.v1.Greeter", "behavior.v1.Behavior")
        .replace("greeter-v1-Greeter", "behavior-v1-Behavior");
    let config =
        format!("authorization {{ users = [\n{{ user: admin, password: secret }}\n{users}] }}\n");
    let nats = NatsServer::builder().jetstream().config(&config).start();
    nats.await.unwrap()
}

async fn bus(nats: &NatsServer, role: &str) -> Bus {
    let options = ConnectOptions::new()
        .user_and_password(role, "secret")
        .inbox_prefix(format!("_INBOX.{role}"));
    Bus::connect_with(options, nats.url()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_services_clients_and_operators_suffice() {
    within(TIMEOUT, async {
        let nats = start().await;
        let service = bus(&nats, "service").await;
        let operator = bus(&nats, "operator").await;
        let mut watch = operator.discovery().watch().open().await.unwrap();
        let server = Server::new(&service).add(BehaviorServer::new(BehaviorHandler::default()));
        let server = server.start().await.unwrap();
        let client: BehaviorClient = bus(&nats, "client").await.client();
        client.echo(Blob::default()).await.unwrap();
        // Above `max_payload`, so that both travel in parts.
        let large = Blob {
            data: vec![b'x'; 2 * 1024 * 1024],
        };
        assert_eq!(client.echo(large.clone()).await.unwrap(), large);
        let mut replies = client
            .echo(Blob::default())
            .to_all()
            .expected(1)
            .await
            .unwrap();
        replies.next().await.unwrap().result.unwrap();
        watch.next().await.unwrap();
        let listed = operator.discovery().list().expected(1).await.unwrap();
        assert_eq!(listed.len(), 1);
        server.shutdown().await.unwrap();
        watch.next().await.unwrap();
        // Nor does NATS refuse anything that works without its line: its log is quiet.
        let log = nats.log();
        assert!(!log.contains("Violation"), "{log}");
    })
    .await;
}

/// Sends the number of each event that arrives; the one with number 7 fails.
struct Numbers(mpsc::UnboundedSender<u64>);

impl Subscriber<Trade> for Numbers {
    async fn on_event(&self, _ctx: Context, trade: Trade) -> Result<(), Status> {
        self.0.send(trade.number).unwrap();
        match trade.number {
            7 => Err(Status::aborted("no")),
            _ => Ok(()),
        }
    }
}

fn trade(number: u64) -> Trade {
    Trade {
        venue: "kraken".into(),
        symbol: "BTC".into(),
        number,
        ..Trade::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_publishers_and_subscribers_suffice() {
    within(TIMEOUT, async {
        let nats = start().await;
        let publisher = bus(&nats, "publisher").await;
        let subscriber = bus(&nats, "subscriber").await;
        let all = TradeFilter::new();
        let mut events = subscriber.subscribe::<Trade>(all).open().await.unwrap();
        publisher.publish(&trade(1)).await.unwrap();
        assert_eq!(events.next().await.unwrap().unwrap().number, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_durable_events_suffice() {
    within(TIMEOUT, async {
        let nats = start().await;
        let owner = bus(&nats, "stream-owner").await;
        let market = EventStream::named("MARKET").subject("evt.market.>");
        owner.declare(&market).await.unwrap();
        // The second declaration compares, and so does that of a server at its start.
        owner.declare(&market).await.unwrap();
        let declaring = Server::new(&owner).declare(market).start();
        declaring.await.unwrap().shutdown().await.unwrap();
        let publisher = bus(&nats, "publisher").await;
        publisher.publish_durable(&trade(1)).await.unwrap();
        publisher.publish_durable(&trade(7)).await.unwrap();
        let consumer = bus(&nats, "durable-consumer").await;
        let (numbers, mut arrived) = mpsc::unbounded_channel();
        let durable = Durable::named("books").max_attempts(1).dead_letter();
        let server = Server::new(&consumer)
            .subscribe::<Trade>(Numbers(numbers), durable)
            .start();
        let server = server.await.unwrap();
        let mut first = [arrived.recv().await.unwrap(), arrived.recv().await.unwrap()];
        first.sort_unstable();
        assert_eq!(first, [1, 7]);
        // Both are acknowledged: a consumer with a pending delivery would deliver it again after its stop.
        let admin = bus(&nats, "admin").await;
        let jetstream = async_nats::jetstream::new(admin.nats().unwrap().clone());
        let letters = || async {
            let stream = jetstream.get_stream("MARKET-DLQ").await.unwrap();
            stream.cached_info().state.messages
        };
        let stream = jetstream.get_stream("MARKET").await.unwrap();
        let pending = || async { stream.consumer_info("books").await.unwrap().num_ack_pending };
        while letters().await == 0 || pending().await > 0 {
            tokio::task::yield_now().await;
        }
        server.shutdown().await.unwrap();

        let reader = bus(&nats, "replay").await;
        let mut replay = reader.replay::<Trade>().open().await.unwrap();
        for expected in [1, 7] {
            assert_eq!(replay.next().await.unwrap().unwrap().number, expected);
        }
        assert!(replay.next().await.is_none());
        let consumers = || async {
            let stream = jetstream.get_stream("MARKET").await.unwrap();
            stream.cached_info().state.consumer_count
        };
        while consumers().await > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
