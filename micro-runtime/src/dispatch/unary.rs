//! `ServedCall`: one unary call at the server, from its permit to its reply.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_nats::Subject;
use bytes::Bytes;

use crate::context::Context;
use crate::dispatch::call_observer::CallObserver;
use crate::dispatch::handler::HandlerFuture;
use crate::dispatch::permit::Permit;
use crate::dispatch::transcode::Format;
use crate::execute::{
    BoxedHandler, Completion, DeadlinePolicy, Execution, Observer as _, on_blocking_thread,
};
use crate::status::Status;

/// A unary call that was admitted.
pub(super) struct ServedCall {
    execution: Execution<BoxedHandler<'static, Bytes>, CallObserver>,
    reply: ReplyAddress,
    received: Instant,
    // Given back last: a call counts as running until its reply has left.
    permit: Permit,
}

/// How the reply of a call is written, and who signs it.
struct ReplyAddress {
    subject: Option<Subject>,
    format: Format,
    signer: Option<Arc<str>>,
}

impl ServedCall {
    /// Prepares a call; nothing of the handler runs yet.
    pub(super) fn new(
        permit: Permit,
        ctx: Context,
        format: Format,
        future: HandlerFuture,
        received: Instant,
    ) -> Self {
        let observer = CallObserver::new(permit.method(), received);
        let future = match permit.method().options.is_blocking {
            true => on_blocking_thread(future, observer.span().clone()),
            false => future,
        };
        Self {
            execution: Execution::new(ctx, BoxedHandler::new(future), observer),
            reply: ReplyAddress {
                subject: None,
                format,
                signer: None,
            },
            received,
            permit,
        }
    }

    /// Sends the reply to `subject`, if there is one, signed with the name of the instance.
    pub(super) fn replying_to(
        mut self,
        subject: Option<Subject>,
        signer: Option<&Arc<str>>,
    ) -> Self {
        self.reply.subject = subject;
        self.reply.signer = signer.map(Arc::clone);
        self
    }

    /// Runs the call in place if its method has proved short. It goes on in a task of its own if it
    /// has to wait, or if its method has not proved short.
    pub(super) async fn start(mut self) {
        let method = Arc::clone(self.permit.method());
        if method.pace.is_short() {
            let cost = Some(&method.pace);
            let polled = poll_fn(|cx| Poll::Ready(self.execution.poll(cost, cx))).await;
            if let Poll::Ready(result) = polled {
                return self.respond(result).await;
            }
        }
        method.shared.tasks.spawn(self.run());
    }

    async fn run(mut self) {
        let method = Arc::clone(self.permit.method());
        let (cost, stop) = (Some(&method.pace), &method.shared.end);
        let at_deadline = match method.options.is_detached {
            true => DeadlinePolicy::Detach,
            false => DeadlinePolicy::Drop,
        };
        let ended = self.execution.run(cost, stop, at_deadline).await;
        let goes_on =
            matches!(ended, Completion::DeadlinePassed) && at_deadline == DeadlinePolicy::Detach;
        let result = ended.into_result(method.method.full_name);
        self.respond(result).await;
        if goes_on {
            let _ = poll_fn(|cx| self.execution.poll(None, cx)).await;
        }
    }

    /// Counts the outcome, and sends the reply.
    async fn respond(&mut self, result: Result<Bytes, Status>) {
        let method = self.permit.method();
        let observer = self.execution.observer();
        observer.record(result.as_ref().err());
        observer.close();
        if let Some(subject) = self.reply.subject.take() {
            let metadata = self.execution.ctx().map(Context::take_reply_metadata);
            let metadata = metadata.unwrap_or_default();
            let metadata = metadata.signed(self.reply.signer.as_deref());
            let home = Some(&method.home);
            method
                .shared
                .answer_in(&self.reply.format, home, subject, result, metadata)
                .await;
        }
        let micros = || self.received.elapsed().as_micros();
        tracing::trace!(
            method = method.method.full_name,
            micros = micros(),
            "replied"
        );
    }
}
