//! What a machine has to say: which frame is next, and when it asks whether the peer is there. Pure.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::status::Status;
use crate::stream::frame;
use crate::stream::frame::{Body, Control};
use crate::stream::machine::{Machine, Role};

/// Every so many frames with messages one asks NATS whether the peer is there …
const FRAMES_PER_REPLY: u32 = 32;
/// … and the first after so long.
const REPLY_AFTER: Duration = Duration::from_millis(5);

/// A frame to be published.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) payload: Bytes,
    /// Whether NATS is to be asked, by a reply subject, if the peer is there.
    pub(crate) asks: bool,
}

impl Machine {
    /// Says whether a frame is to be sent.
    pub(crate) fn has_output(&self) -> bool {
        let is_alone = match self.role {
            Role::Client(ref peer) => peer.is_none(),
            // The caller has not said that it takes a large reply.
            Role::Server(_) => self.opens_before.is_some(),
        };
        if self.is_done || is_alone {
            return false;
        }
        self.due.reset.is_some()
            || self.due.accept
            || self.due.open.is_some()
            || self.due.ping
            || self.due.answer
            || self.sending.has_frame()
            || self.receiving.is_grant_due()
    }

    /// Makes the next frame.
    pub(crate) fn output(&mut self, now: Instant) -> Option<Output> {
        if !self.has_output() {
            return None;
        }
        if let Some(status) = self.due.reset.take() {
            self.is_done = true;
            return Some(Output {
                payload: reset_frame(&status),
                asks: false,
            });
        }
        let (taken, granted) = self.receiving.grant();
        let mut control = Control {
            taken,
            max_messages: granted.messages,
            max_bytes: granted.bytes,
            ..Control::default()
        };
        if std::mem::take(&mut self.due.accept)
            && let Role::Server(peer) = &self.role
        {
            control.flags |= frame::ACCEPT;
            control.instance.clone_from(&peer.instance);
            control.stream.clone_from(&peer.stream);
        }
        let is_ping = std::mem::take(&mut self.due.ping);
        if is_ping {
            control.flags |= frame::PING;
        }
        let is_answer = std::mem::take(&mut self.due.answer);
        if is_ping || is_answer {
            self.sending.rest();
        }
        let open = self.due.open.take();
        if open.is_none() && !self.sending.has_frame() {
            self.asked(now);
            control.last = self.sending.seq();
            return Some(Output {
                payload: Body::default().cut(control),
                asks: true,
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
        let asks = is_ping || self.is_time_to_ask(now);
        Some(Output { payload, asks })
    }

    fn is_time_to_ask(&mut self, now: Instant) -> bool {
        self.frames_since_probe += 1;
        let is_due = self.frames_since_probe >= FRAMES_PER_REPLY
            || self
                .asked
                .is_none_or(|asked| now.saturating_duration_since(asked) >= REPLY_AFTER);
        if is_due {
            self.asked(now);
        }
        is_due
    }

    fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
        self.frames_since_probe = 0;
    }
}

/// A frame that ends both directions.
pub(crate) fn reset_frame(status: &Status) -> Bytes {
    let control = Control {
        flags: frame::RESET,
        ..Control::default()
    };
    // What does not fit next to nothing else is too long to be of use.
    let is_long = status.message().len() > 512 || !status.details().is_empty();
    let short = is_long.then(|| status.shortened());
    let control = control.with_status(Some(short.as_ref().unwrap_or(status)));
    Body::default().cut(control)
}
