//! `Network`: a nats-server, and a proxy before it for each of the two sides.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use micro_runtime::Bus;
use micro_testkit::{NatsServer, Proxy};

use crate::load::{CallLedger, numbers_in};

/// The nats-server and the proxies.
pub(crate) struct Network {
    pub(crate) nats: NatsServer,
    pub(crate) caller: Proxy,
    pub(crate) service: Proxy,
}

/// Side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Service,
}

impl Network {
    /// Starts all of it; the ledger learns of each request that the caller hands over.
    pub(crate) async fn start(ledger: &Arc<CallLedger>) -> Self {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let caller = Proxy::start_observed(nats.port(), observer(ledger)).await;
        let service = Proxy::start(nats.port()).await;
        Self {
            nats,
            caller: caller.unwrap(),
            service: service.unwrap(),
        }
    }

    pub(crate) fn proxy(&self, side: Side) -> &Proxy {
        match side {
            Side::Caller => &self.caller,
            Side::Service => &self.service,
        }
    }

    /// Connects a bus through the proxy of a side.
    pub(crate) async fn connect(&self, side: Side) -> Bus {
        Bus::connect(self.proxy(side).url()).await.unwrap()
    }
}

/// Returns a function that notes the calls in what the connections of the caller send.
fn observer(ledger: &Arc<CallLedger>) -> impl Fn(u64, &[u8]) + Send + Sync + 'static {
    let ledger = Arc::clone(ledger);
    let rests = Mutex::<HashMap<u64, Vec<u8>>>::default();
    move |connection, piece| {
        let mut rests = rests.lock().unwrap();
        let rest = rests.entry(connection).or_default();
        rest.extend(piece);
        let (numbers, read) = numbers_in(rest);
        rest.drain(..read);
        for number in numbers {
            ledger.hand_over(number);
        }
    }
}
