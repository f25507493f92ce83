//! The output of a `Machine`: which frame is next, and whether it probes for the peer. Pure.
//!
//! A frame goes out as soon as there is something to state, and takes along all that there is: messages, a grant, the
//! reply to a PING. Nothing is delayed to be sent together (docs/PROTOCOL.md, FRAME-9).

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::status::Status;
use crate::stream::frame_body::FrameBody;
use crate::stream::frame_control;
use crate::stream::frame_control::FrameControl;
use crate::stream::machine::{Machine, Role};
use crate::stream::server_stop::ServerStop;
use crate::wire::FrameMark;

/// Number of frames with messages of which one is a probe.
const FRAMES_PER_PROBE: u32 = 32;
/// Time since the last probe after which a frame with messages is one. A sender that writes every 10 ms so learns
/// within 10 ms that its peer is gone, for 200 reply subjects a second at most.
const PROBE_INTERVAL: Duration = Duration::from_millis(5);
/// Maximum length in bytes of a text that a RESET carries as it is. A longer one is sent in its short form, which fits
/// into any NATS message.
const MAX_RESET_TEXT_LEN: usize = 512;

/// A frame to publish.
#[derive(Debug)]
pub(crate) struct OutboundFrame {
    pub(crate) payload: Bytes,
    /// Publish the frame with a reply subject.
    ///
    /// A frame gets no reply; but if its subject has no subscriber any more, nats-server sends a 503 to the reply
    /// subject, usually within a millisecond. So the death of a peer is noticed long before it counts as silent
    /// (docs/PROTOCOL.md, LIVE-1). Not every frame is a probe, since each costs nats-server a lookup.
    pub(crate) is_probe: bool,
}

impl Machine {
    /// Returns whether a frame can be sent now.
    ///
    /// Nothing can be before the peer is ready for it: at a client before ACCEPT, at the server of a large reply
    /// before the first grant.
    pub(crate) fn has_output(&self) -> bool {
        let is_unaccepted = match self.role {
            Role::Client(ref address) => address.is_none(),
            Role::Server(_) => self.open_deadline.is_some(),
        };
        if self.is_done || is_unaccepted {
            return false;
        }
        self.pending.reset.is_some()
            || self.pending.accept
            || self.pending.open.is_some()
            || self.pending.ping
            || self.pending.ack
            || self.server_stop == ServerStop::Unannounced
            || self.sending.has_frame()
            || self.receiving.is_grant_due()
    }

    /// Makes the next frame; `None` without [`has_output`](Self::has_output). It counts as sent from here on, so a
    /// frame that cannot be published must end the stream.
    pub(crate) fn output(&mut self, now: Instant) -> Option<OutboundFrame> {
        if !self.has_output() {
            return None;
        }
        if let Some(status) = self.pending.reset.take() {
            self.is_done = true;
            return Some(OutboundFrame {
                payload: reset_frame(self.mark(), &status),
                is_probe: false,
            });
        }
        let (taken, granted) = self.receiving.grant();
        let mut control = FrameControl {
            taken,
            max_messages: granted.messages,
            max_bytes: granted.bytes,
            ..FrameControl::default()
        };
        if std::mem::take(&mut self.pending.accept)
            && let Role::Server(address) = &self.role
        {
            control.flags |= frame_control::ACCEPT;
            control.instance.clone_from(&address.instance);
            control.stream.clone_from(&address.stream);
        }
        if self.is_stopping() && !self.is_client() {
            control.flags |= frame_control::STOPPING;
            self.server_stop = ServerStop::Known;
        }
        let is_ping = std::mem::take(&mut self.pending.ping);
        if is_ping {
            control.flags |= frame_control::PING;
        }
        let is_ack = std::mem::take(&mut self.pending.ack);
        if is_ping || is_ack {
            self.sending.release_buffers();
        }
        let open = self.pending.open.take();
        if open.is_none() && !self.sending.has_frame() {
            // A frame without messages, OPEN and END has no number, and states the last one instead.
            self.note_probe(now);
            control.last = self.sending.seq();
            return Some(OutboundFrame {
                payload: FrameBody::default().finish_frame(self.mark(), control),
                is_probe: true,
            });
        }
        if let Some(headers) = open {
            control.flags |= frame_control::OPEN;
            control = control.with_metadata(&headers);
        }
        let payload = self.sending.frame(self.mark(), control);
        if self.sending.has_ended() && !self.is_client() {
            self.end.get_or_insert(Ok(()));
            self.is_done = true;
        }
        let is_probe = is_ping || self.is_probe_due(now);
        Some(OutboundFrame { payload, is_probe })
    }

    /// Counts a frame with messages, and returns whether it must be a probe.
    fn is_probe_due(&mut self, now: Instant) -> bool {
        self.frames_since_probe += 1;
        let is_due = self.frames_since_probe >= FRAMES_PER_PROBE
            || self
                .last_probe
                .is_none_or(|probe| now.saturating_duration_since(probe) >= PROBE_INTERVAL);
        if is_due {
            self.note_probe(now);
        }
        is_due
    }

    fn note_probe(&mut self, now: Instant) {
        self.last_probe = Some(now);
        self.frames_since_probe = 0;
    }
}

/// Returns a frame of the end with this mark that ends both directions with this status. Its details are left out: they
/// may not fit.
pub(crate) fn reset_frame(mark: FrameMark, status: &Status) -> Bytes {
    let control = FrameControl {
        flags: frame_control::RESET,
        ..FrameControl::default()
    };
    let is_long = status.message().len() > MAX_RESET_TEXT_LEN || !status.details().is_empty();
    let short = is_long.then(|| status.shortened());
    let control = control.with_status(Some(short.as_ref().unwrap_or(status)));
    FrameBody::default().finish_frame(mark, control)
}
