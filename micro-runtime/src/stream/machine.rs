//! `Machine`: the state of one end of a stream, and how it ends. Pure.
//!
//! Frames that arrive come in through [`receive`](Machine::receive) (`input.rs`), clock readings through
//! [`on_time`](Machine::on_time) (`clock.rs`); frames to publish come out of [`output`](Machine::output)
//! (`output.rs`). The two directions are [`Sending`] and [`Receiving`].
//!
//! # How a stream ends
//!
//! Three things differ, and each has a place:
//!
//! - **`end`**: the result for the application. Once set it never changes, so a late RESET does not turn a success
//!   into a failure. Messages that arrived in order before a *clean* end may still be taken; an error discards them.
//! - **`pending.reset`**: a RESET must be sent. Set by [`reset`](Machine::reset), and by [`give_up`](Machine::give_up)
//!   before ACCEPT; not by [`fail`](Machine::fail), which is for streams whose peer has ended them itself, or cannot be
//!   reached.
//! - **`is_done`**: nothing more will be sent or received, and the driver stops. A server is done when its END is
//!   sent, a client when the server's END arrives, either of them when a RESET is sent or arrives.
//!
//! A client that gives up before ACCEPT does not know where to send its RESET. It waits for the ACCEPT until the open
//! timeout, and sends the RESET then, so that the handler does not run on for a caller that has gone. The same holds
//! where a message other than ACCEPT has ended the opening: a second responder may have accepted it. The application
//! has its error at once.

use std::borrow::Cow;

use tokio::time::Instant;

use crate::bus::instant_after;
use crate::context::TimeLimit;
use crate::descriptor::MethodDescriptor;
use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::stream::credit::Credit;
use crate::stream::options::StreamLimits;
use crate::stream::receiving::Receiving;
use crate::stream::sending::Sending;
use crate::stream::server_stop::ServerStop;
use crate::stream::stream_address::StreamAddress;
use crate::stream::stream_label::StreamLabel;
use crate::wire::FrameMark;

/// One end of a stream.
///
/// After every call from outside the owner has to ask [`has_output`](Self::has_output),
/// [`next_time`](Self::next_time) and [`end`](Self::end) again; [`Channel`](crate::stream::Channel) does.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(super) role: Role,
    pub(super) limits: StreamLimits,
    /// Names for the texts of failures.
    pub(super) label: StreamLabel,
    /// Source of the deadline, for the text of the failure.
    pub(super) time_limit: Option<TimeLimit>,
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    /// Metadata of OPEN; `None` until it arrives, and at the server.
    pub(super) headers: Option<Metadata>,
    /// Metadata of the server's END, or of a RESET.
    pub(super) trailers: Metadata,
    /// Result of the stream for the application.
    pub(super) end: Option<Result<(), Status>>,
    /// Both directions are over, and everything that was due is sent.
    pub(super) is_done: bool,
    pub(super) pending: PendingControl,
    /// What this end knows of a stop of the server.
    pub(super) server_stop: ServerStop,
    /// Moment by which the peer's first frame must arrive; `None` once it has. Of a server it is set only while a
    /// large reply waits for its first grant.
    pub(super) open_deadline: Option<Instant>,
    /// Deadline of the call. A stream has one only if its caller set or inherited one.
    pub(super) deadline: Option<Instant>,
    /// When the last frame of the peer arrived.
    pub(super) last_received: Instant,
    /// Whether this end receives a large reply, which its server has offered in a message before the stream.
    pub(super) was_offered: bool,
    /// At a client: whether a responder has refused the opening. Another one may accept it, and hardly ever does.
    pub(super) is_refused: bool,
    /// Number of frames of the peer that have arrived.
    pub(super) frames_received: u64,
    /// Number of PINGs sent since a frame of the peer arrived last.
    pub(super) pings: u32,
    /// Number of frames sent since the last probe.
    pub(super) frames_since_probe: u32,
    /// When a frame was last sent with a reply subject; see [`OutboundFrame`](crate::stream::output::OutboundFrame).
    pub(super) last_probe: Option<Instant>,
}

/// Which end it is.
#[derive(Debug)]
pub(super) enum Role {
    /// The caller's end. It knows the server's address once that has accepted.
    Client(Option<StreamAddress>),
    /// The server's end, with its own address.
    Server(StreamAddress),
}

/// Control information that the next frames must carry. Each is taken out when it is sent.
#[derive(Debug, Default)]
pub(super) struct PendingControl {
    /// Name the stream to the client.
    pub(super) accept: bool,
    /// The handler has returned its stream, with these headers.
    pub(super) open: Option<Metadata>,
    /// Demand a frame of the peer.
    pub(super) ping: bool,
    /// Send `taken` and the limits, also without a due grant: the reply to a PING, the demand for a large reply.
    pub(super) ack: bool,
    /// End both directions with this status. Replaces everything else.
    pub(super) reset: Option<Status>,
}

impl Machine {
    /// Returns the caller's end of a stream whose request was just sent.
    pub(crate) fn client(
        limits: StreamLimits,
        max_payload: usize,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Self {
        let nothing = Credit::default();
        Self::new(
            Role::Client(None),
            limits,
            nothing,
            max_payload,
            deadline,
            now,
        )
    }

    /// Returns the server's end of a stream whose request just arrived, from a caller with this window. It accepts
    /// at once.
    pub(crate) fn server(
        address: StreamAddress,
        limits: StreamLimits,
        window: Credit,
        max_payload: usize,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Self {
        let mut machine = Self::new(
            Role::Server(address),
            limits,
            window,
            max_payload,
            deadline,
            now,
        );
        machine.pending.accept = true;
        machine.open_deadline = None;
        machine
    }

    /// Returns the server's end of a unary call whose reply does not fit into one NATS message.
    ///
    /// It has offered the stream in its reply, and waits for the first grant: a caller that does not know large
    /// replies takes the reply for the error that it also is.
    pub(crate) fn large_reply(
        address: StreamAddress,
        limits: StreamLimits,
        max_payload: usize,
        now: Instant,
    ) -> Self {
        let nothing = Credit::default();
        Self::new(
            Role::Server(address),
            limits,
            nothing,
            max_payload,
            None,
            now,
        )
    }

    /// Returns the caller's end of a large reply that the server has offered under this address.
    pub(crate) fn large_reply_client(
        address: StreamAddress,
        limits: StreamLimits,
        max_payload: usize,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Self {
        let mut machine = Self::client(limits, max_payload, deadline, now);
        machine.role = Role::Client(Some(address));
        machine.was_offered = true;
        machine.pending.ack = true;
        machine
    }

    /// Names the method that the stream calls, and states what its deadline follows from, for the texts of failures.
    pub(crate) fn of_call(
        mut self,
        method: &'static MethodDescriptor,
        time_limit: Option<TimeLimit>,
    ) -> Self {
        self.label = StreamLabel::new(Some(method), self.is_client());
        self.time_limit = time_limit;
        self.receiving.set_label(self.label);
        self.sending.set_label(self.label);
        self
    }

    fn new(
        role: Role,
        limits: StreamLimits,
        peer_window: Credit,
        max_payload: usize,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Self {
        Self {
            label: StreamLabel::new(None, matches!(role, Role::Client(_))),
            time_limit: None,
            role,
            limits,
            sending: Sending::new(peer_window, max_payload),
            receiving: Receiving::new(&limits),
            headers: None,
            trailers: Metadata::new(),
            end: None,
            is_done: false,
            pending: PendingControl::default(),
            server_stop: ServerStop::None,
            open_deadline: Some(instant_after(now, limits.open_timeout)),
            deadline,
            last_received: now,
            was_offered: false,
            is_refused: false,
            frames_received: 0,
            pings: 0,
            frames_since_probe: 0,
            last_probe: None,
        }
    }

    /// Returns the address of the server's end, at a client that has received it.
    pub(crate) fn server_address(&self) -> Option<&StreamAddress> {
        match &self.role {
            Role::Client(address) => address.as_ref(),
            Role::Server(_) => None,
        }
    }

    pub(super) fn is_client(&self) -> bool {
        matches!(self.role, Role::Client(_))
    }

    /// Returns what the frames of this end begin with.
    pub(super) fn mark(&self) -> FrameMark {
        match self.role {
            Role::Client(_) => FrameMark::OfClient,
            Role::Server(_) => FrameMark::OfServer,
        }
    }

    /// Returns the headers that the handler set before it returned its stream; `None` until OPEN arrives.
    pub(crate) fn headers(&self) -> Option<&Metadata> {
        self.headers.as_ref()
    }

    /// Returns the trailers; empty until the stream has ended.
    pub(crate) fn trailers(&self) -> &Metadata {
        &self.trailers
    }

    /// Returns whether the first frame of the peer has not arrived yet.
    pub(crate) fn is_opening(&self) -> bool {
        self.open_deadline.is_some()
    }

    /// Returns the result of the stream, once it has ended.
    pub(crate) fn end(&self) -> Option<&Result<(), Status>> {
        self.end.as_ref()
    }

    /// Returns the result of the receiving direction, once everything before it was taken.
    ///
    /// At a server it may end in order while the call goes on. The other way round, a call that its handler has
    /// ended well is an error for a task that still reads the requests: they are not complete.
    pub(crate) fn reading_end(&self) -> Option<Result<(), Status>> {
        match &self.end {
            Some(Ok(())) if !self.receiving.is_complete() => Some(Err(dropped(
                "the call ended before its caller had sent everything",
            ))),
            None if self.receiving.is_complete() => Some(Ok(())),
            end => end.clone(),
        }
    }

    /// Returns whether nothing more will be sent or received.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Sends OPEN with the headers: the handler has returned its stream. It leaves with the first messages, where
    /// these are ready.
    pub(crate) fn open(&mut self, headers: Metadata) {
        self.pending.open = Some(headers);
    }

    /// Ends the sending direction behind what is written. From a server that ends the call.
    pub(crate) fn finish(&mut self, status: Option<Status>, trailers: Metadata) {
        self.sending.end(status, trailers);
    }

    /// Ends the stream on NATS's 503: the subject of a frame, or of the request, has no subscribers.
    pub(crate) fn on_no_responders(&mut self) {
        let status = match self.role {
            Role::Client(None) => Reason::NoResponders.status("no instance serves the method"),
            _ => peer_gone("the other end of the stream is gone"),
        };
        self.fail(status);
    }

    /// Ends the stream on a message of a peer that ends it, without a RESET to that peer. Before ACCEPT a second
    /// responder may accept the stream; it gets a RESET.
    pub(super) fn give_up(&mut self, status: Status) {
        if !self.is_unaccepted() {
            return self.fail(status);
        }
        self.is_refused = true;
        if self.is_done || self.pending.reset.is_some() {
            return;
        }
        self.stop(status);
        self.send_reset(dropped(
            "the caller has ended the call on the reply of another responder",
        ));
    }

    /// Returns whether this is a client that the server has not accepted yet.
    pub(super) fn is_unaccepted(&self) -> bool {
        matches!(self.role, Role::Client(None))
    }

    /// Returns whether this is a client that has ended, and waits for an ACCEPT to reset its sender.
    pub(crate) fn awaits_late_accept(&self) -> bool {
        self.is_unaccepted() && self.pending.reset.is_some() && !self.is_done
    }

    /// Returns whether a responder has refused the opening of a client that [awaits a late
    /// ACCEPT](Self::awaits_late_accept); `None` of any other end.
    pub(crate) fn late_accept_is_refused(&self) -> Option<bool> {
        self.awaits_late_accept().then_some(self.is_refused)
    }

    /// Ends the stream without a frame to the peer.
    pub(crate) fn fail(&mut self, status: Status) {
        if self.is_done {
            return;
        }
        self.stop(status);
        self.pending = PendingControl::default();
        self.is_done = true;
    }

    /// Ends the stream, and sends a RESET to the peer. The first reset holds.
    pub(crate) fn reset(&mut self, status: Status) {
        if self.is_done || self.pending.reset.is_some() {
            return;
        }
        self.stop(status.clone());
        self.send_reset(status);
    }

    fn send_reset(&mut self, status: Status) {
        self.pending = PendingControl {
            reset: Some(status),
            ..PendingControl::default()
        };
        // A client without the server's address that no longer waits for it cannot send the RESET.
        self.is_done = self.is_unaccepted() && self.open_deadline.is_none();
    }

    /// Sets the result unless there is one, and frees what both directions hold.
    fn stop(&mut self, status: Status) {
        if self.end.is_none() {
            self.end = Some(Err(status));
        }
        self.sending.clear();
        self.receiving.clear();
    }
}

/// Returns the error of a stream whose peer is silent, or reported absent by NATS.
pub(crate) fn peer_gone(text: impl Into<Cow<'static, str>>) -> Status {
    Reason::PeerGone.status(text)
}

/// Returns the error of a stream that an end dropped before it was over.
pub(crate) fn dropped(text: &'static str) -> Status {
    Reason::Dropped.status(text)
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
