//! `Replies`: the replies of all instances to one request, as they arrive.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use async_nats::Message;
use futures_util::stream::{Stream, StreamExt, unfold};

use crate::bus::MultiReply;
use crate::client::call_options::parent_ended;
use crate::context::Context;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::wire;
use crate::wire::header::{MICRO_INSTANCE, find};

/// The replies of all instances, as they arrive. A [`Stream`] that never fails as a whole: a failure is the
/// result of one instance.
///
/// The end is the expected number of replies, the stall time after the last reply, the deadline of the
/// call, or the end of the call that it was made within, whichever comes first.
///
/// # Examples
///
/// ```no_run
/// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
/// # use greeter::{GreeterClient, HelloRequest};
/// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
/// let mut replies = greeter.say_hello(HelloRequest { name: "all".into() }).to_all().await?;
/// while let Some(reply) = replies.next().await {
///     match reply.result {
///         Ok(hello) => println!("{}: {}", reply.instance, hello.message),
///         Err(status) => println!("{}: {status}", reply.instance),
///     }
/// }
/// # Ok(()) }
/// ```
#[must_use = "replies are there to be read"]
pub struct Replies<M>(Pin<Box<dyn Stream<Item = InstanceReply<M>> + Send>>);

/// Reply of one instance.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InstanceReply<M> {
    /// Id of the instance, from the header `Micro-Instance`; empty if a peer that is not built on this
    /// library leaves it out.
    pub instance: String,
    /// The reply, or the status with which this instance failed.
    pub result: Result<M, Status>,
    /// Headers that the handler set with [`Context::set_header`]; empty if a header was invalid, which is
    /// the error in `result` then.
    pub metadata: Metadata,
}

impl<M> Replies<M>
where
    M: prost::Message + Default + 'static,
{
    /// Returns the replies that `multi_reply` collects, after `first`, which has been received already.
    /// `output` is the full name of their message, for errors.
    pub(super) fn new(
        multi_reply: MultiReply,
        first: Message,
        parent: Option<Context>,
        output: &'static str,
    ) -> Self {
        let received = Some(first);
        let replies = unfold(
            (multi_reply, parent, received),
            move |(mut multi_reply, parent, received)| async move {
                let message = match received {
                    Some(first) => first,
                    None => next_reply(&mut multi_reply, parent.as_ref()).await?,
                };
                let reply = InstanceReply::decode(&message, output);
                Some((reply, (multi_reply, parent, None)))
            },
        );
        Self(Box::pin(replies))
    }
}

impl<M> Replies<M> {
    /// Returns the next reply; `None` once no more are waited for.
    ///
    /// Cancel safe: no reply is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<InstanceReply<M>> {
        StreamExt::next(&mut self.0).await
    }
}

impl<M> Stream for Replies<M> {
    type Item = InstanceReply<M>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl<M: prost::Message + Default> InstanceReply<M> {
    fn decode(message: &Message, output: &str) -> Self {
        let headers = message.headers.as_ref();
        let instance = headers.and_then(|headers| find(headers, &MICRO_INSTANCE));
        let payload = match message.status {
            Some(status) => Err(wire::not_a_reply(status, message.description.as_deref())),
            None => wire::read_reply(headers, message.payload.clone()),
        };
        let decoded = headers.map_or_else(|| Ok(Metadata::new()), wire::decode_metadata);
        let (metadata, checked) = match decoded {
            Ok(metadata) => (metadata, Ok(())),
            Err(status) => (Metadata::new(), Err(status)),
        };
        Self {
            instance: instance
                .map(|id| id.as_str().to_owned())
                .unwrap_or_default(),
            result: payload.and_then(|payload| {
                checked?;
                wire::decode_reply(payload, output)
            }),
            metadata,
        }
    }
}

/// Returns the next reply and counts it as one of those expected; `None` after the last, and after the end
/// of `parent`.
pub(super) async fn next_reply(
    multi_reply: &mut MultiReply,
    parent: Option<&Context>,
) -> Option<Message> {
    let message = tokio::select! {
        message = multi_reply.next() => message,
        () = parent_ended(parent) => None,
    }?;
    multi_reply.count();
    Some(message)
}

impl<M> fmt::Debug for Replies<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}
