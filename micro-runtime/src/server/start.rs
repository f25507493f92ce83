//! Starts a server: checks, subscribes, and proves that the server is reachable.

use std::sync::Arc;

#[cfg(feature = "jetstream")]
use async_nats::Subject;

#[cfg(feature = "jetstream")]
use crate::bus::Bus;
use crate::bus::{CarrierSubscription, Connection, Connections, NoRuntime};
use crate::discovery::records::EventKind;
use crate::dispatch::{Introspection, Route};
use crate::error::Error;
#[cfg(feature = "jetstream")]
use crate::jetstream::EventStream;
use crate::server::capture_warning::warn_of_captured_calls;
use crate::server::checks::{check_prefix, check_subjects};
use crate::server::event_sources::EventSources;
use crate::server::permission_guard::PermissionGuard;
use crate::server::planned_subscription::PlannedSubscription;
use crate::server::required_permissions::RequiredPermissions;
use crate::server::running_server::RunningServer;
use crate::server::server::Server;
use crate::server::service_scope::plan_service;
use crate::server::start_context::StartContext;
use crate::server::stopper::Stopper;
use crate::server::under_way::UnderWay;

impl Server {
    /// Starts to serve. When this returns, NATS has confirmed every subscription, and every method can be
    /// reached.
    ///
    /// Nothing is subscribed if a check fails. If it fails later, or the returned future is dropped, the
    /// subscriptions end.
    ///
    /// # Errors
    ///
    /// | kind | reason |
    /// |---|---|
    /// | [`ErrorKind::Service`](crate::ErrorKind::Service) | two endpoints share a subject; a name is not one token; a version is no SemVer; options name an unknown method; the subject of an event covers calls |
    /// | [`ErrorKind::Permission`](crate::ErrorKind::Permission) | NATS rejects a subscription; the text names its subject, or `max_subscriptions`, of which a start needs one to spare |
    /// | [`ErrorKind::Runtime`](crate::ErrorKind::Runtime) | it is polled outside of a tokio runtime |
    /// | [`ErrorKind::Connect`](crate::ErrorKind::Connect), [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) | NATS is away, or does not confirm within 5 s |
    ///
    /// Streams and durable consumers add theirs.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Bus, Error, ErrorKind, Server};
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let server = Server::new(&Bus::in_process()).discovery_prefix("no spaces");
    /// let error = server.start().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Service);
    /// # });
    /// ```
    pub async fn start(self) -> Result<RunningServer, Error> {
        start(self).await
    }

    /// Starts to serve, and stops as [`RunningServer::shutdown`] does once `signal` is ready.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) and [`RunningServer::shutdown`], and as [`RunningServer::stopped`] if the
    /// server stops before `signal` is ready.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), Box<dyn std::error::Error>> {
    /// use micro_runtime::{Server, shutdown_signal};
    ///
    /// let shutdown = shutdown_signal()?;
    /// Server::new(&bus).serve_until(shutdown).await?;
    /// # Ok(()) }
    /// ```
    pub async fn serve_until(self, signal: impl Future<Output = ()>) -> Result<(), Error> {
        let mut server = self.start().await?;
        tokio::select! {
            () = signal => server.shutdown().await,
            stopped = server.stopped() => stopped,
        }
    }
}

/// Starts a server in this order: check and plan everything, keep streams off the subjects of calls,
/// subscribe, prove the subscriptions, start the sources outside of the bus, read, announce, and look for streams
/// that store calls.
///
/// The loops begin to read only after the proof. Requests that arrive before it wait for their loop, and are
/// lost if the start fails: that is why all that can be checked comes before the first subscription.
async fn start(server: Server) -> Result<RunningServer, Error> {
    let Server {
        bus,
        services,
        sources,
        #[cfg(feature = "jetstream")]
        streams,
        settings,
    } = server;
    NoRuntime::check().map_err(|none| none.into_error("the server does not start"))?;
    let connections = bus.connections().clone();
    let connection = Arc::clone(&connections.serving);
    let start = StartContext::new(bus, settings);
    check_prefix(&start.srv_prefix)?;
    let mut plans = Vec::new();
    let mut introspections = Vec::new();
    for service in services {
        introspections.push(plan_service(&start, service, &mut plans)?);
    }
    check_subjects(&plans)?;
    #[cfg(feature = "jetstream")]
    let claim = claim_calls(&start.bus, &plans, &streams).await?;
    let sources = EventSources::plan(sources, &start.bus, &start.server, &mut plans)?;

    let _ = start.server.events.set(sources.counters.clone());

    let required = plans
        .iter()
        .map(|plan| (plan.subject.clone(), plan.queue.clone()));
    let required = Arc::new(RequiredPermissions {
        subscriptions: required.collect(),
        inbox: connection.mux().inbox().clone(),
        #[cfg(feature = "jetstream")]
        _claim: claim,
    });
    let replies = start.server.observe_refused_replies();
    let guard = PermissionGuard::new(&connection, required, replies);
    let subscriptions = guard.confirm(subscribe(&connection, plans)).await?;
    let sources = sources.start().await?;
    let stopper = Stopper::spawn(
        start.server,
        connections.clone(),
        subscriptions,
        UnderWay {
            introspections: introspections.clone(),
            events: sources.counters.clone(),
        },
        start.grace_period,
        sources.stop,
    );
    announce(&introspections, &connections).await;
    let names = introspections.iter().map(|one| one.service_name());
    let named = connection.name_services(names.collect());
    Ok(RunningServer::new(
        stopper,
        guard,
        introspections,
        sources.counters,
        named,
    ))
}

/// Tells that the services have started, and looks for streams that store their calls.
async fn announce(introspections: &[Arc<Introspection>], connections: &Connections) {
    for introspection in introspections {
        introspection.announce(EventKind::Started).await;
    }
    let calls = introspections.iter().map(|one| one.call_pattern());
    warn_of_captured_calls(&connections.calling, calls.collect());
}

async fn subscribe(
    connection: &Connection,
    plans: Vec<PlannedSubscription>,
) -> Result<Vec<(CarrierSubscription, Route)>, Error> {
    let mut subscriptions = Vec::new();
    for plan in plans {
        let subscription = connection
            .subscribe(plan.subject, plan.queue.as_deref())
            .await?;
        subscriptions.push((subscription, plan.route));
    }
    Ok(subscriptions)
}

/// Keeps streams of JetStream off the subjects of calls as long as the returned claim lives, and declares
/// the server's own streams. A stream that stored calls would reply to them before the service did.
#[cfg(feature = "jetstream")]
async fn claim_calls(
    bus: &Bus,
    plans: &[PlannedSubscription],
    streams: &[EventStream],
) -> Result<Arc<[Subject]>, Error> {
    let calls: Arc<[Subject]> = plans.iter().map(|plan| plan.subject.clone()).collect();
    bus.subject_claims().claim_calls(&calls)?;
    for stream in streams {
        bus.declare(stream).await?;
    }
    Ok(calls)
}
