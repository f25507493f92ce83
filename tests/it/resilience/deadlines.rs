//! What a server makes of the time that a call brings, and what ends with a call.

use std::time::{Duration, Instant};

use micro_runtime::{Code, Reason, ServiceOptions};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer};

use crate::behavior::requests::{blob, millis};
use crate::carriers::{World, on_both_carriers};
use crate::polling::until;

on_both_carriers! {
    a_server_caps_the_time
    a_server_refuses_calls_that_bring_too_little_time
    a_server_has_a_default_of_its_own
    options_win_over_the_proto
    what_a_handler_leaves_behind_ends_with_its_call
    a_context_says_when_its_call_has_ended
}

async fn a_server_caps_the_time(world: World) {
    let stage = world
        .serve_with(|server| server.max_timeout(Duration::from_millis(150)))
        .await;
    let started = Instant::now();
    let call = stage.client.sleep(millis(60_000));
    let status = call.timeout(Duration::from_secs(30)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.reason(), Some(Reason::Deadline));
    assert!(
        status.message().contains("did not end"),
        "{status}: the server says it"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    let seen = stage.client.describe(blob(b"")).await.unwrap();
    assert!(seen.remaining_ms <= 150, "{seen:?}");
}

async fn a_server_refuses_calls_that_bring_too_little_time(world: World) {
    let stage = world
        .serve_with(|server| server.min_timeout(Duration::from_secs(1)))
        .await;
    let call = stage.client.sleep(millis(0));
    let status = call.timeout(Duration::from_millis(900)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(stage.handler.started(), 0);
    let call = stage.client.sleep(millis(0));
    call.timeout(Duration::from_secs(2)).await.unwrap();
}

async fn a_server_has_a_default_of_its_own(world: World) {
    let stage = world
        .serve_with(|server| server.default_timeout(Duration::from_millis(700)))
        .await;
    // A caller who waits 5 s says nothing, and the server's word counts.
    let seen = stage.client.describe(blob(b"")).await.unwrap();
    assert!(seen.remaining_ms <= 700, "{seen:?}");
}

async fn options_win_over_the_proto(world: World) {
    let options = ServiceOptions::new().timeout(Duration::from_millis(50));
    let server = micro_runtime::Server::new(&world.bus);
    let server = server.add_with(BehaviorServer::new(BehaviorHandler::default()), options);
    let _server = server.start().await.unwrap();
    let client: BehaviorClient = world.bus.client();
    let seen = client.describe(blob(b"")).await.unwrap();
    assert!(seen.remaining_ms <= 50, "{seen:?}");
}

async fn what_a_handler_leaves_behind_ends_with_its_call(world: World) {
    let stage = world.serve().await;
    stage.client.spawn_call(millis(60_000)).await.unwrap();
    until(|| !stage.handler.spawned_failures().is_empty()).await;
    let status = &stage.handler.spawned_failures()[0];
    assert_eq!(status.code(), Code::Canceled);
    assert_eq!(status.reason(), Some(Reason::ParentEnded));
}

async fn a_context_says_when_its_call_has_ended(world: World) {
    use micro_runtime::{Context, Server, Status};
    use micro_tests::greeter::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};
    use tokio::sync::mpsc;

    struct Keeper(mpsc::UnboundedSender<Context>);

    impl Greeter for Keeper {
        async fn say_hello(&self, ctx: Context, _: HelloRequest) -> Result<HelloReply, Status> {
            assert!(!ctx.is_canceled());
            self.0.send(ctx).map_err(|_| Status::internal("gone"))?;
            Ok(HelloReply::default())
        }
    }

    let (sender, mut contexts) = mpsc::unbounded_channel();
    let server = Server::new(&world.bus).add(GreeterServer::new(Keeper(sender)));
    let _server = server.start().await.unwrap();
    let greeter: GreeterClient = world.bus.client();
    greeter.say_hello(HelloRequest::default()).await.unwrap();
    let ctx = contexts.recv().await.unwrap();
    ctx.canceled().await;
    assert!(ctx.is_canceled());
}
