//! `Introspection`: replies to queries about one instance: `$SRV`, `_schema` and `_health`.
//!
//! Queries have subscriptions and loops of their own, no handler of the user's runs for them but health
//! checks, and they take no permit: an instance at its limits still shows that it is, and why.
//!
//! | query | reply | waits for |
//! |---|---|---|
//! | PING, INFO | made at the start | nothing |
//! | STATS | counts and the last known health, in JSON | health checks, 100 ms at most |
//! | `_schema` | the embedded `FileDescriptorSet`, in parts if it is large | nothing |
//! | `_health` | `grpc.health.v1.HealthCheckResponse` | health checks |
//!
//! `$SRV` is JSON of ADR-32 and the others are protobuf, whatever `Content-Type` the query has.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_nats::{Message, Subject};
use bytes::Bytes;
use tokio::time::Instant;

use crate::bus::{Concern, Outgoing, RefusalObserver};
use crate::descriptor::ServiceDescriptor;
use crate::discovery::InstanceData;
use crate::discovery::date;
use crate::discovery::records;
use crate::discovery::records::{EventKind, Info, LifecycleEvent, Stats};
use crate::dispatch::health::Health;
use crate::dispatch::health_messages::HealthCheckRequest;
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::instance_records::{
    InstanceDescription, endpoint_stats, instance, instance_counts,
};
use crate::dispatch::reply::OutgoingReply;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::server_state::ServerState;
use crate::execute::ConcurrencyLimit;
use crate::status::{Reason, Status};
use crate::sync::lock;
use crate::wire;
use crate::wire::subject;
use crate::wire::subject::Verb;

/// Time that STATS of ADR-32 waits for the checks. It shows the outcomes of their last run after that: a query of
/// all instances gathers replies for a short time only, and an instance with a slow check must be among
/// them.
const STATS_CHECK_TIMEOUT: Duration = Duration::from_millis(100);
/// Time that start and stop wait for the connection to take a lifecycle event. While NATS is away its
/// queue may be full, and neither may hang for the sake of watchers.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_millis(500);
/// Maximum number of queries of one instance that wait for health checks. Each holds a task; a check that
/// hangs keeps them for a second.
const MAX_QUEUED_CHECKS: usize = 1024;

/// Query about an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntrospectionQuery {
    /// Query of ADR-32 under `$SRV`.
    Srv(Verb),
    /// Query of the serialized `FileDescriptorSet`.
    Schema,
    /// Request of `grpc.health.v1`.
    Health,
}

/// Replies to queries about one instance (docs/PROTOCOL.md, "Discovery"), and announces its start and
/// stop.
pub(crate) struct Introspection {
    server: Arc<ServerState>,
    service: &'static ServiceDescriptor,
    srv_prefix: String,
    info: Info,
    /// Replies to PING and INFO, which never change: a PING of all instances costs each one publish.
    ping_json: Bytes,
    info_json: Bytes,
    methods: Vec<Arc<ServedMethod>>,
    counting_since: Mutex<SystemTime>,
    running_since: Instant,
    health: Arc<Health>,
    address: Arc<InstanceAddress>,
    queued_checks: ConcurrencyLimit,
    /// Keeps a refused announcement out of the log: its permission may be left out.
    _announcements: RefusalObserver,
}

impl Introspection {
    pub(crate) fn new(
        server: Arc<ServerState>,
        description: InstanceDescription,
        methods: Vec<(Subject, Arc<ServedMethod>)>,
        health: Arc<Health>,
        address: Arc<InstanceAddress>,
    ) -> Self {
        let info = description.info(&methods);
        let announced = subject::lifecycle_event(&description.srv_prefix, &info.name, &info.id);
        let announcements = server.serving.refusals().observe(move |refusal| {
            match refusal.is_of_publish(&announced) {
                true => Concern::Reported,
                false => Concern::None,
            }
        });
        Self {
            _announcements: announcements,
            server,
            service: description.service,
            srv_prefix: description.srv_prefix,
            ping_json: records::write(&instance(&info)).into(),
            info_json: records::write(&info).into(),
            info,
            methods: methods.into_iter().map(|(_, method)| method).collect(),
            counting_since: Mutex::new(SystemTime::now()),
            running_since: Instant::now(),
            health,
            address,
            queued_checks: ConcurrencyLimit::new(MAX_QUEUED_CHECKS),
        }
    }

    pub(crate) fn info(&self) -> &Info {
        &self.info
    }

    /// Returns the service's name in the .proto, with its package.
    pub(crate) fn service_name(&self) -> &'static str {
        self.service.full_name
    }

    /// Returns the pattern of all subjects on which the service takes calls.
    pub(crate) fn call_pattern(&self) -> Subject {
        self.address.base.pattern()
    }

    /// Publishes a lifecycle event of the instance. A service that may not publish it, or cannot now,
    /// serves all the same: watchers then learn of a start at their next round, and of a stop as of a
    /// death.
    pub(crate) async fn announce(&self, kind: EventKind) {
        let instance = instance(&self.info);
        let subject = subject::lifecycle_event(&self.srv_prefix, &instance.name, &instance.id);
        let event = records::write(&LifecycleEvent::new(kind, &instance));
        let outgoing = Outgoing::to(subject, event.into());
        let published = self.server.serving.publish(outgoing);
        let published = tokio::time::timeout(ANNOUNCE_TIMEOUT, published).await;
        if !matches!(published, Ok(Ok(()))) {
            tracing::debug!(?kind, "a lifecycle event could not be published");
        }
    }

    /// Reports the instance as not ready from now on, and announces that it stops. Must precede the end
    /// of its subscriptions, so that watchers choose another instance while this one still serves.
    pub(crate) async fn announce_stop(&self) {
        self.health.set_stopping();
        self.announce(EventKind::Stopping).await;
    }

    /// Returns the methods of which calls run now, by their full names, with the number of calls.
    pub(crate) fn running_calls(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let running = |method: &Arc<ServedMethod>| {
            (method.descriptor.full_name, method.method_limit.running())
        };
        self.methods
            .iter()
            .map(running)
            .filter(|(_, calls)| *calls > 0)
    }

    /// Sets the counts of all methods to zero.
    pub(crate) fn reset_stats(&self) {
        for method in &self.methods {
            method.stats.reset();
            method.drops.reset();
        }
        *lock(&self.counting_since) = SystemTime::now();
    }

    /// Returns the counts of all methods, and the health as it was last known.
    pub(crate) fn stats(&self) -> Stats {
        let health = self.health.last_report();
        let endpoints = self.methods.iter().zip(&self.info.endpoints);
        let endpoints = endpoints.map(|(method, info)| endpoint_stats(method, info));
        Stats {
            name: self.info.name.clone(),
            id: self.info.id.clone(),
            version: self.info.version.clone(),
            metadata: self.info.metadata.clone(),
            started: date::rfc3339(*lock(&self.counting_since)),
            endpoints: endpoints.collect(),
            data: Some(InstanceData {
                uptime: self.running_since.elapsed(),
                is_live: health.is_live,
                is_ready: health.is_ready,
                checks: health.outcomes.to_vec(),
                ..instance_counts(&self.server, &self.address.drops)
            }),
        }
    }

    /// Replies to one query. One that has to wait for health checks goes on in a task of its own, so that
    /// a PING behind it does not wait.
    pub(super) async fn dispatch(self: &Arc<Self>, query: IntrospectionQuery, message: Message) {
        let drops = &self.address.drops;
        if drops.is_of_nats(&message) {
            return;
        }
        let Some(subject) = self.server.reply_subject(&message, drops) else {
            return;
        };
        let result = match query {
            IntrospectionQuery::Srv(Verb::Ping) => Ok(self.ping_json.clone()),
            IntrospectionQuery::Srv(Verb::Info) => Ok(self.info_json.clone()),
            IntrospectionQuery::Schema => Ok(Bytes::from_static(self.service.file_descriptor_set)),
            IntrospectionQuery::Srv(Verb::Stats) | IntrospectionQuery::Health
                if self.health.has_checks() =>
            {
                return self.reply_after_checks(query, message, subject).await;
            }
            IntrospectionQuery::Srv(Verb::Stats) => Ok(self.stats_json()),
            IntrospectionQuery::Health => self.health(&message).await,
        };
        self.reply(subject, result).await;
    }

    /// Starts a task that waits for the checks and replies.
    ///
    /// Replies `RESOURCE_EXHAUSTED` at once if [`MAX_QUEUED_CHECKS`] queries wait already: a peer that
    /// sends queries in a loop must not fill the memory of a server whose check hangs.
    async fn reply_after_checks(
        self: &Arc<Self>,
        query: IntrospectionQuery,
        message: Message,
        subject: Subject,
    ) {
        if !self.queued_checks.try_acquire() {
            let text = format!("{MAX_QUEUED_CHECKS} requests wait for the checks already");
            let status = Reason::Overloaded.status(text);
            return self.reply(subject, Err(status)).await;
        }
        let this = Arc::clone(self);
        self.server.tasks.spawn(async move {
            match query {
                IntrospectionQuery::Health => {
                    let result = this.health(&message).await;
                    this.reply(subject, result).await;
                }
                IntrospectionQuery::Srv(_) | IntrospectionQuery::Schema => {
                    this.reply_stats(subject).await;
                }
            }
            this.queued_checks.release();
        });
    }

    /// Replies with the STATS record once the checks have run, or after [`STATS_CHECK_TIMEOUT`]. They go on then: a
    /// check that hangs would have no outcome otherwise, and count as passed.
    async fn reply_stats(&self, subject: Subject) {
        let mut checks = pin!(self.health.report());
        let checked = tokio::time::timeout(STATS_CHECK_TIMEOUT, checks.as_mut()).await;
        self.reply(subject, Ok(self.stats_json())).await;
        if checked.is_err() {
            checks.await;
        }
    }

    async fn reply(&self, subject: Subject, result: Result<Bytes, Status>) {
        // A schema may be larger than one NATS message.
        let reply =
            OutgoingReply::new(subject, result, &self.address.drops).in_parts_from(&self.address);
        self.server.send_reply(reply).await;
    }

    /// Returns the STATS record with the outcomes of checks that ran within the last second, or run now.
    pub(crate) async fn checked_stats(&self) -> Stats {
        self.health.report().await;
        self.stats()
    }

    fn stats_json(&self) -> Bytes {
        records::write(&self.stats()).into()
    }

    /// Returns the reply to a request for health.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` for the name of another service, as gRPC has it; `INVALID_ARGUMENT` for other bytes.
    async fn health(&self, message: &Message) -> Result<Bytes, Status> {
        let name = "grpc.health.v1.HealthCheckRequest";
        let request: HealthCheckRequest = wire::decode_request(message.payload.clone(), name)?;
        let report = self.health.report().await;
        match request.respond(self.service.full_name, &report) {
            Some(response) => Ok(wire::encode(&response)),
            None => Err(Status::not_found(format!(
                "`{}` is not known here; ask for nothing, `readiness`, `liveness` or `{}`",
                request.service, self.service.full_name
            ))),
        }
    }
}
