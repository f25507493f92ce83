//! `ConnectOptions::separate_connections`: a connection for each kind of traffic.

use crate::bus::connect_options::ConnectOptions;
use crate::bus::connection_role::{Carries, ConnectionRole};

impl ConnectOptions {
    /// Puts what this process serves, what it calls and what it consumes durably on four connections (three without the
    /// feature `jetstream`), so that what cuts off one leaves the others. By default one carries everything, as users
    /// of NATS expect.
    ///
    /// A message with a header that async-nats cannot parse, as `no colon` or one that is not UTF-8, costs the
    /// connection that it arrives on: whoever may publish to one subject of a service can keep it disconnected. The
    /// same holds for a slow link that large messages fill, and for what a server ends because it is read too slowly.
    /// And a flood of messages that arrives as fast as it is read keeps everything of its connection from being sent
    /// while it lasts, since async-nats reads first: so the replies to it have a connection of their own.
    ///
    /// | connection | carries | its name has |
    /// |---|---|---|
    /// | calling | calls and their streams, discovery, published events, also durable ones, declarations of streams | `/calling` |
    /// | serving | requests, queries and events to [`Server`](crate::Server)s; [`Bus::subscribe`](crate::Bus::subscribe), and the lifecycle events of a [watch](crate::discovery::Discovery::watch) | `/serving` |
    /// | replying | replies and frames of [`Server`](crate::Server)s | `/replying` |
    /// | consuming (feature `jetstream`) | deliveries to durable consumers and replays, acknowledgments, dead letters | `/consuming` |
    ///
    /// NATS must let the user publish replies: `allow_responses` alone means the connection that a request came on.
    ///
    /// They have one login, an inbox each, and states of their own, which [`Bus::states`](crate::Bus::states)
    /// combines: disconnected while one of them is; then a server reports itself as not ready. [`Bus::flush`] and
    /// [`Bus::close`] mean all; `Bus::nats` is the client of the calling one. A stop of a server waits for each.
    ///
    /// [`Bus::flush`]: crate::Bus::flush
    /// [`Bus::close`]: crate::Bus::close
    ///
    /// NATS keeps the order of one connection only. So a reply may arrive before an event that its handler has
    /// published before, and a durable event may be acknowledged before a core event that its handler has published has
    /// left: [`flush`](crate::Bus::flush) before the end of the handler keeps that order. In a cluster the connections
    /// may lead to different servers.
    ///
    /// No effect on a bus [in process](crate::Bus::in_process), which has no connection, and on one of
    /// `Bus::from_nats`, which shares yours.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use micro_runtime::{Bus, ConnectOptions};
    ///
    /// # async fn run() -> Result<(), micro_runtime::Error> {
    /// let options = ConnectOptions::new().name("billing").separate_connections();
    /// let bus = Bus::connect_with(options, "nats://127.0.0.1:4222").await?;   // `billing/calling`, …
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn separate_connections(mut self) -> Self {
        self.carries = Carries::OneRoleEach;
        self
    }

    /// Returns the options of the connection with this role.
    pub(super) fn of_role(&self, role: ConnectionRole) -> Self {
        let mut options = self.clone();
        options.carries = Carries::Only(role);
        options
    }
}
