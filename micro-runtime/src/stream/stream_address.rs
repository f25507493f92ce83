//! `StreamAddress`: the name that a server gives to one of its streams.

use bytes::Bytes;

use crate::status::Status;
use crate::stream::frame::{BadFrame, Frame};
use crate::stream::frame_body::FrameBody;
use crate::stream::frame_control::{ACCEPT, FrameControl};
use crate::wire::FrameMark;

/// Two tokens that name a stream of one server instance.
///
/// Tokens and not a subject (docs/PROTOCOL.md, GEN-2): accounts rewrite subjects but not payloads, so the
/// client appends them to the service base that it used itself, `<base>._i.<instance>._up.<stream>`. They come
/// from the peer; the driver checks that both are subject tokens before it publishes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamAddress {
    pub(crate) instance: String,
    /// 128 random bits in text. Any client that may publish under the service base could send frames to a stream
    /// whose name can be guessed.
    pub(crate) stream: String,
}

impl StreamAddress {
    /// Reads the address out of the ACCEPT frame that offers a large reply.
    ///
    /// # Errors
    ///
    /// [`Reason::BadFrame`](crate::Reason::BadFrame) if the bytes are no frame, or the frame names no stream.
    pub(crate) fn read(frame: Bytes) -> Result<Self, Status> {
        let frame = Frame::read(FrameMark::OfServer, frame);
        let address = frame.and_then(|mut frame| Self::take_from(&mut frame.control));
        address.map_err(BadFrame::into_status)
    }

    /// Takes the address out of an ACCEPT.
    ///
    /// # Errors
    ///
    /// [`BadFrame`] if it names no instance or no stream.
    pub(super) fn take_from(control: &mut FrameControl) -> Result<Self, BadFrame> {
        let address = Self {
            instance: std::mem::take(&mut control.instance),
            stream: std::mem::take(&mut control.stream),
        };
        match address.instance.is_empty() || address.stream.is_empty() {
            true => Err(BadFrame("ACCEPT names no instance or no stream")),
            false => Ok(address),
        }
    }

    /// Returns an ACCEPT frame without anything else, which offers a large reply.
    pub(crate) fn accept_frame(&self) -> Bytes {
        let control = FrameControl {
            flags: ACCEPT,
            instance: self.instance.clone(),
            stream: self.stream.clone(),
            ..FrameControl::default()
        };
        FrameBody::default().finish_frame(FrameMark::OfServer, control)
    }
}
