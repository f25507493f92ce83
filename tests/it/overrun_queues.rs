//! Log lines of messages that find no room: one, however many are lost.

use std::time::Duration;

use async_nats::HeaderMap;
use futures_util::StreamExt as _;
use micro_runtime::Bus;
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::{BehaviorClient, Blob};

use crate::carriers::Carrier;
use crate::log_lines::LogLines;
use crate::round_trip::round_trip;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(240);
/// Number of messages: more than the 262,144 that a subscription holds.
const MESSAGES: usize = 270_000;
/// Number of replies: more than the 65,536 that one request holds.
const REPLIES: usize = 70_000;

#[tokio::test]
#[ignore = "slow: cargo xtask test --slow log-floods"]
async fn a_subscription_that_loses_messages_is_logged_once() {
    within(LIMIT, async {
        let (lines, _log) = LogLines::start();
        for (carrier, text) in [
            (Carrier::nats().await, "a slow consumer lost a message"),
            (Carrier::in_process().await, "full or closed lost a message"),
        ] {
            let bus = &carrier.bus;
            let _unread = bus.subscribe_raw("evt.unread").open().await.unwrap();
            for _ in 0..MESSAGES {
                bus.publish_raw("evt.unread", "x").await.unwrap();
            }
            let lost = || lines.containing(text).len();
            until(|| lost() > 0).await;
            // All of them have arrived before this returns.
            drop(bus.subscribe_raw("evt.other").open().await.unwrap());
            assert_eq!(lost(), 1, "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn replies_to_one_request_that_find_no_room_are_logged_once() {
    within(LIMIT, async {
        let nats = NatsServer::start().await.unwrap();
        let (lines, _log) = LogLines::start();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let mut end = bus.subscribe_raw("evt.end").open().await.unwrap();
        let peer = async_nats::connect(nats.url()).await.unwrap();
        let subject = "behavior.v1.Behavior._i._all.Echo";
        let mut requests = peer.subscribe(subject).await.unwrap();
        round_trip(&peer).await;
        let replying = async {
            let reply = requests.next().await.unwrap().reply.unwrap();
            let mut headers = HeaderMap::new();
            headers.insert("Micro-Instance", "a");
            for _ in 0..REPLIES {
                let sending = peer.publish_with_headers(reply.clone(), headers.clone(), "".into());
                sending.await.unwrap();
            }
            peer.publish("evt.end", "".into()).await.unwrap();
        };
        let client: BehaviorClient = bus.client();
        let call = client.echo(Blob::default()).timeout(LIMIT).to_all();
        let (unread, ()) = tokio::join!(call, replying);
        let dropped = || lines.containing("too many wait").len();
        until(|| dropped() > 0).await;
        end.next().await.unwrap();
        assert_eq!(dropped(), 1);
        drop(unread.unwrap());
    })
    .await;
}
