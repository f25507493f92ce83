//! The one answer that every request gets, whatever became of it.

use async_nats::Subject;
use bytes::Bytes;

use crate::bus::{Outgoing, PublishError};
use crate::metadata::Metadata;
use crate::serve::Shared;
use crate::status::{Code, Reason, Status};
use crate::wire;

/// How much of a failure's text goes out when all of it does not fit.
const SHORT_TEXT: usize = 1024;

impl Shared {
    /// Sends a reply or a failure. What does not fit into a NATS message is answered by saying so.
    pub(super) async fn answer(
        &self,
        reply: Subject,
        result: Result<Bytes, Status>,
        metadata: Metadata,
    ) {
        let again = reply.clone();
        let (sent, length, failure) = match result {
            Ok(payload) => {
                let length = payload.len();
                (
                    self.send(reply, None, payload, &metadata).await,
                    length,
                    None,
                )
            }
            Err(status) => {
                let (headers, payload) = wire::encode_status(&status);
                let length = payload.len();
                let sent = self.send(reply, Some(headers), payload, &metadata).await;
                (sent, length, Some(status))
            }
        };
        match sent {
            Ok(()) => {}
            Err(PublishError::TooLarge { max }) => {
                let status = match failure {
                    Some(status) => shortened(&status),
                    None => too_large(length, max),
                };
                tracing::warn!(length, max, "a reply does not fit into one NATS message");
                let (headers, payload) = wire::encode_status(&status);
                let none = Metadata::new();
                if let Err(PublishError::Failed(error)) =
                    self.send(again, Some(headers), payload, &none).await
                {
                    tracing::warn!(%error, "a reply could not be sent");
                }
            }
            Err(PublishError::Failed(error)) => {
                tracing::warn!(%error, "a reply could not be sent");
            }
        }
    }

    async fn send(
        &self,
        subject: Subject,
        mut headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
        metadata: &Metadata,
    ) -> Result<(), PublishError> {
        wire::encode_metadata(&mut headers, metadata);
        let outgoing = Outgoing {
            subject,
            reply: None,
            headers,
            payload,
        };
        self.connection.publish(outgoing).await
    }
}

fn too_large(length: usize, max: usize) -> Status {
    Status::from_runtime(
        Code::ResourceExhausted,
        Reason::TooLarge,
        format!(
            "the reply takes {length} bytes, which does not fit into one NATS message of {max} bytes with its headers"
        ),
    )
}

/// A failure without its details and with the beginning of its text.
fn shortened(status: &Status) -> Status {
    let text = status.message();
    let end = (0..=SHORT_TEXT.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    Status::new(status.code(), format!("{} [cut]", &text[..end])).with_reason(status.reason())
}
