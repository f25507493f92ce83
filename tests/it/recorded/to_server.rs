//! The recorded requests and frames of callers of each wire, sent to a server of this one.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::BehaviorServer;
use micro_tests::streams::StreamsServer;
use micro_tests::{BehaviorHandler, StreamsHandler};
use serde_json::Value;

use super::exchange;
use super::exchange::{Exchange, WireMessage};
use super::record::SMALL_PAYLOAD;
use crate::streams::frames::{ACCEPT, OPEN, RESET, find_field, flags};

/// A server of this version, and a plain NATS client beside it.
struct ServerFixture {
    _nats_server: NatsServer,
    running: RunningServer,
    nats: Client,
}

impl ServerFixture {
    async fn start(nats_server: NatsServer) -> Self {
        let bus = Bus::connect(nats_server.url()).await.unwrap();
        let running = Server::new(&bus)
            .add(BehaviorServer::new(BehaviorHandler::on(&bus)))
            .add(StreamsServer::new(StreamsHandler::default()));
        Self {
            running: running.start().await.unwrap(),
            nats: async_nats::connect(nats_server.url()).await.unwrap(),
            _nats_server: nats_server,
        }
    }

    /// Sends a recorded message; one to an instance goes to the one of this server. Returns the replies.
    async fn send(&self, message: &WireMessage) -> Subscriber {
        let tokens = message.subject.split('.').collect::<Vec<_>>();
        let instance = match tokens[0] {
            "behavior" => &self.running.instances()[0],
            _ => &self.running.instances()[1],
        };
        let own = |(at, token): (usize, &&str)| match at > 0 && tokens[at - 1] == "_i" {
            true if *token != "_all" => instance.clone(),
            _ => (*token).to_owned(),
        };
        let subject = tokens.iter().enumerate().map(own).collect::<Vec<_>>();
        self.send_to(&subject.join("."), message).await
    }

    /// Returns once the server has taken the frames before.
    async fn pass_frames(&self) {
        for (service, instance) in ["behavior.v1.Behavior", "streams.v1.Streams"]
            .into_iter()
            .zip(self.running.instances())
        {
            let request = format!("{service}._i.{instance}.NoSuchMethod");
            self.nats.request(request, "".into()).await.unwrap();
        }
    }

    async fn send_to(&self, subject: &str, message: &WireMessage) -> Subscriber {
        let inbox = self.nats.new_inbox();
        let replies = self.nats.subscribe(inbox.clone()).await.unwrap();
        let (headers, payload) = (message.header_map(), message.payload.clone());
        let sent =
            self.nats
                .publish_with_reply_and_headers(subject.to_owned(), inbox, headers, payload);
        sent.await.unwrap();
        replies
    }
}

async fn next(replies: &mut Subscriber) -> Message {
    within(Duration::from_secs(10), replies.next())
        .await
        .unwrap()
}

/// Checks that a frame has ACCEPT, this instance and a stream; OPEN may go with it, and nothing else.
fn check_accept(name: &str, frame: &[u8], instance: &str) {
    assert_eq!(flags(frame) & !OPEN, ACCEPT, "{name}: {frame:?}");
    let token = |field| String::from_utf8(find_field(frame, field).unwrap()).unwrap();
    assert_eq!(token(8), instance, "{name}");
    let stream = token(9);
    assert!(!stream.is_empty(), "{name}");
    assert!(!stream.contains(['.', '*', '>', ' ']), "{name}: {stream}");
}

/// Checks the reply to a recorded request against the recorded reply; `instances` are those of the server.
fn check_reply(wire: &str, exchange: &Exchange, found: &WireMessage, instances: &[String]) {
    let name = &exchange.name;
    let request = &exchange.messages[0];
    let recorded = exchange.reply().unwrap();
    if let Some(opening) = request.header("Micro-Stream") {
        let text = String::from_utf8_lossy(&found.payload);
        if opening.starts_with("v=2;") {
            assert!(found.headers.is_empty(), "{name}: {found:?}");
            check_accept(name, &found.payload, &instances[1]);
        } else {
            assert_eq!(
                found.header("Micro-Status"),
                Some("12"),
                "{name}: {found:?}"
            );
            for part in [
                &format!("version `{wire}` of the wire"),
                "this server speaks `2`: upgrade the caller",
                "WIRE_VERSION",
            ] {
                assert!(text.contains(part), "{name}: {text}");
            }
        }
    } else if request.subject.starts_with("$SRV.") {
        // A reader of the older wire finds every field that it knows.
        let json =
            |message: &WireMessage| serde_json::from_slice::<Value>(&message.payload).unwrap();
        let (found, recorded) = (json(found), json(recorded));
        assert_eq!(found["type"], recorded["type"]);
        for (key, value) in recorded.as_object().unwrap() {
            let kind = std::mem::discriminant(&found[key]);
            assert_eq!(kind, std::mem::discriminant(value), "{name}: {key}");
        }
        assert_eq!(found["metadata"]["micro.wire"], "2");
    } else if recorded.header("Micro-Stream").is_some() {
        assert_eq!(found.header("Micro-Status"), Some("8"), "{name}");
        let offer = found.header("Micro-Stream").unwrap();
        let length = recorded.header("Nats-Service-Error").unwrap();
        let length = length.strip_prefix("the reply takes ").unwrap();
        let length = length.split(' ').next().unwrap();
        assert_eq!(offer, format!("v=2;u=1;l={length}"), "{name}");
        check_accept(name, &found.payload, &instances[0]);
    } else {
        let own = |message: &WireMessage| {
            let mut headers = message.headers.clone();
            headers.retain(|(name, _)| name != "Micro-Instance");
            (headers, message.payload.clone())
        };
        assert_eq!(own(found), own(recorded), "{name}");
        assert_eq!(found.headers.len(), recorded.headers.len(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_understands_each_recorded_request_or_refuses_it_by_name() {
    let usual = ServerFixture::start(NatsServer::start().await.unwrap()).await;
    let small = NatsServer::builder().max_payload(SMALL_PAYLOAD);
    let small = ServerFixture::start(small.start().await.unwrap()).await;
    for wire in exchange::released() {
        for exchange in exchange::read(&wire) {
            let request = &exchange.messages[0];
            if !request.has_reply_subject {
                continue;
            }
            let fixture = match exchange.name.starts_with("large") {
                true => &small,
                false => &usual,
            };
            let mut replies = fixture.send(request).await;
            if request.subject.contains("._up.") {
                // A frame for a stream that this server has not opened (END-6).
                fixture.pass_frames().await;
                let reply = replies.next().now_or_never();
                assert!(reply.is_none(), "{}: {reply:?}", exchange.name);
                continue;
            }
            let reply = next(&mut replies).await;
            let reply = WireMessage::new(&reply, None);
            check_reply(&wire, &exchange, &reply, fixture.running.instances());
        }
    }
}

/// A grant of the first wire has no mark: its caller, which does not read our ACCEPT either, takes no part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_grant_is_refused_by_name() {
    let small = NatsServer::builder().max_payload(SMALL_PAYLOAD);
    let fixture = ServerFixture::start(small.start().await.unwrap()).await;
    for wire in exchange::released() {
        let exchanges = exchange::read(&wire);
        let large = exchanges.iter().find(|one| one.name == "large reply");
        let messages = &large.unwrap().messages;
        let offer = next(&mut fixture.send(&messages[0]).await).await;
        let stream = find_field(&offer.payload, 9).unwrap();
        let stream = String::from_utf8(stream).unwrap();
        let instance = &fixture.running.instances()[0];
        let up = format!("behavior.v1.Behavior._i.{instance}._up.{stream}");
        let grants = messages.iter().find(|one| one.subject.contains("._up."));
        // The RESET goes to the reply subject of the grant.
        let mut replies = fixture.send_to(&up, grants.unwrap()).await;
        let reset = next(&mut replies).await.payload;
        assert_eq!(flags(&reset), RESET, "{reset:?}");
        let text = String::from_utf8_lossy(&reset);
        assert!(
            text.contains("BAD_FRAME") && text.contains("byte 07"),
            "{text}"
        );
    }
}
