//! Logs each call: its method, the sizes of request and reply, its outcome and its duration.
#![expect(clippy::print_stdout, reason = "the output is the point of an example")]

use std::task::{Context, Poll};
use std::time::Instant;

use micro_runtime::Status;
use micro_runtime::middleware::{Next, Request, Response, ResponseFuture};
use tower::{Layer, Service};

/// Layer that prints one line per call.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallLog;

/// Service that [`CallLog`] wraps around the next one.
#[derive(Clone, Debug)]
pub struct CallLogService(Next);

impl Layer<Next> for CallLog {
    type Service = CallLogService;

    fn layer(&self, next: Next) -> CallLogService {
        CallLogService(next)
    }
}

impl Service<Request> for CallLogService {
    type Response = Response;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        let started = Instant::now();
        let method = request.method().name;
        let request_len = request.payload().len();
        let response = self.0.call(request);
        Box::pin(async move {
            let result = response.await;
            let outcome = match &result {
                Ok(response) => format!("OK, {} bytes out", response.payload().len()),
                Err(status) => status.code().to_string(),
            };
            let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
            println!("  log: {method}, {request_len} bytes in, {outcome}, {milliseconds:.1} ms");
            result
        })
    }
}
