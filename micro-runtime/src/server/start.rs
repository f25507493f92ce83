//! Starts a server: checks, subscribes, and proves that the server is reachable.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;

#[cfg(feature = "jetstream")]
use crate::bus::Bus;
use crate::bus::{CarrierSubscription, Connection, Connections, NamedServices, NoRuntime};
use crate::discovery::records::EventKind;
use crate::dispatch::{Introspection, Route};
use crate::error::{Error, ErrorKind};
#[cfg(feature = "jetstream")]
use crate::jetstream::EventStream;
use crate::server::capture_warning::warn_of_captured_calls;
use crate::server::checks::{check_not_empty, check_prefix, check_subjects};
use crate::server::event_sources::{EventSources, StartedEventSources};
use crate::server::instance_conflict::warn_of_live_holders;
use crate::server::permission_guard::PermissionGuard;
use crate::server::planned_subscription::PlannedSubscription;
use crate::server::required_permissions::RequiredPermissions;
use crate::server::running_server::RunningServer;
use crate::server::server::{Registration, Server};
use crate::server::service_scope::plan_service;
use crate::server::start_context::StartContext;
use crate::server::stopper::Stopper;
use crate::server::under_way::UnderWay;

/// Maximum grace period of a server whose start has failed.
const ABANDONED_GRACE: Duration = Duration::from_secs(5);

impl Server {
    /// Starts to serve. When this returns, NATS has confirmed every subscription, and every method can be
    /// reached.
    ///
    /// Nothing is subscribed if a check fails. If it fails later, the requests that have arrived meanwhile are served,
    /// for 5 s at most, and the subscriptions end; if the returned future is dropped, they end at once.
    ///
    /// Where [`ServiceOptions::instance`](crate::ServiceOptions::instance) sets the id of an instance that runs
    /// already, a warning is logged.
    ///
    /// # Errors
    ///
    /// | kind | reason |
    /// |---|---|
    /// | [`ErrorKind::Service`](crate::ErrorKind::Service) | there is nothing to serve; two endpoints share a subject; a name is not one token; a version is no SemVer; options name an unknown method; the subject of an event covers calls |
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
/// The loops begin to read only after the proof. Requests that arrive before it wait for their loop, also if the start
/// fails ([`abandoned`]). All that can be checked comes before the first subscription.
async fn start(server: Server) -> Result<RunningServer, Error> {
    NoRuntime::check().map_err(|none| none.into_error("the server does not start"))?;
    check_not_empty(&server)?;
    let Server {
        bus,
        services,
        sources,
        #[cfg(feature = "jetstream")]
        streams,
        settings,
    } = server;
    let connections = bus.connections().clone();
    let connection = Arc::clone(&connections.serving);
    let start = StartContext::new(bus, settings);
    check_prefix(&start.srv_prefix)?;
    let mut plans = Vec::new();
    let introspections = plan_services(&start, services, &mut plans).await?;
    #[cfg(feature = "jetstream")]
    let claim = claim_calls(&start.bus, &plans, &streams).await?;
    let sources = EventSources::plan(sources, &start.bus, &start.server, &mut plans)?;

    let _ = start.server.events.set(sources.counters.clone());
    let required = Arc::new(RequiredPermissions {
        subscriptions: subjects(&plans),
        inbox: connection.mux().inbox().clone(),
        #[cfg(feature = "jetstream")]
        _claim: claim,
    });
    let guard = PermissionGuard::new(&connection, required, &start.server);
    let mut subscriptions = Vec::new();
    let subscribing = subscribe(&connection, plans, &mut subscriptions);
    let (sources, failure) = match become_reachable(&guard, subscribing, sources).await {
        Ok(sources) => (sources, None),
        Err(error) if subscriptions.is_empty() => return Err(error),
        Err(error) => (EventSources::none(&start.server), Some(error)),
    };
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
    if let Some(error) = failure {
        return Err(abandoned(stopper, error).await);
    }
    announce(&introspections, &connections).await;
    let named = name_services(&connection, &introspections);
    Ok(RunningServer::new(
        stopper,
        guard,
        introspections,
        sources.counters,
        named,
    ))
}

/// Plans the subscriptions of all services, and warns of instances that have the ids of theirs.
async fn plan_services(
    start: &StartContext,
    services: Vec<Registration>,
    plans: &mut Vec<PlannedSubscription>,
) -> Result<Vec<Arc<Introspection>>, Error> {
    let mut introspections = Vec::new();
    let mut chosen_ids = Vec::new();
    for service in services {
        let id = service.options.instance.clone();
        chosen_ids.extend(id.map(|id| (service.service.full_name, id)));
        introspections.push(plan_service(start, service, plans)?);
    }
    check_subjects(plans)?;
    warn_of_live_holders(start, &chosen_ids).await;
    Ok(introspections)
}

/// Returns the subjects of these subscriptions, with their queue groups.
fn subjects(plans: &[PlannedSubscription]) -> Vec<(Subject, Option<String>)> {
    let subjects = plans.iter();
    subjects
        .map(|plan| (plan.subject.clone(), plan.queue.clone()))
        .collect()
}

/// Subscribes, proves the subscriptions, and starts the sources outside of the bus.
async fn become_reachable(
    guard: &PermissionGuard,
    subscribing: impl Future<Output = Result<(), Error>>,
    sources: EventSources,
) -> Result<StartedEventSources, Error> {
    guard.confirm(subscribing).await?;
    sources.start().await
}

/// Serves what has arrived for a server whose start has failed, and stops it: NATS has routed requests here since the
/// first subscription, and their callers would wait for their deadlines. Without a connection nothing can be served.
async fn abandoned(stopper: Stopper, failure: Error) -> Error {
    if matches!(failure.kind(), ErrorKind::Connect | ErrorKind::Timeout) {
        return failure;
    }
    // In a task: the requests are served, too, where the start is given up meanwhile.
    let stopped = tokio::spawn(stopper.with_grace_of_at_most(ABANDONED_GRACE).stop()).await;
    if let Ok(Err(error)) = stopped {
        tracing::debug!(%error, "a server whose start has failed does not stop in order");
    }
    failure
}

/// Shows the services in the name of the connection, as long as the result lives.
fn name_services(
    connection: &Arc<Connection>,
    introspections: &[Arc<Introspection>],
) -> Option<NamedServices> {
    let names = introspections.iter().map(|one| one.service_name());
    connection.name_services(names.collect())
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
    subscriptions: &mut Vec<(CarrierSubscription, Route)>,
) -> Result<(), Error> {
    for plan in plans {
        let subscription = connection
            .subscribe(plan.subject, plan.queue.as_deref())
            .await?;
        subscriptions.push((subscription, plan.route));
    }
    Ok(())
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
