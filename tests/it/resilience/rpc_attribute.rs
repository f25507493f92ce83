//! Options of the attribute `#[rpc(…)]` and receivers of handlers, on both carriers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::{Code, Context, Reason, Server, ServiceOptions, Status, service};
use micro_tests::greeter::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};

use crate::carriers::{Carrier, on_both_carriers};
use crate::until::until;

on_both_carriers! {
    a_timeout_ends_the_handler
    service_options_override_the_attribute
    max_concurrent_rejects_calls
    the_queue_option_sets_the_queue_group
    blocking_handlers_leave_the_runtime_threads_free
    a_panic_in_a_blocking_handler_is_an_internal_error
    a_detached_handler_continues_after_its_deadline
    a_handler_may_take_arc_self
}

/// Counters of a handler that waits for as many milliseconds as the name in its request.
#[derive(Clone, Default)]
struct WaitCounter {
    started: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl WaitCounter {
    async fn wait(&self, request: HelloRequest) -> Result<HelloReply, Status> {
        self.started.fetch_add(1, Ordering::SeqCst);
        let time = Duration::from_millis(request.name.parse()?);
        // sleep: the caller asks for it.
        tokio::time::sleep(time).await;
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

/// Defines a handler with these options of `#[rpc(…)]`.
macro_rules! handler {
    ($name:ident $($option:tt)*) => {
        #[derive(Clone, Default)]
        struct $name(WaitCounter);

        #[service]
        impl Greeter for $name {
            #[rpc($($option)*)]
            async fn say_hello(
                &self,
                _ctx: Context,
                request: HelloRequest,
            ) -> Result<HelloReply, Status> {
                self.0.wait(request).await
            }
        }
    };
}

handler!(WithTimeout timeout = "100ms");
handler!(WithMaxConcurrent max_concurrent = 1);
handler!(WithoutQueueGroup queue = "-");
handler!(Detached detached, timeout = "100ms");

/// Request that makes the handler wait for this long.
fn millis(milliseconds: u32) -> HelloRequest {
    HelloRequest {
        name: milliseconds.to_string(),
    }
}

async fn serve<T: Greeter>(carrier: &Carrier, handler: T) -> GreeterClient {
    let server = Server::new(&carrier.bus).add(GreeterServer::new(handler));
    // Kept until the test's runtime ends.
    std::mem::forget(server.start().await.unwrap());
    carrier.bus.client()
}

async fn a_timeout_ends_the_handler(carrier: Carrier) {
    let handler = WithTimeout::default();
    let greeter = serve(&carrier, handler.clone()).await;
    let started = Instant::now();
    let status = greeter.say_hello(millis(60_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(handler.0.ended(), 0);
}

async fn service_options_override_the_attribute(carrier: Carrier) {
    let options = ServiceOptions::new().timeout(Duration::from_secs(30));
    let server = Server::new(&carrier.bus);
    let server = server.add_with(GreeterServer::new(WithTimeout::default()), options);
    let _server = server.start().await.unwrap();
    let greeter: GreeterClient = carrier.bus.client();
    greeter.say_hello(millis(300)).await.unwrap();
}

async fn max_concurrent_rejects_calls(carrier: Carrier) {
    let handler = WithMaxConcurrent::default();
    let greeter = serve(&carrier, handler.clone()).await;
    let held = tokio::spawn({
        let call = greeter.say_hello(millis(60_000));
        async { call.timeout(Duration::from_secs(1)).await }
    });
    until(|| handler.0.started() == 1).await;
    let status = greeter.say_hello(millis(0)).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Overloaded));
    held.await.unwrap().unwrap_err();
}

async fn the_queue_option_sets_the_queue_group(carrier: Carrier) {
    let handler = WithoutQueueGroup::default();
    let greeter = serve(&carrier, handler.clone()).await;
    serve(&carrier, handler.clone()).await;
    greeter.say_hello(millis(0)).await.unwrap();
    // Without a queue group both instances get the call.
    until(|| handler.0.ended() == 2).await;
}

async fn blocking_handlers_leave_the_runtime_threads_free(carrier: Carrier) {
    struct BlockingGreeter;

    #[service]
    impl Greeter for BlockingGreeter {
        #[rpc(blocking)]
        async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
            // sleep: the handler blocks its thread.
            std::thread::sleep(Duration::from_millis(request.name.parse()?));
            Ok(HelloReply::default())
        }
    }

    let greeter = serve(&carrier, BlockingGreeter).await;
    let started = Instant::now();
    join_all((0..8).map(|_| async { greeter.say_hello(millis(300)).await.unwrap() })).await;
    // On the two worker threads alone, the calls would take 1.2 s.
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_millis(900), "{elapsed:?}");
    let call = greeter.say_hello(millis(2_000));
    let status = call.timeout(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

async fn a_panic_in_a_blocking_handler_is_an_internal_error(carrier: Carrier) {
    struct PanickingGreeter;

    #[service]
    impl Greeter for PanickingGreeter {
        #[rpc(blocking)]
        async fn say_hello(&self, _: Context, _: HelloRequest) -> Result<HelloReply, Status> {
            panic!("as it must");
        }
    }

    let greeter = serve(&carrier, PanickingGreeter).await;
    for _ in 0..10 {
        let status = greeter.say_hello(millis(0)).await.unwrap_err();
        assert_eq!(status.reason(), Some(Reason::Panicked));
    }
}

async fn a_detached_handler_continues_after_its_deadline(carrier: Carrier) {
    let handler = Detached::default();
    let greeter = serve(&carrier, handler.clone()).await;
    let status = greeter.say_hello(millis(400)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    until(|| handler.0.ended() == 1).await;
}

/// Handler that moves itself into a task which outlives the call.
#[derive(Default)]
struct SharedGreeter {
    ended: AtomicUsize,
}

#[service]
impl Greeter for SharedGreeter {
    async fn say_hello(
        self: Arc<Self>,
        ctx: Context,
        request: HelloRequest,
    ) -> Result<HelloReply, Status> {
        let this = Arc::clone(&self);
        tokio::spawn(async move {
            ctx.ended().await;
            this.ended.fetch_add(1, Ordering::SeqCst);
        });
        Ok(HelloReply {
            message: request.name,
        })
    }
}

async fn a_handler_may_take_arc_self(carrier: Carrier) {
    let handler = Arc::new(SharedGreeter::default());
    let server = Server::new(&carrier.bus).add(GreeterServer::from_arc(Arc::clone(&handler)));
    let _server = server.start().await.unwrap();
    let greeter: GreeterClient = carrier.bus.client();
    let reply = greeter.say_hello(millis(7)).await.unwrap();
    assert_eq!(reply.message, "7");
    until(|| handler.ended.load(Ordering::SeqCst) == 1).await;
}
