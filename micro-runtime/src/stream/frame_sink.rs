//! Messages under the subject of a stream: frames, statuses of NATS, and plain messages of other responders.

use async_nats::{Message, StatusCode};
use tokio::time::Instant;

use crate::bus::FrameSink;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::channel::Channel;
use crate::stream::machine::Machine;
use crate::wire;
use crate::wire::PayloadFormat;
use crate::wire::header::continues_as_stream;

impl FrameSink for Channel {
    /// Distinguishes what may arrive in place of a frame: a status of NATS, as its 503, and a plain message, as the
    /// reply of a service that does not know streams or JetStream's acknowledgment where a stream captures the subject.
    fn deliver(&self, message: Message) -> bool {
        match message.status {
            None => {}
            Some(StatusCode::NO_RESPONDERS) => {
                self.update(Machine::on_no_responders);
                return true;
            }
            Some(status) => {
                let status = wire::not_a_reply(status, message.description.as_deref());
                return self.update(|machine| machine.on_plain_reply(status, Metadata::new()));
            }
        }
        let headers = message.headers.as_ref();
        let format = PayloadFormat::PROTOBUF.of_frames();
        let status = match wire::read_reply(headers, message.payload, format, "a frame") {
            // The payload of an offer is a frame, too, but none of this stream: a second responder's reply is large.
            Ok(_) if continues_as_stream(headers) => {
                return self.update(Machine::on_no_frame);
            }
            Ok(payload) => match wire::acknowledged_by(&payload) {
                Some(status) => status,
                None => return self.update(|machine| machine.receive(payload, Instant::now())),
            },
            // No other peer than the client knows the subject of the server's end.
            Err(_) if !self.inspect(Machine::is_client) => {
                return self.update(Machine::on_no_frame);
            }
            Err(status) => status,
        };
        let trailers = wire::decode_reply_metadata(headers, "a stream").metadata;
        self.update(|machine| machine.on_plain_reply(status, trailers))
    }

    fn fail(&self, status: &Status) {
        self.update(|machine| machine.fail(status.clone()));
    }

    fn refuse(&self, status: &Status, is_opening: bool) {
        self.update(|machine| {
            if !is_opening || machine.is_opening() {
                machine.fail(status.clone());
            }
        });
    }
}
