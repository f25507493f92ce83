//! Calls of a service inside the process that knows requests and replies alone: no headers of ours, no streams, no
//! subjects of instances. The same on NATS is in `tests/it/plain_peers`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use prost::Message as _;
use prost_types::Any;

use crate::bus::{Bus, Outgoing};
use crate::client::{
    BidirectionalCall, Client, ClientOptions, ClientStreamingCall, UnaryCall, bidirectional,
    client_streaming, server_streaming, unary,
};
use crate::descriptor::{MethodDescriptor, MethodKind, ServiceDescriptor};
use crate::status::{Code, Reason, Status};
use crate::sync::lock;
use crate::wire;

const fn method(full: &'static str, name: &'static str, kind: MethodKind) -> MethodDescriptor {
    MethodDescriptor::new(
        full,
        name,
        kind,
        "google.protobuf.Any",
        "google.protobuf.Any",
    )
}

static SERVICE: ServiceDescriptor = ServiceDescriptor::new(
    "plain.v1.Plain",
    "plain.v1",
    "Plain",
    &[
        method("plain.v1.Plain.One", "One", MethodKind::Unary),
        method("plain.v1.Plain.Many", "Many", MethodKind::ServerStreaming),
        method(
            "plain.v1.Plain.Collect",
            "Collect",
            MethodKind::ClientStreaming,
        ),
        method("plain.v1.Plain.Chat", "Chat", MethodKind::Bidirectional),
    ],
);

/// Reply of a plain service: its headers and its payload.
type PlainReply = (Vec<(&'static str, &'static str)>, Bytes);

/// A service of ten lines on all subjects of [`SERVICE`]'s methods.
struct PlainPeer {
    /// The requests that have arrived.
    requests: Arc<Mutex<Vec<Message>>>,
    /// Number of requests that it could decode, and so acted on.
    runs: Arc<AtomicUsize>,
}

impl PlainPeer {
    async fn start(bus: &Bus, reply: PlainReply) -> Self {
        let connection = Arc::clone(bus.serving());
        let subject = Subject::from("plain.v1.Plain.*");
        let mut subscription = connection.subscribe(subject, None).await.unwrap();
        let peer = Self {
            requests: Arc::default(),
            runs: Arc::default(),
        };
        let (requests, runs) = (Arc::clone(&peer.requests), Arc::clone(&peer.runs));
        tokio::spawn(async move {
            while let Some(request) = subscription.next().await {
                let to = request.reply.clone().unwrap();
                let mut headers = HeaderMap::new();
                let payload = match Any::decode(request.payload.clone()) {
                    Ok(_) => {
                        runs.fetch_add(1, Ordering::SeqCst);
                        for (name, value) in &reply.0 {
                            headers.append(*name, *value);
                        }
                        reply.1.clone()
                    }
                    Err(_) => {
                        headers.insert("Nats-Service-Error", "what is this");
                        Bytes::new()
                    }
                };
                lock(&requests).push(request);
                let outgoing = Outgoing {
                    headers: (!headers.is_empty()).then_some(headers),
                    ..Outgoing::to(to, payload)
                };
                assert!(connection.publish(outgoing).await.is_ok());
            }
        });
        peer
    }

    fn requests(&self) -> usize {
        lock(&self.requests).len()
    }
}

/// Returns a client without, and one with a layer that changes nothing.
fn clients(bus: &Bus, options: &ClientOptions) -> [Client; 2] {
    let layered = options.clone().layer(tower::layer::layer_fn(|next| next));
    [options.clone(), layered].map(|options| Client::new(bus, &SERVICE, options))
}

fn one(client: &Client, length: usize) -> UnaryCall<Any, Any> {
    let request = Any {
        type_url: String::new(),
        value: vec![1; length],
    };
    unary(client, 0, request)
}

/// Returns the errors of opening a stream of each kind.
async fn open_all(client: &Client) -> [Status; 3] {
    let many = server_streaming::<Any, Any>(client, 1, Any::default());
    let collect: ClientStreamingCall<Any, Any> = client_streaming(client, 2);
    let chat: BidirectionalCall<Any, Any> = bidirectional(client, 3);
    [
        many.await.err().unwrap(),
        collect.open().await.err().unwrap(),
        chat.open().await.err().unwrap(),
    ]
}

/// Length of a request that does not fit into one message in process.
const LARGE: usize = 2 * 1024 * 1024;

#[tokio::test]
async fn a_failing_plain_service_never_succeeds() {
    let cases: [(&[(&str, &str)], Code); 5] = [
        (&[("Nats-Service-Error", "no")], Code::Unknown),
        (&[("nats-service-error-code", "404")], Code::NotFound),
        (
            &[
                ("Nats-Service-Error-Code", "200"),
                ("Nats-Service-Error", "no"),
            ],
            Code::Unknown,
        ),
        (
            &[("Micro-Status", "0"), ("micro-status", "5")],
            Code::NotFound,
        ),
        (&[("Nats-Service-Error-Code", "")], Code::Unknown),
    ];
    for (headers, code) in cases {
        for payload in [Bytes::new(), Any::default().encode_to_vec().into()] {
            let bus = Bus::in_process();
            let _peer = PlainPeer::start(&bus, (headers.to_vec(), payload)).await;
            for client in clients(&bus, &ClientOptions::new()) {
                let status = one(&client, 1).await.unwrap_err();
                assert_eq!(status.code(), code, "{headers:?}");
                let many = server_streaming::<Any, Any>(&client, 1, Any::default());
                assert_eq!(many.await.err().unwrap().code(), code, "{headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_opening_without_a_message_is_no_message() {
    let bus = Bus::in_process();
    let peer = PlainPeer::start(&bus, (Vec::new(), Bytes::new())).await;
    for client in clients(&bus, &ClientOptions::new()) {
        let status = one(&client, LARGE).await.unwrap_err();
        let [_, collect, chat] = open_all(&client).await;
        let parts = format!("plain.v1.Plain.One, {} bytes, goes in parts", LARGE + 5);
        for (status, why) in [
            (status, parts.as_str()),
            (collect, "the messages to plain.v1.Plain.Collect follow"),
            (chat, "the messages to plain.v1.Plain.Chat follow"),
        ] {
            assert_eq!(status.code(), Code::Unknown, "{status}");
            let expected = "what is this (the reply to an opening without a message, since ";
            assert!(status.message().starts_with(expected), "{status}");
            assert!(status.message().contains(why), "{status}");
        }
    }
    // The message of the server-streaming calls was one.
    assert_eq!(peer.runs.load(Ordering::SeqCst), 2);
    for request in lock(&peer.requests).iter() {
        let is_opening = request.payload == wire::opening_payload();
        assert!(
            is_opening || request.subject.ends_with(".Many"),
            "{request:?}"
        );
        let opening = request.headers.as_ref().unwrap().get("Micro-Stream");
        assert!(opening.unwrap().as_str().starts_with("v=2;"), "{request:?}");
    }
}

#[tokio::test]
async fn a_plain_reply_to_an_opening_is_not_a_service_of_streams() {
    let frame = Bytes::from_static(b"\x12\x02hi");
    for payload in [Bytes::new(), frame, Bytes::from_static(b"\xff\xff")] {
        let bus = Bus::in_process();
        let _peer = PlainPeer::start(&bus, (Vec::new(), payload)).await;
        for client in clients(&bus, &ClientOptions::new()) {
            let [many, ..] = open_all(&client).await;
            assert_eq!(many.reason(), Some(Reason::NotAService), "{many}");
            assert!(many.message().contains("plain requests only"), "{many}");
        }
    }
}

#[tokio::test]
async fn an_empty_reply_to_a_request_is_a_message_of_defaults() {
    let bus = Bus::in_process();
    let _peer = PlainPeer::start(&bus, (Vec::new(), Bytes::new())).await;
    for client in clients(&bus, &ClientOptions::new()) {
        assert_eq!(one(&client, 10).await.unwrap(), Any::default());
    }
}

#[tokio::test]
async fn a_subject_of_instances_without_subscribers_names_both_causes() {
    let bus = Bus::in_process();
    let peer = PlainPeer::start(&bus, (Vec::new(), Bytes::new())).await;
    for client in clients(&bus, &ClientOptions::new().instance("a1")) {
        let statuses = open_all(&client).await.to_vec();
        let large = one(&client, LARGE).await.unwrap_err();
        let small = one(&client, 1).await.unwrap_err();
        for status in statuses.into_iter().chain([large, small]) {
            assert_eq!(status.reason(), Some(Reason::NoResponders), "{status}");
            for part in ["`a1`", "under `_i`", "it has stopped", "methods alone"] {
                assert!(status.message().contains(part), "{part}: {status}");
            }
        }
        let status = one(&client, 1).to_all().await.err().unwrap();
        assert_eq!(status.reason(), Some(Reason::NoResponders), "{status}");
        for part in ["`_i._all`", "none runs", "methods alone"] {
            assert!(status.message().contains(part), "{part}: {status}");
        }
    }
    assert_eq!(peer.requests(), 0);
}

#[tokio::test]
async fn a_service_that_announces_no_streams_gets_none() {
    let bus = Bus::in_process();
    let peer = PlainPeer::start(&bus, (Vec::new(), Bytes::new())).await;
    let mut options = ClientOptions::new();
    options.is_without_streams = true;
    for client in clients(&bus, &options) {
        let statuses = open_all(&client).await.to_vec();
        let large = one(&client, LARGE).await.unwrap_err();
        for status in statuses.into_iter().chain([large]) {
            assert_eq!(status.code(), Code::Unimplemented, "{status}");
            assert_eq!(status.reason(), Some(Reason::NotAService), "{status}");
            assert!(status.message().contains("nothing was sent"), "{status}");
        }
        assert_eq!(peer.requests(), 0);
    }
    let [client, _] = clients(&bus, &options);
    one(&client, 1).await.unwrap();
    assert_eq!(peer.requests(), 1);
}

/// A refused opening keeps its slot, to reset a second responder that accepts it; of many, only so many do.
#[tokio::test]
async fn openings_that_are_refused_keep_a_bounded_number_of_slots() {
    let bus = Bus::in_process();
    let mux = bus.calling().mux();
    let refusal = (vec![("Micro-Status", "8")], Bytes::new());
    let _peer = PlainPeer::start(&bus, refusal).await;
    let [client, _] = clients(&bus, &ClientOptions::new());
    for _ in 0..700 {
        open_all(&client).await;
    }
    // The tasks of the last ones end.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(mux.reserved_slots(), 256);
}
