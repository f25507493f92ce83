//! `CallAll`: sends one request to every instance of a service and gathers their replies.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use crate::bus::{MultiReply, MultiReplyEnd, Outgoing, PublishError, ReplyLimits, RequestError};
use crate::client::call_bounds::CallBounds;
use crate::client::call_errors;
use crate::client::replies::{Replies, next_reply};
use crate::client::request::{OutgoingRequest, RequestBody as _, RequestTemplate, TypedBody};
use crate::client::unary_call::UnaryCall;
use crate::context::TimeLimit;
use crate::metadata::Metadata;
use crate::middleware;
use crate::middleware::{Response, ResponseFuture, Terminal};
use crate::observe::ClientCall;
use crate::status::Status;
use crate::sync::lock;
use crate::wire;

/// Default time without a reply after which no more replies are expected; that of the `nats` tool.
const DEFAULT_STALL: Duration = Duration::from_millis(300);

/// A call to all instances of a service; made by [`UnaryCall::to_all`].
///
/// Awaiting it completes with the first reply; [`Replies`] yields that one and the others. The request is
/// sent once, whatever fails: a second one would run the handlers of the instances that succeeded again.
///
/// # Errors
///
/// `UNAVAILABLE` if no instance serves the method or the request could not be sent, `DEADLINE_EXCEEDED` if
/// none replied before the deadline, `RESOURCE_EXHAUSTED` if the request does not fit into one NATS
/// message, `PERMISSION_DENIED` if NATS does not let this user send it or receive replies. Failures of single
/// instances are in [`InstanceReply::result`](crate::call::InstanceReply::result).
///
/// # Examples
///
/// ```no_run
/// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
/// # use greeter::{GreeterClient, HelloRequest};
/// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
/// let call = greeter.say_hello(HelloRequest { name: "all".into() }).to_all();
/// let mut replies = call.expected(3).await?;
/// while let Some(reply) = replies.next().await {
///     println!("{}: {:?}", reply.instance, reply.result);
/// }
/// # Ok(()) }
/// ```
#[must_use = "a call is made when it is awaited"]
pub struct CallAll<Req, Rep> {
    call: UnaryCall<Req, Rep>,
    expected: Option<usize>,
    stall: Duration,
}

impl<Req, Rep> UnaryCall<Req, Rep> {
    /// Sends the request to every instance of the service, instead of to one of its queue group or to the
    /// one of [`ClientOptions::instance`](crate::ClientOptions::instance).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::{GreeterClient, HelloRequest};
    /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
    /// let mut replies = greeter.say_hello(HelloRequest { name: "all".into() }).to_all().await?;
    /// while let Some(reply) = replies.next().await {
    ///     println!("{}: {:?}", reply.instance, reply.result);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn to_all(self) -> CallAll<Req, Rep> {
        CallAll {
            call: self,
            expected: None,
            stall: DEFAULT_STALL,
        }
    }
}

impl<Req, Rep> CallAll<Req, Rep> {
    /// Ends the replies once this number of instances have replied: with 0 the request is sent, and no reply is waited
    /// for. By default they end after the [`stall`](Self::stall) time.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::{GreeterClient, HelloRequest};
    /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
    /// let call = greeter.say_hello(HelloRequest { name: "all".into() });
    /// let replies = call.to_all().expected(3).await?;
    /// # Ok(()) }
    /// ```
    pub fn expected(mut self, instances: usize) -> Self {
        self.expected = Some(instances);
        self
    }

    /// Ends the replies once none has arrived for this time after the last one. The default is 300 ms;
    /// set more if some instances take longer than others by that.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::{GreeterClient, HelloRequest};
    /// # use std::time::Duration;
    /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
    /// let call = greeter.say_hello(HelloRequest { name: "all".into() });
    /// let replies = call.to_all().stall(Duration::from_secs(1)).await?;
    /// # Ok(()) }
    /// ```
    pub fn stall(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }
}

impl<Req, Rep> CallAll<Req, Rep>
where
    Req: prost::Message,
    Rep: prost::Message + Default + 'static,
{
    /// Makes the call. Its span and metrics end with the first reply, since the time after that depends on
    /// how fast the caller reads.
    async fn make(self) -> Result<Replies<Rep>, Status> {
        let request = self.call.request;
        let now = Instant::now();
        let limit = request.time_limit(now);
        let limits = ReplyLimits {
            expected: self.expected,
            stall: self.stall,
            max_wait: limit.deadline.saturating_duration_since(now),
        };
        let method = request.descriptor();
        let parent = request.options.message.parent.clone();
        let (client, index) = (request.client.clone(), request.method);
        let mut call = ClientCall::default();
        call.begin(method, request.client.metrics(request.method));
        call.attempt(1);
        let bounds = CallBounds {
            method: method.full_name,
            limit: Some(limit),
            parent,
        };
        let first = first_reply(request, limit, limits, call.span());
        let first = first.instrument(call.span()).await;
        call.end(first.as_ref().err().map(Status::code));
        let (multi_reply, first) = first?;
        Ok(Replies::new(multi_reply, first, bounds, &client, index))
    }
}

impl<Req, Rep> IntoFuture for CallAll<Req, Rep>
where
    Req: prost::Message + 'static,
    Rep: prost::Message + Default + 'static,
{
    type Output = Result<Replies<Rep>, Status>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.make())
    }
}

/// Sends the request, and waits for the first reply, unless none is expected.
async fn first_reply<Req: prost::Message>(
    request: OutgoingRequest<TypedBody<Req>>,
    limit: TimeLimit,
    limits: ReplyLimits,
    span: Span,
) -> Result<(MultiReply, Option<Message>), Status> {
    let name = request.method_name();
    let parent = request.options.message.parent.clone();
    let mut multi_reply = send(request, limit, limits, span).await?;
    let mut stray = None;
    match next_reply(&mut multi_reply, parent.as_ref(), &mut stray).await {
        Some(first) => Ok((multi_reply, Some(first))),
        None if limits.expected == Some(0) => Ok((multi_reply, None)),
        None => Err(stray.unwrap_or_else(|| no_reply(multi_reply.end(), name, &limit))),
    }
}

/// Sends the request through the client's middleware. The layers see that it was sent and no reply, since
/// there are many.
async fn send<Req: prost::Message>(
    request: OutgoingRequest<TypedBody<Req>>,
    limit: TimeLimit,
    limits: ReplyLimits,
    span: Span,
) -> Result<MultiReply, Status> {
    let stacks = request.client.stacks(request.method);
    let stacks = stacks.into_iter().flatten().collect::<Vec<_>>().into_iter();
    let method = request.descriptor();
    let bounds = CallBounds {
        method: method.full_name,
        limit: Some(limit),
        parent: request.options.message.parent.clone(),
    };
    bounds.check()?;
    let (template, metadata, body) = request.into_template(Some(limit))?;
    let sent = Arc::new(Mutex::new(None));
    let terminal = Arc::new(CallAllTerminal {
        template,
        span,
        limits,
        sent: Arc::clone(&sent),
    });
    let payload = body.encode();
    let deadline = Some(limit.deadline);
    let request = middleware::Request::new(method, metadata, deadline, payload, stacks, terminal);
    bounds.pass(request.start()).await?;
    let sent = lock(&sent).take();
    sent.ok_or_else(|| Status::canceled("the client's middleware did not send the request"))
}

/// End of the client's middleware for calls to all instances: reserves a reply slot and sends the request.
struct CallAllTerminal {
    template: RequestTemplate,
    span: Span,
    limits: ReplyLimits,
    /// The request with its reply slot, which no [`Response`] can carry.
    sent: Arc<Mutex<Option<MultiReply>>>,
}

impl Terminal for CallAllTerminal {
    fn call(&self, request: middleware::Request) -> ResponseFuture {
        let left = request.remaining();
        let request = self.template.fill(&request);
        let headers = request.headers(left, &self.span);
        let (limits, sent) = (self.limits, Arc::clone(&self.sent));
        Box::pin(async move {
            let mut headers = headers?;
            let format = request.client.format();
            let waits = request.waits_for_ready();
            let payload = wire::write_payload(&mut headers, format, request.body);
            let subject = request.client.subject_of_all(request.method);
            let outgoing = Outgoing {
                headers,
                ..Outgoing::to(subject, payload)
            };
            let name = request.client.method(request.method).full_name;
            let length = outgoing.payload.len();
            let connection = request.client.connection();
            if waits {
                let ready = tokio::time::timeout(limits.max_wait, connection.ready()).await;
                ready
                    .unwrap_or(Err(PublishError::Disconnected))
                    .map_err(|error| not_sent(RequestError::Unsent(error), name, length))?;
            }
            let multi_reply = MultiReply::send(connection, outgoing, limits).await;
            *lock(&sent) = Some(multi_reply.map_err(|error| not_sent(error, name, length))?);
            Ok(Response::new(Bytes::new(), Metadata::new()))
        })
    }
}

/// Returns the status of a call without any reply; `end` is `None` if its parent ended first.
fn no_reply(end: Option<MultiReplyEnd>, method: &str, limit: &TimeLimit) -> Status {
    match end {
        Some(MultiReplyEnd::NoResponders) => call_errors::no_broadcast(method),
        Some(MultiReplyEnd::Failed(status)) => status,
        Some(MultiReplyEnd::Complete | MultiReplyEnd::Stalled) => {
            limit.exceeded(format_args!("{method} had no reply of any instance"))
        }
        None => call_errors::parent_ended(method),
    }
}

fn not_sent(error: RequestError, method: &str, length: usize) -> Status {
    match error {
        RequestError::Refused(status) => status,
        RequestError::Unsent(error) => {
            error.into_status(format_args!("the request to {method}, {length} bytes,"))
        }
        RequestError::NoRuntime(none) => none.into_status(format_args!("{method} is not called")),
    }
}

impl<Req, Rep> fmt::Debug for CallAll<Req, Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallAll")
            .field("expected", &self.expected)
            .field("stall", &self.stall)
            .finish_non_exhaustive()
    }
}
