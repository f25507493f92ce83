//! A NATS client without this library that opens streams and sends frames by hand.

use std::time::Duration;

use async_nats::{HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use micro_runtime::{Bus, Code};
use micro_testkit::{NatsServer, within};

use super::fixture::StreamsFixture;
use super::frames::{OF_SERVER, RESET, client_frame, find_field, flags, status_code};

pub(super) const SERVICE: &str = "streams.v1.Streams";

/// A plain NATS client beside a running service on the same nats-server.
pub(super) struct RawClient {
    pub(super) server: NatsServer,
    pub(super) nats: async_nats::Client,
    pub(super) service: StreamsFixture,
}

/// Waits for the next message of a subscription.
pub(super) async fn next_message(replies: &mut Subscriber) -> Message {
    within(Duration::from_secs(10), replies.next())
        .await
        .unwrap()
}

impl RawClient {
    pub(super) async fn start() -> Self {
        let server = NatsServer::start().await.unwrap();
        let bus = Bus::connect(server.url()).await.unwrap();
        Self {
            nats: async_nats::connect(server.url()).await.unwrap(),
            service: StreamsFixture::start(&bus).await,
            server,
        }
    }

    /// Sends an opening request with `options` as the header `Micro-Stream`, or without the
    /// header if they are empty; returns the subscription of the replies.
    pub(super) async fn open(
        &self,
        method: &str,
        options: &str,
        payload: &'static [u8],
    ) -> Subscriber {
        let inbox = self.nats.new_inbox();
        let replies = self.nats.subscribe(inbox.clone()).await.unwrap();
        let mut headers = HeaderMap::new();
        if !options.is_empty() {
            headers.insert("Micro-Stream", options);
        }
        let subject = format!("{SERVICE}.{method}");
        let payload = Bytes::from_static(payload);
        let sent = match options {
            "" => self.nats.publish_with_reply(subject, inbox, payload).await,
            _ => {
                let sending = self
                    .nats
                    .publish_with_reply_and_headers(subject, inbox, headers, payload);
                sending.await
            }
        };
        sent.unwrap();
        replies
    }

    /// Opens a stream of the client's messages and waits for its ACCEPT frame; returns the subject
    /// of the client's frames, and the subscription of the replies.
    pub(super) async fn open_accepted(&self, method: &str) -> (String, Subscriber) {
        let mut replies = self.open(method, "v=2;w=100;b=100000;hb=5", b"").await;
        let accept = next_message(&mut replies).await;
        assert_eq!(accept.payload[0], OF_SERVER);
        let text = |field| String::from_utf8(find_field(&accept.payload, field).unwrap()).unwrap();
        (format!("{SERVICE}._i.{}._up.{}", text(8), text(9)), replies)
    }

    pub(super) async fn send_frame(&self, subject: &str, fields: impl AsRef<[u8]>) {
        self.nats
            .publish(subject.to_owned(), client_frame(fields).into())
            .await
            .unwrap();
    }

    /// Reads frames up to a RESET, and returns the code of its status.
    pub(super) async fn read_until_reset(&self, replies: &mut Subscriber) -> Option<Code> {
        loop {
            let frame = next_message(replies).await.payload;
            if flags(&frame) & RESET != 0 {
                return status_code(&frame);
            }
        }
    }
}
