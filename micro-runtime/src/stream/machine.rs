//! One end of a stream: what it knows, how it ends, its clock. Pure.

use std::time::Instant;

use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::stream::options::{Credit, StreamLimits};
use crate::stream::receiving::Receiving;
use crate::stream::sending::Sending;
use crate::stream::stream_address::StreamAddress;

/// One end of a stream.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(super) role: Role,
    pub(super) limits: StreamLimits,
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    /// What the server sent before its first message, and after its last.
    pub(super) headers: Option<Metadata>,
    pub(super) trailers: Metadata,
    /// How the stream ended; what has arrived in order may still be taken.
    pub(super) end: Option<Result<(), Status>>,
    /// Both directions are over, and everything that was due is sent.
    pub(super) is_done: bool,
    pub(super) pending: PendingControl,
    pub(super) open_deadline: Option<Instant>,
    deadline: Option<Instant>,
    pub(super) last_received: Instant,
    pub(super) pings: u32,
    pub(super) frames_since_probe: u32,
    pub(super) last_probe: Option<Instant>,
}

/// Which end it is.
#[derive(Debug)]
pub(super) enum Role {
    /// Knows the peer once that has accepted.
    Client(Option<StreamAddress>),
    Server(StreamAddress),
}

/// What the next frames have to say besides messages.
#[derive(Debug, Default)]
pub(super) struct PendingControl {
    pub(super) accept: bool,
    pub(super) open: Option<Metadata>,
    pub(super) ping: bool,
    pub(super) ack: bool,
    pub(super) reset: Option<Status>,
}

impl Machine {
    /// The caller's end, which has just sent its opening request.
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

    /// The end of a server that was asked to open a stream, by a peer with this window.
    pub(crate) fn server(
        peer: StreamAddress,
        limits: StreamLimits,
        window: Credit,
        max_payload: usize,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Self {
        let mut machine = Self::new(
            Role::Server(peer),
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

    /// The end of a server that answers a unary call with more than fits into one message: it has
    /// named itself, and waits for the first grant.
    pub(crate) fn large_reply(
        peer: StreamAddress,
        limits: StreamLimits,
        max_payload: usize,
        now: Instant,
    ) -> Self {
        let nothing = Credit::default();
        Self::new(Role::Server(peer), limits, nothing, max_payload, None, now)
    }

    /// The caller's end of a large reply; the server has named itself.
    pub(crate) fn large_reply_client(
        peer: StreamAddress,
        limits: StreamLimits,
        max_payload: usize,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Self {
        let mut machine = Self::client(limits, max_payload, deadline, now);
        machine.role = Role::Client(Some(peer));
        machine.pending.ack = true;
        machine
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
            role,
            limits,
            sending: Sending::new(peer_window, max_payload),
            receiving: Receiving::new(&limits),
            headers: None,
            trailers: Metadata::new(),
            end: None,
            is_done: false,
            pending: PendingControl::default(),
            open_deadline: now.checked_add(limits.open_timeout),
            deadline,
            last_received: now,
            pings: 0,
            frames_since_probe: 0,
            last_probe: None,
        }
    }

    /// The server's end, once it is known.
    pub(crate) fn server_address(&self) -> Option<&StreamAddress> {
        match &self.role {
            Role::Client(peer) => peer.as_ref(),
            Role::Server(_) => None,
        }
    }

    pub(super) fn is_client(&self) -> bool {
        matches!(self.role, Role::Client(_))
    }

    /// What the server sent before its first message; `None` until it has.
    pub(crate) fn headers(&self) -> Option<&Metadata> {
        self.headers.as_ref()
    }

    /// What the server sent after its last message.
    pub(crate) fn trailers(&self) -> &Metadata {
        &self.trailers
    }

    /// Says whether the peer has still to say its first word.
    pub(crate) fn is_opening(&self) -> bool {
        self.open_deadline.is_some()
    }

    /// How the stream ended, once it has.
    pub(crate) fn end(&self) -> Option<&Result<(), Status>> {
        self.end.as_ref()
    }

    /// How the receiving direction ended, once it has and everything is taken.
    pub(crate) fn reading_end(&self) -> Option<Result<(), Status>> {
        match &self.end {
            // The handler has ended the call, and somebody whom it left its stream to reads on.
            Some(Ok(())) if !self.receiving.is_complete() => Some(Err(dropped(
                "the call ended before its caller had sent everything",
            ))),
            None if self.receiving.is_complete() => Some(Ok(())),
            end => end.clone(),
        }
    }

    /// Says whether nothing more is to be sent or received.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// The handler has returned its stream; goes out with the first messages.
    pub(crate) fn open(&mut self, headers: Metadata) {
        self.pending.open = Some(headers);
    }

    /// The handler has ended; goes out after the messages.
    pub(crate) fn finish(&mut self, status: Option<Status>, trailers: Metadata) {
        self.sending.end(status, trailers);
    }

    /// NATS says that nobody is where a frame was sent to.
    pub(crate) fn on_no_responders(&mut self) {
        let status = match self.role {
            Role::Client(None) => {
                let text = "no instance serves the method";
                Reason::NoResponders.status(text)
            }
            _ => peer_gone("the other end of the stream is gone"),
        };
        self.fail(status);
    }

    /// The server does not open the stream, and says why without a frame.
    pub(crate) fn on_refused(&mut self, status: Status, trailers: Metadata) {
        self.trailers = trailers;
        self.fail(status);
    }

    /// Ends the stream without a word to the peer.
    pub(crate) fn fail(&mut self, status: Status) {
        if self.is_done {
            return;
        }
        self.stop(status);
        self.pending = PendingControl::default();
        self.is_done = true;
    }

    /// Ends the stream, and tells the peer.
    pub(crate) fn reset(&mut self, status: Status) {
        if self.is_done || self.pending.reset.is_some() {
            return;
        }
        self.stop(status.clone());
        self.pending = PendingControl {
            reset: Some(status),
            ..PendingControl::default()
        };
        // Nobody can be told, and nobody is waited for.
        self.is_done =
            self.server_address().is_none() && self.is_client() && self.open_deadline.is_none();
    }

    fn stop(&mut self, status: Status) {
        if self.end.is_none() {
            self.end = Some(Err(status));
        }
        self.sending.clear();
        self.receiving.clear();
    }

    /// Looks at the clock.
    pub(crate) fn on_time(&mut self, now: Instant) {
        if self.is_done {
            return;
        }
        if self.pending.reset.is_some() {
            // Where nobody has accepted, there is nobody to tell.
            let is_ended = self.open_deadline.is_none_or(|before| before <= now);
            self.is_done = is_ended && !self.has_output();
            return;
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            let text = "the stream did not end before its deadline";
            let status = Reason::Deadline.status(text);
            return self.reset(status);
        }
        if let Some(before) = self.open_deadline {
            if before <= now {
                let timeout = self.limits.open_timeout;
                self.fail(peer_gone(format!(
                    "the peer did not open the stream within {timeout:?}"
                )));
            }
            return;
        }
        let silence = now.saturating_duration_since(self.last_received);
        if silence >= self.limits.idle_timeout {
            let status = peer_gone(format!(
                "the other end of the stream was silent for {silence:.0?}"
            ));
            self.reset(status);
        } else if silence >= self.limits.heartbeat * (self.pings + 1) {
            self.pings += 1;
            self.pending.ping = true;
        }
    }

    /// When the clock is to be looked at again.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        if self.is_done {
            return None;
        }
        if self.pending.reset.is_some() {
            return self.open_deadline;
        }
        let alive = match self.open_deadline {
            Some(before) => before,
            None => {
                let ping = self.limits.heartbeat * (self.pings + 1);
                self.last_received + ping.min(self.limits.idle_timeout)
            }
        };
        Some(self.deadline.map_or(alive, |deadline| deadline.min(alive)))
    }
}

/// The other end did not say a word, or NATS says that nobody is there.
pub(crate) fn peer_gone(text: impl Into<std::borrow::Cow<'static, str>>) -> Status {
    Reason::PeerGone.status(text)
}

/// An end was dropped before the stream was over.
pub(crate) fn dropped(text: &'static str) -> Status {
    Reason::Dropped.status(text)
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
