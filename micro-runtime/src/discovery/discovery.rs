//! `Discovery`: the entry point of the questions to instances.

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

/// Asks the instances on a bus about themselves; made by [`Bus::discovery`]. Cheap to clone.
///
/// The prefix of the bus does not matter here: everybody in the NATS account answers, and says in
/// his metadata (`micro.prefix`) under which one he serves.
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
    /// Looks at who serves on this bus.
    #[must_use]
    pub fn discovery(&self) -> Discovery {
        Discovery {
            scope: Scope {
                connection: Arc::clone(self.connection()),
                prefix: SERVICE_API.to_owned(),
            },
        }
    }
}

impl Discovery {
    /// Asks under these tokens and not under `$SRV`, as where another account's services are
    /// imported under a name of their own.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.scope.prefix = prefix.into();
        self
    }

    /// The instances of all services, with their endpoints.
    pub fn list(&self) -> Query<Info> {
        Query::new(&self.scope)
    }

    /// The instances of one service, by its full name (`greeter.v1.Greeter`) or its ADR-32 name.
    pub fn get(&self, service: &str) -> Query<Info> {
        Query::new(&self.scope).of(service)
    }

    /// The instances, with the time that each took to answer.
    pub fn ping(&self) -> Query<Pong> {
        Query::new(&self.scope)
    }

    /// What the instances have counted.
    pub fn stats(&self) -> Query<Stats> {
        Query::new(&self.scope)
    }

    /// The instances that are there, and then those that come, go, fall silent and are back.
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

    /// A view of all instances that is asked for anew once it is `max_age` old, and that stays usable
    /// when that fails.
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
