//! A burst of requests that a server cannot handle in the time of their callers: each gets a reply, and hardly any
//! handler runs for a caller that has gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::{Bus, Context, Reason, RunningServer, Server, Status};
use micro_testkit::{NatsServer, within};
use micro_tests::greeter::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};

const LIMIT: Duration = Duration::from_secs(120);
/// Time that the callers wait.
const TIMEOUT: Duration = Duration::from_millis(100);
/// Time that each handler takes, on the thread of the loop that reads the requests.
const WORK: Duration = Duration::from_micros(20);
/// Number of requests of a burst, which takes the handlers 0.8 s and more.
const BURST: usize = 40_000;
/// Requests that may run late: the time in nats-server and in the queue of the connection is not known.
const MAX_LATE: usize = BURST / 100;

/// Counts the handlers that run, and those that begin after the time of their callers, who send when they call.
#[derive(Clone)]
struct LateCounter {
    started: Instant,
    ran: Arc<AtomicUsize>,
    late: Arc<AtomicUsize>,
}

impl LateCounter {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            ran: Arc::default(),
            late: Arc::default(),
        }
    }

    /// Returns a request of now.
    fn request(&self) -> HelloRequest {
        HelloRequest {
            name: self.started.elapsed().as_nanos().to_string(),
        }
    }

    async fn serve(&self, bus: &Bus) -> RunningServer {
        let server = Server::new(bus).add(GreeterServer::new(self.clone()));
        server.start().await.unwrap()
    }

    fn assert_few_are_late(&self) {
        let [ran, late] = [&self.ran, &self.late].map(|count| count.load(Ordering::Relaxed));
        assert!(late <= MAX_LATE, "{late} of {ran} ran late");
        assert!(ran > 0, "none ran");
    }
}

impl Greeter for LateCounter {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        let begun = Instant::now();
        self.ran.fetch_add(1, Ordering::Relaxed);
        if let Ok(sent) = request.name.parse() {
            let age = (begun - self.started).saturating_sub(Duration::from_nanos(sent));
            self.late
                .fetch_add(usize::from(age > TIMEOUT), Ordering::Relaxed);
        }
        while begun.elapsed() < WORK {
            std::hint::spin_loop();
        }
        Ok(HelloReply::default())
    }
}

/// The status of a refusal, by its header; `None` for a success.
fn code_of(headers: Option<&HeaderMap>) -> Option<String> {
    let code = headers?.get("Micro-Status")?;
    Some(code.as_str().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_by_hand_is_replied_to_and_hardly_runs_late() {
    within(LIMIT, async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let counter = LateCounter::new();
        let _server = counter.serve(&bus).await;
        let options = async_nats::ConnectOptions::new().subscription_capacity(2 * BURST);
        let peer = options.connect(nats.url()).await.unwrap();
        let mut replies = peer.subscribe("_INBOX.burst.*").await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("Micro-Timeout", "100");
        // The method has proved short.
        for _ in 0..100 {
            let request = HelloRequest::default().encode_to_vec();
            let calling = peer.request("greeter.v1.Greeter.SayHello", request.into());
            calling.await.unwrap();
        }
        let sending = async {
            for number in 0..BURST {
                let request = counter.request().encode_to_vec();
                let sending = peer.publish_with_reply_and_headers(
                    "greeter.v1.Greeter.SayHello",
                    format!("_INBOX.burst.{number}"),
                    headers.clone(),
                    request.into(),
                );
                sending.await.unwrap();
            }
        };
        let receiving = async {
            let mut refused = 0;
            for _ in 0..BURST {
                let reply = replies.next().await.unwrap();
                if let Some(code) = code_of(reply.headers.as_ref()) {
                    // DEADLINE_EXCEEDED and RESOURCE_EXHAUSTED.
                    assert!(["4", "8"].contains(&&*code), "{code}");
                    refused += 1;
                }
            }
            refused
        };
        let ((), refused) = tokio::join!(sending, receiving);
        assert!(refused > 0, "the burst was no burst");
        counter.assert_few_are_late();
    })
    .await;
}

/// All calls are made before the server reads the first: the backlog is full, and none is lost.
#[tokio::test]
async fn a_burst_in_process_is_replied_to_whole() {
    within(LIMIT, async {
        let bus = Bus::in_process();
        let counter = LateCounter::new();
        let server = counter.serve(&bus).await;
        let client: GreeterClient = bus.client();
        for _ in 0..100 {
            client.say_hello(HelloRequest::default()).await.unwrap();
        }
        let calls = (0..2 * BURST).map(|_| {
            let call = client.say_hello(counter.request());
            async move { call.no_retry().timeout(LIMIT).await }
        });
        let mut refused = 0;
        for status in join_all(calls).await.into_iter().filter_map(Result::err) {
            let reason = status.reason();
            assert_eq!(reason, Some(Reason::Overloaded), "{status}");
            refused += 1;
        }
        assert!(refused > 0, "the burst was no burst");
        let stats = server.stats().remove(0).endpoints.remove(0);
        assert_eq!(stats.data.unwrap().shed, refused as u64);
    })
    .await;
}
