//! One call at the server: run in place or spawned, ended by its deadline, never by its panic.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use async_nats::Subject;
use bytes::Bytes;
use tokio::runtime::Handle;

use crate::context::Context;
use crate::dispatch::handler::HandlerFuture;
use crate::dispatch::permit::Permit;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::transcode::Format;
use crate::observe;
use crate::observe::ServerCall;
use crate::status::{Reason, Status};

/// A call that was admitted.
pub(super) struct Call {
    permit: Permit,
    ctx: Context,
    format: Format,
    running: Running,
    received: Instant,
    seen: ServerCall,
    signer: Option<Arc<str>>,
}

/// A handler's future, kept from doing harm.
struct Running {
    future: HandlerFuture,
    is_fresh: bool,
}

/// How a spawned call came to its end.
enum End {
    Returned(Result<Bytes, Status>),
    DeadlinePassed,
    ServerStopped,
}

impl Call {
    pub(super) fn new(
        permit: Permit,
        ctx: Context,
        format: Format,
        future: HandlerFuture,
        received: Instant,
    ) -> Self {
        let future = match permit.endpoint().options.is_blocking {
            true => on_a_blocking_thread(future),
            false => future,
        };
        let seen = ServerCall::begin(
            permit.endpoint().method,
            &permit.endpoint().meters,
            received,
        );
        observe::extract(seen.span(), ctx.trace());
        Self {
            permit,
            ctx,
            format,
            running: Running {
                future,
                is_fresh: true,
            },
            received,
            seen,
            signer: None,
        }
    }

    /// Signs the answer with the name of the instance.
    pub(super) fn signed(mut self, signer: Option<&Arc<str>>) -> Self {
        self.signer = signer.map(Arc::clone);
        self
    }

    /// Runs the call in place if its method is known to be short, and else, or if it has to wait,
    /// in a task of its own.
    pub(super) async fn start(mut self, reply: Option<Subject>) {
        let endpoint = Arc::clone(self.permit.endpoint());
        if endpoint.pace.is_short() {
            let polled = poll_fn(|cx| Poll::Ready(self.poll(&endpoint, cx))).await;
            if let Poll::Ready(result) = polled {
                return self.answer(reply, result).await;
            }
        }
        endpoint.shared.tasks.spawn(self.run(reply));
    }

    async fn run(mut self, reply: Option<Subject>) {
        let endpoint = Arc::clone(self.permit.endpoint());
        let deadline = self.ctx.deadline();
        let end = tokio::select! {
            biased;
            result = poll_fn(|cx| self.poll(&endpoint, cx)) => End::Returned(result),
            () = passed(deadline) => End::DeadlinePassed,
            () = endpoint.shared.end.cancelled() => End::ServerStopped,
        };
        let name = endpoint.method.full_name;
        let result = match end {
            End::Returned(result) => return self.answer(reply, result).await,
            End::DeadlinePassed => {
                Err(Reason::Deadline.status(format!("{name} did not end before the deadline")))
            }
            End::ServerStopped => {
                Err(Reason::ShuttingDown.status(format!("the server stopped while {name} ran")))
            }
        };
        if endpoint.options.is_detached && matches!(end, End::DeadlinePassed) {
            self.respond(reply, result).await;
            let _ = poll_fn(|cx| self.poll(&endpoint, cx)).await;
        } else {
            self.running.drop_now(&endpoint);
            self.answer(reply, result).await;
        }
    }

    fn poll(
        &mut self,
        endpoint: &ServedMethod,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Bytes, Status>> {
        let _entered = self.seen.span().enter();
        self.running.poll(endpoint, cx)
    }

    async fn answer(mut self, reply: Option<Subject>, result: Result<Bytes, Status>) {
        self.respond(reply, result).await;
    }

    async fn respond(&mut self, reply: Option<Subject>, result: Result<Bytes, Status>) {
        let endpoint = self.permit.endpoint();
        if let Err(status) = &result {
            tracing::debug!(method = endpoint.method.full_name, %status, "a call failed");
        }
        self.seen.end(result.as_ref().err().map(Status::code));
        let took = self.received.elapsed();
        endpoint.stats.record(took, result.as_ref().err());
        if let Some(reply) = reply {
            let metadata = self.ctx.take_answer_metadata();
            let metadata = metadata.signed(self.signer.as_deref());
            let home = Some(&endpoint.home);
            endpoint
                .shared
                .answer_in(&self.format, home, reply, result, metadata)
                .await;
        }
        let micros = || self.received.elapsed().as_micros();
        tracing::trace!(
            method = endpoint.method.full_name,
            micros = micros(),
            "answered"
        );
    }
}

/// What was made within this call ends with it.
impl Drop for Call {
    fn drop(&mut self) {
        self.ctx.end();
    }
}

impl Running {
    /// Polls the handler; its first poll is what the method's pace is known by.
    fn poll(
        &mut self,
        endpoint: &ServedMethod,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Bytes, Status>> {
        let started = std::mem::take(&mut self.is_fresh).then(Instant::now);
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx)));
        if let Some(started) = started {
            endpoint.pace.record(started.elapsed());
        }
        polled.unwrap_or_else(|panic| {
            self.drop_now(endpoint);
            Poll::Ready(Err(panicked(endpoint, panic.as_ref())))
        })
    }

    /// Drops the handler's future, even if its destructors panic.
    fn drop_now(&mut self, endpoint: &ServedMethod) {
        let future = std::mem::replace(&mut self.future, Box::pin(std::future::pending()));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            panicked(endpoint, panic.as_ref());
        }
    }
}

/// Logs what a handler panicked with; the caller learns only that it did.
pub(super) fn panicked(endpoint: &ServedMethod, panic: &(dyn Any + Send)) -> Status {
    let name = endpoint.method.full_name;
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    tracing::error!(method = name, panic = text, "a handler panicked");
    Reason::Panicked.status(format!("the handler of {name} panicked"))
}

/// Runs a future where it may block its thread.
pub(super) fn on_a_blocking_thread<T: Send + 'static>(
    future: Pin<Box<dyn Future<Output = Result<T, Status>> + Send>>,
) -> Pin<Box<dyn Future<Output = Result<T, Status>> + Send>> {
    Box::pin(async move {
        let runtime = Handle::current();
        let ran = tokio::task::spawn_blocking(move || runtime.block_on(future)).await;
        ran.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(error) => Err(Status::unavailable("the runtime stops").with_source(error)),
        })
    })
}

pub(super) async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
