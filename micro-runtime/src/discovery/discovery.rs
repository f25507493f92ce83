//! `Discovery`: entry point of everything that is asked of instances.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::bus::Bus;
use crate::discovery::directory::Directory;
use crate::discovery::query::{Pong, Query};
use crate::discovery::records::{Info, Stats};
use crate::discovery::scope::Scope;
use crate::discovery::watch::WatchOptions;
use crate::wire::subject::SERVICE_API;

/// Queries to the instances in a NATS account; made by [`Bus::discovery`]. Cheap to clone.
///
/// The prefix of the bus does not matter here: all instances in the account reply, and their metadata has the prefix
/// under which they serve (`micro.prefix`).
///
/// # Examples
///
/// ```no_run
/// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Error> {
/// let discovery = bus.discovery();
/// for info in discovery.list().await? {
///     println!("{} {} {}", info.name, info.version, info.id);
/// }
/// for pong in discovery.ping().of("greeter.v1.Greeter").expected(3).await? {
///     println!("{} {:?}", pong.instance.id, pong.round_trip);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Discovery {
    scope: Scope,
}

impl Bus {
    /// Returns the queries to the instances that serve in this NATS account.
    #[must_use]
    pub fn discovery(&self) -> Discovery {
        Discovery {
            scope: Scope {
                connection: Arc::clone(self.calling()),
                serving: Arc::clone(self.serving()),
                prefix: SERVICE_API.to_owned(),
            },
        }
    }
}

impl Discovery {
    /// Sets the tokens that stand in place of `$SRV`, as where the services of another account are imported under a
    /// prefix. An invalid one is the error of the query.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.scope.prefix = prefix.into();
        self
    }

    /// Makes a query for the instances of all services, with their endpoints.
    pub fn list(&self) -> Query<Info> {
        Query::new(&self.scope)
    }

    /// Makes a query for the instances of one service, by its full name (`greeter.v1.Greeter`) or its ADR-32 name
    /// (`greeter-v1-Greeter`).
    pub fn get(&self, service: &str) -> Query<Info> {
        Query::new(&self.scope).of(service)
    }

    /// Makes a query for the instances with the round-trip time of each.
    pub fn ping(&self) -> Query<Pong> {
        Query::new(&self.scope)
    }

    /// Makes a query for the statistics of the instances.
    pub fn stats(&self) -> Query<Stats> {
        Query::new(&self.scope)
    }

    /// Makes a watch: it yields the instances that are there, and then those that start, stop, die, hang and come back.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Error> {
    /// use micro_runtime::discovery::Change;
    ///
    /// let mut watch = bus.discovery().watch().of("greeter.v1.Greeter").open().await?;
    /// while let Some(change) = watch.next().await {
    ///     match change {
    ///         Change::Joined(instance) => println!("{} is there", instance.id),
    ///         Change::Left(instance, how) => println!("{} has left: {how:?}", instance.id),
    ///         change => println!("{change:?}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn watch(&self) -> WatchOptions {
        WatchOptions::new(&self.scope)
    }

    /// Makes a cached view of all instances. It queries again when it is used and older than `max_age`, and
    /// it keeps the last result while queries fail.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), micro_runtime::Error> {
    /// use std::time::Duration;
    /// use micro_runtime::Bus;
    ///
    /// let directory = Bus::in_process().discovery().cached(Duration::from_secs(10));
    /// let snapshot = directory.snapshot().await?;
    /// assert_eq!(snapshot.of("greeter.v1.Greeter").count(), 0);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn cached(&self, max_age: Duration) -> Directory {
        Directory::new(self.list(), max_age)
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery")
            .field("prefix", &self.scope.prefix)
            .finish_non_exhaustive()
    }
}
