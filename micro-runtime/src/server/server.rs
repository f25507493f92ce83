//! `Server`: the services, subscribers and settings of a server that has not started.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tower::Layer;

use crate::bus::Bus;
use crate::descriptor::ServiceDescriptor;
use crate::dispatch::{Endpoint, Service, ServiceOptions};
use crate::event::{BoundSource, Event, EventHandler, EventSource, Subscriber};
#[cfg(feature = "jetstream")]
use crate::jetstream;
#[cfg(feature = "jetstream")]
use crate::jetstream::{BatchSubscriber, Durable, EventStream};
use crate::middleware::{Layered, Next};
use crate::server::settings::ServerSettings;
use crate::status::Status;
use crate::stream::StreamOptions;

/// A server that has not started: its services, its subscribers and its settings.
///
/// [`start`](Self::start) makes a [`RunningServer`](crate::RunningServer) of it. A process may run several
/// servers on one bus; each has its own limits and stops on its own.
///
/// | setting | default |
/// |---|---|
/// | [`max_concurrent`](Self::max_concurrent) | 16,384 calls |
/// | [`max_streams`](Self::max_streams) | 4,096 streams |
/// | [`memory_budget`](Self::memory_budget) | 256 MiB |
/// | [`default_timeout`](Self::default_timeout) | 5 s |
/// | [`min_timeout`](Self::min_timeout), [`max_timeout`](Self::max_timeout) | zero, unlimited |
/// | [`grace`](Self::grace) | 25 s |
/// | [`queue_group`](Self::queue_group) | `q` |
/// | [`discovery_prefix`](Self::discovery_prefix) | `$SRV` |
/// | [`allow_replies_to`](Self::allow_replies_to) | `_INBOX.` and `_R_.` |
///
/// # Examples
///
/// ```
/// use micro_runtime::{Bus, Error, Server, Service};
///
/// // `service` is a generated server, as `GreeterServer::new(handler)`.
/// async fn serve(bus: &Bus, service: impl Service) -> Result<(), Error> {
///     let server = Server::new(bus).add(service).max_concurrent(1_000).start().await?;
///     // The service can be reached now.
///     server.shutdown().await
/// }
/// ```
#[must_use = "a server serves once it is started"]
pub struct Server {
    pub(super) bus: Bus,
    pub(super) services: Vec<Registration>,
    pub(super) sources: Vec<BoundSource>,
    #[cfg(feature = "jetstream")]
    pub(super) streams: Vec<EventStream>,
    pub(super) settings: ServerSettings,
}

/// One service that was added.
pub(super) struct Registration {
    pub(super) service: &'static ServiceDescriptor,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) options: ServiceOptions,
}

impl Server {
    /// Makes a server without services for this bus.
    pub fn new(bus: &Bus) -> Self {
        Self {
            bus: bus.clone(),
            services: Vec::new(),
            sources: Vec::new(),
            #[cfg(feature = "jetstream")]
            streams: Vec::new(),
            settings: ServerSettings::default(),
        }
    }

    /// Adds a service, as `GreeterServer::new(handler)`.
    ///
    /// One server serves each service once; starting it fails otherwise.
    #[expect(
        clippy::should_implement_trait,
        reason = "`Server::new(&bus).add(service)` is the field's word; servers are never summed"
    )]
    pub fn add<S: Service>(self, service: S) -> Self {
        self.add_with(service, ServiceOptions::new())
    }

    /// Adds a service with options, which override `#[rpc(…)]` and the .proto.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Bus, Server, Service, ServiceOptions};
    ///
    /// fn canary(bus: &Bus, service: impl Service) -> Server {
    ///     let options = ServiceOptions::new().max_concurrent(10).metadata("track", "canary");
    ///     Server::new(bus).add_with(service, options)
    /// }
    /// ```
    pub fn add_with<S: Service>(mut self, service: S, options: ServiceOptions) -> Self {
        self.services.push(Registration {
            service: S::SERVICE,
            endpoints: service.endpoints(),
            options,
        });
        self
    }

    /// Handles events of one kind. The source decides about their delivery: a
    /// [`Subscription`](crate::Subscription) takes them as they are published, at most once; with the
    /// feature `jetstream`, `Durable` takes them from a stream, at least once.
    ///
    /// [`RunningServer::events`](crate::RunningServer::events) shows the counts of each.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Bus, Event, Server, Subscriber, Subscription};
    ///
    /// fn record<E: Event>(bus: &Bus, recorder: impl Subscriber<E>) -> Server {
    ///     Server::new(bus).subscribe(recorder, Subscription::queue("recorder"))
    /// }
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

    /// Handles durable events of one kind many at a time, as in one database transaction: they are
    /// acknowledged after the handler succeeded for all of them, and each is tried again if it failed.
    #[cfg(feature = "jetstream")]
    pub fn subscribe_batch<E: Event>(
        mut self,
        subscriber: impl BatchSubscriber<E>,
        durable: Durable,
    ) -> Self {
        self.sources
            .push(jetstream::bind_batches(subscriber, durable));
        self
    }

    /// Declares a stream, which is created or checked before anything else of the server starts. Starting
    /// fails with the errors of [`Bus::declare`].
    #[cfg(feature = "jetstream")]
    pub fn declare(mut self, stream: EventStream) -> Self {
        self.streams.push(stream);
        self
    }

    /// Sets the maximum number of calls of all services that run at a time, streams among them. 16,384 by
    /// default.
    ///
    /// A call above it is refused with `RESOURCE_EXHAUSTED` at once, with the hint to retry after 100 ms; it
    /// does not wait. Events have limits of their own.
    pub fn max_concurrent(mut self, calls: usize) -> Self {
        self.settings.max_concurrent = calls;
        self
    }

    /// Sets the maximum number of streams among the calls that run at a time, those by hand included. 4,096 by default.
    ///
    /// A stream above it is refused with `RESOURCE_EXHAUSTED` at once; it does not wait. Of eight or more, one caller
    /// gets at most seven eighths; it is known by the inbox of its reply subject.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.settings.max_streams = streams;
        self
    }

    /// Sets the maximum number of bytes that the server holds for its callers, all services together. 256 MiB
    /// (268,435,456) by default.
    ///
    /// It counts requests that wait, requests above 1 KiB and parts of requests until their handlers have returned,
    /// messages of streams that their handlers have not read, replies above 4 KiB that wait for the connection, and
    /// those that are offered in parts until they are taken; each stream counts 16 KiB besides, and core events that
    /// wait for their handlers may take half of it: further ones are dropped. A message counts with its length on the
    /// wire, and a request besides with what its elements are estimated to take once it is decoded, until its handler
    /// has returned, or takes the next one of a stream. A request up to 1 KiB counts as well if its elements take more
    /// than that. The rest that a handler makes of a request does not count, nor do the first 64 KiB of what waits for
    /// one method or one subscription. While the connection takes no replies, refusals of requests may take 16 MiB
    /// besides. What would exceed the budget is refused with `RESOURCE_EXHAUSTED`: a call, an
    /// opening, an open stream whose messages find no room, a reply. Above half of it, streams get smaller windows. One
    /// caller, known by the inbox of its reply subjects, gets at most seven eighths.
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.settings.memory_budget = bytes;
        self
    }

    /// Sets the windows and timeouts of the streams of this server, and the maximum length of its messages, also of
    /// unary calls ([`StreamOptions::max_message_bytes`]). What the options of a service set overrides it.
    ///
    /// Each open stream is granted its window, 4 MiB by default: with a small [`memory_budget`](Self::memory_budget)
    /// set smaller windows ([`StreamOptions::window_bytes`]), or fewer streams ([`max_streams`](Self::max_streams)).
    pub fn stream_options(mut self, options: StreamOptions) -> Self {
        self.settings.stream_options = options;
        self
    }

    /// Sets the timeout of unary calls that bring none, for methods without one of their own. 5 s by
    /// default, and at most.
    ///
    /// A call that brings none waits for 5 s, so that a longer time would only be spent on callers that have
    /// gone. Callers that wait longer send their timeout.
    pub fn default_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts.default = timeout;
        self
    }

    /// Sets the maximum timeout of a call; a longer one is shortened to it. Unlimited by default.
    pub fn max_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts.max = timeout;
        self
    }

    /// Sets the minimum timeout of a call. Zero by default.
    ///
    /// A call that brings less is refused with `DEADLINE_EXCEEDED` at once and costs no handler, whose
    /// reply would come too late.
    pub fn min_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts.min = timeout;
        self
    }

    /// Puts middleware around every call of this server. The first layer that is added is the outermost,
    /// and a layer is made once: a limit in it holds for all services together. See
    /// [`middleware`](crate::middleware).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use micro_runtime::{Bus, Server};
    /// use tower::timeout::TimeoutLayer;
    ///
    /// let server = Server::new(&Bus::in_process()).layer(TimeoutLayer::new(Duration::from_secs(2)));
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.settings.layers.add(layer);
        self
    }

    /// Sets the queue group of services that set none; `-` for none: every instance gets each call. `q` by
    /// default.
    pub fn queue_group(mut self, group: impl Into<String>) -> Self {
        self.settings.queue_group = Some(group.into());
        self
    }

    /// Sets the tokens in place of `$SRV` under which discovery finds this server, as where accounts share
    /// it under another name. Those that look for it set the same
    /// ([`Discovery::prefix`](crate::discovery::Discovery::prefix)).
    pub fn discovery_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.srv_prefix = prefix.into();
        self
    }

    /// Adds a check that must pass for this server to count as ready: a database that is reachable, a
    /// cache that is warm. Its outcome shows in `_health` and in the statistics; a failure refuses no call.
    ///
    /// Checks run when a request for health or statistics comes, all at the same time and at most once a
    /// second. A check fails if it takes longer than one second, or panics.
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

    /// Adds a check whose failure means that this process must be replaced; otherwise as
    /// [`readiness_check`](Self::readiness_check).
    ///
    /// A database that is away is no reason for it: a new process would not reach it either.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// use micro_runtime::{Bus, Server, Status};
    ///
    /// let is_poisoned = Arc::new(AtomicBool::new(false));
    /// let checked = Arc::clone(&is_poisoned);
    /// let server = Server::new(&Bus::in_process()).liveness_check("state", move || {
    ///     let is_poisoned = checked.load(Ordering::Relaxed);
    ///     async move {
    ///         match is_poisoned {
    ///             true => Err(Status::internal("the state is poisoned")),
    ///             false => Ok(()),
    ///         }
    ///     }
    /// });
    /// ```
    pub fn liveness_check<F, Fut>(mut self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
    {
        self.settings.checks.add(name.into(), true, check);
        self
    }

    /// Sets the grace period: the time from the begin of a stop that running calls and events have to end. 25 s by
    /// default, five times the default timeout of a call, and 5 s less than Kubernetes gives a container by default.
    ///
    /// Handlers learn of the stop when it begins ([`Context::stopping`](crate::Context::stopping)), and so do the
    /// callers of streams. Those that still run at its end are dropped, and their callers get `UNAVAILABLE`. A stop
    /// that waits longer than a second logs what is under way.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace_period = grace;
        self
    }

    /// Allows replies to subjects that begin with `prefix`, besides `_INBOX.` and `_R_.`: for callers whose
    /// client has an inbox prefix of its own. A dot is added at its end if there is none.
    ///
    /// A request with any other reply subject is counted, logged and dropped: a server publishes replies
    /// with its own permissions, and must not lend them to a caller that names any subject it likes.
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
