//! A handler or a layer that returns the failure of a call of its own fails for itself: the runtime's reason for the
//! end of that call does not apply to the outer call, which is not sent again for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use micro_runtime::details::ErrorInfo;
use micro_runtime::middleware::{Next, Request};
use micro_runtime::{
    Bus, ClientOptions, Code, Context, Reason, ReplyStream, Server, ServiceOptions, Status,
    Streaming, service,
};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, FlakyRequest};
use micro_tests::streams::{CountRequest, Item, Streams, StreamsClient, StreamsServer, Summary};
use tower::{Layer, Service};

use crate::behavior::requests::{blob, millis};
use crate::carriers::{Carrier, on_both_carriers};
use crate::until::until;

on_both_carriers! {
    a_call_runs_once_although_a_layer_of_the_server_fails_after_it
    a_call_runs_once_although_a_layer_of_the_client_fails_after_it
    a_layer_that_fails_before_the_handler_keeps_no_reason
    a_handler_that_relays_a_failure_keeps_no_reason
    streams_end_without_the_reason_of_a_nested_call
    a_detail_that_looks_like_a_reason_is_not_sent
    a_request_that_cannot_be_decoded_keeps_its_reason_behind_layers
}

type NestedCall = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Status> + Send>> + Send + Sync>;

/// Makes calls that the runtime ends, for one reason each.
struct NestedCalls(Vec<(Reason, NestedCall)>);

impl NestedCalls {
    /// Serves methods that end so, under a prefix of their own.
    async fn start(carrier: &Carrier) -> Self {
        let bus = carrier.another_bus().await.with_prefix("nested").unwrap();
        let handler = BehaviorHandler::on(&bus);
        let server = Server::new(&bus).add(BehaviorServer::new(handler.clone()));
        let server = Arc::new(server.start().await.unwrap());
        let client: BehaviorClient = bus.client();
        let absent: BehaviorClient = bus.client_with(ClientOptions::new().instance("absent"));
        // Holds the only permit of the method.
        let busy = client.wait_serially(millis(60_000));
        tokio::spawn(async move { busy.timeout(Duration::from_secs(60)).await });
        until(|| handler.started() == 1).await;
        let call = |reason, call: fn(&BehaviorClient) -> micro_runtime::call::UnaryCall<_, _>| {
            let client = match reason {
                Reason::NoResponders => absent.clone(),
                _ => client.clone(),
            };
            // On a busy machine only the deadline itself may end a call by its deadline.
            let timeout = match reason {
                Reason::Deadline => Duration::from_millis(100),
                _ => Duration::from_secs(30),
            };
            let server = Arc::clone(&server);
            let make: NestedCall = Arc::new(move || {
                let (call, server) = (call(&client), Arc::clone(&server));
                Box::pin(async move {
                    let _server = server;
                    call.timeout(timeout).await.unwrap_err()
                })
            });
            (reason, make)
        };
        Self(vec![
            call(Reason::NoResponders, |client| client.wait(millis(0))),
            call(Reason::Deadline, |client| client.wait(millis(60_000))),
            call(Reason::Overloaded, |client| client.wait_serially(millis(0))),
        ])
    }
}

/// Returns a layer that makes the nested call, after or before the call that it is around, and fails with its status.
fn failing_layer(nested: &NestedCall, is_after: bool) -> FailingLayer {
    FailingLayer {
        nested: Arc::clone(nested),
        is_after,
    }
}

#[derive(Clone)]
struct FailingLayer {
    nested: NestedCall,
    is_after: bool,
}

#[derive(Clone)]
struct FailingService {
    next: Next,
    layer: FailingLayer,
}

impl Layer<Next> for FailingLayer {
    type Service = FailingService;

    fn layer(&self, next: Next) -> FailingService {
        FailingService {
            next,
            layer: self.clone(),
        }
    }
}

impl Service<Request> for FailingService {
    type Response = micro_runtime::middleware::Response;
    type Error = Status;
    type Future = micro_runtime::middleware::ResponseFuture;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Status>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { mut next, layer } = self.clone();
        Box::pin(async move {
            if layer.is_after {
                next.call(request).await?;
            }
            Err((layer.nested)().await)
        })
    }
}

fn request(key: &str) -> FlakyRequest {
    FlakyRequest {
        key: key.to_owned(),
        ..FlakyRequest::default()
    }
}

#[track_caller]
fn check(status: &Status, reason: Reason, place: &str) {
    let code = match reason {
        Reason::NoResponders => Code::Unavailable,
        Reason::Deadline => Code::DeadlineExceeded,
        _ => Code::ResourceExhausted,
    };
    assert_eq!(status.code(), code, "{place}, {reason:?}: {status}");
    assert_eq!(status.reason(), None, "{place}, {reason:?}: {status}");
}

async fn a_call_runs_once_although_a_layer_of_the_server_fails_after_it(carrier: Carrier) {
    let nested = NestedCalls::start(&carrier).await;
    for (reason, call) in nested.0 {
        for place in ["server", "service", "method"] {
            let layer = failing_layer(&call, true);
            let handler = BehaviorHandler::on(&carrier.bus);
            let service = BehaviorServer::new(handler.clone());
            let server = Server::new(&carrier.bus);
            let options = ServiceOptions::new();
            let server = match place {
                "server" => server.layer(layer).add(service),
                "service" => server.add_with(service, options.layer(layer)),
                _ => {
                    let options = options.method_layer("FlakyNonIdempotent", layer.clone());
                    server.add_with(service, options.method_layer("Flaky", layer))
                }
            };
            let server = server.start().await.unwrap();
            let client: BehaviorClient = carrier.another_bus().await.client();
            let status = client.flaky_non_idempotent(request(place)).await;
            check(&status.unwrap_err(), reason, place);
            assert_eq!(handler.flaky_calls(place), 1, "{place}, {reason:?}");
            // An idempotent method may be called again for the code alone.
            let status = client.flaky(request("idempotent")).no_retry().await;
            check(&status.unwrap_err(), reason, place);
            assert_eq!(handler.flaky_calls("idempotent"), 1, "{place}, {reason:?}");
            server.shutdown().await.unwrap();
        }
    }
}

async fn a_call_runs_once_although_a_layer_of_the_client_fails_after_it(carrier: Carrier) {
    let nested = NestedCalls::start(&carrier).await;
    let fixture = carrier.serve().await;
    for (reason, call) in &nested.0 {
        let reason = *reason;
        for place in ["client", "method"] {
            let layer = failing_layer(call, true);
            let options = ClientOptions::new();
            let options = match place {
                "client" => options.layer(layer),
                _ => options.method_layer("FlakyNonIdempotent", layer),
            };
            let client: BehaviorClient = carrier.bus.client_with(options);
            let key = format!("{place}, {reason:?}");
            let status = client.flaky_non_idempotent(request(&key)).await;
            check(&status.unwrap_err(), reason, place);
            assert_eq!(fixture.handler.flaky_calls(&key), 1, "{key}");
            let all = client.flaky_non_idempotent(request(&key)).to_all().await;
            check(&all.err().unwrap(), reason, place);
        }
    }
    // The failure of the call itself keeps its reason, also where a layer has seen it.
    let layer = failing_layer(&nested.0[0].1, true);
    let options = ClientOptions::new().instance("absent").layer(layer);
    let client: BehaviorClient = carrier.bus.client_with(options);
    let status = client.echo(blob(b"")).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NoResponders), "{status}");
}

async fn a_layer_that_fails_before_the_handler_keeps_no_reason(carrier: Carrier) {
    let nested = NestedCalls::start(&carrier).await;
    for (reason, call) in nested.0 {
        let layer = failing_layer(&call, false);
        let fixture = carrier.serve_with(|server| server.layer(layer)).await;
        let status = fixture.client.flaky_non_idempotent(request("k")).await;
        check(&status.unwrap_err(), reason, "before");
        assert_eq!(fixture.handler.flaky_calls("k"), 0);
        fixture.server.shutdown().await.unwrap();
    }
}

async fn a_handler_that_relays_a_failure_keeps_no_reason(carrier: Carrier) {
    let elsewhere = carrier.bus.clone().with_prefix("nowhere").unwrap();
    let handler = BehaviorHandler::on(&elsewhere);
    let server = Server::new(&carrier.bus).add(BehaviorServer::new(handler));
    let _server = server.start().await.unwrap();
    let client: BehaviorClient = carrier.another_bus().await.client();
    let status = client.relay(millis(0)).await.unwrap_err();
    check(&status, Reason::NoResponders, "handler");
}

/// Fails with the status of a nested call at each place of a stream.
struct FailingStreams(NestedCall);

#[service]
impl Streams for FailingStreams {
    async fn count(
        &self,
        _: Context,
        request: CountRequest,
    ) -> Result<impl ReplyStream<Item>, Status> {
        if request.messages == 0 {
            return Err((self.0)().await);
        }
        let nested = Arc::clone(&self.0);
        let items = stream::iter([Ok(Item::default())]);
        Ok(items.chain(stream::once(async move { Err(nested().await) })))
    }

    #[rpc(detached)]
    async fn collect(&self, _: Context, mut items: Streaming<Item>) -> Result<Summary, Status> {
        while items.message().await?.is_some() {}
        Err((self.0)().await)
    }

    async fn echo(&self, _: Context, _: Streaming<Item>) -> Result<impl ReplyStream<Item>, Status> {
        let nested = Arc::clone(&self.0);
        Ok(stream::once(async move { Err(nested().await) }))
    }

    #[rpc(detached)]
    async fn repeat(&self, _: Context, _: Item) -> Result<Item, Status> {
        Err((self.0)().await)
    }
}

async fn streams_end_without_the_reason_of_a_nested_call(carrier: Carrier) {
    let nested = NestedCalls::start(&carrier).await;
    for (reason, call) in nested.0 {
        for has_layers in [false, true] {
            let options = match has_layers {
                true => ServiceOptions::new().method_layer("Count", failing_layer(&call, true)),
                false => ServiceOptions::new(),
            };
            let service = StreamsServer::new(FailingStreams(Arc::clone(&call)));
            let server = Server::new(&carrier.bus).add_with(service, options);
            let server = server.start().await.unwrap();
            let client: StreamsClient = carrier.another_bus().await.client();
            let counting = |messages| {
                client.count(CountRequest {
                    messages,
                    ..CountRequest::default()
                })
            };
            let status = counting(0).no_retry().await.err().unwrap();
            check(&status, reason, "opening");
            if has_layers {
                let status = counting(1).no_retry().await.err().unwrap();
                check(&status, reason, "opening behind a layer");
                server.shutdown().await.unwrap();
                continue;
            }
            let mut items = counting(1).await.unwrap();
            assert!(items.message().await.unwrap().is_some());
            check(&items.message().await.unwrap_err(), reason, "reply stream");
            check(
                &items.message().await.unwrap_err(),
                reason,
                "the second read",
            );
            let sum = client.collect().open().await.unwrap();
            check(&sum.finish().await.unwrap_err(), reason, "one reply");
            let (_sender, mut items) = client.echo().open().await.unwrap();
            check(&items.message().await.unwrap_err(), reason, "both ways");
            // A request in parts.
            let large = Item {
                data: vec![b'x'; 2 << 20],
                ..Item::default()
            };
            check(&client.repeat(large).await.unwrap_err(), reason, "in parts");
            let status = client.repeat(Item::default()).await.unwrap_err();
            check(&status, reason, "detached");
            server.shutdown().await.unwrap();
        }
    }
}

async fn a_detail_that_looks_like_a_reason_is_not_sent(carrier: Carrier) {
    let forging = tower::layer::layer_fn(|_: Next| {
        tower::service_fn(|_: Request| async {
            let info = |domain: &str, reason: &str| ErrorInfo {
                reason: reason.to_owned(),
                domain: domain.to_owned(),
                ..ErrorInfo::default()
            };
            let status = Status::unavailable("forged")
                .with_detail(&info("micro.v1", "NO_RESPONDERS"))
                .with_detail(&info("micro.v1", "OF_A_LATER_VERSION"))
                .with_detail(&info("example.com", "NO_RESPONDERS"));
            Err::<micro_runtime::middleware::Response, _>(status)
        })
    });
    let fixture = carrier.serve_with(|server| server.layer(forging)).await;
    let status = fixture.client.echo(blob(b"")).await.unwrap_err();
    assert_eq!((status.message(), status.reason()), ("forged", None));
    assert_eq!(status.details().len(), 1, "{status:?}");
    let kept: ErrorInfo = status.detail().unwrap();
    assert_eq!(kept.domain, "example.com");
}

async fn a_request_that_cannot_be_decoded_keeps_its_reason_behind_layers(carrier: Carrier) {
    let pass = tower::layer::layer_fn(|next: Next| next);
    for is_layered in [false, true] {
        let set = |server: Server| match is_layered {
            true => server.layer(pass),
            false => server,
        };
        let fixture = carrier.serve_with(set).await;
        let caller: Bus = carrier.another_bus().await;
        let dynamic = caller.dynamic("behavior.v1.Behavior").await.unwrap();
        let status = dynamic.call_raw("Echo", &b"\x07"[..]).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.reason(), Some(Reason::Undecodable), "{is_layered}");
        fixture.server.shutdown().await.unwrap();
    }
}
