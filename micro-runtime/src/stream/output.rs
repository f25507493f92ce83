//! What a machine has to say: which frame is next, and when it asks whether the peer is there. Pure.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::status::Status;
use crate::stream::frame;
use crate::stream::frame::{FrameBody, FrameControl};
use crate::stream::machine::{Machine, Role};

/// Every so many frames with messages one asks NATS whether the peer is there …
const FRAMES_PER_PROBE: u32 = 32;
/// … and the first after so long.
const PROBE_INTERVAL: Duration = Duration::from_millis(5);

/// A frame to be published.
#[derive(Debug)]
pub(crate) struct OutboundFrame {
    pub(crate) payload: Bytes,
    /// Whether NATS is to be asked, by a reply subject, if the peer is there.
    pub(crate) is_probe: bool,
}

impl Machine {
    /// Says whether a frame is to be sent.
    pub(crate) fn has_output(&self) -> bool {
        let is_unaccepted = match self.role {
            Role::Client(ref peer) => peer.is_none(),
            // The caller has not said that it takes a large reply.
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
            || self.sending.has_frame()
            || self.receiving.is_grant_due()
    }

    /// Makes the next frame.
    pub(crate) fn output(&mut self, now: Instant) -> Option<OutboundFrame> {
        if !self.has_output() {
            return None;
        }
        if let Some(status) = self.pending.reset.take() {
            self.is_done = true;
            return Some(OutboundFrame {
                payload: reset_frame(&status),
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
            && let Role::Server(peer) = &self.role
        {
            control.flags |= frame::ACCEPT;
            control.instance.clone_from(&peer.instance);
            control.stream.clone_from(&peer.stream);
        }
        let is_ping = std::mem::take(&mut self.pending.ping);
        if is_ping {
            control.flags |= frame::PING;
        }
        let is_ack = std::mem::take(&mut self.pending.ack);
        if is_ping || is_ack {
            self.sending.release_buffers();
        }
        let open = self.pending.open.take();
        if open.is_none() && !self.sending.has_frame() {
            self.note_probe(now);
            control.last = self.sending.seq();
            return Some(OutboundFrame {
                payload: FrameBody::default().finish_frame(control),
                is_probe: true,
            });
        }
        if let Some(headers) = open {
            control.flags |= frame::OPEN;
            control = control.with_metadata(&headers);
        }
        let payload = self.sending.frame(control);
        if self.sending.has_ended() && !self.is_client() {
            self.end.get_or_insert(Ok(()));
            self.is_done = true;
        }
        let is_probe = is_ping || self.is_probe_due(now);
        Some(OutboundFrame { payload, is_probe })
    }

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

/// A frame that ends both directions.
pub(crate) fn reset_frame(status: &Status) -> Bytes {
    let control = FrameControl {
        flags: frame::RESET,
        ..FrameControl::default()
    };
    // What does not fit next to nothing else is too long to be of use.
    let is_long = status.message().len() > 512 || !status.details().is_empty();
    let short = is_long.then(|| status.shortened());
    let control = control.with_status(Some(short.as_ref().unwrap_or(status)));
    FrameBody::default().finish_frame(control)
}
