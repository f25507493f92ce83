//! `drive`: the task of a client's end of a stream, from its request to the end of both directions.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::oneshot;

use crate::bus::ReplySlot;
use crate::client::call_options::parent_ended;
use crate::context::Context;
use crate::observe::ClientCall;
use crate::status::Reason;
use crate::stream::{Channel, FrameTransport, Machine};

/// Drives a stream until both directions are over, and resets it when its parent ends.
///
/// It runs in a task of its own, because frames must leave and time must pass while the application does
/// not poll its halves. It also ends the span and the metrics of the call, which arrive in `observed`
/// once the stream is open.
pub(crate) async fn drive(
    channel: Arc<Channel>,
    slot: ReplySlot,
    transport: FrameTransport,
    parent: Option<Context>,
    observed: oneshot::Receiver<ClientCall>,
) {
    {
        let mut driving = pin!(channel.drive(transport));
        let mut room = None;
        // A stream that ends before its ACCEPT waits for that only where the connection has room for it; without room a
        // second responder that accepts the stream finds its caller gone (docs/PROTOCOL.md, STREAM-9).
        let mut driven = pin!(poll_fn(|cx| {
            let driven = driving.as_mut().poll(cx);
            if driven.is_ready() {
                return driven;
            }
            let Some(is_refused) = channel.inspect(Machine::late_accept_is_refused) else {
                return driven;
            };
            // One that is refused later moves to the room of those.
            if room.as_ref().is_some_and(|(of, _)| *of == is_refused) {
                return driven;
            }
            let reserved = slot.mux().reserve_late_accept(is_refused);
            room = reserved.map(|permit| (is_refused, permit));
            match room {
                Some(_) => Poll::Pending,
                None => Poll::Ready(()),
            }
        }));
        tokio::select! {
            () = &mut driven => {}
            () = parent_ended(parent.as_ref()) => {
                channel.reset(Reason::ParentEnded.status(
                    "the call that the stream was a part of has ended",
                ));
                driven.await;
            }
        }
    }
    // The subject is free before the call counts as ended.
    drop(slot);
    if let Ok(mut call) = observed.await {
        call.end(channel.failure().map(|status| status.code()));
    }
}
