//! From services to subscriptions: checks, subscribes, and proves that the server is reachable.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::{Bus, Connection, Subscription};
use crate::bus::{is_about, is_about_inbox};
use crate::descriptor::ServiceDescriptor;
use crate::discovery::records::EventKind;
use crate::endpoint::Endpoint as Generated;
use crate::error::{Error, ErrorKind};
use crate::health::Health;
#[cfg(feature = "jetstream")]
use crate::jetstream::EventStream;
use crate::json::Lazy;
use crate::middleware::Next;
use crate::observe::{Meters, Side};
use crate::options::{MethodOptions, ServiceOptions};
use crate::pace::Pace;
use crate::serve::{Ask, Desk, Endpoint, Gate, Home, Shared, Target, layered};
use crate::server::front;
use crate::server::front::Front;
use crate::server::running::{RunningServer, Stopper};
use crate::server::subscriptions::Subscriptions;
use crate::server::{Registration, Server};
use crate::stats::MethodStats;
use crate::subject;

/// nats-server says what it refuses up to a millisecond after the barrier.
const REFUSAL: Duration = Duration::from_millis(25);

/// One subscription to be made, and what its requests are for.
pub(super) struct Plan {
    pub(super) subject: Subject,
    pub(super) queue: Option<String>,
    pub(super) target: Target,
}

/// What the services of one server have in common.
pub(super) struct World {
    pub(super) bus: Bus,
    pub(super) shared: Arc<Shared>,
    around: Next,
    queue_group: Option<String>,
    pub(super) srv_prefix: String,
    pub(super) health: Arc<Health>,
}

pub(super) async fn start(server: Server) -> Result<RunningServer, Error> {
    let Server {
        bus,
        services,
        sources,
        #[cfg(feature = "jetstream")]
        streams,
        settings,
    } = server;
    let connection = Arc::clone(bus.connection());
    let shared = Arc::new(Shared {
        connection: Arc::clone(&connection),
        tasks: TaskTracker::new(),
        end: CancellationToken::new(),
        in_flight: Gate::new(settings.max_in_flight),
        streams: Gate::new(settings.max_streams),
        reply_prefixes: settings.reply_prefixes,
        timeouts: settings.timeouts,
    });
    let grace = settings.grace;
    let world = World {
        bus,
        shared: Arc::clone(&shared),
        around: settings.layers.stack(),
        queue_group: settings.queue_group,
        srv_prefix: settings.srv_prefix,
        health: Arc::new(Health::new(settings.checks)),
    };
    front::check_prefix(&world.srv_prefix)?;
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
    let subscriptions = Subscriptions::plan(sources, &world.bus, &shared, &mut plans)?;

    let mut violations = connection.violations();
    let watched = Watched {
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
    plans: Vec<Plan>,
) -> Result<Vec<(Subscription, Target)>, Error> {
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
    plans: &[Plan],
    streams: &[EventStream],
) -> Result<Arc<[Subject]>, Error> {
    let calls: Arc<[Subject]> = plans.iter().map(|plan| plan.subject.clone()).collect();
    bus.connection().claims().serve(&calls)?;
    for stream in streams {
        bus.declare(stream).await?;
    }
    Ok(calls)
}

/// The subscriptions of one service: one per method, and those of the instance.
fn plan(
    world: &World,
    registration: Registration,
    plans: &mut Vec<Plan>,
) -> Result<Arc<Desk>, Error> {
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
    front::check_service(service, &options)?;
    let service_queue = options.service_queue_group(service, world.queue_group.as_deref());
    if let Some(queue) = &service_queue {
        check_token("queue group", queue)?;
    }
    let limit = options.max_concurrent.map_or(usize::MAX, |n| n as usize);
    let home = Arc::new(Home {
        json: Lazy::new(service),
        base: format!("{}.", world.bus.subject(service.full_name)),
        instance: instance.clone(),
    });
    let of_service = OfService {
        service,
        home: Arc::clone(&home),
        in_flight: Arc::new(Gate::new(limit)),
        around: options.layers.stack(),
        options: &options,
    };
    let mut served = Vec::new();
    for endpoint in endpoints {
        let endpoint = of_service.endpoint(world, endpoint)?;
        let subject = world.bus.subject(endpoint.method.full_name);
        served.push((subject.clone(), Arc::clone(&endpoint)));
        plans.push(Plan {
            subject,
            queue: endpoint.options.queue_group.clone(),
            target: Target::Endpoint(endpoint),
        });
    }
    let front = Front {
        service,
        home,
        queue: service_queue,
        metadata: options.metadata,
        served,
    };
    Ok(front.plan(world, plans))
}

/// What the endpoints of one service have in common.
struct OfService<'a> {
    service: &'static ServiceDescriptor,
    home: Arc<Home>,
    in_flight: Arc<Gate>,
    around: Next,
    options: &'a ServiceOptions,
}

impl OfService<'_> {
    fn endpoint(&self, world: &World, generated: Generated) -> Result<Arc<Endpoint>, Error> {
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
        Ok(Arc::new(Endpoint {
            shared: Arc::clone(&world.shared),
            home: Arc::clone(&self.home),
            method,
            options: resolved,
            stream_options: options.stream_options,
            handler: layered(generated.handler, method, stacks),
            service_in_flight: Arc::clone(&self.in_flight),
            in_flight: Gate::new(limit),
            pace: Pace::new(),
            meters: Arc::new(Meters::new(Side::Server, method)),
            stats: MethodStats::new(),
        }))
    }
}

/// Settings for a method that does not exist would do nothing, in silence.
fn check_methods(service: &ServiceDescriptor, options: &ServiceOptions) -> Result<(), Error> {
    let names = || service.methods.iter().map(|method| method.name);
    match options
        .named_methods()
        .find(|name| names().all(|known| known != *name))
    {
        None => Ok(()),
        Some(unknown) => Err(Error::new(
            ErrorKind::Service,
            format!(
                "options name the method `{unknown}`, which {} does not have; it has {}",
                service.full_name,
                names().collect::<Vec<_>>().join(", ")
            ),
        )),
    }
}

pub(super) fn check_token(what: &str, token: &str) -> Result<(), Error> {
    let flaw = subject::literal_flaw(token)
        .or_else(|| token.contains('.').then_some("it has more than one token"));
    match flaw {
        None => Ok(()),
        Some(flaw) => Err(Error::new(
            ErrorKind::Service,
            format!("`{token}` cannot be the name of a {what}: {flaw}"),
        )),
    }
}

fn check_subjects(plans: &[Plan]) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for plan in plans {
        let is_shared = matches!(plan.target, Target::Desk(_, Ask::Srv(_)) | Target::All(_));
        if !is_shared && !seen.insert(plan.subject.as_str()) {
            return Err(Error::new(
                ErrorKind::Service,
                format!(
                    "`{}` is served twice by one server; add each service once",
                    plan.subject
                ),
            ));
        }
    }
    Ok(())
}

/// What a running server needs to be allowed to.
pub(super) struct Watched {
    subjects: Vec<Subject>,
    inbox: Subject,
    /// No stream may store calls as long as this lives.
    #[cfg(feature = "jetstream")]
    _claim: Arc<[Subject]>,
}

impl Watched {
    /// Turns NATS's words into an error, if they are about this server.
    pub(super) fn error(&self, violation: &str) -> Option<Error> {
        if let Some(subject) = self.subjects.iter().find(|s| is_about(violation, s)) {
            let message =
                format!("NATS does not let this user subscribe to `{subject}`: {violation}");
            return Some(Error::new(ErrorKind::Permission, message));
        }
        let inbox = &self.inbox;
        is_about_inbox(violation, inbox).then(|| {
            let message =
                format!("NATS does not let this user use its own inbox `{inbox}.>`: {violation}");
            Error::new(ErrorKind::Permission, message)
        })
    }

    /// Waits for the first violation that is about this server.
    pub(super) async fn violation(&self, violations: &mut broadcast::Receiver<String>) -> Error {
        loop {
            match violations.recv().await {
                Ok(text) => {
                    if let Some(error) = self.error(&text) {
                        return error;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

/// Returns once NATS has seen every subscription and had its time to refuse one.
async fn confirm(
    connection: &Connection,
    violations: Option<&mut broadcast::Receiver<String>>,
    watched: &Watched,
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
