//! `Server`: subscribes the endpoints of services, and stops without losing a call.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tower::Layer;

use crate::bus::Bus;
use crate::descriptor::ServiceDescriptor;
use crate::dispatch::{Checks, Endpoint, Service, ServiceOptions, Timeouts};
use crate::event::{BoundSource, Event, EventHandler, EventSource, Subscriber};
#[cfg(feature = "jetstream")]
use crate::jetstream;
#[cfg(feature = "jetstream")]
use crate::jetstream::{BatchSubscriber, Durable, EventStream};
use crate::middleware::{Layered, Layers, Next};
use crate::status::Status;
use crate::stream::StreamOptions;
use crate::wire::subject::{REPLY_PREFIXES, SERVICE_API};

const MAX_IN_FLIGHT: usize = 16 * 1024;

const MAX_STREAMS: usize = 4 * 1024;

const GRACE: Duration = Duration::from_secs(30);

/// Services and subscribers to be served on a bus.
///
/// # Examples
///
/// ```ignore
/// let server = Server::new(&bus).add(GreeterServer::new(English)).start().await?;
/// // …
/// server.shutdown().await?;
/// ```
#[must_use = "a server serves once it is started"]
pub struct Server {
    pub(super) bus: Bus,
    pub(super) services: Vec<Registration>,
    pub(super) sources: Vec<BoundSource>,
    #[cfg(feature = "jetstream")]
    pub(super) streams: Vec<EventStream>,
    pub(super) settings: Settings,
}

pub(super) struct Registration {
    pub(super) service: &'static ServiceDescriptor,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) options: ServiceOptions,
}

pub(super) struct Settings {
    pub(super) max_in_flight: usize,
    pub(super) max_streams: usize,
    pub(super) stream_options: StreamOptions,
    pub(super) grace: Duration,
    pub(super) reply_prefixes: Vec<String>,
    pub(super) timeouts: Timeouts,
    pub(super) layers: Layers,
    pub(super) queue_group: Option<String>,
    pub(super) srv_prefix: String,
    pub(super) checks: Checks,
}

impl Server {
    /// Starts an empty list of services for this bus.
    pub fn new(bus: &Bus) -> Self {
        Self {
            bus: bus.clone(),
            services: Vec::new(),
            sources: Vec::new(),
            #[cfg(feature = "jetstream")]
            streams: Vec::new(),
            settings: Settings {
                max_in_flight: MAX_IN_FLIGHT,
                max_streams: MAX_STREAMS,
                stream_options: StreamOptions::new(),
                grace: GRACE,
                reply_prefixes: REPLY_PREFIXES.map(str::to_owned).into(),
                timeouts: Timeouts::default(),
                layers: Layers::default(),
                queue_group: None,
                srv_prefix: SERVICE_API.to_owned(),
                checks: Checks::default(),
            },
        }
    }

    /// Adds a service, as in `GreeterServer::new(handler)`.
    #[expect(
        clippy::should_implement_trait,
        reason = "`Server::new(&bus).add(service)` is the field's word; nobody adds servers"
    )]
    pub fn add<S: Service>(self, service: S) -> Self {
        self.add_with(service, ServiceOptions::new())
    }

    /// Adds a service with options that win over what `#[rpc(…)]` and the .proto say.
    pub fn add_with<S: Service>(mut self, service: S, options: ServiceOptions) -> Self {
        self.services.push(Registration {
            service: S::SERVICE,
            endpoints: service.endpoints(),
            options,
        });
        self
    }

    /// Handles events of one kind, as `source` says: [`Subscription`](crate::Subscription) takes them
    /// as they are published, at most once; with the feature `jetstream`, `Durable` takes them from a
    /// stream, at least once.
    ///
    /// # Examples
    ///
    /// ```ignore
    /// let server = Server::new(&bus)
    ///     .subscribe::<Trade>(recorder, Subscription::queue("recorder"))
    ///     .start()
    ///     .await?;
    /// println!("{:?}", server.events());
    /// ```
    pub fn subscribe<E: Event>(
        mut self,
        subscriber: impl Subscriber<E>,
        source: impl EventSource<E>,
    ) -> Self {
        let handler = EventHandler::new::<E>(subscriber);
        self.sources.push(source.bind(handler));
        self
    }

    /// Handles durable events of one kind many at a time, as in one transaction: they are
    /// acknowledged together after the handler succeeded.
    #[cfg(feature = "jetstream")]
    pub fn subscribe_batch<E: Event>(
        mut self,
        subscriber: impl BatchSubscriber<E>,
        durable: Durable,
    ) -> Self {
        self.sources.push(jetstream::batches(subscriber, durable));
        self
    }

    /// Declares a stream, which is created or checked before anything else starts. See
    /// [`Bus::declare`].
    #[cfg(feature = "jetstream")]
    pub fn declare(mut self, stream: EventStream) -> Self {
        self.streams.push(stream);
        self
    }

    /// How many calls run at a time in all; what comes above is answered `RESOURCE_EXHAUSTED` at
    /// once. 16,384 by default.
    pub fn max_concurrent(mut self, calls: usize) -> Self {
        self.settings.max_in_flight = calls;
        self
    }

    /// How many of those may be streams; what comes above is answered `RESOURCE_EXHAUSTED` at once.
    /// 4,096 by default.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.settings.max_streams = streams;
        self
    }

    /// Sets what the streams of this server may have under way, and how long they may be silent.
    pub fn stream_options(mut self, options: StreamOptions) -> Self {
        self.settings.stream_options = options;
        self
    }

    /// The deadline of calls that bring none, where neither the service nor the method says
    /// otherwise. 5 s by default.
    pub fn default_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts.default = timeout;
        self
    }

    /// The longest that any call may take, whatever its caller says. Unlimited by default.
    pub fn max_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts.max = timeout;
        self
    }

    /// Answers `DEADLINE_EXCEEDED` at once to calls that bring less time than this: what they ask
    /// for would come too late. Zero by default.
    pub fn min_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts.min = timeout;
        self
    }

    /// Puts middleware around every call of this server; the first that is added is the outermost.
    /// See [`middleware`](crate::middleware).
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.settings.layers.add(layer);
        self
    }

    /// The queue group of every service that names none itself; `-` for none: every instance
    /// answers. `q` by default.
    pub fn queue_group(mut self, group: impl Into<String>) -> Self {
        self.settings.queue_group = Some(group.into());
        self
    }

    /// Answers discovery under these tokens and not under `$SRV`, as where accounts share it under
    /// another name; see [`Discovery::prefix`](crate::discovery::Discovery::prefix).
    pub fn discovery_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.srv_prefix = prefix.into();
        self
    }

    /// Adds a check that must pass for this server to take calls: a database that answers, a cache
    /// that is warm. It shows in `_health` and in the statistics; a failure turns no call away.
    ///
    /// Checks run when somebody asks, at most once a second, and have failed after one second.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Bus, Server, Status};
    ///
    /// let server = Server::new(&Bus::in_process()).readiness_check("database", || async {
    ///     Err(Status::unavailable("not connected"))
    /// });
    /// ```
    pub fn readiness_check<F, Fut>(mut self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
    {
        self.settings.checks.add(name.into(), false, check);
        self
    }

    /// Adds a check whose failure means that this process is beyond help; else as
    /// [`readiness_check`](Self::readiness_check).
    pub fn liveness_check<F, Fut>(mut self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
    {
        self.settings.checks.add(name.into(), true, check);
        self
    }

    /// How long running calls may take once the server stops; those that are left then are answered
    /// `UNAVAILABLE`. 30 s by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Allows replies to subjects that begin so, besides `_INBOX.` and `_R_.`: the inbox prefix of
    /// callers who set their own.
    pub fn allow_replies_to(mut self, prefix: impl Into<String>) -> Self {
        let mut prefix = prefix.into();
        if !prefix.ends_with('.') {
            prefix.push('.');
        }
        self.settings.reply_prefixes.push(prefix);
        self
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.services.iter().map(|added| added.service.full_name);
        f.debug_struct("Server")
            .field("bus", &self.bus)
            .field("services", &services.collect::<Vec<_>>())
            .field("subscriptions", &self.sources.len())
            .finish_non_exhaustive()
    }
}
