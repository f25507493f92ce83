//! The two carriers of a bus, NATS and the inside of a process, and a test of each case on both.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::NatsServer;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer};

/// A bus on one carrier, with its nats-server if the carrier is NATS.
pub(crate) struct Carrier {
    pub(crate) bus: Bus,
    pub(crate) nats: Option<NatsServer>,
}

/// A running service `behavior.v1.Behavior`, and a client of it on the same bus.
pub(crate) struct BehaviorFixture {
    pub(crate) handler: BehaviorHandler,
    pub(crate) server: RunningServer,
    pub(crate) client: BehaviorClient,
}

impl Carrier {
    pub(crate) async fn in_process() -> Self {
        Self {
            bus: Bus::in_process(),
            nats: None,
        }
    }

    pub(crate) async fn nats() -> Self {
        let nats = NatsServer::start().await.unwrap();
        Self {
            bus: Bus::connect(nats.url()).await.unwrap(),
            nats: Some(nats),
        }
    }

    /// Returns a bus with its own connection on NATS, and the same bus in process.
    pub(crate) async fn another_bus(&self) -> Bus {
        match &self.nats {
            Some(nats) => Bus::connect(nats.url()).await.unwrap(),
            None => self.bus.clone(),
        }
    }

    /// Starts the service with default settings.
    pub(crate) async fn serve(&self) -> BehaviorFixture {
        self.serve_with(|server| server).await
    }

    /// Starts the service on a server that `set` configures.
    pub(crate) async fn serve_with(&self, set: impl FnOnce(Server) -> Server) -> BehaviorFixture {
        let handler = BehaviorHandler::on(&self.bus);
        let server = set(Server::new(&self.bus).add(BehaviorServer::new(handler.clone())))
            .start()
            .await
            .unwrap();
        BehaviorFixture {
            handler,
            server,
            client: self.bus.client(),
        }
    }
}

/// Limit of a test in real time, under paused time. Dropping it ends it; after 180 s it ends the process.
pub(crate) struct RealTimeLimit {
    _end: mpsc::Sender<()>,
}

impl RealTimeLimit {
    #[expect(clippy::print_stderr, reason = "the process ends before it can fail")]
    pub(crate) fn start() -> Self {
        let (end, ended) = mpsc::channel();
        let test = std::thread::current();
        std::thread::spawn(move || {
            if ended.recv_timeout(Duration::from_secs(180)) == Err(RecvTimeoutError::Timeout) {
                let name = test.name().unwrap_or("a test");
                eprintln!("{name}: time does not advance, since a task does not wait");
                std::process::abort();
            }
        });
        Self { _end: end }
    }
}

/// Defines two tests, one per carrier, for each named function that takes a [`Carrier`].
macro_rules! on_both_carriers {
    ($($name:ident)*) => {
        mod in_process {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let test = super::$name(crate::carriers::Carrier::in_process().await);
                micro_testkit::within(std::time::Duration::from_secs(60), test).await;
            }
        )*}

        mod nats {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let test = super::$name(crate::carriers::Carrier::nats().await);
                micro_testkit::within(std::time::Duration::from_secs(60), test).await;
            }
        )*}
    };
}

/// Defines the tests of [`on_both_carriers`], and one more of each in process, under paused time: tokio's clock, which
/// then advances to the next timer once every task waits. So such a test takes no time for what it waits.
///
/// A task that never waits stops this clock, and the limit of a test with it; [`RealTimeLimit`] ends that.
macro_rules! on_both_carriers_and_paused {
    ($($name:ident)*) => {
        crate::carriers::on_both_carriers! { $($name)* }

        mod paused {$(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                let _limit = crate::carriers::RealTimeLimit::start();
                let test = super::$name(crate::carriers::Carrier::in_process().await);
                micro_testkit::within(std::time::Duration::from_secs(60), test).await;
            }
        )*}
    };
}

pub(crate) use {on_both_carriers, on_both_carriers_and_paused};
