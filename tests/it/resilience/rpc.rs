//! What `#[rpc(…)]` says is what the runtime does, on both carriers alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::{Code, Context, Reason, Server, ServiceOptions, Status, service};
use micro_tests::greeter::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};

use crate::carriers::{World, on_both_carriers};
use crate::polling::until;

on_both_carriers! {
    a_timeout_ends_the_handler
    options_at_add_with_win
    a_limit_turns_calls_away
    a_queue_group_of_its_own
    a_blocking_handler_leaves_the_threads_free
    a_blocking_handler_that_panics_is_answered
    a_detached_handler_goes_on
    a_handler_may_share_itself
}

/// Counts what its handlers do; each handler naps for as many milliseconds as the name says.
#[derive(Clone, Default)]
struct Counting {
    started: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Counting {
    async fn nap(&self, request: HelloRequest) -> Result<HelloReply, Status> {
        self.started.fetch_add(1, Ordering::SeqCst);
        let nap = Duration::from_millis(request.name.parse()?);
        // sleep: the caller asks for it.
        tokio::time::sleep(nap).await;
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok(HelloReply::default())
    }

    fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

macro_rules! handler {
    ($name:ident $($option:tt)*) => {
        #[derive(Clone, Default)]
        struct $name(Counting);

        #[service]
        impl Greeter for $name {
            #[rpc($($option)*)]
            async fn say_hello(
                &self,
                _ctx: Context,
                request: HelloRequest,
            ) -> Result<HelloReply, Status> {
                self.0.nap(request).await
            }
        }
    };
}

handler!(Hasty timeout = "100ms");
handler!(Single max_concurrent = 1);
handler!(Queued queue = "-");
handler!(Detached detached, timeout = "100ms");

fn nap(milliseconds: u32) -> HelloRequest {
    HelloRequest {
        name: milliseconds.to_string(),
    }
}

async fn serve<T: Greeter>(world: &World, handler: T) -> GreeterClient {
    let server = Server::new(&world.bus).add(GreeterServer::new(handler));
    // Kept until the test's runtime ends.
    std::mem::forget(server.start().await.unwrap());
    world.bus.client()
}

async fn a_timeout_ends_the_handler(world: World) {
    let hasty = Hasty::default();
    let greeter = serve(&world, hasty.clone()).await;
    let started = Instant::now();
    let status = greeter.say_hello(nap(60_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(hasty.0.ended(), 0);
}

async fn options_at_add_with_win(world: World) {
    let options = ServiceOptions::new().timeout(Duration::from_secs(30));
    let server = Server::new(&world.bus);
    let server = server.add_with(GreeterServer::new(Hasty::default()), options);
    let _server = server.start().await.unwrap();
    let greeter: GreeterClient = world.bus.client();
    greeter.say_hello(nap(300)).await.unwrap();
}

async fn a_limit_turns_calls_away(world: World) {
    let single = Single::default();
    let greeter = serve(&world, single.clone()).await;
    let held = tokio::spawn({
        let call = greeter.say_hello(nap(60_000));
        async { call.timeout(Duration::from_secs(1)).await }
    });
    until(|| single.0.started() == 1).await;
    let status = greeter.say_hello(nap(0)).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Overloaded));
    held.await.unwrap().unwrap_err();
}

async fn a_queue_group_of_its_own(world: World) {
    let queued = Queued::default();
    let greeter = serve(&world, queued.clone()).await;
    serve(&world, queued.clone()).await;
    greeter.say_hello(nap(0)).await.unwrap();
    // Without a queue group both instances get the call.
    until(|| queued.0.ended() == 2).await;
}

async fn a_blocking_handler_leaves_the_threads_free(world: World) {
    struct Blocking;

    #[service]
    impl Greeter for Blocking {
        #[rpc(blocking)]
        async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
            // sleep: a handler that blocks its thread is what this is about.
            std::thread::sleep(Duration::from_millis(request.name.parse()?));
            Ok(HelloReply::default())
        }
    }

    let greeter = serve(&world, Blocking).await;
    let started = Instant::now();
    join_all((0..8).map(|_| async { greeter.say_hello(nap(300)).await.unwrap() })).await;
    // Two worker threads alone would take 1.2 s.
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_millis(900), "{elapsed:?}");
    let call = greeter.say_hello(nap(2_000));
    let status = call.timeout(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

async fn a_blocking_handler_that_panics_is_answered(world: World) {
    struct Panicking;

    #[service]
    impl Greeter for Panicking {
        #[rpc(blocking)]
        async fn say_hello(&self, _: Context, _: HelloRequest) -> Result<HelloReply, Status> {
            panic!("as it must");
        }
    }

    let greeter = serve(&world, Panicking).await;
    for _ in 0..10 {
        let status = greeter.say_hello(nap(0)).await.unwrap_err();
        assert_eq!(status.reason(), Some(Reason::Panicked));
    }
}

async fn a_detached_handler_goes_on(world: World) {
    let detached = Detached::default();
    let greeter = serve(&world, detached.clone()).await;
    let status = greeter.say_hello(nap(400)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    until(|| detached.0.ended() == 1).await;
}

/// A handler that needs itself in a task that goes on.
#[derive(Default)]
struct Sharing {
    ended: AtomicUsize,
}

#[service]
impl Greeter for Sharing {
    async fn say_hello(
        self: Arc<Self>,
        ctx: Context,
        request: HelloRequest,
    ) -> Result<HelloReply, Status> {
        let this = Arc::clone(&self);
        tokio::spawn(async move {
            ctx.canceled().await;
            this.ended.fetch_add(1, Ordering::SeqCst);
        });
        Ok(HelloReply {
            message: request.name,
        })
    }
}

async fn a_handler_may_share_itself(world: World) {
    let sharing = Arc::new(Sharing::default());
    let server = Server::new(&world.bus).add(GreeterServer::from_arc(Arc::clone(&sharing)));
    let _server = server.start().await.unwrap();
    let greeter: GreeterClient = world.bus.client();
    let reply = greeter.say_hello(nap(7)).await.unwrap();
    assert_eq!(reply.message, "7");
    until(|| sharing.ended.load(Ordering::SeqCst) == 1).await;
}
