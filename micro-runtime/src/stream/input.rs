//! The input of a `Machine`: a frame that arrived, and what it changes. Pure.
//!
//! The peer is not trusted: a frame that breaks the protocol ends this stream with an error, and no frame leads to a
//! panic or to unbounded memory (`fuzz.rs` holds this).

use std::time::Instant;

use bytes::Bytes;

use crate::status::Status;
use crate::stream::credit::Credit;
use crate::stream::frame::{BadFrame, Frame};
use crate::stream::frame_control;
use crate::stream::machine::{Machine, Role, dropped};
use crate::stream::stream_address::StreamAddress;
use crate::wire::RpcStatus;

impl Machine {
    /// Processes a frame that arrived. A violation of the protocol resets the stream; once the stream is done,
    /// frames are ignored.
    pub(crate) fn receive(&mut self, payload: Bytes, now: Instant) {
        if self.is_done {
            return;
        }
        let result = match Frame::read(payload) {
            Ok(frame) => self.process(frame, now),
            Err(flaw) => Err(flaw.into_status()),
        };
        match result {
            // A client that does not know the server's address cannot reset it.
            Err(status) if self.is_unaccepted() && self.pending.reset.is_none() => {
                self.fail(status);
            }
            Err(status) => self.reset(status),
            Ok(()) => {}
        }
    }

    /// Returns whether this is a client that the server has not accepted yet.
    fn is_unaccepted(&self) -> bool {
        matches!(self.role, Role::Client(None))
    }

    /// Processes a well-formed frame, in this order:
    ///
    /// 1. Any frame is a sign of life, and defers the next PING.
    /// 2. RESET ends the stream, whatever else the frame has.
    /// 3. At a client the first frame must be ACCEPT or RESET, and no later ACCEPT may name another stream.
    /// 4. After this end gave up, frames are ignored; the first one only supplies where to send the RESET.
    /// 5. The limits are raised, and a PING is noted, also on a frame that was seen before.
    /// 6. A frame with messages, OPEN or END must be the next in sequence; a frame without them must not reveal that
    ///    an earlier one was lost.
    fn process(&mut self, mut frame: Frame, now: Instant) -> Result<(), Status> {
        self.last_received = now;
        self.pings = 0;
        let control = &mut frame.control;
        if control.has(frame_control::RESET) {
            self.trailers = control.take_metadata();
            let status = control.status.take().and_then(RpcStatus::into_status);
            self.fail(status.unwrap_or_else(|| dropped("the peer ended the stream")));
            return Ok(());
        }
        if let Role::Client(address) = &mut self.role
            && control.has(frame_control::ACCEPT)
        {
            let accepted = StreamAddress::take_from(control);
            // Without a queue group a second instance accepts too. Nothing distinguishes the frames of the two,
            // so the stream cannot go on.
            if *address.get_or_insert_with(|| accepted.clone()) != accepted {
                return Err(BadFrame("a second instance took the stream").into_status());
            }
        }
        if self.is_unaccepted() {
            let flaw = BadFrame("its first frame does not accept the stream");
            self.fail(flaw.into_status());
            return Ok(());
        }
        if self.pending.reset.is_some() {
            // This end gave up before the peer's first frame; now the RESET can be sent. Not after the server's
            // END, which has ended the stream there.
            self.is_done |= self.is_client() && control.has(frame_control::END);
            self.open_deadline = None;
            return Ok(());
        }
        self.open_deadline = None;
        self.sending.raise_limit(Credit {
            messages: control.max_messages,
            bytes: control.max_bytes,
        });
        self.pending.ack |= control.has(frame_control::PING);
        match control.seq {
            0 if frame.entries.len() > 0
                || control.has(frame_control::END | frame_control::OPEN) =>
            {
                Err(BadFrame("messages without a number").into_status())
            }
            0 => self.receiving.check_last(control.last),
            seq if self.receiving.is_next(seq)? => self.process_numbered(frame),
            _ => Ok(()),
        }
    }

    /// Processes the next frame in sequence: headers or trailers, messages, then the end.
    ///
    /// Status and metadata of a client's frames are ignored: a client ends its direction, not the call.
    fn process_numbered(&mut self, mut frame: Frame) -> Result<(), Status> {
        let control = &mut frame.control;
        let ends = control.has(frame_control::END);
        let status = control.status.take();
        if self.is_client() {
            // Headers and trailers share a field; a frame with both flags has headers only.
            if control.has(frame_control::OPEN) {
                self.headers = Some(control.take_metadata());
            } else if ends {
                self.trailers = control.take_metadata();
            }
        }
        self.receiving.add_frame(frame)?;
        if ends && self.is_client() {
            // The server's END ends the call in both directions. Messages before it may still be taken.
            let failure = status.and_then(RpcStatus::into_status);
            self.end = Some(failure.map_or(Ok(()), Err));
            self.sending.clear();
            self.is_done = true;
        }
        Ok(())
    }
}
