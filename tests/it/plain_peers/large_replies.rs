//! Replies in parts, taken by hand: a plain NATS client sends the grant and reads the frames.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use micro_testkit::within;
use micro_tests::behavior::{Blob, FillRequest};
use prost::Message as _;

use super::plain_service::{MAX_PAYLOAD, small_messages};
use crate::carriers::{BehaviorFixture, Carrier};
use crate::round_trip::round_trip;
use crate::script::Script;
use crate::streams::frames::{
    END, OF_SERVER, RESET, client_frame, find_field, flags, number_field, server_frame,
};

/// Length of a reply that takes three parts.
const LENGTH: usize = 2 * MAX_PAYLOAD;

/// A plain client and a service whose replies do not fit.
struct LargeReplyFixture {
    carrier: Carrier,
    _service: BehaviorFixture,
    nats: Client,
}

/// An offered reply: the subject of the grants, and the subscription of the request's inbox.
struct Offer {
    up: String,
    inbox: Subscriber,
}

impl LargeReplyFixture {
    async fn start() -> Self {
        let carrier = small_messages().await;
        Self {
            _service: carrier.serve().await,
            nats: async_nats::connect(carrier.nats.as_ref().unwrap().url())
                .await
                .unwrap(),
            carrier,
        }
    }

    /// Sends a request, and reads the offer.
    async fn offer(&self, method: &str, payload: Vec<u8>) -> Offer {
        let inbox = self.nats.new_inbox();
        let mut replies = self.nats.subscribe(inbox.clone()).await.unwrap();
        let subject = format!("behavior.v1.Behavior.{method}");
        let sent = self.nats.publish_with_reply(subject, inbox, payload.into());
        sent.await.unwrap();
        let offer = next(&mut replies).await;
        let headers = offer.headers.as_ref().unwrap();
        let header = headers.get("Micro-Stream").unwrap().as_str();
        assert!(header.starts_with("v=2;u=1;l="), "{header}");
        assert_eq!(offer.payload[0], OF_SERVER);
        let token = |field| String::from_utf8(find_field(&offer.payload, field).unwrap()).unwrap();
        Offer {
            up: format!("behavior.v1.Behavior._i.{}._up.{}", token(8), token(9)),
            inbox: replies,
        }
    }

    async fn offer_of_a_large_reply(&self) -> Offer {
        let bytes = u32::try_from(LENGTH).unwrap();
        self.offer("Fill", FillRequest { bytes }.encode_to_vec())
            .await
    }

    /// Sends a grant of `bytes` with a new inbox as its reply subject.
    async fn grant(&self, offer: &Offer, bytes: u64) -> Subscriber {
        let inbox = self.nats.new_inbox();
        let parts = self.nats.subscribe(inbox.clone()).await.unwrap();
        let sent = self
            .nats
            .publish_with_reply(offer.up.clone(), inbox, grant(bytes));
        sent.await.unwrap();
        parts
    }
}

fn grant(bytes: u64) -> bytes::Bytes {
    client_frame([number_field(5, 1), number_field(6, bytes)].concat()).into()
}

async fn next(messages: &mut Subscriber) -> Message {
    within(Duration::from_secs(10), messages.next())
        .await
        .unwrap()
}

/// Reads parts up to END, and returns the message that they make after `begun`.
async fn read_parts(parts: &mut Subscriber, begun: Vec<u8>) -> Vec<u8> {
    let mut message = begun;
    loop {
        let part = next(parts).await.payload;
        assert_eq!(part[0], OF_SERVER);
        message.extend(find_field(&part, 2).unwrap_or_default());
        if flags(&part) & END != 0 {
            return message;
        }
    }
}

#[track_caller]
fn check_filled(message: &[u8]) {
    assert_eq!(Blob::decode(message).unwrap().data.len(), LENGTH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parts_go_to_the_reply_subject_of_the_grant() {
    let fixture = LargeReplyFixture::start().await;
    let mut offer = fixture.offer_of_a_large_reply().await;
    let mut parts = fixture.grant(&offer, 1 << 20).await;
    check_filled(&read_parts(&mut parts, Vec::new()).await);
    round_trip(&fixture.nats).await;
    assert!(offer.inbox.next().now_or_never().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_without_a_reply_subject_leaves_the_parts_at_the_request() {
    let fixture = LargeReplyFixture::start().await;
    let mut offer = fixture.offer_of_a_large_reply().await;
    let sent = fixture.nats.publish(offer.up.clone(), grant(1 << 20));
    sent.await.unwrap();
    check_filled(&read_parts(&mut offer.inbox, Vec::new()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_grant_may_name_another_reply_subject() {
    let fixture = LargeReplyFixture::start().await;
    let mut offer = fixture.offer_of_a_large_reply().await;
    // One byte is granted: one part overshoots it.
    let mut first = fixture.grant(&offer, 1).await;
    let begun = find_field(&next(&mut first).await.payload, 2).unwrap();
    let mut second = fixture.grant(&offer, 1 << 20).await;
    check_filled(&read_parts(&mut second, begun).await);
    round_trip(&fixture.nats).await;
    for inbox in [&mut first, &mut offer.inbox] {
        assert!(inbox.next().now_or_never().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_does_not_make_the_server_publish_anywhere_else() {
    let fixture = LargeReplyFixture::start().await;
    let mut forbidden = fixture.nats.subscribe("admin.>").await.unwrap();
    let offer = fixture.offer_of_a_large_reply().await;
    let up = offer.up.clone();
    let sent = fixture
        .nats
        .publish_with_reply(up, "admin.delete", grant(1 << 20));
    sent.await.unwrap();
    // It was dropped, and the offer stands: another grant takes the reply.
    let mut parts = fixture.grant(&offer, 1 << 20).await;
    check_filled(&read_parts(&mut parts, Vec::new()).await);
    round_trip(&fixture.nats).await;
    assert!(forbidden.next().now_or_never().is_none());
}

/// The reply subject of a server's frame, which a responder repeats, is that of a server: the RESET does not go there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_servers_frame_is_no_grant() {
    let fixture = LargeReplyFixture::start().await;
    let mut offer = fixture.offer_of_a_large_reply().await;
    let inbox = fixture.nats.new_inbox();
    let mut forbidden = fixture.nats.subscribe(inbox.clone()).await.unwrap();
    let no_grant = server_frame([number_field(5, 1), number_field(6, 1 << 20)].concat());
    let up = offer.up.clone();
    // The second one comes to a stream that has ended.
    for _ in 0..2 {
        let sent =
            fixture
                .nats
                .publish_with_reply(up.clone(), inbox.clone(), no_grant.clone().into());
        sent.await.unwrap();
    }
    let reset = next(&mut offer.inbox).await.payload;
    assert_eq!((reset[0], flags(&reset)), (OF_SERVER, RESET), "{reset:?}");
    assert!(String::from_utf8_lossy(&reset).contains("BAD_FRAME"));
    // A frame of a client to the stream that has ended gets a RESET, behind which nothing else is on its way.
    let mut unknown = fixture.grant(&offer, 1).await;
    assert_eq!(flags(&next(&mut unknown).await.payload), RESET);
    round_trip(&fixture.nats).await;
    for inbox in [&mut forbidden, &mut offer.inbox] {
        assert!(inbox.next().now_or_never().is_none());
    }
}

/// It may be the grant of a client of version 1, which waits under this reply subject.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_the_mark_of_a_client_is_no_grant_and_gets_a_reset() {
    let fixture = LargeReplyFixture::start().await;
    for garbage in [&b""[..], b"{}", &grant(1 << 20)[1..]] {
        let mut offer = fixture.offer_of_a_large_reply().await;
        let inbox = fixture.nats.new_inbox();
        let mut own = fixture.nats.subscribe(inbox.clone()).await.unwrap();
        let garbage = bytes::Bytes::copy_from_slice(garbage);
        let sent = fixture.nats.publish_with_reply(offer.up, inbox, garbage);
        sent.await.unwrap();
        let reset = next(&mut own).await.payload;
        assert_eq!((reset[0], flags(&reset)), (OF_SERVER, RESET), "{reset:?}");
        assert!(String::from_utf8_lossy(&reset).contains("BAD_FRAME"));
        round_trip(&fixture.nats).await;
        assert!(offer.inbox.next().now_or_never().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_schema_is_taken_by_hand() {
    let fixture = LargeReplyFixture::start().await;
    let offer = fixture.offer("_schema", Vec::new()).await;
    let mut parts = fixture.grant(&offer, 1 << 20).await;
    let schema = read_parts(&mut parts, Vec::new()).await;
    assert!(schema.len() > MAX_PAYLOAD, "{}", schema.len());
    let files = count_files(&schema);
    assert!(files > 1, "{files} files");
}

/// Returns the number of files in a serialized `FileDescriptorSet`: its entries of field 1.
fn count_files(schema: &[u8]) -> usize {
    #[derive(Clone, PartialEq, prost::Message)]
    struct FileSet {
        #[prost(bytes = "vec", repeated, tag = "1")]
        file: Vec<Vec<u8>>,
    }
    FileSet::decode(schema).unwrap().file.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_python_client_takes_large_replies() {
    let fixture = LargeReplyFixture::start().await;
    let nats = fixture.carrier.nats.as_ref().unwrap();
    Script::file("large_reply.py").run(nats).await;
}
