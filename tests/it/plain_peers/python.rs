//! Python lines of the README: a caller by hand, which takes no failure for a message, one that logs in, a service and
//! events by hand.

use micro_runtime::{Bus, Code, Context, Server, Status};
use micro_testkit::{NatsServer, within};
use micro_tests::greeter::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};
use micro_tests::market::{Trade, TradeFilter};

use crate::greeter::{English, serve_greeter};
use crate::script::{SCRIPT_TIMEOUT, Script};

/// Handler that fails, with a status whose bytes are a valid `HelloReply`, too.
struct Absent;

impl Greeter for Absent {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Err(Status::not_found(format!(
            "no one here knows {}",
            request.name
        )))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_code_of_the_readme_calls() {
    let nats = NatsServer::start().await.unwrap();
    let _server = serve_greeter(&nats).await;
    let output = Script::in_readme("HelloRequest(").run(&nats).await;
    assert!(output.contains("Hello, Ada!"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_code_of_the_readme_takes_no_failure_for_a_message() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus).add(GreeterServer::new(Absent));
    let _server = server.start().await.unwrap();
    let output = Script::in_readme("HelloRequest(").fail(&nats).await;
    assert!(
        output.contains("RuntimeError: no one here knows Ada"),
        "{output}"
    );
}

/// The user `client` of docs/PROTOCOL.md, "Permissions", which may not subscribe to the inbox that nats-py has by
/// default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_code_of_the_readme_logs_in_and_has_an_inbox_of_its_own() {
    let users = r#"authorization { users = [
        { user: service, password: s3cret }
        { user: client, password: s3cret, permissions: {
            subscribe: { allow: ["_INBOX.client.>"] }, publish: { allow: ["greeter.v1.Greeter.>"] } } }
    ] }"#;
    let nats = NatsServer::builder().config(users).start().await.unwrap();
    let bus = Bus::connect(nats.url_as("service", "s3cret"))
        .await
        .unwrap();
    let server = Server::new(&bus).add(GreeterServer::new(English));
    let _server = server.start().await.unwrap();
    let output = Script::logged_in_readme("HelloRequest(").run(&nats).await;
    assert!(output.contains("Hello, Ada!"), "{output}");
    assert!(!nats.log().contains("Violation"), "{}", nats.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_code_of_the_readme_publishes_and_reads_events() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let mut trades = bus
        .subscribe::<Trade>(TradeFilter::new())
        .open()
        .await
        .unwrap();
    let output = Script::in_readme("market_pb2").run(&nats).await;
    assert!(
        output.contains("evt.market.trade.kraken.BTC 1.5"),
        "{output}"
    );
    let trade = within(SCRIPT_TIMEOUT, trades.next()).await.unwrap();
    assert_eq!(trade.unwrap().symbol, "BTC");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_service_of_the_readme_replies_and_fails() {
    let nats = NatsServer::start().await.unwrap();
    let _service = Script::service_in_readme("queue=").ready(&nats).await;
    let bus = Bus::connect(nats.url()).await.unwrap();
    let client: GreeterClient = bus.client();
    within(SCRIPT_TIMEOUT, async {
        let request = HelloRequest { name: "Ada".into() };
        let reply = client.say_hello(request).await.unwrap();
        assert_eq!(reply.message, "Hello, Ada!");
        let status = client.say_hello(HelloRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert_eq!(status.message(), "the name is empty");
        // A request that does not fit into one message: the service reads no opening, and the text states why.
        let large = HelloRequest {
            name: "x".repeat(2 << 20),
        };
        let status = client.say_hello(large).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        for part in ["no HelloRequest", "opening", "goes in parts"] {
            assert!(status.message().contains(part), "{status}");
        }
    })
    .await;
}
