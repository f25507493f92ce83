//! Says of every call what was called, how large it was, how it ended and how long it took.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::task::{Context, Poll};
use std::time::Instant;

use micro_runtime::Status;
use micro_runtime::middleware::{Next, Request, Response, ResponseFuture};
use tower::{Layer, Service};

/// Prints one line per call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

/// What [`Log`] makes.
#[derive(Clone, Debug)]
pub struct LogService(Next);

impl Layer<Next> for Log {
    type Service = LogService;

    fn layer(&self, next: Next) -> LogService {
        LogService(next)
    }
}

impl Service<Request> for LogService {
    type Response = Response;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        let started = Instant::now();
        let method = request.method().name;
        let size = request.payload().len();
        let response = self.0.call(request);
        Box::pin(async move {
            let result = response.await;
            let end = match &result {
                Ok(response) => format!("OK, {} bytes out", response.payload().len()),
                Err(status) => status.code().to_string(),
            };
            let took = started.elapsed().as_secs_f64() * 1000.0;
            println!("  log: {method}, {size} bytes in, {end}, {took:.1} ms");
            result
        })
    }
}
