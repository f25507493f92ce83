//! A server that begins to stop: its handlers and the clients of its streams hear of it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use micro_runtime::{
    Bus, Context, Reason, ReplyStream, Server, Status, Streaming, Subscriber, Subscription, service,
};
use micro_testkit::within;
use micro_tests::market::Trade;
use micro_tests::shapes::{Ping, Pong, Shapes, ShapesClient, ShapesServer};
use tower::timeout::TimeoutLayer;

use crate::carriers::{Carrier, on_both_carriers};
use crate::log_lines::LogLines;
use crate::until::until;

on_both_carriers! {
    handlers_of_every_kind_hear_of_a_stop
    a_task_of_a_handler_hears_of_a_server_that_is_dropped
    clients_of_open_streams_are_told_at_once_and_their_streams_go_on
    a_stream_that_outlasts_the_grace_period_is_unavailable
}

/// Time for which a stop waits for handlers in these tests: none may need it.
const GRACE: Duration = Duration::from_secs(600);
/// Time in which all handlers have heard of a stop, and have ended.
const SOON: Duration = Duration::from_secs(10);
const WAIT: &str = "wait";

/// Handler of calls and events that ends when its server stops; a message other than [`WAIT`] is replied to at once.
#[derive(Clone, Default)]
struct UntilStop {
    waiting: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl UntilStop {
    async fn wait(&self, ctx: Context) -> Pong {
        assert!(!ctx.is_stopping());
        self.waiting.fetch_add(1, Ordering::SeqCst);
        ctx.stopping().await;
        assert!(ctx.is_stopping());
        self.ended.fetch_add(1, Ordering::SeqCst);
        pong("stopping")
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

fn ping(text: &str) -> Ping {
    Ping {
        text: text.to_owned(),
    }
}

fn pong(text: &str) -> Pong {
    Pong {
        text: text.to_owned(),
    }
}

#[service]
impl Shapes for UntilStop {
    async fn unary(&self, ctx: Context, request: Ping) -> Result<Pong, Status> {
        if request.text == "leave a task behind" {
            let handler = self.clone();
            tokio::spawn(async move { handler.wait(ctx).await });
            return Ok(pong(""));
        }
        Ok(self.wait(ctx).await)
    }

    async fn server_streaming(
        &self,
        ctx: Context,
        _request: Ping,
    ) -> Result<impl ReplyStream<Pong>, Status> {
        let handler = self.clone();
        Ok(stream::once(async move { Ok(handler.wait(ctx).await) }))
    }

    async fn client_streaming(
        &self,
        ctx: Context,
        _requests: Streaming<Ping>,
    ) -> Result<Pong, Status> {
        Ok(self.wait(ctx).await)
    }

    async fn bidirectional(
        &self,
        ctx: Context,
        requests: Streaming<Ping>,
    ) -> Result<impl ReplyStream<Pong>, Status> {
        let handler = self.clone();
        let replies = stream::unfold(requests, move |mut requests| {
            let (handler, ctx) = (handler.clone(), ctx.clone());
            async move {
                let request = requests.message().await.transpose()?;
                let reply = match request {
                    Ok(request) if request.text == WAIT => Ok(handler.wait(ctx).await),
                    Ok(request) => Ok(pong(&request.text)),
                    Err(status) => Err(status),
                };
                Some((reply, requests))
            }
        });
        Ok(replies)
    }
}

impl Subscriber<Trade> for UntilStop {
    async fn on_event(&self, ctx: Context, trade: Trade) -> Result<(), Status> {
        if trade.symbol == WAIT {
            self.wait(ctx).await;
        }
        Ok(())
    }
}

async fn publish(bus: &Bus, symbol: &str) {
    let trade = Trade {
        venue: "sim".into(),
        symbol: symbol.into(),
        ..Trade::default()
    };
    bus.publish(&trade).await.unwrap();
}

async fn handlers_of_every_kind_hear_of_a_stop(carrier: Carrier) {
    let handler = UntilStop::default();
    let server = Server::new(&carrier.bus)
        // A handler behind middleware has a context of its own.
        .layer(TimeoutLayer::new(GRACE))
        .add(ShapesServer::new(handler.clone()))
        .subscribe::<Trade>(handler.clone(), Subscription::broadcast().max_concurrent(2))
        .grace(GRACE)
        .start()
        .await
        .unwrap();
    let client: ShapesClient = carrier.another_bus().await.client();
    // Long enough to come in parts.
    let long = "x".repeat(2 * 1024 * 1024);
    let unary = tokio::spawn(client.unary(ping(WAIT)).timeout(GRACE).into_future());
    let in_parts = tokio::spawn(client.unary(ping(&long)).timeout(GRACE).into_future());
    let mut streaming = client.server_streaming(ping(WAIT)).await.unwrap();
    let collecting = client.client_streaming().open().await.unwrap();
    let (mut sender, mut replies) = client.bidirectional().open().await.unwrap();
    sender.send(ping(WAIT)).await.unwrap();
    sender.finish().await.unwrap();
    let dynamic = carrier.bus.dynamic("shapes.v1.Shapes").await.unwrap();
    let by_hand = dynamic
        .call_raw("ServerStreaming", Bytes::new())
        .timeout(GRACE);
    let by_hand = tokio::spawn(by_hand.into_future());
    // The first event of a subscription is handled in a worker, and those of handlers that proved short in place.
    publish(&carrier.bus, WAIT).await;
    until(|| handler.waiting() == 7).await;
    for _ in 0..1_000 {
        publish(&carrier.bus, "short").await;
    }
    publish(&carrier.bus, WAIT).await;
    until(|| handler.waiting() == 8).await;
    assert_eq!(handler.ended(), 0);

    within(SOON, server.shutdown()).await.unwrap();
    assert_eq!(handler.ended(), 8);
    assert_eq!(unary.await.unwrap().unwrap().text, "stopping");
    assert_eq!(in_parts.await.unwrap().unwrap().text, "stopping");
    assert_eq!(streaming.message().await.unwrap(), Some(pong("stopping")));
    assert_eq!(streaming.message().await.unwrap(), None);
    assert_eq!(collecting.finish().await.unwrap().text, "stopping");
    assert_eq!(replies.message().await.unwrap(), Some(pong("stopping")));
    by_hand.await.unwrap().unwrap();
}

async fn a_task_of_a_handler_hears_of_a_server_that_is_dropped(carrier: Carrier) {
    let handler = UntilStop::default();
    let server = Server::new(&carrier.bus).add(ShapesServer::new(handler.clone()));
    let server = server.start().await.unwrap();
    let client: ShapesClient = carrier.bus.client();
    client.unary(ping("leave a task behind")).await.unwrap();
    until(|| handler.waiting() == 1).await;
    drop(server);
    until(|| handler.ended() == 1).await;
}

async fn clients_of_open_streams_are_told_at_once_and_their_streams_go_on(carrier: Carrier) {
    let handler = UntilStop::default();
    let server = Server::new(&carrier.bus)
        .add(ShapesServer::new(handler.clone()))
        .grace(GRACE)
        .start()
        .await
        .unwrap();
    let client: ShapesClient = carrier.another_bus().await.client();
    let (mut sender, mut replies) = client.bidirectional().open().await.unwrap();
    sender.send(ping("a")).await.unwrap();
    assert_eq!(replies.message().await.unwrap(), Some(pong("a")));
    let dynamic = carrier.bus.dynamic("shapes.v1.Shapes").await.unwrap();
    let (_requests, by_schema) = dynamic
        .call_streaming("Bidirectional")
        .open()
        .await
        .unwrap();
    assert!(!sender.is_stopping() && !replies.is_stopping() && !by_schema.is_stopping());
    let stopping = (sender.stopping(), replies.stopping(), by_schema.stopping());
    let shutdown = tokio::spawn(server.shutdown());
    within(SOON, async {
        tokio::join!(stopping.0, stopping.1, stopping.2);
        // Also one that is made later.
        replies.stopping().await;
    })
    .await;
    assert!(sender.is_stopping() && replies.is_stopping() && by_schema.is_stopping());
    // The stream goes on, in both directions, until its caller ends it.
    sender.send(ping("b")).await.unwrap();
    assert_eq!(replies.message().await.unwrap(), Some(pong("b")));
    assert!(!shutdown.is_finished());
    drop((by_schema, _requests));
    sender.finish().await.unwrap();
    assert_eq!(replies.message().await.unwrap(), None);
    within(SOON, shutdown).await.unwrap().unwrap();
}

async fn a_stream_that_outlasts_the_grace_period_is_unavailable(carrier: Carrier) {
    let server = Server::new(&carrier.bus)
        .add(ShapesServer::new(UntilStop::default()))
        .grace(Duration::from_millis(100))
        .start()
        .await
        .unwrap();
    let client: ShapesClient = carrier.another_bus().await.client();
    let (mut sender, mut replies) = client.bidirectional().open().await.unwrap();
    sender.send(ping("a")).await.unwrap();
    assert_eq!(replies.message().await.unwrap(), Some(pong("a")));
    let shutdown = tokio::spawn(server.shutdown());
    let status = within(SOON, replies.message()).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::ShuttingDown), "{status}");
    let text = "the server stopped while shapes.v1.Shapes.Bidirectional ran";
    assert!(status.message().contains(text), "{status}");
    within(SOON, shutdown).await.unwrap().unwrap();
}

/// A program that was asked to end and still runs logs why.
#[tokio::test]
async fn a_stop_that_waits_logs_what_is_under_way() {
    let (log, _guard) = LogLines::start();
    let carrier = Carrier::in_process().await;
    let handler = UntilStop::default();
    let server = Server::new(&carrier.bus)
        .add(ShapesServer::new(handler.clone()))
        .grace(GRACE)
        .start()
        .await
        .unwrap();
    let client: ShapesClient = carrier.bus.client();
    let (mut sender, _replies) = client.bidirectional().open().await.unwrap();
    let (other, _others) = client.bidirectional().open().await.unwrap();
    sender.send(ping("a")).await.unwrap();
    let shutdown = tokio::spawn(server.shutdown());
    let waits = "the server stops, and waits up to";
    until(|| log.has_warning(waits)).await;
    let line = log.containing(waits).remove(0);
    let expected = "for 2 calls of shapes.v1.Shapes.Bidirectional";
    assert!(line.text.contains(expected), "{line:?}");
    drop((sender, other));
    within(SOON, shutdown).await.unwrap().unwrap();

    // A stop that does not wait logs nothing.
    let (log, _guard) = LogLines::start();
    let server = Server::new(&carrier.bus).add(ShapesServer::new(handler));
    server.start().await.unwrap().shutdown().await.unwrap();
    assert!(log.of_runtime().is_empty(), "{:?}", log.of_runtime());
}
