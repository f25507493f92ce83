//! `Faults`: the handle by which a test injects faults into an in-process bus.

use std::fmt;
use std::sync::Arc;

use crate::bus::bus::Bus;
use crate::bus::connection::{Carrier, Connection};
use crate::bus::connection_state::ConnectionState;
use crate::bus::fault_injection::forgery::Forgery;
use crate::bus::fault_injection::injector::Injector;
use crate::bus::fault_injection::rule::{ActiveRule, Rule};
use crate::bus::in_process::InProcess;
use crate::bus::link::lost_connection;
use crate::bus::mux::Mux;
use crate::bus::refusals::Refusals;
use crate::wire;
use crate::wire::subject::INBOX;

/// Faults of one in-process bus: made with it by [`Bus::in_process_with_faults`](crate::Bus::in_process_with_faults).
///
/// Rules act on every message that is published on the bus, by any of its clones, in the order in which they were
/// added. Which messages they act on follows from the seed of the bus, as long as the messages are published in the
/// same order, which one task at a time ensures. Delays need a tokio runtime, and follow its clock, paused or not.
/// Cheap to clone.
///
/// # Examples
///
/// ```
/// use micro_runtime::Bus;
/// use micro_runtime::faults::Rule;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let (bus, faults) = Bus::in_process_with_faults(7);
/// let lost = faults.add(Rule::drop("evt.demo.*").nth(2));
///
/// let mut events = bus.subscribe_raw("evt.demo.>").open().await?;
/// for text in ["one", "two", "three"] {
///     bus.publish_raw("evt.demo.a", text).await?;
/// }
/// assert_eq!(events.next().await.unwrap().payload, "one");
/// assert_eq!(events.next().await.unwrap().payload, "three");
/// assert_eq!((lost.matched(), lost.applied()), (3, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Faults {
    carrier: Arc<InProcess>,
    injector: Arc<Injector>,
}

impl Bus {
    /// Returns a bus as [`in_process`](Self::in_process) does, and the handle by which a test injects faults into
    /// it: lost, late, repeated, reordered and forged messages, missing permissions, and a lost connection.
    ///
    /// `seed` decides which messages the faults with a probability act on, and the times of delays.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use micro_runtime::Bus;
    /// use micro_runtime::faults::{MessageKind, Rule};
    ///
    /// let (bus, faults) = Bus::in_process_with_faults(7);
    /// let delays = Duration::ZERO..Duration::from_millis(20);
    /// let late = faults.add(Rule::delay(">", delays).of_kind(MessageKind::Reply));
    /// assert!(bus.is_in_process());
    /// assert_eq!(late.applied(), 0);
    /// ```
    #[must_use]
    pub fn in_process_with_faults(seed: u64) -> (Self, Faults) {
        let mux = Arc::new(Mux::new(&wire::subject::new_inbox(INBOX)));
        let refusals = Arc::new(Refusals::new(Arc::clone(&mux)));
        let injector = Arc::new(Injector::new(seed, Arc::clone(&refusals)));
        let carrier = InProcess::with_injector(Arc::clone(&mux), Arc::clone(&injector));
        let carrier = Arc::new(carrier);
        let connection = Connection::new(Carrier::InProcess(Arc::clone(&carrier)), mux, refusals);
        (Self::on(connection), Faults { carrier, injector })
    }
}

impl Faults {
    /// Adds a rule behind those that exist, and returns its counts.
    pub fn add(&self, rule: Rule) -> ActiveRule {
        self.injector.add(rule)
    }

    /// Removes all rules. Messages that were delayed still arrive.
    pub fn clear(&self) {
        self.injector.clear();
    }

    /// Delivers a message that no client of the bus published, as one of a peer; no rule applies to it.
    ///
    /// The subject may be any: one of a service, of an event, or a reply subject, guessed or from
    /// [`reply_subjects`](Self::reply_subjects).
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::Bus;
    /// use micro_runtime::faults::Forgery;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let (bus, faults) = Bus::in_process_with_faults(7);
    /// let mut events = bus.subscribe_raw("evt.demo.a").open().await?;
    /// faults.forge("evt.demo.a", &Forgery::new().payload("never published"));
    /// assert_eq!(events.next().await.unwrap().payload, "never published");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn forge(&self, subject: &str, forgery: &Forgery) {
        self.carrier.route(forgery.message(subject.into()));
    }

    /// Returns the reply subjects of the last 4,096 requests, in the order of the requests.
    #[must_use]
    pub fn reply_subjects(&self) -> Vec<String> {
        let subjects = self.injector.reply_subjects();
        subjects.iter().map(ToString::to_string).collect()
    }

    /// Refuses messages to subjects that match, as NATS does where this user may not publish to them: they are not
    /// delivered, and end what waits for a reply with [`Code::PermissionDenied`](crate::Code::PermissionDenied).
    ///
    /// Caller and service are one user of an in-process bus.
    ///
    /// # Panics
    ///
    /// For a pattern that is none.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// use greeter::{GreeterClient, HelloRequest};
    /// use micro_runtime::{Bus, Code};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let (bus, faults) = Bus::in_process_with_faults(7);
    /// faults.refuse_publish("greeter.v1.Greeter.*");
    /// let greeter: GreeterClient = bus.client();
    /// let status = greeter.say_hello(HelloRequest::default()).await.unwrap_err();
    /// assert_eq!(status.code(), Code::PermissionDenied);
    /// # });
    /// ```
    pub fn refuse_publish(&self, pattern: &str) {
        self.injector.refuse_publish(pattern);
    }

    /// Refuses subscriptions to subjects that match, as NATS does where this user may not subscribe to them: those to
    /// come, and those that exist, as after a reload of its permissions. While the bus is disconnected they are revoked
    /// by [`reconnect`](Self::reconnect).
    ///
    /// # Panics
    ///
    /// For a pattern that is none.
    pub fn refuse_subscribe(&self, pattern: &str) {
        self.injector.refuse_subscribe(pattern);
        self.carrier.revoke_refused();
    }

    /// Allows everything again. Subscriptions that were revoked stay so, but for the inbox of the bus, which over NATS
    /// takes up to a second and a call that fails.
    pub fn allow_all(&self) {
        self.injector.allow_all();
        let mux = &self.carrier.mux;
        mux.allow_inbox(mux.inbox_refusals());
    }

    /// Loses the connection: every call and stream in flight fails with
    /// [`Code::Unavailable`](crate::Code::Unavailable), messages that a rule has delayed are lost, and whatever is sent
    /// before [`reconnect`](Self::reconnect) fails the same way at once, unless it waits for the connection.
    ///
    /// Caller and service share the connection of an in-process bus, and lose it together. Subscriptions last, unless
    /// they are refused meanwhile, and what has arrived can be read. No effect while the bus is disconnected.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::Bus;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let (bus, faults) = Bus::in_process_with_faults(7);
    /// let mut events = bus.subscribe_raw("evt.demo.a").open().await?;
    /// faults.disconnect();
    /// assert!(bus.publish_raw("evt.demo.a", "lost").await.is_err());
    /// faults.reconnect();
    /// bus.publish_raw("evt.demo.a", "new").await?;
    /// assert_eq!(events.next().await.unwrap().payload, "new");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn disconnect(&self) {
        if self.injector.disconnect() {
            tracing::warn!("the in-process bus is disconnected");
            let states = &self.carrier.states;
            states.send_replace(ConnectionState::Disconnected);
            self.carrier.mux.fail_all(&lost_connection());
        }
    }

    /// Restores the connection. No effect while the bus is connected.
    pub fn reconnect(&self) {
        if self.injector.reconnect() {
            self.injector.refusals().begin_link();
            self.injector.refusals().reconnected();
            self.carrier.revoke_refused();
            let states = &self.carrier.states;
            states.send_replace(ConnectionState::Connected);
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}
