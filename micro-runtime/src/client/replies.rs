//! `Replies`: the replies of all instances to one request, as they arrive.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use async_nats::Message;
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt, unfold};

use crate::bus::MultiReply;
use crate::client::call_bounds::CallBounds;
use crate::client::call_options::parent_ended;
use crate::client::client::Client;
use crate::context::Context;
use crate::decode::decode_reply;
use crate::descriptor::MethodDescriptor;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::wire;
use crate::wire::ReceivedMetadata;
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
    /// Id of the instance, from the header `Micro-Instance`: a reply without it is of no instance, and is dropped and
    /// counted in [`Bus::unmatched_replies`](crate::Bus::unmatched_replies), and so is a status of NATS.
    pub instance: String,
    /// The reply, or the status with which this instance failed.
    pub result: Result<M, Status>,
    /// Headers that the handler set with [`Context::set_header`], without malformed ones, of which the first is the
    /// error in `result` then (`INTERNAL`).
    pub metadata: Metadata,
}

impl<M> Replies<M>
where
    M: prost::Message + Default + 'static,
{
    /// Returns the replies that `multi_reply` collects, after `first`, which has been received already unless none is
    /// expected.
    pub(super) fn new(
        multi_reply: MultiReply,
        first: Option<Message>,
        bounds: CallBounds,
        client: &Client,
        method: usize,
    ) -> Self {
        let (client, method) = (client.clone(), client.method(method));
        let replies = unfold((multi_reply, first), move |(mut multi_reply, received)| {
            let (client, bounds) = (client.clone(), bounds.clone());
            async move {
                let message = match received {
                    Some(first) => first,
                    None => {
                        let parent = bounds.parent.as_ref();
                        next_reply(&mut multi_reply, parent, &mut None).await?
                    }
                };
                let reply = InstanceReply::decode(&message, &client, method, &bounds).await;
                Some((reply, (multi_reply, None)))
            }
        });
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

impl<M: prost::Message + Default + 'static> InstanceReply<M> {
    async fn decode(
        message: &Message,
        client: &Client,
        method: &'static MethodDescriptor,
        bounds: &CallBounds,
    ) -> Self {
        let (payload, metadata) = read(message, client, method);
        Self {
            instance: instance_of(message).unwrap_or_default().to_owned(),
            result: match payload {
                Ok(payload) => {
                    let decoding = decode_reply(payload, method.output, wire::decode_reply);
                    bounds.decode(decoding).await
                }
                Err(status) => Err(status),
            },
            metadata,
        }
    }
}

/// Returns the payload and the metadata of a reply.
fn read(
    message: &Message,
    client: &Client,
    method: &'static MethodDescriptor,
) -> (Result<Bytes, Status>, Metadata) {
    let (headers, format) = (message.headers.as_ref(), client.format());
    let what = format_args!("the reply of {}", method.full_name);
    let payload = wire::read_reply(headers, message.payload.clone(), format, what);
    let ReceivedMetadata { metadata, flaw } =
        wire::decode_reply_metadata(headers, method.full_name);
    let payload = payload.and_then(|payload| {
        flaw.map_or(Ok(()), Err)?;
        client.check_reply_len(method, &payload)?;
        Ok(payload)
    });
    (payload, metadata)
}

/// Returns the next reply and counts it as one of those expected; `None` after the last, and after the end
/// of `parent`. A second reply of one instance is dropped, and so is a message of no instance; `stray` gets the
/// failure that the latter stands for, where it is an acknowledgment of JetStream or a status of NATS.
pub(super) async fn next_reply(
    multi_reply: &mut MultiReply,
    parent: Option<&Context>,
    stray: &mut Option<Status>,
) -> Option<Message> {
    loop {
        let message = tokio::select! {
            message = multi_reply.next() => message,
            () = parent_ended(parent) => None,
        }?;
        if multi_reply.is_first_of(instance_of(&message)) {
            multi_reply.count();
            return Some(message);
        }
        if stray.is_none() {
            *stray = match message.status {
                Some(status) => Some(wire::not_a_reply(status, message.description.as_deref())),
                None => wire::acknowledged_by(&message.payload),
            };
        }
    }
}

/// Returns the id of the instance that a reply is from; `None` for a message of none (docs/PROTOCOL.md, ALL-1), such as
/// a status of NATS.
fn instance_of(message: &Message) -> Option<&str> {
    if message.status.is_some() {
        return None;
    }
    let instance = find(message.headers.as_ref()?, &MICRO_INSTANCE)?.as_str();
    (!instance.is_empty()).then_some(instance)
}

impl<M> fmt::Debug for Replies<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}
