//! `ServedCall`: one unary call at the server, from its permit to its reply.
//!
//! A short handler runs where its request was read: no task is spawned, no other thread is woken, and the
//! reply is in the connection's queue when the loop takes the next request. A handler that has to wait, or
//! whose method has not proved short, gets a task, and with it another core if one is free.

use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_nats::Subject;
use bytes::Bytes;

use crate::context::Context;
use crate::dispatch::call_observer::CallObserver;
use crate::dispatch::format::Format;
use crate::dispatch::permit::Permit;
use crate::dispatch::reply::OutgoingReply;
use crate::execute::{BoxFuture, BoxedHandler, Execution, Observer as _, on_blocking_thread};
use crate::status::Status;

/// A unary call that was admitted.
///
/// Dropping it before its reply, as when its runtime shuts down, sends none: the caller runs into its
/// deadline. Every other way ends in [`respond`](Self::respond), once.
pub(super) struct ServedCall {
    // Dropped in this order: the context of the call ends, then its permit is given back.
    execution: Execution<BoxedHandler<'static, Bytes>, CallObserver>,
    reply: ReplyAddress,
    received: Instant,
    permit: Permit,
}

/// Destination and form of the reply.
struct ReplyAddress {
    /// `None` if the caller wants no reply, and once it was sent.
    subject: Option<Subject>,
    format: Format,
    /// Instance id for `Micro-Instance`, on a call to all instances.
    responder: Option<Arc<str>>,
}

impl ServedCall {
    /// Prepares a call; nothing of the handler runs yet.
    pub(super) fn new(
        permit: Permit,
        ctx: Context,
        format: Format,
        future: BoxFuture<'static, Bytes>,
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
                responder: None,
            },
            received,
            permit,
        }
    }

    /// Sets the subject of the reply, if there is one, and the id of this instance where all instances
    /// are called.
    pub(super) fn replying_to(
        mut self,
        subject: Option<Subject>,
        responder: Option<&Arc<str>>,
    ) -> Self {
        self.reply.subject = subject;
        self.reply.responder = responder.map(Arc::clone);
        self
    }

    /// Runs the call in place if its method has proved short. It goes on in a task of its own if the
    /// handler has to wait, or if its method has not proved short.
    ///
    /// The loop that reads the subscription waits for this, so it must return within the time of one
    /// short poll and one publish.
    pub(super) async fn start(mut self) {
        let method = Arc::clone(self.permit.method());
        if method.cost.is_short() {
            let cost = Some(&method.cost);
            if let Poll::Ready(result) = self.execution.poll_once(cost) {
                return self.respond(result).await;
            }
        }
        // The task polls the handler anew, so that the handler wakes the task.
        method.server.tasks.spawn(self.run());
    }

    /// Runs the handler to its end or its deadline, and replies.
    ///
    /// A detached handler keeps its permit after that and runs to its end, or to the end of the grace
    /// period: a shutdown waits for it as for any call.
    async fn run(mut self) {
        let method = Arc::clone(self.permit.method());
        let (cost, stop) = (Some(&method.cost), &method.server.grace_ended);
        let at_deadline = method.options.deadline_policy();
        let completion = self.execution.run(cost, stop, at_deadline).await;
        let goes_on = completion.is_detached(at_deadline);
        let result = completion.into_result(method.descriptor.full_name);
        self.respond(result).await;
        if goes_on {
            self.execution.run_detached(stop).await;
        }
    }

    /// Counts the outcome, ends the span and the metrics, and then sends the reply with the metadata that
    /// the handler has set, on success and on failure.
    async fn respond(&mut self, result: Result<Bytes, Status>) {
        let method = self.permit.method();
        self.execution.record(result.as_ref().err());
        self.execution.observer().close();
        if let Some(subject) = self.reply.subject.take() {
            let metadata = self.execution.ctx().map(Context::take_reply_metadata);
            let metadata = metadata.unwrap_or_default();
            let metadata = metadata.signed(self.reply.responder.as_deref());
            let reply = OutgoingReply::new(subject, result)
                .in_format(&self.reply.format)
                .with_metadata(metadata)
                .in_parts_from(&method.address);
            method.server.send_reply(reply).await;
        }
        method.trace_reply(self.received);
    }
}
