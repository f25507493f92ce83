//! The records of one instance for discovery: ADR-32's INFO and PING at its start, and its STATS
//! (docs/PROTOCOL.md, "Discovery").
//!
//! Endpoints of ADR-32 are methods. `_schema`, `_health` and the subjects of the instance are left out:
//! tools list endpoints as what a person can call.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Subject;
use sha2::{Digest as _, Sha256};

use crate::descriptor::{Idempotency, MethodKind, ServiceDescriptor};
use crate::discovery::names;
use crate::discovery::records::{EndpointInfo, EndpointStats, Info, Instance, Labels};
use crate::discovery::{EndpointData, EventData, InstanceData};
use crate::dispatch::drop_counts::DropCounts;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::server_state::ServerState;
use crate::event::EventCounters;
use crate::wire::version::{WIRE_KEY, WIRE_VERSION};

/// Description of one instance, from which its records are made.
pub(crate) struct InstanceDescription {
    pub(crate) service: &'static ServiceDescriptor,
    /// Id of the instance, one token.
    pub(crate) id: String,
    /// Prefix of the bus, empty if there is none.
    pub(crate) bus_prefix: String,
    /// Token in place of `$SRV`, or `$SRV` itself.
    pub(crate) srv_prefix: String,
    /// Metadata of the user, beside the runtime's own keys.
    pub(crate) metadata: Labels,
}

impl InstanceDescription {
    /// Returns the INFO of the instance with these methods and their subjects. It never changes.
    pub(super) fn info(&self, methods: &[(Subject, Arc<ServedMethod>)]) -> Info {
        let endpoints = methods.iter().map(|(subject, method)| EndpointInfo {
            name: method.descriptor.name.to_owned(),
            subject: subject.to_string(),
            queue_group: method.options.queue_group.clone().unwrap_or_default(),
            metadata: method_metadata(method),
        });
        Info {
            name: names::service_name(self.service.full_name),
            version: self.service.version.to_owned(),
            metadata: self.service_metadata(),
            id: self.id.clone(),
            description: self.service.description.to_owned(),
            endpoints: endpoints.collect(),
        }
    }

    /// Returns the user's metadata and the runtime's. The start of a server has checked that they share
    /// no keys.
    ///
    /// `micro.schema` is the SHA-256 of what `_schema` replies: a dynamic client fetches a schema only if
    /// it does not have that one yet.
    fn service_metadata(&self) -> Labels {
        let service = self.service;
        let schema = Sha256::digest(service.file_descriptor_set);
        let schema = schema.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let own = [
            ("micro.package", service.package.to_owned()),
            ("micro.service", service.full_name.to_owned()),
            ("micro.schema", schema),
            ("micro.prefix", self.bus_prefix.clone()),
            (WIRE_KEY, WIRE_VERSION.to_owned()),
        ];
        let own = own.map(|(key, value)| (key.to_owned(), value));
        self.metadata.clone().into_iter().chain(own).collect()
    }
}

/// Returns the record of a PING, and of the instance's lifecycle events.
pub(super) fn instance(info: &Info) -> Instance {
    Instance {
        name: info.name.clone(),
        id: info.id.clone(),
        version: info.version.clone(),
        metadata: info.metadata.clone(),
    }
}

/// Returns the counts of a method for STATS. `info` is the endpoint of the same method in INFO.
pub(super) fn endpoint_stats(method: &ServedMethod, info: &EndpointInfo) -> EndpointStats {
    let counts = method.stats.counts();
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
            in_flight: method.method_limit.running() as u64,
            shed: counts.shed,
            dropped: method.drops.dropped(),
            unsent_replies: method.drops.unsent_replies(),
            p50: counts.p50,
            p99: counts.p99,
        }),
    }
}

/// Returns the counts of an instance for STATS, besides those of its methods; `drops` are those of its service.
pub(super) fn instance_counts(server: &ServerState, drops: &DropCounts) -> InstanceData {
    let totals = server.connections.totals();
    let events = server.events.get().into_iter().flatten();
    InstanceData {
        refused_replies: server.refused_replies.load(Ordering::Relaxed),
        held_bytes: server.callers.memory().used() as u64,
        refused_holds: server.callers.memory().refused(),
        dropped: drops.dropped(),
        unsent_replies: drops.unsent_replies(),
        reconnects: totals.reconnects,
        refused: totals.refused,
        refused_events: totals.refused_events,
        unmatched_replies: totals.unmatched_replies,
        dropped_replies: totals.dropped_replies,
        lost_messages: totals.lost_messages,
        dropped_cancels: totals.dropped_cancels,
        refused_cancels: totals.refused_cancels,
        cut_connections: totals.cut,
        events: events.map(|counters| event_data(counters)).collect(),
        ..InstanceData::default()
    }
}

fn event_data(counters: &EventCounters) -> EventData {
    let stats = counters.stats();
    EventData {
        event: stats.event.to_owned(),
        subject: stats.subject,
        group: stats.group.unwrap_or_default(),
        received: stats.received,
        handled: stats.handled,
        failed: stats.failed,
        panicked: stats.panicked,
        undecodable: stats.undecodable,
        malformed_headers: stats.malformed_headers,
        dropped: stats.dropped,
        refused: stats.refused,
        given_up: stats.given_up,
    }
}

/// Returns the metadata of a method in INFO: the options that apply to it.
fn method_metadata(method: &ServedMethod) -> Labels {
    let (descriptor, options) = (method.descriptor, &method.options);
    let kind = match descriptor.kind {
        MethodKind::Unary => "unary",
        MethodKind::ServerStreaming => "server_streaming",
        MethodKind::ClientStreaming => "client_streaming",
        MethodKind::Bidirectional => "bidirectional",
    };
    let idempotency = match descriptor.idempotency {
        Idempotency::Unknown => "unknown",
        Idempotency::NoSideEffects => "no_side_effects",
        Idempotency::Idempotent => "idempotent",
    };
    // A stream has a deadline only if its caller sets one.
    let is_unary = descriptor.kind == MethodKind::Unary;
    let timeout = is_unary.then(|| options.timeout.as_millis().to_string());
    let limit = options.max_concurrent.map(|calls| calls.to_string());
    let max_request = method.stream_options.message_limit();
    let deprecated = descriptor.is_deprecated.then(|| "true".to_owned());
    [
        ("micro.method", Some(descriptor.full_name.to_owned())),
        ("micro.kind", Some(kind.to_owned())),
        ("micro.timeout_ms", timeout),
        ("micro.idempotency", Some(idempotency.to_owned())),
        ("micro.request", Some(descriptor.input.to_owned())),
        ("micro.reply", Some(descriptor.output.to_owned())),
        ("micro.max_request_bytes", Some(max_request.to_string())),
        ("micro.max_concurrent", limit),
        ("micro.deprecated", deprecated),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}
