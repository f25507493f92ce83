//! Waiting until a nats-server knows a subscription. Test binaries of their own use it too.

use async_nats::Client;
use futures_util::StreamExt as _;

/// Waits until the nats-server has handled all that this client has sent, and what it had sent itself has arrived.
///
/// `flush` waits for less: the bytes are written, and a request on another connection can still be faster.
pub(crate) async fn round_trip(nats: &Client) {
    let inbox = nats.new_inbox();
    let mut arrived = nats.subscribe(inbox.clone()).await.unwrap();
    nats.publish(inbox, "".into()).await.unwrap();
    arrived.next().await.unwrap();
}
