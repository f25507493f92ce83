//! Deadlines of calls with long messages: the wait for their turn to be decoded or converted is within them.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::available_parallelism;
use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::codegen::prost::bytes::{Buf, BufMut};
use micro_runtime::codegen::prost::encoding::{DecodeContext, WireType, skip_field};
use micro_runtime::codegen::prost::{DecodeError, Message};
use micro_runtime::codegen::{Client, ServiceClient, unary};
use micro_runtime::descriptor::ServiceDescriptor;
use micro_runtime::prost_reflect::DynamicMessage;
use micro_runtime::{
    Bus, ClientOptions, Code, Context, Reason, ReplyStream, Server, Status, Streaming, service,
};
use micro_testkit::within;
use micro_tests::elements::{Counted, Elements, ElementsClient, ElementsServer, Tree};

use crate::carriers::{Carrier, on_both_carriers};
use crate::large_decodes::{CountingHandler, json_of_texts, of_texts};
use crate::layered::with_and_without_layer;
use crate::until::until;

/// Number of texts of a reply that is decoded on a thread for blocking work.
const TEXTS: usize = 400;
/// Timeout of the calls that must fail, within which their replies arrive.
const TIMEOUT: Duration = Duration::from_secs(2);

on_both_carriers! {
    replies_that_wait_for_their_turn_end_at_the_deadline
    dynamic_requests_that_wait_for_their_turn_end_at_the_deadline
    a_detached_handler_does_not_begin_behind_its_deadline
}

/// Holds the decoding of [`GatedReply`] up while it is closed.
struct DecodeGate {
    /// Number of replies that wait; `None` while it is open.
    waiting: Mutex<Option<usize>>,
    opened: Condvar,
}

/// One for each test, which run at the same time.
static GATES: [DecodeGate; 6] = [const { DecodeGate::new() }; 6];

impl DecodeGate {
    const fn new() -> Self {
        Self {
            waiting: Mutex::new(None),
            opened: Condvar::new(),
        }
    }

    fn pass(&self) {
        let mut waiting = self.waiting.lock().unwrap();
        if let Some(number) = &mut *waiting {
            *number += 1;
        }
        while waiting.is_some() {
            waiting = self.opened.wait(waiting).unwrap();
        }
    }

    fn waiting(&self) -> usize {
        self.waiting.lock().unwrap().unwrap_or_default()
    }
}

/// Opens the gate when it is dropped.
struct ClosedGate(&'static DecodeGate);

impl ClosedGate {
    fn close(gate: &'static DecodeGate) -> Self {
        *gate.waiting.lock().unwrap() = Some(0);
        Self(gate)
    }
}

impl Drop for ClosedGate {
    fn drop(&mut self) {
        *self.0.waiting.lock().unwrap() = None;
        self.0.opened.notify_all();
    }
}

/// A reply whose decoding waits at a gate.
#[derive(Debug, Default)]
struct GatedReply<const GATE: usize>;

impl<const GATE: usize> Message for GatedReply<GATE> {
    fn encode_raw(&self, _: &mut impl BufMut) {}

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        GATES[GATE].pass();
        skip_field(wire_type, tag, buf, ctx)
    }

    fn encoded_len(&self) -> usize {
        0
    }

    fn clear(&mut self) {}
}

/// Client of the same service, which calls `Grow`.
struct GatedClient(Client);

impl ServiceClient for GatedClient {
    const SERVICE: &'static ServiceDescriptor = ElementsClient::SERVICE;

    fn from_client(client: Client) -> Self {
        Self(client)
    }
}

fn size() -> Counted {
    Counted {
        elements: TEXTS as u64,
    }
}

/// Takes all turns for decoding on this runtime, until the gate is opened.
async fn take_all_turns<const GATE: usize>(bus: &Bus) -> (ClosedGate, Vec<ReplyCheck>) {
    let closed = ClosedGate::close(&GATES[GATE]);
    let client: GatedClient = bus.client();
    let turns = available_parallelism().unwrap().get();
    let mut calls = Vec::new();
    for _ in 0..turns {
        let call = unary::<_, GatedReply<GATE>>(&client.0, 2, size());
        let call = call.timeout(Duration::from_secs(60));
        let call = tokio::spawn(async move { call.await });
        calls.push(Box::pin(async move { call.await.unwrap().map(drop) }) as ReplyCheck);
    }
    until(|| GATES[GATE].waiting() == turns).await;
    (closed, calls)
}

type ReplyCheck = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

fn boxed(call: impl Future<Output = Result<(), Status>> + Send + 'static) -> ReplyCheck {
    Box::pin(call)
}

fn calls_of(client: &ElementsClient) -> Vec<(&'static str, ReplyCheck)> {
    let check = |tree: Tree| assert_eq!(tree, of_texts(TEXTS));
    let grow = || client.grow(size()).timeout(TIMEOUT);
    let unary = grow();
    let with_metadata = grow().with_metadata();
    let to_all = grow().to_all().expected(1);
    let stream = client.grow_all(size()).timeout(TIMEOUT);
    vec![
        ("unary", boxed(async move { unary.await.map(check) })),
        (
            "with metadata",
            boxed(async move { with_metadata.await.map(|reply| check(reply.message)) }),
        ),
        (
            "to all",
            boxed(async move {
                let reply = to_all.await?.next().await.unwrap();
                reply.result.map(check)
            }),
        ),
        (
            "stream",
            boxed(async move {
                let mut stream = stream.await?;
                let reply = stream.message().await;
                if let Err(status) = &reply {
                    assert_eq!(stream.message().await.unwrap_err().code(), status.code());
                }
                reply.map(|reply| check(reply.unwrap()))
            }),
        ),
    ]
}

async fn dynamic_calls(bus: &Bus) -> Vec<(&'static str, ReplyCheck)> {
    let dynamic = bus.dynamic("elements.v1.Elements").await.unwrap();
    let json = format!("{{\"elements\":{TEXTS}}}");
    let unary = dynamic.call("Grow", json.clone()).timeout(TIMEOUT);
    let stream = dynamic.call("GrowAll", json).timeout(TIMEOUT);
    vec![
        ("dynamic", boxed(async move { unary.await.map(drop) })),
        (
            "dynamic stream",
            boxed(async move { stream.stream().await?.message().await.map(drop) }),
        ),
    ]
}

async fn calls(bus: &Bus) -> Vec<(&'static str, ReplyCheck)> {
    let options = with_and_without_layer(&ClientOptions::new());
    let mut calls = dynamic_calls(bus).await;
    for options in options {
        calls.extend(calls_of(&bus.client_with(options)));
    }
    calls
}

async fn check_deadlines<const GATE: usize>(carrier: Carrier) {
    let server = Server::new(&carrier.bus).add(ElementsServer::new(CountingHandler));
    let _server = server.start().await.unwrap();
    let bus = carrier.another_bus().await;
    let late = calls(&bus).await;
    let (closed, taking) = take_all_turns::<GATE>(&bus).await;
    join_all(late.into_iter().map(|(name, call)| async move {
        let status = call.await.expect_err(name);
        assert_eq!(status.code(), Code::DeadlineExceeded, "{name}: {status}");
        assert_eq!(status.reason(), Some(Reason::Deadline), "{name}: {status}");
        assert!(
            status.message().contains("was not decoded"),
            "{name}: {status}"
        );
    }))
    .await;
    drop(closed);
    for call in taking {
        call.await.unwrap();
    }
    for (name, call) in calls(&bus).await {
        call.await
            .unwrap_or_else(|status| panic!("{name}: {status}"));
    }
}

async fn replies_that_wait_for_their_turn_end_at_the_deadline(carrier: Carrier) {
    match carrier.nats.is_some() {
        false => check_deadlines::<0>(carrier).await,
        true => check_deadlines::<1>(carrier).await,
    }
}

/// Calls with long requests of a dynamic client, whose conversion waits for its turn.
async fn calls_with_long_requests(bus: &Bus) -> Vec<(&'static str, ReplyCheck)> {
    let dynamic = bus.dynamic("elements.v1.Elements").await.unwrap();
    let json = json_of_texts(TEXTS);
    let tree = dynamic.request_type("Count").unwrap();
    let message = DynamicMessage::decode(tree, of_texts(TEXTS).encode_to_vec().as_slice());
    let in_json = dynamic.clone().in_json().call("Count", json.clone());
    let of_text = dynamic.call("Count", json.clone());
    let of_message = dynamic.call("Count", message.unwrap());
    let stream = dynamic.call_streaming("CountAll").timeout(TIMEOUT);
    let unary = [
        ("text", of_text),
        ("message", of_message),
        ("in JSON", in_json),
    ];
    let mut calls = Vec::from(unary.map(|(name, call)| {
        let call = call.timeout(TIMEOUT);
        (name, boxed(async move { call.await.map(drop) }))
    }));
    let sent = boxed(async move {
        let (mut requests, _replies) = stream.open().await?;
        requests.send(json).await
    });
    calls.push(("stream", sent));
    calls
}

async fn check_long_requests<const GATE: usize>(carrier: Carrier) {
    let server = Server::new(&carrier.bus).add(ElementsServer::new(CountingHandler));
    let server = server.start().await.unwrap();
    let late = calls_with_long_requests(&carrier.bus).await;
    let count = || server.stats()[0].endpoints[0].num_requests;
    let (closed, taking) = take_all_turns::<GATE>(&carrier.bus).await;
    join_all(late.into_iter().map(|(name, call)| async move {
        let status = call.await.expect_err(name);
        assert_eq!(status.code(), Code::DeadlineExceeded, "{name}: {status}");
        let is_expected = name == "stream" || status.message().contains("was not encoded");
        assert!(is_expected, "{name}: {status}");
    }))
    .await;
    assert_eq!(count(), 0, "none was sent");
    drop(closed);
    for call in taking {
        call.await.unwrap();
    }
    for (name, call) in calls_with_long_requests(&carrier.bus).await {
        call.await
            .unwrap_or_else(|status| panic!("{name}: {status}"));
    }
    assert_eq!(count(), 3);
}

async fn dynamic_requests_that_wait_for_their_turn_end_at_the_deadline(carrier: Carrier) {
    match carrier.nats.is_some() {
        false => check_long_requests::<4>(carrier).await,
        true => check_long_requests::<5>(carrier).await,
    }
}

/// Counts the requests that it has begun with, also behind the deadline.
#[derive(Clone, Default)]
struct LateHandler(Arc<AtomicUsize>);

#[service]
impl Elements for LateHandler {
    #[rpc(detached)]
    async fn count(&self, _: Context, _: Tree) -> Result<Counted, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Counted::default())
    }

    async fn count_all(&self, _: Context, _: Streaming<Tree>) -> Result<Counted, Status> {
        Ok(Counted::default())
    }

    async fn grow(&self, _: Context, size: Counted) -> Result<Tree, Status> {
        Ok(of_texts(usize::try_from(size.elements).unwrap()))
    }

    async fn grow_all(&self, _: Context, _: Counted) -> Result<impl ReplyStream<Tree>, Status> {
        Ok(Streaming::from_iter([]))
    }
}

async fn check_detached<const GATE: usize>(carrier: Carrier) {
    let handler = LateHandler::default();
    let begun = || handler.0.load(Ordering::SeqCst);
    let server = Server::new(&carrier.bus).add(ElementsServer::new(handler.clone()));
    let server = server.start().await.unwrap();
    let client: ElementsClient = carrier.bus.client();
    client.count(of_texts(TEXTS)).await.unwrap();
    assert_eq!(begun(), 1);
    let (closed, taking) = take_all_turns::<GATE>(&carrier.bus).await;
    let late = client.count(of_texts(TEXTS)).timeout(TIMEOUT).no_retry();
    let status = late.await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    // The time of the call counts at the server from its arrival there.
    until(|| server.stats()[0].endpoints[0].num_errors == 1).await;
    drop(closed);
    for call in taking {
        call.await.unwrap();
    }
    // It waits for detached handlers.
    server.shutdown().await.unwrap();
    assert_eq!(begun(), 1);
}

async fn a_detached_handler_does_not_begin_behind_its_deadline(carrier: Carrier) {
    match carrier.nats.is_some() {
        false => check_detached::<2>(carrier).await,
        true => check_detached::<3>(carrier).await,
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_ended_in_time_is_read_behind_its_deadline() {
    within(Duration::from_secs(60), async {
        let bus = Bus::in_process();
        let server = Server::new(&bus).add(ElementsServer::new(CountingHandler));
        let server = server.start().await.unwrap();
        let client: ElementsClient = bus.client();
        let mut stream = client.grow_all(size()).timeout(TIMEOUT).await.unwrap();
        until(|| server.stats()[0].endpoints[3].num_requests == 1).await;
        // sleep: the deadline passes.
        tokio::time::sleep(2 * TIMEOUT).await;
        for count in [TEXTS, 0, TEXTS] {
            assert_eq!(stream.message().await.unwrap(), Some(of_texts(count)));
        }
        assert_eq!(stream.message().await.unwrap(), None);
    })
    .await;
}
