//! The messages that cancel calls (docs/PROTOCOL.md, "Cancellation").

use async_nats::Subject;
use bytes::Bytes;

use crate::bus::link::Link;
use crate::bus::outgoing::Outgoing;
use crate::wire::CancelToken;

/// Maximum length of the payload of one cancellation in bytes: 256 calls.
const MAX_CANCEL_LEN: usize = 4096;

/// Sends cancellations, those of one service in as few messages as they fit into.
pub(super) async fn send_cancellations(mut canceled: Vec<(Subject, CancelToken)>, link: &Link) {
    canceled.sort_by(|(first, _), (second, _)| first.cmp(second));
    for of_service in canceled.chunk_by(|(first, _), (second, _)| first == second) {
        for some in of_service.chunks(MAX_CANCEL_LEN / size_of::<CancelToken>()) {
            let payload = some.iter().flat_map(|(_, token)| token.as_bytes());
            let payload = payload.copied().collect::<Bytes>();
            // A call whose cancellation is lost runs to its end.
            let _ = link.publish(Outgoing::to(some[0].0.clone(), payload)).await;
        }
    }
}
