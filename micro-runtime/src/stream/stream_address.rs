//! How a server names one of its streams.

use bytes::Bytes;

use crate::status::Status;
use crate::stream::frame;
use crate::stream::frame::{Frame, FrameBody, FrameControl};
use crate::stream::receiving::bad_frame;

/// What a server calls a stream: tokens that the client appends to its own service base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamAddress {
    pub(crate) instance: String,
    pub(crate) stream: String,
}

impl StreamAddress {
    /// Reads the name out of a frame that says nothing else.
    pub(crate) fn read(frame: Bytes) -> Result<Self, Status> {
        let mut frame = Frame::read(frame).map_err(|flaw| bad_frame(flaw.0))?;
        Ok(Self::of(&mut frame.control))
    }

    /// Takes the name out of an ACCEPT.
    pub(super) fn of(control: &mut FrameControl) -> Self {
        Self {
            instance: std::mem::take(&mut control.instance),
            stream: std::mem::take(&mut control.stream),
        }
    }

    /// Writes it.
    pub(crate) fn accept_frame(&self) -> Bytes {
        FrameBody::default().finish_frame(FrameControl {
            flags: frame::ACCEPT,
            instance: self.instance.clone(),
            stream: self.stream.clone(),
            ..FrameControl::default()
        })
    }
}
