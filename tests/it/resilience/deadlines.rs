//! A server's timeout settings, and contexts and nested calls after the end of their call.

use std::time::Duration;

use micro_runtime::{ClientOptions, Code, Reason, ServiceOptions, middleware};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, DescribeReply};
use micro_tests::streams::{CountRequest, StreamsClient};
use prost::Message as _;
use tokio::time::Instant;
use tower::layer::layer_fn;

use crate::behavior::requests::{blob, millis};
use crate::carriers::{Carrier, on_both_carriers_and_paused};
use crate::until::until;

on_both_carriers_and_paused! {
    max_timeout_caps_the_timeout_of_calls
    min_timeout_rejects_calls_with_less_time
    default_timeout_applies_to_calls_without_a_timeout
    a_default_timeout_of_the_server_may_only_shorten
    service_options_override_the_proto
    a_nested_call_of_a_spawned_task_ends_with_its_parent_call
    a_kept_context_shows_that_its_call_has_ended
}

async fn max_timeout_caps_the_timeout_of_calls(carrier: Carrier) {
    let fixture = carrier
        .serve_with(|server| server.max_timeout(Duration::from_millis(150)))
        .await;
    let started = Instant::now();
    let call = fixture.client.wait(millis(60_000));
    let status = call.timeout(Duration::from_secs(30)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.reason(), Some(Reason::Deadline));
    assert!(
        status.message().contains("did not end"),
        "{status}: expected the server's status"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    let seen = fixture.client.describe(blob(b"")).await.unwrap();
    assert!(seen.remaining_ms <= 150, "{seen:?}");
}

async fn min_timeout_rejects_calls_with_less_time(carrier: Carrier) {
    let fixture = carrier
        .serve_with(|server| server.min_timeout(Duration::from_secs(1)))
        .await;
    let call = fixture.client.wait(millis(0));
    let status = call.timeout(Duration::from_millis(900)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(fixture.handler.started(), 0);
    let call = fixture.client.wait(millis(0));
    call.timeout(Duration::from_secs(2)).await.unwrap();
}

async fn default_timeout_applies_to_calls_without_a_timeout(carrier: Carrier) {
    let fixture = carrier
        .serve_with(|server| server.default_timeout(Duration::from_millis(700)))
        .await;
    // A call with the default timeout of 5 s sends none, and so the server's default applies; with a layer, too.
    let pass = layer_fn(|next: middleware::Next| next);
    let layered: BehaviorClient = carrier.bus.client_with(ClientOptions::new().layer(pass));
    for client in [&fixture.client, &layered] {
        // A call that is held up for more than 10 ms sends what is left.
        let seen = loop {
            let seen = client.describe(blob(b"")).await.unwrap();
            if !seen.has_caller_timeout {
                break seen;
            }
        };
        assert!(seen.remaining_ms <= 700, "{seen:?}");
    }
    // A timeout that was set is sent, also one of the same length.
    for timeout in [Duration::from_secs(5), Duration::from_secs(60)] {
        let call = fixture.client.describe(blob(b"")).timeout(timeout);
        let seen = call.await.unwrap();
        assert!(
            seen.remaining_ms > 700 && seen.has_caller_timeout,
            "{seen:?}"
        );
        let options = ClientOptions::new().timeout(timeout);
        let client: BehaviorClient = carrier.bus.client_with(options);
        let seen = client.describe(blob(b"")).await.unwrap();
        assert!(
            seen.remaining_ms > 700 && seen.has_caller_timeout,
            "{seen:?}"
        );
    }
}

/// A caller that sends no timeout has gone after 5 s, whatever the server's default is.
async fn a_default_timeout_of_the_server_may_only_shorten(carrier: Carrier) {
    let fixture = carrier
        .serve_with(|server| server.default_timeout(Duration::from_secs(60)))
        .await;
    let seen = fixture.client.describe(blob(b"")).await.unwrap();
    assert!((1..=5_000).contains(&seen.remaining_ms), "{seen:?}");
    let by_hand = carrier.bus.dynamic("behavior.v1.Behavior").await.unwrap();
    let reply = by_hand.call_raw("Describe", "").await.unwrap();
    let seen = DescribeReply::decode(reply.message).unwrap();
    assert!((1..=5_000).contains(&seen.remaining_ms), "{seen:?}");
}

async fn service_options_override_the_proto(carrier: Carrier) {
    let options = ServiceOptions::new().timeout(Duration::from_millis(50));
    let server = micro_runtime::Server::new(&carrier.bus);
    let server = server.add_with(BehaviorServer::new(BehaviorHandler::default()), options);
    let _server = server.start().await.unwrap();
    let client: BehaviorClient = carrier.bus.client();
    let seen = client.describe(blob(b"")).await.unwrap();
    assert!(seen.remaining_ms <= 50, "{seen:?}");
}

async fn a_nested_call_of_a_spawned_task_ends_with_its_parent_call(carrier: Carrier) {
    let fixture = carrier.serve().await;
    fixture.client.spawn_call(millis(60_000)).await.unwrap();
    until(|| !fixture.handler.spawned_failures().is_empty()).await;
    let status = &fixture.handler.spawned_failures()[0];
    assert_eq!(status.code(), Code::Canceled);
    assert_eq!(status.reason(), Some(Reason::ParentEnded));
}

async fn a_kept_context_shows_that_its_call_has_ended(carrier: Carrier) {
    use micro_runtime::{Context, Server, Status};
    use micro_tests::greeter::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};
    use tokio::sync::mpsc;

    struct ContextSender(mpsc::UnboundedSender<Context>);

    impl Greeter for ContextSender {
        async fn say_hello(&self, ctx: Context, _: HelloRequest) -> Result<HelloReply, Status> {
            assert!(!ctx.is_ended());
            self.0.send(ctx).map_err(|_| Status::internal("gone"))?;
            Ok(HelloReply::default())
        }
    }

    let (sender, mut contexts) = mpsc::unbounded_channel();
    let server = Server::new(&carrier.bus).add(GreeterServer::new(ContextSender(sender)));
    let _server = server.start().await.unwrap();
    let greeter: GreeterClient = carrier.bus.client();
    greeter.say_hello(HelloRequest::default()).await.unwrap();
    let ctx = contexts.recv().await.unwrap();
    ctx.ended().await;
    assert!(ctx.is_ended());

    // A call within a call that has ended is not sent.
    let request = HelloRequest::default;
    let streams: StreamsClient = carrier.bus.client();
    let failures = [
        greeter.say_hello(request()).within(&ctx).await.err(),
        greeter
            .say_hello(request())
            .within(&ctx)
            .to_all()
            .await
            .err(),
        streams
            .count(CountRequest::default())
            .within(&ctx)
            .await
            .err(),
        streams.collect().within(&ctx).open().await.err(),
        streams.echo().within(&ctx).open().await.err(),
    ];
    for status in failures {
        let status = status.unwrap();
        assert_eq!(status.reason(), Some(Reason::ParentEnded), "{status}");
    }
    greeter.say_hello(request()).await.unwrap();
    contexts.recv().await.unwrap();
    assert!(
        contexts.try_recv().is_err(),
        "the handler ran for these calls"
    );
}
