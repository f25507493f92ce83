//! `tower` layers of unary calls, at the server and at the client.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use micro_runtime::middleware::{Next, Request, Response, ResponseFuture};
use micro_runtime::{ClientOptions, Code, Server, ServiceOptions, Status};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, FailRequest, WaitRequest};
use tower::limit::ConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;
use tower::{Layer, Service};

use crate::behavior::requests::{blob, millis};
use crate::carriers::{Carrier, on_both_carriers};
use crate::until::until;

on_both_carriers! {
    layers_see_calls_in_order
    layers_see_method_payload_metadata_and_status
    a_layer_may_reply_and_reject
    a_layer_may_add_metadata
    layers_of_tower_work
    a_concurrency_limit_layer_is_shared_by_all_methods
    errors_of_the_runtime_pass_through_layers
}

/// Layer that records every call on its way in and out.
#[derive(Clone)]
struct RecordingLayer {
    name: &'static str,
    notes: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
struct RecordingService {
    layer: RecordingLayer,
    next: Next,
}

impl RecordingLayer {
    fn new(name: &'static str, notes: &Arc<Mutex<Vec<String>>>) -> Self {
        let notes = Arc::clone(notes);
        Self { name, notes }
    }

    fn record(&self, text: &str) {
        self.notes
            .lock()
            .unwrap()
            .push(format!("{} {text}", self.name));
    }
}

impl Layer<Next> for RecordingLayer {
    type Service = RecordingService;

    fn layer(&self, next: Next) -> RecordingService {
        RecordingService {
            layer: self.clone(),
            next,
        }
    }
}

impl Service<Request> for RecordingService {
    type Response = Response;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        self.next.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        let layer = self.layer.clone();
        let has_time = request.remaining().is_some_and(|left| !left.is_zero());
        layer.record(&format!(
            "in {} {} bytes {:?} {has_time}",
            request.method().name,
            request.payload().len(),
            request.metadata().get("tenant"),
        ));
        let response = self.next.call(request);
        Box::pin(async move {
            let result = response.await;
            layer.record(&match &result {
                Ok(response) => format!("out {} bytes", response.payload().len()),
                Err(status) => format!("out {}", status.code()),
            });
            result
        })
    }
}

async fn serve(
    carrier: &Carrier,
    set: impl FnOnce(Server) -> Server,
    options: ServiceOptions,
) -> BehaviorClient {
    let service = BehaviorServer::new(BehaviorHandler::default());
    let server = set(Server::new(&carrier.bus)).add_with(service, options);
    // Kept until the test's runtime ends.
    std::mem::forget(server.start().await.unwrap());
    carrier.bus.client()
}

async fn layers_see_calls_in_order(carrier: Carrier) {
    let notes = Arc::default();
    let layer = |name| RecordingLayer::new(name, &notes);
    let options = ServiceOptions::new()
        .layer(layer("service"))
        .method_layer("Echo", layer("method"));
    let set = |server: Server| server.layer(layer("first")).layer(layer("second"));
    serve(&carrier, set, options).await;
    let client: BehaviorClient = carrier.bus.client_with(
        ClientOptions::new()
            .layer(layer("client"))
            .method_layer("Echo", layer("call")),
    );
    client.echo(blob(b"")).await.unwrap();
    let order = ["client", "call", "first", "second", "service", "method"];
    let found = notes.lock().unwrap().clone();
    let names = found.iter().map(|note| note.split(' ').next().unwrap());
    let expected = order.iter().chain(order.iter().rev()).copied();
    assert_eq!(names.collect::<Vec<_>>(), expected.collect::<Vec<_>>());

    notes.lock().unwrap().clear();
    client.nothing(Default::default()).await.unwrap();
    let found = notes.lock().unwrap().clone();
    assert!(
        !found
            .iter()
            .any(|note| note.starts_with("method") || note.starts_with("call")),
        "{found:?}"
    );
}

async fn layers_see_method_payload_metadata_and_status(carrier: Carrier) {
    let notes = Arc::default();
    let set = |server: Server| server.layer(RecordingLayer::new("server", &notes));
    let client = serve(&carrier, set, ServiceOptions::new()).await;
    client
        .echo(blob(b"hi"))
        .header("tenant", "acme")
        .await
        .unwrap();
    let failure = FailRequest {
        code: 5,
        text: String::new(),
    };
    client.fail(failure).await.unwrap_err();
    let found = notes.lock().unwrap().clone();
    assert_eq!(
        found,
        [
            "server in Echo 4 bytes Some(\"acme\") true",
            "server out 4 bytes",
            "server in Fail 2 bytes None true",
            "server out NOT_FOUND",
        ]
    );
}

async fn a_layer_may_reply_and_reject(carrier: Carrier) {
    let authenticate = tower::layer::layer_fn(|next: Next| {
        tower::service_fn(move |request: Request| {
            let mut next = next.clone();
            async move {
                match request.metadata().get("authorization") {
                    Some("Bearer s3cret") => next.call(request).await,
                    Some("cached") => {
                        Ok(Response::new(b"\x0a\x02ca"[..].into(), Default::default()))
                    }
                    _ => Err(Status::unauthenticated("no token")),
                }
            }
        })
    });
    let client = serve(
        &carrier,
        |server| server.layer(authenticate),
        ServiceOptions::new(),
    )
    .await;
    let status = client.echo(blob(b"x")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.reason(), None);
    let call = client
        .echo(blob(b"x"))
        .header("authorization", "Bearer s3cret");
    assert_eq!(call.await.unwrap(), blob(b"x"));
    let call = client.echo(blob(b"x")).header("authorization", "cached");
    assert_eq!(call.await.unwrap(), blob(b"ca"));
}

async fn a_layer_may_add_metadata(carrier: Carrier) {
    let add = |name: &'static str| {
        tower::layer::layer_fn(move |next: Next| {
            tower::service_fn(move |mut request: Request| {
                let mut next = next.clone();
                async move {
                    request.metadata_mut().append(name, "in")?;
                    let mut response = next.call(request).await?;
                    response.metadata_mut().append(name, "out")?;
                    Ok::<_, Status>(response)
                }
            })
        })
    };
    serve(
        &carrier,
        |server| server.layer(add("server")),
        ServiceOptions::new(),
    )
    .await;
    let client: BehaviorClient = carrier
        .bus
        .client_with(ClientOptions::new().layer(add("client")));
    let reply = client.describe(blob(b"")).with_metadata().await.unwrap();
    let mut seen = reply.message.metadata;
    seen.sort();
    assert_eq!(seen, ["client=in", "server=in"]);
    assert_eq!(reply.metadata.get("server"), Some("out"));
    assert_eq!(reply.metadata.get("client"), Some("out"));
    assert_eq!(reply.metadata.get("served-by"), Some("behaving"));
}

async fn layers_of_tower_work(carrier: Carrier) {
    let options =
        ServiceOptions::new().method_layer("Wait", TimeoutLayer::new(Duration::from_millis(50)));
    let client = serve(&carrier, |server| server, options).await;
    let status = client.wait(millis(60_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.reason(), None, "the status is from the middleware");
}

async fn a_concurrency_limit_layer_is_shared_by_all_methods(carrier: Carrier) {
    let handler = BehaviorHandler::default();
    let server = Server::new(&carrier.bus)
        .layer(ConcurrencyLimitLayer::new(1))
        .add(BehaviorServer::new(handler.clone()))
        .start()
        .await
        .unwrap();
    let client: BehaviorClient = carrier.bus.client();
    let done = Arc::new(AtomicUsize::new(0));
    let first = tokio::spawn({
        let call = client.wait(WaitRequest { milliseconds: 300 });
        let done = Arc::clone(&done);
        async move {
            call.await.unwrap();
            done.fetch_add(1, Ordering::SeqCst)
        }
    });
    until(|| handler.started() == 1).await;
    // A call of another method waits for the same limit.
    client.echo(blob(b"")).await.unwrap();
    until(|| done.load(Ordering::SeqCst) == 1).await;
    first.await.unwrap();
    server.shutdown().await.unwrap();
}

async fn errors_of_the_runtime_pass_through_layers(carrier: Carrier) {
    use micro_runtime::Reason;
    let notes = Arc::default();
    let set = |server: Server| server.layer(RecordingLayer::new("server", &notes));
    let client = serve(&carrier, set, ServiceOptions::new()).await;
    let status = client.panic(blob(b"x")).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Panicked));
    let layered: BehaviorClient = carrier
        .bus
        .client_with(ClientOptions::new().layer(RecordingLayer::new("client", &notes)));
    let status = layered
        .wait(millis(60_000))
        .timeout(Duration::from_millis(50))
        .await;
    assert_eq!(status.unwrap_err().code(), Code::DeadlineExceeded);
}
