//! Makes a connection over NATS: its inbox, its links, and the tasks that belong to it.

use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::bus::connect_options::ConnectOptions;
use crate::bus::connection::{Carrier, Connection};
use crate::bus::link::{CurrentLink, LinkKeeper};
use crate::bus::mux::Mux;
use crate::bus::nats;
use crate::bus::nats_carrier::{CarrierLife, NatsCarrier};
use crate::bus::outbox::Outbox;
use crate::bus::outbox_task;
use crate::bus::refusals::Refusals;
use crate::bus::served_services::ServedServices;
use crate::bus::server_urls::ServerUrls;
use crate::bus::unconfirmed_calls;
use crate::bus::unconfirmed_calls::UnconfirmedCalls;
use crate::error::Error;

impl Connection {
    /// Connects, and starts the tasks that keep the connection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) if no server takes the connection, or it is too old;
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) for an inbox prefix that is a pattern or no
    /// subject, for a domain or prefix of JetStream that is none, and for a file of the options that cannot be read.
    pub(super) async fn connect(
        options: ConnectOptions,
        servers: &ServerUrls,
    ) -> Result<Self, Error> {
        let jetstream_api = options.jetstream_api()?;
        let mux = Arc::new(Mux::new(&nats::new_inbox(options.prefix_of_inboxes())?));
        let refusals = Arc::new(Refusals::new(Arc::clone(&mux)));
        let (own_mux, own_refusals) = (Arc::clone(&mux), Arc::clone(&refusals));
        let services = Arc::new(ServedServices::default());
        let named = Arc::clone(&services);
        let servers = servers.clone();
        let mut keeper = LinkKeeper::new(options, servers, own_mux, own_refusals, named);
        let link = keeper.connect_first().await?;
        let current = Arc::new(CurrentLink::new(link));
        let keeping = tokio::spawn(keeper.run(Arc::clone(&current))).abort_handle();
        let connection = Self::over_nats(current, keeping, mux, refusals, services);
        Ok(Self {
            jetstream_api,
            ..connection
        })
    }

    /// Starts the tasks of the connection; `keeping` makes the links.
    pub(super) fn over_nats(
        current: Arc<CurrentLink>,
        keeping: AbortHandle,
        mux: Arc<Mux>,
        refusals: Arc<Refusals>,
        services: Arc<ServedServices>,
    ) -> Self {
        let outbox = Arc::new(Outbox::default());
        let sending = outbox_task::run(Arc::clone(&outbox), Arc::clone(&current), Arc::clone(&mux));
        let unconfirmed = Arc::new(UnconfirmedCalls::default());
        let canceling = unconfirmed_calls::watch(
            Arc::clone(&unconfirmed),
            Arc::clone(&outbox),
            Arc::clone(&current),
            Arc::clone(&mux),
        );
        let [sending, canceling] = [tokio::spawn(sending), tokio::spawn(canceling)];
        let life = CarrierLife {
            current: Arc::clone(&current),
            tasks: [keeping, sending.abort_handle(), canceling.abort_handle()],
        };
        let carrier = Carrier::Nats(NatsCarrier {
            current,
            outbox,
            services,
            unconfirmed,
            life: Arc::new(life),
        });
        Self::new(carrier, mux, refusals)
    }
}
