//! What a machine hears: a frame that arrived, and what it changes. Pure.

use std::time::Instant;

use bytes::Bytes;

use crate::status::Status;
use crate::stream::frame::{self, Frame};
use crate::stream::machine::{Machine, Role, dropped};
use crate::stream::options::Sums;
use crate::stream::peer::Peer;
use crate::stream::receiving::{bad_frame, lost};
use crate::wire::RpcStatus;

impl Machine {
    /// Takes in a frame that arrived.
    pub(crate) fn receive(&mut self, payload: Bytes, now: Instant) {
        if self.is_done {
            return;
        }
        let result = match Frame::read(payload) {
            Ok(frame) => self.take_in(frame, now),
            Err(flaw) => Err(bad_frame(flaw.0)),
        };
        if let Err(status) = result {
            self.reset(status);
        }
    }

    fn take_in(&mut self, mut frame: Frame, now: Instant) -> Result<(), Status> {
        self.heard = now;
        self.pings = 0;
        let control = &mut frame.control;
        if control.has(frame::RESET) {
            self.trailers = control.take_metadata();
            let status = control.status.take().and_then(RpcStatus::into_status);
            self.fail(status.unwrap_or_else(|| dropped("the peer ended the stream")));
            return Ok(());
        }
        match &mut self.role {
            Role::Client(peer @ None) if control.has(frame::ACCEPT) => {
                *peer = Some(Peer {
                    instance: std::mem::take(&mut control.instance),
                    stream: std::mem::take(&mut control.stream),
                });
            }
            // A server may send all it has in one frame, and need no name.
            Role::Client(None) if !control.has(frame::END) => {
                self.fail(lost("the frame that names the stream"));
                return Ok(());
            }
            _ => {}
        }
        if self.due.reset.is_some() {
            // Given up before the peer was heard; all that is left is to say so.
            self.is_done |= self.is_client() && control.has(frame::END);
            self.opens_before = None;
            return Ok(());
        }
        self.opens_before = None;
        self.sending.raise(Sums {
            messages: control.max_messages,
            bytes: control.max_bytes,
        });
        self.due.answer |= control.has(frame::PING);
        match control.seq {
            0 if frame.entries.len() > 0 || control.has(frame::END | frame::OPEN) => {
                Err(bad_frame("messages without a number"))
            }
            0 => self.receiving.check_last(control.last),
            seq if self.receiving.is_next(seq)? => self.take_in_numbered(frame),
            _ => Ok(()),
        }
    }

    fn take_in_numbered(&mut self, mut frame: Frame) -> Result<(), Status> {
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
        self.receiving.take_in(frame)?;
        if ends && self.is_client() {
            let failure = status.and_then(RpcStatus::into_status);
            self.end = Some(failure.map_or(Ok(()), Err));
            self.sending.clear();
            self.is_done = true;
        }
        Ok(())
    }
}
