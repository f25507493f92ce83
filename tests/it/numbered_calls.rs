//! Calls with more than one message, of each kind, whose messages show which handler has sent them.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use micro_runtime::{
    Bus, ClientOptions, Context, ReplyStream, RunningServer, Server, Status, Streaming, service,
};
use micro_tests::streams::{CountRequest, Item, Streams, StreamsClient, StreamsServer, Summary};
use prost::Message as _;

/// Number of items of each stream.
pub(crate) const ITEMS: u64 = 20;
/// Length in bytes of a message that takes two parts and more.
const LARGE: u64 = 1_200_000;
/// Number of calls of each kind.
pub(crate) const CALLS: usize = 12;
/// Limit for the calls of all kinds.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Kinds of calls with more than one message.
pub(crate) const KINDS: [CallKind; 6] = [
    CallKind::ServerStream,
    CallKind::ClientStream,
    CallKind::ClientStreamOfOne,
    CallKind::Bidirectional,
    CallKind::LargeRequest,
    CallKind::LargeReply,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    ServerStream,
    ClientStream,
    ClientStreamOfOne,
    Bidirectional,
    LargeRequest,
    LargeReply,
}

/// Sender of the requests.
const CALLER: Numbered = Numbered(7);

/// Handler that puts its number into everything that it sends.
#[derive(Clone, Copy)]
struct Numbered(u8);

#[service]
impl Streams for Numbered {
    async fn count(
        &self,
        _ctx: Context,
        request: CountRequest,
    ) -> Result<impl ReplyStream<Item>, Status> {
        let own = *self;
        let items = stream::iter(0..request.messages);
        Ok(items.then(move |number| async move {
            tokio::task::yield_now().await;
            Ok(own.item(number, 1))
        }))
    }

    async fn collect(&self, _ctx: Context, mut items: Streaming<Item>) -> Result<Summary, Status> {
        let mut messages = 0;
        while items.message().await?.is_some() {
            messages += 1;
        }
        let bytes = self.0.into();
        Ok(Summary {
            messages,
            bytes,
            ..Summary::default()
        })
    }

    async fn echo(
        &self,
        _ctx: Context,
        items: Streaming<Item>,
    ) -> Result<impl ReplyStream<Item>, Status> {
        let own = *self;
        Ok(items.map(move |item| item.map(|item| own.item(item.number, 1))))
    }

    async fn repeat(&self, _ctx: Context, request: Item) -> Result<Item, Status> {
        Ok(self.item(request.number, request.number))
    }
}

impl Numbered {
    fn item(self, number: u64, length: u64) -> Item {
        Item {
            number,
            data: vec![self.0; usize::try_from(length).unwrap()],
            ..Item::default()
        }
    }
}

/// Outcome of one call.
enum CallOutcome {
    /// All of it comes from the handler with this number.
    Of(u8),
    /// It is the only message of a plain service, which replied first, or the request, which a responder has repeated.
    Plain,
    Failed(Status),
    Wrong(String),
}

/// Numbers of the handlers whose messages a call got.
#[derive(Default)]
struct Senders {
    expected: u64,
    found: Option<u8>,
    flaw: Option<String>,
}

impl Senders {
    /// Notes the next message, which must be that of the handler of the first one.
    fn note(&mut self, item: &Item, number: u64, length: u64) {
        let sender = item.data.first().copied().unwrap_or_default();
        let expected = Numbered(sender).item(number, length);
        let is_own = *self.found.get_or_insert(sender) == sender && *item == expected;
        if !is_own || sender == 0 {
            let flaw = format!("message {}: {:.80?}", self.expected, item);
            self.flaw.get_or_insert(flaw);
        }
        self.expected += 1;
    }

    fn outcome(self, messages: u64) -> CallOutcome {
        match (self.flaw, self.found) {
            (None, Some(sender)) if self.expected == messages => CallOutcome::Of(sender),
            (flaw, _) => CallOutcome::Wrong(format!("{} messages: {flaw:?}", self.expected)),
        }
    }
}

async fn call(client: &StreamsClient, kind: CallKind) -> CallOutcome {
    let called = match kind {
        CallKind::ServerStream => server_stream(client).await,
        CallKind::ClientStream => client_stream(client, ITEMS).await,
        CallKind::ClientStreamOfOne => client_stream(client, 1).await,
        CallKind::Bidirectional => bidirectional(client).await,
        CallKind::LargeRequest => unary(client, LARGE, 1).await,
        CallKind::LargeReply => unary(client, 0, LARGE).await,
    };
    called.unwrap_or_else(CallOutcome::Failed)
}

async fn server_stream(client: &StreamsClient) -> Result<CallOutcome, Status> {
    let request = CountRequest {
        messages: ITEMS,
        ..CountRequest::default()
    };
    let mut items = client.count(request).no_retry().await?;
    let mut senders = Senders::default();
    while let Some(item) = items.message().await? {
        let number = senders.expected;
        senders.note(&item, number, 1);
    }
    Ok(senders.outcome(ITEMS))
}

/// Sends this number of items, whose bytes are those of a summary, too.
async fn client_stream(client: &StreamsClient, items: u64) -> Result<CallOutcome, Status> {
    let mut collect = client.collect().no_retry().open().await?;
    for number in 0..items {
        // The error of a stream that has ended is that of `finish`.
        if collect.send(CALLER.item(number, 0)).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let summary = collect.finish().await?;
    Ok(match (summary.messages, summary.bytes) {
        (found, sender @ 1..=9) if found == items => CallOutcome::Of(u8::try_from(sender).unwrap()),
        _ => CallOutcome::Wrong(format!("{summary:?}")),
    })
}

async fn bidirectional(client: &StreamsClient) -> Result<CallOutcome, Status> {
    let (mut sender, mut items) = client.echo().no_retry().open().await?;
    let mut senders = Senders::default();
    for number in 0..ITEMS {
        if sender.send(CALLER.item(number, 1)).await.is_err() {
            break;
        }
        if let Some(item) = items.message().await? {
            senders.note(&item, number, 1);
        }
    }
    let _ = sender.finish().await;
    if items.message().await?.is_some() {
        return Ok(CallOutcome::Wrong("an item more".to_owned()));
    }
    Ok(senders.outcome(ITEMS))
}

/// Calls a unary method with requests and replies of these lengths.
async fn unary(client: &StreamsClient, request: u64, reply: u64) -> Result<CallOutcome, Status> {
    let request = Item {
        number: reply,
        ..CALLER.item(0, request)
    };
    let item = client.repeat(request.clone()).no_retry().await?;
    if item == plain_reply(1) || item == request {
        return Ok(CallOutcome::Plain);
    }
    let mut senders = Senders::default();
    senders.note(&item, reply, reply);
    Ok(senders.outcome(1))
}

/// Makes calls of each kind side by side, checks that none has a wrong result, and passes the number of those that are
/// whole and the failures of the others to `check`.
pub(crate) async fn call_all(
    bus: &Bus,
    options: &ClientOptions,
    mut check: impl FnMut(CallKind, usize, Vec<Status>),
) {
    let client: StreamsClient = bus.client_with(options.clone());
    for kind in KINDS {
        let (mut whole, mut failures) = (0, Vec::new());
        for outcome in join_all((0..CALLS).map(|_| call(&client, kind))).await {
            match outcome {
                CallOutcome::Of(1 | 2) => whole += 1,
                CallOutcome::Plain if matches!(kind, CallKind::LargeReply) => {}
                CallOutcome::Failed(status) => failures.push(status),
                CallOutcome::Wrong(found) => panic!("{kind:?}: {found}"),
                CallOutcome::Of(other) => panic!("{kind:?}: all of it is of {other}"),
                CallOutcome::Plain => panic!("{kind:?}: a plain reply"),
            }
        }
        check(kind, whole, failures);
    }
}

pub(crate) async fn serve(bus: &Bus, number: u8, group: &str) -> RunningServer {
    let server = Server::new(bus).add(StreamsServer::new(Numbered(number)));
    server.queue_group(group).start().await.unwrap()
}

/// Reply of a plain service that is an `Item`, and a valid `micro.v1.Frame` with this number and one item.
pub(crate) fn plain_reply(number: u64) -> Item {
    Item {
        number,
        data: Numbered(9).item(0, 1).encode_to_vec(),
        ..Item::default()
    }
}
