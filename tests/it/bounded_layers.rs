//! Calls through middleware of the client: they end with their deadline and with their parent, and as calls without
//! middleware do.

use std::future::{IntoFuture as _, pending};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::middleware::{Next, Request, Response};
use micro_runtime::{
    Bus, ClientOptions, Code, Context, Reason, RunningServer, Server, Status, service,
};
use micro_testkit::within;
use micro_tests::StreamsHandler;
use micro_tests::greeter::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};
use micro_tests::streams::{CountRequest, Item, StreamsClient, StreamsServer};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::carriers::{Carrier, on_both_carriers};
use crate::execution::PATIENT;
use crate::layered::with_and_without_layer;

on_both_carriers! {
    the_deadline_ends_a_call_that_a_layer_holds
    the_end_of_the_parent_ends_a_call_that_a_layer_holds
    calls_with_and_without_a_layer_end_alike
    the_time_of_a_call_begins_with_its_first_poll
    options_that_name_no_instance_or_method_fail_every_call
}

/// The kinds of calls of a client.
#[derive(Clone, Copy, Debug)]
enum LayeredKind {
    Unary,
    ServerStreaming,
    ClientStreaming,
    Bidirectional,
    AllInstances,
    Dynamic,
    DynamicStream,
}

const KINDS: [LayeredKind; 7] = [
    LayeredKind::Unary,
    LayeredKind::ServerStreaming,
    LayeredKind::ClientStreaming,
    LayeredKind::Bidirectional,
    LayeredKind::AllInstances,
    LayeredKind::Dynamic,
    LayeredKind::DynamicStream,
];

/// Settings of one call.
#[derive(Clone, Default)]
struct Settings {
    timeout: Option<Duration>,
    parent: Option<Context>,
    header: Option<(&'static str, String)>,
}

/// Makes a call with these settings.
macro_rules! with_settings {
    ($call:expr, $settings:expr) => {{
        let mut call = $call;
        if let Some(timeout) = $settings.timeout {
            call = call.timeout(timeout);
        }
        if let Some(parent) = &$settings.parent {
            call = call.within(parent);
        }
        if let Some((name, value)) = &$settings.header {
            call = call.header(name, value);
        }
        call
    }};
}

impl LayeredKind {
    async fn call(
        self,
        bus: &Bus,
        options: &ClientOptions,
        settings: &Settings,
    ) -> Result<(), Status> {
        let client: StreamsClient = bus.client_with(options.clone());
        match self {
            Self::Unary => with_settings!(client.repeat(Item::default()), settings)
                .await
                .map(drop),
            Self::ServerStreaming => {
                with_settings!(client.count(CountRequest::default()), settings)
                    .await
                    .map(drop)
            }
            Self::ClientStreaming => with_settings!(client.collect(), settings)
                .open()
                .await
                .map(drop),
            Self::Bidirectional => with_settings!(client.echo(), settings)
                .open()
                .await
                .map(drop),
            Self::AllInstances => with_settings!(client.repeat(Item::default()), settings)
                .to_all()
                .await
                .map(drop),
            Self::Dynamic => {
                let client = bus
                    .dynamic_with("streams.v1.Streams", options.clone())
                    .await?;
                with_settings!(client.call("Repeat", "{}"), settings)
                    .await
                    .map(drop)
            }
            Self::DynamicStream => {
                let client = bus
                    .dynamic_with("streams.v1.Streams", options.clone())
                    .await?;
                let call = with_settings!(client.call("Count", "{}"), settings);
                call.stream().await.map(drop)
            }
        }
    }
}

/// Returns options with a layer that never calls on, and with one that never returns the response.
fn holding() -> [ClientOptions; 2] {
    let before = tower::layer::layer_fn(|next: Next| {
        tower::service_fn(move |request: Request| {
            let next = next.clone();
            async move {
                pending::<()>().await;
                next.oneshot(request).await
            }
        })
    });
    let behind = tower::layer::layer_fn(|next: Next| {
        tower::service_fn(move |request: Request| {
            let next = next.clone();
            async move {
                next.oneshot(request).await?;
                pending::<Result<Response, Status>>().await
            }
        })
    });
    [
        ClientOptions::new().layer(before),
        ClientOptions::new().layer(behind),
    ]
}

async fn serve(bus: &Bus) -> RunningServer {
    let server = Server::new(bus).add(StreamsServer::new(StreamsHandler::default()));
    server.start().await.unwrap()
}

async fn the_deadline_ends_a_call_that_a_layer_holds(carrier: Carrier) {
    let _server = serve(&carrier.bus).await;
    let settings = Settings {
        timeout: Some(Duration::from_millis(100)),
        ..Settings::default()
    };
    for kind in KINDS {
        for options in holding() {
            let call = kind.call(&carrier.bus, &options, &settings);
            let status = within(Duration::from_secs(3), call).await.unwrap_err();
            assert_eq!(
                status.reason(),
                Some(Reason::Deadline),
                "{kind:?}: {status}"
            );
            assert!(status.message().contains("100 ms"), "{kind:?}: {status}");
        }
    }
}

/// Hands out the contexts of its calls, which never end by themselves.
struct ContextSource(mpsc::UnboundedSender<Context>);

#[service]
impl Greeter for ContextSource {
    async fn say_hello(&self, ctx: Context, _: HelloRequest) -> Result<HelloReply, Status> {
        let _ = self.0.send(ctx);
        pending().await
    }
}

/// Makes calls whose contexts are known.
struct Parents {
    bus: Bus,
    contexts: mpsc::UnboundedReceiver<Context>,
    _server: RunningServer,
}

/// A call that ends when this is dropped.
struct Parent {
    ctx: Context,
    call: JoinHandle<()>,
}

impl Drop for Parent {
    fn drop(&mut self) {
        self.call.abort();
    }
}

impl Parents {
    async fn start(bus: &Bus) -> Self {
        let (sender, contexts) = mpsc::unbounded_channel();
        let server = Server::new(bus).add(GreeterServer::new(ContextSource(sender)));
        Self {
            bus: bus.clone(),
            contexts,
            _server: server.start().await.unwrap(),
        }
    }

    async fn call(&mut self) -> Parent {
        let greeter: GreeterClient = self.bus.client();
        let call = greeter.say_hello(HelloRequest::default()).timeout(PATIENT);
        let call = tokio::spawn(async move { drop(call.await) });
        let ctx = self.contexts.recv().await.unwrap();
        Parent { ctx, call }
    }
}

async fn the_end_of_the_parent_ends_a_call_that_a_layer_holds(carrier: Carrier) {
    let _server = serve(&carrier.bus).await;
    let mut parents = Parents::start(&carrier.bus).await;
    for kind in KINDS {
        for options in holding() {
            let parent = parents.call().await;
            let settings = Settings {
                parent: Some(parent.ctx.clone()),
                ..Settings::default()
            };
            let mut call = Box::pin(kind.call(&carrier.bus, &options, &settings));
            // sleep: the call is in its layer, which shows nothing of it.
            let early = tokio::time::timeout(Duration::from_millis(50), &mut call).await;
            assert!(early.is_err(), "{kind:?}: {early:?}");
            drop(parent);
            let status = within(Duration::from_secs(3), call).await.unwrap_err();
            assert_eq!(
                status.reason(),
                Some(Reason::ParentEnded),
                "{kind:?}: {status}"
            );
        }
    }
}

async fn calls_with_and_without_a_layer_end_alike(carrier: Carrier) {
    let _server = serve(&carrier.bus).await;
    let mut parents = Parents::start(&carrier.bus).await;
    let ended = parents.call().await.ctx.clone();
    ended.ended().await;
    let situations = [
        Settings::default(),
        Settings {
            timeout: Some(Duration::ZERO),
            ..Settings::default()
        },
        Settings {
            parent: Some(ended),
            ..Settings::default()
        },
        Settings {
            header: Some(("Not Legal", String::new())),
            ..Settings::default()
        },
        Settings {
            header: Some(("long", "x".repeat(9000))),
            ..Settings::default()
        },
        Settings {
            header: Some(("spaces", "  in the middle  ".to_owned())),
            ..Settings::default()
        },
    ];
    let unserved = ClientOptions::new().subject_base("nobody.serves.This");
    for options in [ClientOptions::new(), unserved] {
        for (number, settings) in situations.iter().enumerate() {
            for kind in KINDS {
                let [plain, layered] = with_and_without_layer(&options);
                let plain = kind.call(&carrier.bus, &plain, settings).await;
                let layered = kind.call(&carrier.bus, &layered, settings).await;
                let ends = [plain, layered].map(|end| {
                    end.map_err(|status| {
                        (status.code(), status.reason(), status.message().to_owned())
                    })
                });
                assert_eq!(ends[0], ends[1], "{kind:?} in situation {number}");
            }
        }
    }
}

async fn the_time_of_a_call_begins_with_its_first_poll(carrier: Carrier) {
    let _server = serve(&carrier.bus).await;
    for options in with_and_without_layer(&ClientOptions::new()) {
        let client: StreamsClient = carrier.bus.client_with(options);
        let timeout = Duration::from_secs(1);
        let call = client
            .repeat(Item::default())
            .timeout(timeout)
            .into_future();
        // sleep: longer than the timeout of the call.
        tokio::time::sleep(timeout + Duration::from_millis(100)).await;
        call.await.unwrap();
    }
}

async fn options_that_name_no_instance_or_method_fail_every_call(carrier: Carrier) {
    let _server = serve(&carrier.bus).await;
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    let layer = || {
        let counted = Arc::clone(&counted);
        tower::layer::layer_fn(move |next: Next| {
            *counted.lock().unwrap() += 1;
            next
        })
    };
    let check = async |options: ClientOptions, parts: &[&str]| {
        for kind in KINDS {
            let end = kind
                .call(&carrier.bus, &options, &Settings::default())
                .await;
            let status = end.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{kind:?}: {status}");
            for part in parts {
                assert!(status.message().contains(part), "{kind:?}: {status}");
            }
        }
    };
    for id in ["", "a b", "a.b", "*", ">", "a\r\nb", "_all", "$x"] {
        let options = ClientOptions::new().instance(id);
        check(options, &["cannot be the id of an instance"]).await;
    }
    for base in ["", "a..b", "a b", "a.*", "a\r\n"] {
        let options = ClientOptions::new().subject_base(base);
        check(options, &["cannot be the base of subjects"]).await;
    }
    for name in ["Repeet", "repeat", "streams.v1.Streams.Repeat", ""] {
        let options = ClientOptions::new().method_layer(name, layer());
        check(options, &[name, "Count, Collect, Echo, Repeat"]).await;
    }
    let options = ClientOptions::new().method_layer("Repeat", layer());
    for kind in KINDS {
        let end = kind
            .call(&carrier.bus, &options, &Settings::default())
            .await;
        assert!(end.is_ok(), "{kind:?}: {end:?}");
    }
    assert!(*calls.lock().unwrap() > 0);
}
