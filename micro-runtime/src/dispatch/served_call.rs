//! `ServedCall`: one unary call at the server, from its permit to its reply.
//!
//! A short handler runs where its request was read: no task is spawned, no other thread is woken, and the
//! reply is in the connection's queue when the loop takes the next request. A handler that has to wait, or
//! whose method has not proved short, gets a task, and with it another core if one is free.

use std::sync::Arc;
use std::task::Poll;

use async_nats::Subject;
use bytes::Bytes;

use crate::context::Context;
use crate::dispatch::arrival::Arrival;
use crate::dispatch::call_observer::CallObserver;
use crate::dispatch::format::Format;
use crate::dispatch::permit::Permit;
use crate::dispatch::reply::{OutgoingReply, PendingReply};
use crate::dispatch::served_method::ServedMethod;
use crate::execute::{
    BoxFuture, BoxedHandler, Completion, DeadlinePolicy, Execution, Observer as _,
    on_blocking_thread,
};
use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::wire::{CancelToken, subject};

/// A unary call that was admitted.
///
/// Dropping it before its reply, as when its runtime shuts down, sends none: the caller runs into its
/// deadline. Every other way ends in [`send_reply`](Self::send_reply), once, or in its short cut
/// [`respond_in_place`](Self::respond_in_place).
pub(super) struct ServedCall {
    // Dropped in this order: the context of the call ends, then its permit is given back.
    execution: Execution<BoxedHandler<'static, Bytes>, CallObserver>,
    reply: ReplyAddress,
    arrival: Arrival,
    permit: Permit,
}

/// Destination and form of the reply.
struct ReplyAddress {
    /// `None` if the caller wants no reply, and once it was sent.
    subject: Option<Subject>,
    format: Format,
    /// Instance id for `Micro-Instance`, on a call to all instances.
    responder: Option<Arc<str>>,
    /// Id of `Micro-Cancel`.
    cancel_id: Option<CancelToken>,
}

impl ReplyAddress {
    /// Returns what the caller names the call by to cancel it.
    fn cancel_token(&self) -> Option<CancelToken> {
        let of_reply = || CancelToken::of_request(None, self.subject.as_deref());
        self.cancel_id.or_else(of_reply)
    }
}

impl ServedCall {
    /// Prepares a call; nothing of the handler runs yet.
    pub(super) fn new(
        mut permit: Permit,
        ctx: Context,
        format: Format,
        future: BoxFuture<'static, Bytes>,
        arrival: Arrival,
    ) -> Self {
        let observer = CallObserver::new(permit.method(), arrival.received);
        let future = match permit.method().options.is_blocking {
            true => {
                let held = permit.share_with_thread();
                on_blocking_thread(future, observer.span().clone(), held)
            }
            false => future,
        };
        Self {
            execution: Execution::new(ctx, BoxedHandler::new(future), observer),
            reply: ReplyAddress {
                subject: None,
                format,
                responder: None,
                cancel_id: None,
            },
            arrival,
            permit,
        }
    }

    /// Sets the id by which the caller can cancel the call, if it has sent one.
    pub(super) fn named(mut self, cancel_id: Option<CancelToken>) -> Self {
        self.reply.cancel_id = cancel_id;
        self
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
    /// short poll and one publish. Returns a reply that could not be sent at once.
    pub(super) fn start(mut self) -> Option<PendingReply<'static>> {
        let method = self.permit.method();
        if method
            .server
            .cancellations
            .is_canceled(|| self.reply.cancel_token())
        {
            self.end_canceled();
            return None;
        }
        let cost = &method.cost;
        if cost.is_short() {
            let polled = self.execution.poll_once(None);
            // From its turn on, which was less than a microsecond ago: one reading of the clock serves both counts.
            let took = self.arrival.begun.elapsed();
            cost.record(took);
            if let Poll::Ready(result) = polled {
                let took = took + self.arrival.waited_here();
                self.execution.observer().set_took(took);
                return self.respond_in_place(result);
            }
        }
        let method = Arc::clone(self.permit.method());
        self.reply.subject = self.reply.subject.as_ref().map(subject::detached);
        // The task polls the handler anew, so that the handler wakes the task.
        method.server.tasks.spawn(self.run());
        None
    }

    /// Runs the handler to its end or its deadline, and replies.
    ///
    /// A detached handler keeps its permit after that and runs to its end, or to the end of the grace
    /// period: a shutdown waits for it as for any call.
    async fn run(mut self) {
        let method = Arc::clone(self.permit.method());
        let (cost, stop) = (Some(&method.cost), &method.server.grace_ended);
        let at_deadline = method.options.deadline_policy();
        let cancelable = match self.reply.cancel_token() {
            None => None,
            Some(token) => match method.server.cancellations.register(token) {
                None => return self.end_canceled(),
                call => call,
            },
        };
        if self.execution.is_late() {
            // It waited for its task longer than its caller does.
            return self.expire(&method).await;
        }
        let canceled = async {
            match &cancelable {
                Some(call) => call.canceled().await,
                None => std::future::pending().await,
            }
        };
        let completion = tokio::select! {
            biased;
            completion = self.execution.run(cost, stop, at_deadline) => completion,
            () = canceled => {
                if at_deadline == DeadlinePolicy::Drop {
                    return self.end_canceled();
                }
                self.record_canceled();
                return self.execution.run_detached(stop).await;
            }
        };
        let goes_on = completion.is_detached(at_deadline);
        let ctx = self.execution.ctx();
        let limit = ctx.and_then(|ctx| method.time_limit(ctx, self.arrival.reached));
        let result = completion.into_result(method.descriptor.full_name, limit);
        self.respond(result).await;
        if goes_on {
            self.execution.run_detached(stop).await;
        }
    }

    /// Ends a call whose handler has not begun by its deadline.
    #[cold]
    async fn expire(&mut self, method: &ServedMethod) {
        self.execution.drop_handler();
        let ctx = self.execution.ctx();
        let limit = ctx.and_then(|ctx| method.time_limit(ctx, self.arrival.reached));
        let name = method.descriptor.full_name;
        let ended = Completion::DeadlinePassed.into_result(name, limit);
        self.respond(ended).await;
    }

    /// Drops the handler of a call whose caller has gone. Nothing is sent.
    #[cold]
    fn end_canceled(&mut self) {
        self.execution.drop_handler();
        self.record_canceled();
    }

    fn record_canceled(&mut self) {
        let status = Reason::Dropped.status("the caller has given the call up");
        self.execution.record(Some(&status));
        self.execution.observer().close();
        self.reply.subject = None;
        self.permit.method().trace_reply(self.arrival);
    }

    /// Counts the outcome, ends the span and the metrics, and then sends the reply with the metadata that
    /// the handler has set, on success and on failure.
    async fn respond(&mut self, result: Result<Bytes, Status>) {
        let metadata = self.end(&result);
        self.send_reply(result, metadata).await;
    }

    /// Responds as [`respond`](Self::respond) does, and returns what is left of it if the reply cannot be sent at once.
    fn respond_in_place(mut self, result: Result<Bytes, Status>) -> Option<PendingReply<'static>> {
        let metadata = self.end(&result);
        let reply = &self.reply;
        if let (Some(subject), Ok(message), None) = (&reply.subject, &result, &reply.responder)
            && metadata.is_empty()
            && let method = self.permit.method()
            && method.server.try_send(subject, message, &reply.format)
        {
            method.trace_reply(self.arrival);
            return None;
        }
        Some(Box::pin(async move {
            self.send_reply(result, metadata).await;
        }))
    }

    /// Counts the outcome, and ends the span and the metrics. Returns the metadata of the reply.
    fn end(&mut self, result: &Result<Bytes, Status>) -> Metadata {
        self.execution.record(result.as_ref().err());
        self.execution.observer().close();
        let metadata = self.execution.ctx().map(Context::take_reply_metadata);
        metadata.unwrap_or_default()
    }

    async fn send_reply(&mut self, result: Result<Bytes, Status>, metadata: Metadata) {
        if let Some(subject) = self.reply.subject.take() {
            let method = Arc::clone(self.permit.method());
            let reply = OutgoingReply::new(subject, result, &method.drops)
                .in_format(&self.reply.format)
                .with_metadata(metadata)
                .of_call(&mut self.permit)
                .signed_by(self.reply.responder.as_deref());
            method.server.send_reply(reply).await;
        }
        self.permit.method().trace_reply(self.arrival);
    }
}
