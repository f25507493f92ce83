//! The two carriers that one suite runs on.

use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::NatsServer;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer};

/// A bus of one carrier, and what keeps it alive.
pub(crate) struct World {
    pub(crate) bus: Bus,
    pub(crate) nats: Option<NatsServer>,
}

/// A service that runs in a world, with its client.
pub(crate) struct Stage {
    pub(crate) handler: BehaviorHandler,
    pub(crate) server: RunningServer,
    pub(crate) client: BehaviorClient,
}

impl World {
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

    /// A bus with a connection of its own, where there are connections.
    pub(crate) async fn another_bus(&self) -> Bus {
        match &self.nats {
            Some(nats) => Bus::connect(nats.url()).await.unwrap(),
            None => self.bus.clone(),
        }
    }

    /// Starts the service as it is.
    pub(crate) async fn serve(&self) -> Stage {
        self.serve_with(|server| server).await
    }

    /// Starts the service on a server with settings.
    pub(crate) async fn serve_with(&self, set: impl FnOnce(Server) -> Server) -> Stage {
        let handler = BehaviorHandler::on(&self.bus);
        let server = set(Server::new(&self.bus).add(BehaviorServer::new(handler.clone())))
            .start()
            .await
            .unwrap();
        Stage {
            handler,
            server,
            client: self.bus.client(),
        }
    }
}

/// Makes one test per carrier of each function that takes a `World`.
macro_rules! on_both_carriers {
    ($($name:ident)*) => {
        mod in_process {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let test = super::$name(crate::carriers::World::in_process().await);
                micro_testkit::within(std::time::Duration::from_secs(60), test).await;
            }
        )*}

        mod nats {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let test = super::$name(crate::carriers::World::nats().await);
                micro_testkit::within(std::time::Duration::from_secs(60), test).await;
            }
        )*}
    };
}

pub(crate) use on_both_carriers;
