//! The input of a `Machine`: a frame that arrived, and what it changes. Pure.
//!
//! The peer is not trusted: a frame that breaks the protocol ends this stream with an error, and no frame leads to a
//! panic or to unbounded memory (`fuzz.rs` holds this).

use bytes::Bytes;
use tokio::time::Instant;

use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::stream::credit::Credit;
use crate::stream::frame::{BadFrame, Frame};
use crate::stream::frame_control;
use crate::stream::machine::{Machine, Role, dropped};
use crate::stream::server_stop::ServerStop;
use crate::stream::stream_address::StreamAddress;
use crate::wire::RpcStatus;

/// Cause of a call whose opening got a reply of another kind.
const NOT_ACCEPTED: &str = "the reply to the opening of a stream does not accept it: the peer serves plain requests only, and no streams, or repeats what it gets";

impl Machine {
    /// Processes a message that may be a frame, and returns whether it belongs to the stream. A violation of the
    /// protocol resets the stream; once the stream is done, frames are ignored.
    ///
    /// At a client a message without the mark of the server's frames is a plain one, also a frame of a client: a
    /// responder repeats those that it gets.
    pub(crate) fn receive(&mut self, payload: Bytes, now: Instant) -> bool {
        let mark = self.mark().of_peer();
        if self.is_client() && !mark.begins(&payload) {
            return self.on_no_frame();
        }
        if self.is_done {
            return true;
        }
        let frame = Frame::read(mark, payload).map_err(BadFrame::into_status);
        if let Err(status) = frame.and_then(|frame| self.process(frame, now)) {
            self.on_violation(status);
        }
        true
    }

    /// Processes a message that is no frame, and returns whether it belongs to the stream.
    ///
    /// At a client it is the plain reply of a responder: one that does not know streams, has taken the opening for a
    /// request, and may have run its handler on the message of a server-streaming call. At a server no other peer knows
    /// the subject, so that the client breaks the protocol.
    pub(crate) fn on_no_frame(&mut self) -> bool {
        if self.is_client() {
            let status = Reason::NotAService.status(NOT_ACCEPTED);
            return self.on_plain_reply(status, Metadata::new());
        }
        if !self.is_done {
            self.on_violation(
                BadFrame("it has the headers of a message that is no frame").into_status(),
            );
        }
        true
    }

    /// Ends the stream on a plain reply with its failure: the server does not open the stream. Returns whether it did.
    ///
    /// Once the server has accepted it, it sends frames only. A plain message then comes from a second responder, as
    /// one of another queue group that refuses the call or replies to it, and is ignored.
    pub(crate) fn on_plain_reply(&mut self, status: Status, trailers: Metadata) -> bool {
        self.is_refused |= self.is_unaccepted();
        let is_awaited = self.is_unaccepted() && self.end.is_none();
        if is_awaited {
            self.trailers = trailers;
            self.give_up(status);
        }
        is_awaited
    }

    /// Ends the stream on a violation of the protocol by the peer.
    fn on_violation(&mut self, status: Status) {
        // A client that does not know the server's address cannot reset it.
        if self.is_unaccepted() {
            return self.give_up(status);
        }
        // The caller of a large reply knows streams, so that the RESET need not wait for its grant.
        if !self.is_client() {
            self.open_deadline = None;
        }
        self.reset(status);
    }

    /// Processes a well-formed frame, in this order:
    ///
    /// 1. Any frame is a sign of life, and defers the next PING.
    /// 2. RESET ends the stream, whatever else the frame has; before ACCEPT a second responder may still accept it.
    /// 3. At a client the first frame must be ACCEPT or RESET, or one was lost; no later ACCEPT may name another
    ///    stream.
    /// 4. After this end gave up, frames are ignored; the first one only supplies where to send the RESET.
    /// 5. The limits are raised, and a PING and a stop of the server are noted, also on a frame that was seen before.
    /// 6. A frame with messages, OPEN or END must be the next in sequence; a frame without them must not reveal that
    ///    an earlier one was lost.
    fn process(&mut self, mut frame: Frame, now: Instant) -> Result<(), Status> {
        self.last_received = now;
        self.pings = 0;
        let control = &mut frame.control;
        if control.has(frame_control::RESET) {
            let status = control.status.take().and_then(RpcStatus::into_status);
            let status = status.unwrap_or_else(|| dropped("the peer ended the stream"));
            if !self.is_unaccepted() || self.end.is_none() {
                self.trailers = control.take_metadata();
            }
            self.give_up(status);
            return Ok(());
        }
        self.frames_received += 1;
        if let Role::Client(address) = &mut self.role
            && control.has(frame_control::ACCEPT)
        {
            let accepted = StreamAddress::take_from(control).map_err(BadFrame::into_status)?;
            // Without a queue group a second instance accepts too. Nothing distinguishes the frames of the two,
            // so the stream cannot go on.
            if *address.get_or_insert_with(|| accepted.clone()) != accepted {
                return Err(BadFrame("a second instance took the stream").into_status());
            }
        }
        if self.is_unaccepted() {
            let text = "the frame that accepts the stream was lost on the way";
            self.give_up(Reason::FramesLost.status(text));
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
        if self.is_client() && control.has(frame_control::STOPPING) {
            self.server_stop = ServerStop::Known;
        }
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
