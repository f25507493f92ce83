//! The desk of one service instance: answers what is asked about it and not of it. No handler and no
//! permit is involved, so it answers however busy the methods are.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_nats::{Message, Subject};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::bus::Outgoing;
use crate::descriptor::{Idempotency, MethodKind, ServiceDescriptor};
use crate::discovery::date;
use crate::discovery::names;
use crate::discovery::records;
use crate::discovery::records::{
    EndpointData, EndpointInfo, EndpointStats, EventKind, Info, Instance, InstanceData, Labels,
    LifecycleEvent, Stats,
};
use crate::dispatch::health::{Health, HealthCheckRequest};
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::shared::ServerState;
use crate::execute::ConcurrencyLimit;
use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::sync::lock;
use crate::wire;
use crate::wire::subject;
use crate::wire::subject::Verb;

/// The version of docs/PROTOCOL.md that is spoken.
const WIRE_VERSION: &str = "1";
/// STATS does not wait longer for the checks; it shows how they ended when they were last run.
const CHECKS_FOR_STATS: Duration = Duration::from_millis(100);
/// While NATS is away its queue may be full: neither start nor stop hangs on those who watch.
const TELLING: Duration = Duration::from_millis(500);
/// So many may wait for the checks at a time.
const WAITING: usize = 1024;

/// What is asked about an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntrospectionQuery {
    Srv(Verb),
    Schema,
    Health,
}

/// What a desk is set up with.
pub(crate) struct IntrospectionSettings {
    pub(crate) service: &'static ServiceDescriptor,
    pub(crate) id: String,
    /// The bus's prefix, empty if there is none.
    pub(crate) bus_prefix: String,
    pub(crate) srv_prefix: String,
    /// What the user adds to the runtime's own metadata.
    pub(crate) metadata: Labels,
}

/// Answers what is asked about one service instance.
pub(crate) struct Introspection {
    shared: Arc<ServerState>,
    service: &'static ServiceDescriptor,
    srv_prefix: String,
    info: Info,
    ping_json: Bytes,
    info_json: Bytes,
    endpoints: Vec<Arc<ServedMethod>>,
    counting_since: Mutex<SystemTime>,
    running_since: Instant,
    health: Arc<Health>,
    home: Arc<InstanceAddress>,
    waiting: ConcurrencyLimit,
}

impl Introspection {
    pub(crate) fn new(
        shared: Arc<ServerState>,
        settings: IntrospectionSettings,
        endpoints: Vec<(Subject, Arc<ServedMethod>)>,
        health: Arc<Health>,
        home: Arc<InstanceAddress>,
    ) -> Self {
        let described = endpoints.iter().map(|(subject, endpoint)| EndpointInfo {
            name: endpoint.method.name.to_owned(),
            subject: subject.to_string(),
            queue_group: endpoint.options.queue_group.clone().unwrap_or_default(),
            metadata: method_metadata(endpoint),
        });
        let info = Info {
            name: names::service_name(settings.service.full_name),
            version: settings.service.version.to_owned(),
            metadata: service_metadata(&settings),
            id: settings.id,
            description: settings.service.description.to_owned(),
            endpoints: described.collect(),
        };
        Self {
            shared,
            service: settings.service,
            srv_prefix: settings.srv_prefix,
            ping_json: records::write(&instance(&info)).into(),
            info_json: records::write(&info).into(),
            info,
            endpoints: endpoints.into_iter().map(|(_, e)| e).collect(),
            counting_since: Mutex::new(SystemTime::now()),
            running_since: Instant::now(),
            health,
            home,
            waiting: ConcurrencyLimit::new(WAITING),
        }
    }

    pub(crate) fn info(&self) -> &Info {
        &self.info
    }

    /// Says to whoever watches that the instance can be reached, or that it begins to stop.
    pub(crate) async fn tell(&self, kind: EventKind) {
        let instance = instance(&self.info);
        let subject = subject::lifecycle_event(&self.srv_prefix, &instance.name, &instance.id);
        let outgoing = Outgoing::to(
            subject,
            records::write(&LifecycleEvent::new(kind, &instance)).into(),
        );
        let published = self.shared.connection.publish(outgoing);
        let published = tokio::time::timeout(TELLING, published).await;
        if !matches!(published, Ok(Ok(()))) {
            tracing::debug!(?kind, "could not say so to those who watch");
        }
    }

    /// Begins to stop: takes no calls, and says so at once.
    pub(crate) async fn leave(&self) {
        self.health.stop();
        self.tell(EventKind::Stopping).await;
    }

    pub(crate) fn reset(&self) {
        self.endpoints.iter().for_each(|e| e.stats.reset());
        *lock(&self.counting_since) = SystemTime::now();
    }

    pub(crate) fn stats(&self) -> Stats {
        let health = self.health.known();
        let endpoints = self.endpoints.iter().zip(&self.info.endpoints);
        Stats {
            name: self.info.name.clone(),
            id: self.info.id.clone(),
            version: self.info.version.clone(),
            metadata: self.info.metadata.clone(),
            started: date::rfc3339(*lock(&self.counting_since)),
            endpoints: endpoints.map(|(e, info)| endpoint_stats(e, info)).collect(),
            data: Some(InstanceData {
                uptime: self.running_since.elapsed(),
                is_live: health.is_live,
                is_ready: health.is_ready,
                checks: health.outcomes.to_vec(),
            }),
        }
    }

    pub(super) async fn dispatch(self: &Arc<Self>, ask: IntrospectionQuery, message: Message) {
        let Some(reply) = self.shared.reply_subject(&message, self.service.full_name) else {
            return;
        };
        let must_wait = !self.health.is_plain();
        let answer = match ask {
            IntrospectionQuery::Srv(Verb::Ping) => Ok(self.ping_json.clone()),
            IntrospectionQuery::Srv(Verb::Info) => Ok(self.info_json.clone()),
            IntrospectionQuery::Schema => Ok(Bytes::from_static(self.service.file_descriptor_set)),
            IntrospectionQuery::Srv(Verb::Stats) | IntrospectionQuery::Health if must_wait => {
                return self.answer_later(ask, message, reply).await;
            }
            IntrospectionQuery::Srv(Verb::Stats) => Ok(self.stats_json()),
            IntrospectionQuery::Health => self.health(&message).await,
        };
        self.answer(reply, answer).await;
    }

    /// Runs the checks apart from the loop that reads requests.
    async fn answer_later(
        self: &Arc<Self>,
        ask: IntrospectionQuery,
        message: Message,
        reply: Subject,
    ) {
        if !self.waiting.try_acquire() {
            let text = format!("{WAITING} requests wait for the checks already");
            let status = Reason::Overloaded.status(text);
            return self.answer(reply, Err(status)).await;
        }
        let desk = Arc::clone(self);
        self.shared.tasks.spawn(async move {
            let answer = match ask {
                IntrospectionQuery::Health => desk.health(&message).await,
                IntrospectionQuery::Srv(_) | IntrospectionQuery::Schema => {
                    let _ = tokio::time::timeout(CHECKS_FOR_STATS, desk.health.look()).await;
                    Ok(desk.stats_json())
                }
            };
            desk.waiting.release();
            desk.answer(reply, answer).await;
        });
    }

    async fn answer(&self, reply: Subject, answer: Result<Bytes, Status>) {
        let home = Some(&self.home);
        let metadata = Metadata::new();
        self.shared.answer_from(home, reply, answer, metadata).await;
    }

    fn stats_json(&self) -> Bytes {
        records::write(&self.stats()).into()
    }

    async fn health(&self, message: &Message) -> Result<Bytes, Status> {
        let name = "grpc.health.v1.HealthCheckRequest";
        let request: HealthCheckRequest = wire::decode_request(message.payload.clone(), name)?;
        let report = self.health.look().await;
        match request.answer(self.service.full_name, &report) {
            Some(response) => Ok(wire::encode(&response)),
            None => Err(Status::not_found(format!(
                "`{}` is not known here; ask for nothing, `readiness`, `liveness` or `{}`",
                request.service, self.service.full_name
            ))),
        }
    }
}

fn instance(info: &Info) -> Instance {
    Instance {
        name: info.name.clone(),
        id: info.id.clone(),
        version: info.version.clone(),
        metadata: info.metadata.clone(),
    }
}

fn endpoint_stats(endpoint: &ServedMethod, info: &EndpointInfo) -> EndpointStats {
    let counts = endpoint.stats.counts();
    let average = counts.processing.as_nanos() / u128::from(counts.requests.max(1));
    EndpointStats {
        name: info.name.clone(),
        subject: info.subject.clone(),
        queue_group: info.queue_group.clone(),
        num_requests: counts.requests,
        num_errors: counts.errors,
        last_error: counts.last_error,
        processing_time: counts.processing,
        average_processing_time: Duration::from_nanos(u64::try_from(average).unwrap_or(u64::MAX)),
        data: Some(EndpointData {
            in_flight: endpoint.in_flight.running() as u64,
            shed: counts.shed,
            p50: counts.p50,
            p99: counts.p99,
        }),
    }
}

fn service_metadata(settings: &IntrospectionSettings) -> Labels {
    let service = settings.service;
    let schema = Sha256::digest(service.file_descriptor_set);
    let schema = schema.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let ours = [
        ("micro.package", service.package.to_owned()),
        ("micro.service", service.full_name.to_owned()),
        ("micro.schema", schema),
        ("micro.prefix", settings.bus_prefix.clone()),
        ("micro.wire", WIRE_VERSION.to_owned()),
    ];
    let ours = ours.map(|(key, value)| (key.to_owned(), value));
    settings.metadata.clone().into_iter().chain(ours).collect()
}

fn method_metadata(endpoint: &ServedMethod) -> Labels {
    let (method, options) = (endpoint.method, &endpoint.options);
    let kind = match method.kind {
        MethodKind::Unary => "unary",
        MethodKind::ServerStreaming => "server_streaming",
        MethodKind::ClientStreaming => "client_streaming",
        MethodKind::Bidirectional => "bidirectional",
    };
    let idempotency = match method.idempotency {
        Idempotency::Unknown => "unknown",
        Idempotency::NoSideEffects => "no_side_effects",
        Idempotency::Idempotent => "idempotent",
    };
    // A stream has a deadline only if its caller sets one.
    let is_unary = method.kind == MethodKind::Unary;
    let timeout = is_unary.then(|| options.timeout.as_millis().to_string());
    let limit = options.max_concurrent.map(|calls| calls.to_string());
    let deprecated = method.is_deprecated.then(|| "true".to_owned());
    [
        ("micro.method", Some(method.full_name.to_owned())),
        ("micro.kind", Some(kind.to_owned())),
        ("micro.timeout_ms", timeout),
        ("micro.idempotency", Some(idempotency.to_owned())),
        ("micro.request", Some(method.input.to_owned())),
        ("micro.reply", Some(method.output.to_owned())),
        ("micro.max_concurrent", limit),
        ("micro.deprecated", deprecated),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}
