//! Errors of the system on which a handler uses `?`: their caller learns nothing of them, and the log shows them.

use std::time::Duration;

use micro_runtime::{Bus, Code, Context, Server, Status};
use micro_testkit::within;
use micro_tests::greeter::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};
use tower::BoxError;
use tower::util::MapErrLayer;
use tracing::Level;

use crate::carriers::Carrier;
use crate::log_lines::LogLines;

const LIMIT: Duration = Duration::from_secs(60);
const ADDRESS: &str = "127.0.0.1:1";

/// Handler that fails by the error that the request names.
struct FailingGreeter;

impl Greeter for FailingGreeter {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        match request.name.as_str() {
            "file" => drop(std::fs::read("/no/such/file")?),
            "boxed" => Err(BoxError::from("postgres://user:s3cret@host"))?,
            "task" => tokio::spawn(async { panic!("s3cret") }).await?,
            "bus" => drop(Bus::connect(format!("nats://{ADDRESS}")).await?),
            "number" => drop("x".parse::<u32>()?),
            _ => {}
        }
        Ok(HelloReply::default())
    }
}

async fn status_of(client: &GreeterClient, name: &str) -> Status {
    let request = HelloRequest { name: name.into() };
    client.say_hello(request).await.unwrap_err()
}

#[tokio::test]
async fn a_question_mark_on_an_error_of_the_system_shows_it_in_the_log_alone() {
    within(LIMIT, async {
        for carrier in [Carrier::in_process().await, Carrier::nats().await] {
            let bus = &carrier.bus;
            let client: GreeterClient = bus.client();
            // A server for each: of one method the second line within 30 s waits.
            let start = || {
                let server = Server::new(bus).add(GreeterServer::new(FailingGreeter));
                server.start()
            };
            for (name, code, text) in [
                ("file", Code::Internal, "No such file"),
                ("boxed", Code::Internal, "s3cret"),
                ("task", Code::Internal, "s3cret"),
                ("bus", Code::Unavailable, ADDRESS),
            ] {
                let (log, _guard) = LogLines::start();
                let server = start().await.unwrap();
                let status = status_of(&client, name).await;
                server.shutdown().await.unwrap();
                assert_eq!(status.code(), code, "{status}");
                assert_eq!(status.reason(), None, "{status}");
                assert!(!format!("{status:?}").contains(text), "{status:?}");
                let lines = log.containing(text);
                assert_eq!(lines.len(), 1, "{lines:?}");
                assert_eq!(lines[0].level, Level::WARN);
                assert!(
                    lines[0].text.contains("greeter.v1.Greeter.SayHello"),
                    "{lines:?}"
                );
            }
            let (log, _guard) = LogLines::start();
            let _server = start().await.unwrap();
            let status = status_of(&client, "number").await;
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert!(status.message().contains("invalid digit"), "{status}");
            let lines = log.of_runtime();
            assert!(lines.is_empty(), "{lines:?}");
        }
    })
    .await;
}

/// Starts the service with a layer that fails by `error`, and returns the failure of a call.
async fn layered(error: impl Fn() -> BoxError + Clone + Send + Sync + 'static) -> Status {
    let bus = Bus::in_process();
    let server = Server::new(&bus)
        .layer(MapErrLayer::new(move |_: Status| error()))
        .add(GreeterServer::new(FailingGreeter));
    let _server = server.start().await.unwrap();
    status_of(&bus.client(), "number").await
}

/// A layer is there for callers: its text about a call is for them, and that of the system is not.
#[tokio::test]
async fn an_error_of_a_layer_keeps_its_text_unless_it_is_one_of_the_system() {
    within(LIMIT, async {
        let status = layered(|| Box::new(Status::not_found("no account"))).await;
        assert_eq!(status.to_string(), "NOT_FOUND: no account");
        let status = layered(|| "the quota is used up".into()).await;
        assert_eq!(status.to_string(), "UNKNOWN: the quota is used up");
        let status = layered(|| Box::new(std::fs::read("/no/such/file").unwrap_err())).await;
        assert_eq!(status.code(), Code::Internal, "{status}");
        assert!(!status.message().contains("No such file"), "{status}");
    })
    .await;
}
