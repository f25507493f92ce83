//! The services that get a burst: a server, a service by hand, and a subscription that drops everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::{Bus, Context, RunningServer, Server, Status};
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};
use tokio::task::JoinHandle;

use crate::load::{METHOD, TIMEOUT};

/// The work of each handler, and its counts.
#[derive(Clone)]
pub(crate) struct Work(Arc<State>);

struct State {
    took: Duration,
    started: Instant,
    ran: AtomicUsize,
    late: AtomicUsize,
}

impl Work {
    /// Returns handlers that keep their thread busy for so long.
    pub(crate) fn new(took: Duration) -> Self {
        Self(Arc::new(State {
            took,
            started: Instant::now(),
            ran: AtomicUsize::new(0),
            late: AtomicUsize::new(0),
        }))
    }

    /// Returns what a request that is sent now carries.
    pub(crate) fn stamp(&self) -> String {
        self.0.started.elapsed().as_nanos().to_string()
    }

    /// Number of handlers that ran.
    pub(crate) fn ran(&self) -> usize {
        self.0.ran.load(Ordering::Relaxed)
    }

    /// Number of those that began after the time of their callers.
    pub(crate) fn late(&self) -> usize {
        self.0.late.load(Ordering::Relaxed)
    }

    pub(crate) fn reset(&self) {
        self.0.ran.store(0, Ordering::Relaxed);
        self.0.late.store(0, Ordering::Relaxed);
    }

    /// Returns once so many handlers have run.
    pub(crate) async fn reached(&self, count: usize) {
        while self.ran() < count {
            tokio::time::sleep(Duration::from_millis(1)).await; // sleep: polling interval
        }
    }

    fn run(&self, stamp: &str) {
        let begun = Instant::now();
        self.0.ran.fetch_add(1, Ordering::Relaxed);
        if let Ok(sent) = stamp.parse() {
            let age = (begun - self.0.started).saturating_sub(Duration::from_nanos(sent));
            let is_late = usize::from(age > TIMEOUT);
            self.0.late.fetch_add(is_late, Ordering::Relaxed);
        }
        while begun.elapsed() < self.0.took {
            std::hint::spin_loop();
        }
    }

    /// Starts a server with these handlers.
    pub(crate) async fn serve(&self, url: &str) -> (Bus, RunningServer) {
        let bus = Bus::connect(url).await.unwrap();
        let server = Server::new(&bus).add(GreeterServer::new(self.clone()));
        let running = server.start().await.unwrap();
        (bus, running)
    }
}

impl Greeter for Work {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        self.run(&request.name);
        Ok(HelloReply::default())
    }
}

/// A service without this library, which handles every request in turn.
pub(crate) struct HandWritten {
    work: Work,
    _task: JoinHandle<()>,
}

impl HandWritten {
    pub(crate) fn start(url: &str, work: Work) -> impl Future<Output = Self> + use<> {
        let url = url.to_owned();
        async move {
            let options = async_nats::ConnectOptions::new().subscription_capacity(1 << 20);
            let client = options.connect(url).await.unwrap();
            let group = "q".to_owned();
            let mut requests = client.queue_subscribe(METHOD, group).await.unwrap();
            client.flush().await.unwrap();
            let handling = work.clone();
            let task = tokio::spawn(async move {
                while let Some(message) = requests.next().await {
                    let request = HelloRequest::decode(message.payload).unwrap();
                    handling.run(&request.name);
                    let reply = HelloReply::default().encode_to_vec().into();
                    client.publish(message.reply.unwrap(), reply).await.unwrap();
                }
            });
            Self { work, _task: task }
        }
    }

    pub(crate) fn work(&self) -> &Work {
        &self.work
    }
}

/// Reads the subject, and drops what comes.
pub(crate) async fn idle_subscription(url: &str, subject: &str) {
    let options = async_nats::ConnectOptions::new().subscription_capacity(1 << 20);
    let client = options.connect(url).await.unwrap();
    let mut messages = client.subscribe(subject.to_owned()).await.unwrap();
    while messages.next().await.is_some() {}
}
