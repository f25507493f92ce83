//! What a machine hears: a frame that arrived, and what it changes. Pure.

use std::time::Instant;

use bytes::Bytes;

use crate::status::Status;
use crate::stream::frame;
use crate::stream::frame::Frame;
use crate::stream::machine::{Machine, Role, dropped};
use crate::stream::options::Credit;
use crate::stream::receiving::bad_frame;
use crate::stream::stream_address::StreamAddress;
use crate::wire::RpcStatus;

impl Machine {
    /// Takes in a frame that arrived.
    pub(crate) fn receive(&mut self, payload: Bytes, now: Instant) {
        if self.is_done {
            return;
        }
        let result = match Frame::read(payload) {
            Ok(frame) => self.process(frame, now),
            Err(flaw) => Err(bad_frame(flaw.0)),
        };
        match result {
            // There is nobody to tell.
            Err(status) if self.is_unaccepted() && self.pending.reset.is_none() => {
                self.fail(status);
            }
            Err(status) => self.reset(status),
            Ok(()) => {}
        }
    }

    fn is_unaccepted(&self) -> bool {
        matches!(self.role, Role::Client(None))
    }

    fn process(&mut self, mut frame: Frame, now: Instant) -> Result<(), Status> {
        self.last_received = now;
        self.pings = 0;
        let control = &mut frame.control;
        if control.has(frame::RESET) {
            self.trailers = control.take_metadata();
            let status = control.status.take().and_then(RpcStatus::into_status);
            self.fail(status.unwrap_or_else(|| dropped("the peer ended the stream")));
            return Ok(());
        }
        if let Role::Client(peer) = &mut self.role
            && control.has(frame::ACCEPT)
        {
            let accepted = StreamAddress::of(control);
            // Their messages could not be told apart.
            if *peer.get_or_insert_with(|| accepted.clone()) != accepted {
                return Err(bad_frame("a second instance took the stream"));
            }
        }
        if self.is_unaccepted() {
            self.fail(bad_frame("it answers and does not accept the stream"));
            return Ok(());
        }
        if self.pending.reset.is_some() {
            // Given up before the peer was heard; all that is left is to say so.
            self.is_done |= self.is_client() && control.has(frame::END);
            self.open_deadline = None;
            return Ok(());
        }
        self.open_deadline = None;
        self.sending.raise_limit(Credit {
            messages: control.max_messages,
            bytes: control.max_bytes,
        });
        self.pending.ack |= control.has(frame::PING);
        match control.seq {
            0 if frame.entries.len() > 0 || control.has(frame::END | frame::OPEN) => {
                Err(bad_frame("messages without a number"))
            }
            0 => self.receiving.check_last(control.last),
            seq if self.receiving.is_next(seq)? => self.process_numbered(frame),
            _ => Ok(()),
        }
    }

    fn process_numbered(&mut self, mut frame: Frame) -> Result<(), Status> {
        let control = &mut frame.control;
        let ends = control.has(frame::END);
        let status = control.status.take();
        if self.is_client() {
            if control.has(frame::OPEN) {
                self.headers = Some(control.take_metadata());
            } else if ends {
                self.trailers = control.take_metadata();
            }
        }
        self.receiving.add_frame(frame)?;
        if ends && self.is_client() {
            let failure = status.and_then(RpcStatus::into_status);
            self.end = Some(failure.map_or(Ok(()), Err));
            self.sending.clear();
            self.is_done = true;
        }
        Ok(())
    }
}
