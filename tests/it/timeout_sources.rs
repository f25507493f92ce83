//! Deadlines that pass: the failure states the timeout, and the setting that it comes from.

use std::time::Duration;

use micro_runtime::{
    ClientOptions, Code, Context, Metadata, Reason, Server, ServiceOptions, Status,
};
use micro_tests::behavior::BehaviorServer;
use micro_tests::streams::{CountRequest, StreamsClient, StreamsServer};
use micro_tests::{BehaviorHandler, StreamsHandler};
use tokio::task::JoinHandle;

use crate::behavior::requests::{blob, millis};
use crate::carriers::{Carrier, on_both_carriers};
use crate::layered::clients;

on_both_carriers! {
    a_timeout_is_stated_with_its_source
    streams_state_their_timeout_and_its_source
    a_handler_that_is_given_up_states_its_timeout
}

/// Subscribes to all methods of the service and never replies: the reply of a server that gives its handler up would be
/// the other text.
async fn receive_without_replies(carrier: &Carrier) -> JoinHandle<()> {
    let pattern = "behavior.v1.Behavior.>";
    let mut requests = carrier.bus.subscribe_raw(pattern).open().await.unwrap();
    tokio::spawn(async move { while requests.next().await.is_some() {} })
}

#[track_caller]
fn check_deadline<T>(result: Result<T, Status>, text: &str) {
    let status = result.err().unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert_eq!(status.reason(), Some(Reason::Deadline));
    assert_eq!(status.message(), text);
}

async fn a_timeout_is_stated_with_its_source(carrier: Carrier) {
    let reading = receive_without_replies(&carrier).await;
    let caller = carrier.another_bus().await;
    let ms = Duration::from_millis;
    for client in clients(&caller, &ClientOptions::new().timeout(ms(60))) {
        let echo = || client.echo(blob(b""));
        check_deadline(
            echo().timeout(ms(40)).await,
            "behavior.v1.Behavior.Echo had no reply within 40 ms, the timeout of the call",
        );
        check_deadline(
            echo().await,
            "behavior.v1.Behavior.Echo had no reply within 60 ms, the timeout of the client",
        );
        check_deadline(
            echo().timeout(ms(20)).to_all().await,
            "behavior.v1.Behavior.Echo had no reply of any instance within 20 ms, the timeout of the call",
        );
        check_deadline(
            echo().timeout(Duration::ZERO).await,
            "behavior.v1.Behavior.Echo had no reply within 0 ms, the timeout of the call",
        );
        let ctx = Context::for_test_with(Metadata::new(), Some(ms(30)));
        let status = echo().within(&ctx).await.unwrap_err();
        let text = status.message();
        assert!(
            text.starts_with("behavior.v1.Behavior.Echo had no reply within "),
            "{text}"
        );
        assert!(
            text.ends_with(" ms, the time left of the call that it is within"),
            "{text}"
        );
    }
    for client in clients(&caller, &ClientOptions::new()) {
        check_deadline(
            client.wait_with_timeout(millis(0)).await,
            "behavior.v1.Behavior.WaitWithTimeout had no reply within 200 ms, the timeout of the method in its .proto",
        );
    }
    reading.abort();
}

async fn streams_state_their_timeout_and_its_source(carrier: Carrier) {
    let handler = StreamsHandler::default();
    let server = Server::new(&carrier.bus).add(StreamsServer::new(handler));
    let _server = server.start().await.unwrap();
    let client: StreamsClient = carrier.another_bus().await.client();
    let waiting = || {
        client.count(CountRequest {
            messages: 1,
            plan: "wait".into(),
            ..CountRequest::default()
        })
    };
    // Time enough for the first message on a busy machine.
    let timeout = Duration::from_millis(1_900);
    let mut items = waiting().timeout(timeout).await.unwrap();
    assert!(items.message().await.unwrap().is_some());
    let status = items.message().await.unwrap_err();
    // Either end may be first; the server's time is what was left when the request was sent, in whole milliseconds.
    let text = status.message();
    let source = ["the timeout of the call", "the timeout of its caller"];
    assert!(
        text.starts_with("streams.v1.Streams.Count did not end within 1"),
        "{text}"
    );
    assert!(source.iter().any(|source| text.ends_with(source)), "{text}");
    let ctx = Context::for_test_with(Metadata::new(), Some(timeout));
    let mut items = waiting().within(&ctx).await.unwrap();
    assert!(items.message().await.unwrap().is_some());
    let status = items.message().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    let text = status.message();
    assert!(
        text.starts_with("streams.v1.Streams.Count did not end within 1"),
        "{text}"
    );
}

/// As its caller receives it, if the caller waits on.
async fn a_handler_that_is_given_up_states_its_timeout(carrier: Carrier) {
    let service = BehaviorServer::new(BehaviorHandler::on(&carrier.bus));
    let options = ServiceOptions::new().timeout(Duration::from_millis(50));
    let server = Server::new(&carrier.bus).add_with(service, options);
    let server = server.start().await.unwrap();
    for client in clients(&carrier.bus, &ClientOptions::new()) {
        let status = client.wait(millis(60_000)).await.unwrap_err();
        assert_eq!(
            status.message(),
            "the handler of behavior.v1.Behavior.Wait did not end within 50 ms, the timeout of its server"
        );
    }
    server.shutdown().await.unwrap();
    let fixture = carrier
        .serve_with(|server| server.max_timeout(Duration::from_millis(50)))
        .await;
    let call = fixture
        .client
        .wait(millis(60_000))
        .timeout(Duration::from_secs(30));
    assert_eq!(
        call.await.unwrap_err().message(),
        "the handler of behavior.v1.Behavior.Wait did not end within 50 ms, the timeout of its server"
    );
    fixture.server.shutdown().await.unwrap();
    let fixture = carrier
        .serve_with(|server| server.min_timeout(Duration::from_secs(60)))
        .await;
    let status = fixture
        .client
        .wait(millis(0))
        .timeout(Duration::from_secs(30))
        .await;
    assert_eq!(
        status.unwrap_err().message(),
        "behavior.v1.Behavior.Wait is called with a timeout of 30 s, and this server takes no call with less than 60 s"
    );
}
