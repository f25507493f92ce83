//! From services to subscriptions: checks, subscribes, and proves that the server is reachable.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "jetstream")]
use async_nats::Subject;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[cfg(feature = "jetstream")]
use crate::bus::Bus;
use crate::bus::{CarrierSubscription, Connection};
use crate::descriptor::ServiceDescriptor;
use crate::discovery::records::EventKind;
use crate::dispatch::{
    Endpoint, Health, InstanceAddress, Introspection, MethodOptions, MethodStats, Route,
    ServedMethod, ServerState, ServiceOptions, layered,
};
use crate::error::Error;
use crate::execute::{ConcurrencyLimit, PollCost};
#[cfg(feature = "jetstream")]
use crate::jetstream::EventStream;
use crate::json::LazyTranscoder;
use crate::middleware::Next;
use crate::observe::{MethodMetrics, Side};
use crate::server::checks::{check_methods, check_subjects, check_token};
use crate::server::event_sources::EventSources;
use crate::server::instance_subscriptions;
use crate::server::instance_subscriptions::InstanceSubscriptions;
use crate::server::plan::{PlannedSubscription, StartContext};
use crate::server::required_permissions::RequiredPermissions;
use crate::server::running::{RunningServer, Stopper};
use crate::server::server::{Registration, Server};
use crate::wire::subject::ServiceBase;

/// nats-server says what it refuses up to a millisecond after the barrier.
const REFUSAL: Duration = Duration::from_millis(25);

impl Server {
    /// Starts to serve. When this returns, every method can be reached.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Service`](crate::ErrorKind::Service) when two endpoints share a subject, a name
    /// breaks routing or a version is no SemVer,
    /// [`ErrorKind::Permission`](crate::ErrorKind::Permission) with the subject that NATS refuses, [`ErrorKind::Connect`](crate::ErrorKind::Connect) or
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when NATS does not answer.
    pub async fn start(self) -> Result<RunningServer, Error> {
        start(self).await
    }

    /// Starts to serve, and stops as [`RunningServer::shutdown`] does once `signal` is ready.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) and [`RunningServer::shutdown`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Error> {
    /// use micro_runtime::Server;
    ///
    /// let interrupted = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    /// Server::new(&bus).serve_until(interrupted).await
    /// # }
    /// ```
    pub async fn serve_until(self, signal: impl Future<Output = ()>) -> Result<(), Error> {
        let mut server = self.start().await?;
        tokio::select! {
            () = signal => server.shutdown().await,
            stopped = server.stopped() => stopped,
        }
    }
}

async fn start(server: Server) -> Result<RunningServer, Error> {
    let Server {
        bus,
        services,
        sources,
        #[cfg(feature = "jetstream")]
        streams,
        settings,
    } = server;
    let connection = Arc::clone(bus.connection());
    let shared = Arc::new(ServerState {
        connection: Arc::clone(&connection),
        tasks: TaskTracker::new(),
        end: CancellationToken::new(),
        in_flight: ConcurrencyLimit::new(settings.max_in_flight),
        streams: ConcurrencyLimit::new(settings.max_streams),
        reply_prefixes: settings.reply_prefixes,
        timeouts: settings.timeouts,
    });
    let grace = settings.grace;
    let world = StartContext {
        bus,
        shared: Arc::clone(&shared),
        around: settings.layers.stack(),
        queue_group: settings.queue_group,
        srv_prefix: settings.srv_prefix,
        health: Arc::new(Health::new(settings.checks)),
    };
    instance_subscriptions::check_prefix(&world.srv_prefix)?;
    let mut plans = Vec::new();
    let mut desks = Vec::new();
    for mut service in services {
        let options = &mut service.options.stream_options;
        *options = options.or(settings.stream_options);
        desks.push(plan(&world, service, &mut plans)?);
    }
    check_subjects(&plans)?;
    #[cfg(feature = "jetstream")]
    let claim = claim(&world.bus, &plans, &streams).await?;
    let subscriptions = EventSources::plan(sources, &world.bus, &shared, &mut plans)?;

    let mut violations = connection.violations();
    let watched = RequiredPermissions {
        subjects: plans.iter().map(|plan| plan.subject.clone()).collect(),
        inbox: connection.mux().inbox().clone(),
        #[cfg(feature = "jetstream")]
        _claim: claim,
    };
    let loops = subscribe(&connection, plans).await?;
    confirm(&connection, violations.as_mut(), &watched).await?;
    let subscriptions = subscriptions.start().await?;
    let stopper = Stopper::spawn(shared, loops, desks.clone(), grace, subscriptions.stop);
    for desk in &desks {
        desk.tell(EventKind::Started).await;
    }
    let counters = subscriptions.counters;
    Ok(RunningServer::new(
        stopper, violations, watched, desks, counters,
    ))
}

async fn subscribe(
    connection: &Connection,
    plans: Vec<PlannedSubscription>,
) -> Result<Vec<(CarrierSubscription, Route)>, Error> {
    let mut loops = Vec::new();
    for plan in plans {
        let subscription = connection
            .subscribe(plan.subject, plan.queue.as_deref())
            .await?;
        loops.push((subscription, plan.target));
    }
    Ok(loops)
}

/// Keeps streams off the subjects of calls, and declares the server's own.
#[cfg(feature = "jetstream")]
async fn claim(
    bus: &Bus,
    plans: &[PlannedSubscription],
    streams: &[EventStream],
) -> Result<Arc<[Subject]>, Error> {
    let calls: Arc<[Subject]> = plans.iter().map(|plan| plan.subject.clone()).collect();
    bus.connection().subject_claims().claim_calls(&calls)?;
    for stream in streams {
        bus.declare(stream).await?;
    }
    Ok(calls)
}

/// The subscriptions of one service: one per method, and those of the instance.
fn plan(
    world: &StartContext,
    registration: Registration,
    plans: &mut Vec<PlannedSubscription>,
) -> Result<Arc<Introspection>, Error> {
    let Registration {
        service,
        endpoints,
        options,
    } = registration;
    let instance = options
        .instance
        .clone()
        .unwrap_or_else(|| nuid::next().to_string());
    check_token("instance", &instance)?;
    check_methods(service, &options)?;
    instance_subscriptions::check_service(service, &options)?;
    let service_queue = options.service_queue_group(service, world.queue_group.as_deref());
    if let Some(queue) = &service_queue {
        check_token("queue group", queue)?;
    }
    let limit = options.max_concurrent.map_or(usize::MAX, |n| n as usize);
    let home = Arc::new(InstanceAddress {
        json: LazyTranscoder::new(service),
        base: ServiceBase::new(world.bus.prefix(), service.full_name),
        instance: instance.clone(),
    });
    let of_service = ServiceScope {
        service,
        home: Arc::clone(&home),
        in_flight: Arc::new(ConcurrencyLimit::new(limit)),
        around: options.layers.stack(),
        options: &options,
    };
    let mut served = Vec::new();
    for endpoint in endpoints {
        let endpoint = of_service.endpoint(world, endpoint)?;
        let subject = home.base.method(endpoint.method.name);
        served.push((subject.clone(), Arc::clone(&endpoint)));
        plans.push(PlannedSubscription {
            subject,
            queue: endpoint.options.queue_group.clone(),
            target: Route::Method(endpoint),
        });
    }
    let front = InstanceSubscriptions {
        service,
        home,
        queue: service_queue,
        metadata: options.metadata,
        served,
    };
    Ok(front.plan(world, plans))
}

/// What the endpoints of one service have in common.
struct ServiceScope<'a> {
    service: &'static ServiceDescriptor,
    home: Arc<InstanceAddress>,
    in_flight: Arc<ConcurrencyLimit>,
    around: Next,
    options: &'a ServiceOptions,
}

impl ServiceScope<'_> {
    fn endpoint(
        &self,
        world: &StartContext,
        generated: Endpoint,
    ) -> Result<Arc<ServedMethod>, Error> {
        let (options, method) = (self.options, generated.method);
        let resolved = MethodOptions::resolve(
            options,
            &generated.rpc,
            method,
            (self.service.queue_group, world.queue_group.as_deref()),
            world.shared.timeouts.default,
        );
        if let Some(queue) = &resolved.queue_group {
            check_token("queue group", queue)?;
        }
        let limit = resolved.max_concurrent.map_or(usize::MAX, |n| n as usize);
        let around_method = options.layers.stack_for(method.name);
        let stacks = [world.around.clone(), self.around.clone(), around_method];
        Ok(Arc::new(ServedMethod {
            shared: Arc::clone(&world.shared),
            home: Arc::clone(&self.home),
            method,
            options: resolved,
            stream_options: options.stream_options,
            handler: layered(generated.handler, method, stacks),
            service_in_flight: Arc::clone(&self.in_flight),
            in_flight: ConcurrencyLimit::new(limit),
            pace: PollCost::new(),
            meters: Arc::new(MethodMetrics::new(Side::Server, method)),
            stats: MethodStats::new(),
        }))
    }
}

/// Returns once NATS has seen every subscription and had its time to refuse one.
async fn confirm(
    connection: &Connection,
    violations: Option<&mut broadcast::Receiver<String>>,
    watched: &RequiredPermissions,
) -> Result<(), Error> {
    let Some(violations) = violations else {
        return connection.barrier().await;
    };
    let refused = watched.violation(violations);
    let confirmed = async {
        connection.barrier().await?;
        tokio::time::sleep(REFUSAL).await;
        Ok(())
    };
    tokio::select! {
        biased;
        error = refused => Err(error),
        confirmed = confirmed => confirmed,
    }
}
