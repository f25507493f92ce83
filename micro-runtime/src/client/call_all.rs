//! Calls to all instances at once: one request out, one reply from each, until no more are expected.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use tracing::{Instrument as _, Span};

use crate::bus::{MultiReply, MultiReplyEnd, Outgoing, PublishError, ReplyLimits, RequestError};
use crate::client::client::Client;
use crate::client::request::{OutgoingRequest, RequestBody as _, TypedBody};
use crate::client::unary_call::UnaryCall;
use crate::context::Context;
use crate::metadata::Metadata;
use crate::middleware;
use crate::middleware::{Response, ResponseFuture, Terminal};
use crate::observe;
use crate::observe::ClientCall;
use crate::status::{Reason, Status};
use crate::sync::lock;
use crate::wire;
use crate::wire::header::MICRO_INSTANCE;

const STALL: Duration = Duration::from_millis(300);

/// A call to all instances of a service; made by [`UnaryCall::to_all`].
#[must_use = "a call is made when it is awaited"]
pub struct CallAll<Req, Rep> {
    call: UnaryCall<Req, Rep>,
    expected: Option<usize>,
    stall: Duration,
}

/// The replies of all instances, as they come.
///
/// The end is the expected count, the stall time after the last reply, the deadline of the call, or
/// the end of the call that it was made within, whichever comes first.
#[must_use = "replies are there to be read"]
pub struct Replies<M>(Pin<Box<dyn Stream<Item = InstanceReply<M>> + Send>>);

/// What one instance has answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InstanceReply<M> {
    /// Who answered; empty if a peer that is not of this library does not say.
    pub instance: String,
    /// The reply, or the status with which this instance failed.
    pub result: Result<M, Status>,
    /// What the handler added with [`Context::set_header`].
    pub metadata: Metadata,
}

impl<Req, Rep> UnaryCall<Req, Rep> {
    /// Sends the request to every instance of the service, once, and not to one of its queue group,
    /// whatever [`ClientOptions::instance`](crate::ClientOptions::instance) says.
    ///
    /// # Examples
    ///
    /// ```ignore
    /// let mut replies = cache.invalidate(key).to_all().await?;
    /// while let Some(reply) = replies.next().await {
    ///     println!("{}: {:?}", reply.instance, reply.result);
    /// }
    /// ```
    pub fn to_all(self) -> CallAll<Req, Rep> {
        CallAll {
            call: self,
            expected: None,
            stall: STALL,
        }
    }
}

impl<Req, Rep> CallAll<Req, Rep> {
    /// Ends once so many instances have answered.
    pub fn expected(mut self, instances: usize) -> Self {
        self.expected = Some(instances);
        self
    }

    /// Ends once no reply has come for so long after the last one. 300 ms by default; more where
    /// instances take differently long.
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
    async fn make(self) -> Result<Replies<Rep>, Status> {
        let request = self.call.request;
        let now = Instant::now();
        let deadline = request.deadline(now);
        let patience = ReplyLimits {
            expected: self.expected,
            stall: self.stall,
            max_wait: deadline.saturating_duration_since(now),
        };
        let method = request.descriptor();
        let parent = request.parent.clone();
        let mut seen = ClientCall::default();
        seen.begin(method, request.client.meters(request.method));
        seen.attempt(1);
        let first = first(request, deadline, patience, seen.span());
        let first = first.instrument(seen.span()).await;
        seen.end(first.as_ref().err().map(Status::code));
        let (gather, first) = first?;
        let known = Some(first);
        let replies = unfold(
            (gather, parent, known),
            move |(mut gather, parent, known)| async move {
                let message = match known {
                    Some(first) => first,
                    None => next(&mut gather, parent.as_ref()).await?,
                };
                Some((read(&message, method.output), (gather, parent, None)))
            },
        );
        Ok(Replies(Box::pin(replies)))
    }
}

impl<Req, Rep> IntoFuture for CallAll<Req, Rep>
where
    Req: prost::Message + 'static,
    Rep: prost::Message + Default + 'static,
{
    // Ready with the first reply; the error is that nobody was there, or that it could not be sent.
    type Output = Result<Replies<Rep>, Status>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.make())
    }
}

impl<M> Replies<M> {
    /// The next reply; `None` once no more are waited for.
    pub async fn next(&mut self) -> Option<InstanceReply<M>> {
        use futures_util::StreamExt as _;
        self.0.next().await
    }
}

impl<M> Stream for Replies<M> {
    type Item = InstanceReply<M>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

/// Sends the request, and waits for the first reply.
async fn first<Req: prost::Message>(
    request: OutgoingRequest<TypedBody<Req>>,
    deadline: Instant,
    patience: ReplyLimits,
    span: Span,
) -> Result<(MultiReply, Message), Status> {
    let name = request.descriptor().full_name;
    let parent = request.parent.clone();
    let mut gather = send(request, deadline, patience, span).await?;
    match next(&mut gather, parent.as_ref()).await {
        Some(first) => Ok((gather, first)),
        None => Err(nobody(gather.end(), name)),
    }
}

/// Sends the request through the client's middleware, which sees that it was sent and no reply: there
/// are many.
async fn send<Req: prost::Message>(
    request: OutgoingRequest<TypedBody<Req>>,
    deadline: Instant,
    patience: ReplyLimits,
    span: Span,
) -> Result<MultiReply, Status> {
    let (client, method) = (request.client.clone(), request.method);
    let payload = request.body.encode();
    let metadata = request.metadata?;
    let trace = request.parent.as_ref().and_then(Context::trace).cloned();
    let sent = Arc::new(Mutex::new(None));
    let end = Arc::new(CallAllTerminal {
        client: client.clone(),
        method,
        trace,
        span,
        patience,
        sent: Arc::clone(&sent),
    });
    let stacks = client.stacks(method).into_iter().flatten();
    let stacks = stacks.collect::<Vec<_>>().into_iter();
    let descriptor = client.method(method);
    middleware::Request::new(descriptor, metadata, Some(deadline), payload, stacks, end)
        .proceed()
        .await?;
    let sent = lock(&sent).take();
    sent.ok_or_else(|| Status::canceled("the client's middleware did not send the request"))
}

/// The wire behind the client's middleware.
struct CallAllTerminal {
    client: Client,
    method: usize,
    trace: Option<HeaderMap>,
    span: Span,
    patience: ReplyLimits,
    sent: Arc<Mutex<Option<MultiReply>>>,
}

impl CallAllTerminal {
    fn outgoing(&self, request: &middleware::Request) -> Outgoing {
        let mut headers = None;
        wire::encode_metadata(&mut headers, request.metadata());
        wire::forward_trace(&mut headers, self.trace.as_ref());
        observe::inject(&self.span, &mut headers);
        if let Some(left) = request.remaining() {
            wire::encode_timeout(&mut headers, left);
        }
        Outgoing {
            headers,
            ..Outgoing::to(
                self.client.subject_of_all(self.method),
                request.payload().clone(),
            )
        }
    }
}

impl Terminal for CallAllTerminal {
    fn call(&self, request: middleware::Request) -> ResponseFuture {
        let outgoing = self.outgoing(&request);
        let name = request.method().full_name;
        let (client, patience) = (self.client.clone(), self.patience);
        let sent = Arc::clone(&self.sent);
        Box::pin(async move {
            let gather = MultiReply::send(client.connection(), outgoing, patience).await;
            *lock(&sent) = Some(gather.map_err(|why| unsent(why, name))?);
            Ok(Response::new(Bytes::new(), Metadata::new()))
        })
    }
}

/// The next reply, counted; none after the end of the call that this one belongs to.
async fn next(gather: &mut MultiReply, parent: Option<&Context>) -> Option<Message> {
    let ended = async {
        match parent {
            Some(parent) => parent.end_token().cancelled().await,
            None => std::future::pending().await,
        }
    };
    let message = tokio::select! {
        message = gather.next() => message,
        () = ended => None,
    }?;
    gather.count();
    Some(message)
}

fn read<M: prost::Message + Default>(message: &Message, name: &str) -> InstanceReply<M> {
    let headers = message.headers.as_ref();
    let instance = headers.and_then(|headers| headers.get(MICRO_INSTANCE));
    let failure = headers.and_then(|headers| wire::decode_status(headers, &message.payload));
    let decoded = headers.map_or_else(|| Ok(Metadata::new()), wire::decode_metadata);
    let (metadata, bad_header) = match decoded {
        Ok(metadata) => (metadata, None),
        Err(status) => (Metadata::new(), Some(status)),
    };
    InstanceReply {
        instance: instance
            .map(|id| id.as_str().to_owned())
            .unwrap_or_default(),
        result: match failure.or(bad_header) {
            Some(status) => Err(status),
            None => wire::decode_reply(message.payload.clone(), name),
        },
        metadata,
    }
}

/// Why there is not one reply.
fn nobody(end: Option<MultiReplyEnd>, name: &str) -> Status {
    match end {
        Some(MultiReplyEnd::NoResponders) => {
            Reason::NoResponders.status(format!("no instance serves {name}"))
        }
        Some(_) => {
            Reason::Deadline.status(format!("no instance answered {name} before the deadline"))
        }
        None => Reason::ParentEnded.status(format!("the call that {name} was a part of has ended")),
    }
}

fn unsent(why: RequestError, name: &str) -> Status {
    let lost = || Reason::Disconnected.status(format!("the request to {name} could not be sent"));
    match why {
        RequestError::Unsubscribed(error) => lost().with_source(error),
        RequestError::Unsent(PublishError::Failed(error)) => lost().with_source(error),
        RequestError::Unsent(PublishError::TooLarge { max }) => Reason::TooLarge.status(
            format!(
                "the request to {name} does not fit into one NATS message of {max} bytes with its headers"
            ),
        ),
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

impl<M> fmt::Debug for Replies<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}
