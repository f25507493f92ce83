//! The service of the example: the generated code, one handler, and the layers around it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::{Context, Status, service};

pub mod layers;

/// What micro-build made of `proto/greeter.proto`.
pub mod greeter {
    micro_runtime::include_proto!("middleware.v1");
}

use greeter::{Greeter, HelloReply, HelloRequest, SlowHelloRequest};

/// Greets in English, and notes how many greetings it works on at a time.
#[derive(Debug, Default)]
pub struct English {
    running: AtomicUsize,
    most: AtomicUsize,
}

#[service]
impl Greeter for English {
    async fn say_hello(&self, _ctx: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(hello(&request.name))
    }

    async fn say_hello_slowly(
        &self,
        _ctx: Context,
        request: SlowHelloRequest,
    ) -> Result<HelloReply, Status> {
        let _running = self.begin();
        tokio::time::sleep(Duration::from_millis(request.milliseconds.into())).await;
        Ok(hello(&request.name))
    }

    async fn say_hello_rarely(
        &self,
        _ctx: Context,
        request: HelloRequest,
    ) -> Result<HelloReply, Status> {
        Ok(hello(&request.name))
    }
}

/// One greeting that is worked on. What a handler must do in the end belongs into a `drop`: a layer
/// that gives a call up drops its future.
struct Running<'a>(&'a English);

impl English {
    fn begin(&self) -> Running<'_> {
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(running, Ordering::Relaxed);
        Running(self)
    }

    /// The most slow greetings that ran at a time.
    #[must_use]
    pub fn most_at_a_time(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

fn hello(name: &str) -> HelloReply {
    HelloReply {
        message: format!("Hello, {name}!"),
    }
}
