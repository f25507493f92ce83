//! The two carriers of a bus, NATS and the inside of a process, and a test of each case on both.

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

pub(crate) use on_both_carriers;
