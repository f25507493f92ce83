//! `ServiceScope`: plans the subscriptions of one service of a server that is about to start.

use std::sync::Arc;

use crate::descriptor::{ElementSizes, RequestSizes, ServiceDescriptor};
use crate::dispatch::{
    BurstRefusals, DropCounts, Endpoint, InstanceAddress, Introspection, MethodLogs, MethodOptions,
    MethodStats, OptionSources, Route, ServedMethod, ServiceOptions, layered,
};
use crate::error::Error;
use crate::execute::{ConcurrencyLimit, PollCost};
use crate::json::LazyTranscoder;
use crate::middleware::Next;
use crate::observe::{MethodMetrics, Side};
use crate::server::checks::{check_methods, check_service, check_token};
use crate::server::instance_subscriptions::InstanceSubscriptions;
use crate::server::planned_subscription::PlannedSubscription;
use crate::server::server::Registration;
use crate::server::start_context::StartContext;
use crate::wire::subject::ServiceBase;

/// State and settings that the methods of one service have in common.
struct ServiceScope<'a> {
    start: &'a StartContext,
    service: &'static ServiceDescriptor,
    options: &'a ServiceOptions,
    address: Arc<InstanceAddress>,
    /// Parses the descriptors with the first call in JSON, once for all methods.
    json: Arc<LazyTranscoder>,
    element_sizes: Arc<ElementSizes>,
    /// Calls of all methods together.
    limit: Arc<ConcurrencyLimit>,
    /// Middleware of the service. Its state is common to the methods.
    layers: Next,
}

/// Checks one service, and plans its subscriptions: one per method, and those of its instance.
///
/// # Errors
///
/// [`ErrorKind::Service`](crate::ErrorKind::Service) for a name, a version, an option or a key of the
/// metadata that breaks a rule, with the text that has to change. Nothing is subscribed then.
pub(super) fn plan_service(
    start: &StartContext,
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
    check_service(service, &options)?;
    let queue = options.service_queue_group(service, start.queue_group.as_deref());
    if let Some(queue) = &queue {
        check_token("queue group", queue)?;
    }
    let base = ServiceBase::new(start.bus.prefix(), service.full_name);
    let address = Arc::new(InstanceAddress::new(service.full_name, base, instance));
    let scope = ServiceScope {
        start,
        service,
        options: &options,
        address: Arc::clone(&address),
        json: Arc::new(LazyTranscoder::new(service)),
        element_sizes: Arc::new(ElementSizes::new(service.file_descriptor_set)),
        limit: Arc::new(concurrency_limit(options.max_concurrent)),
        layers: options.layers.stack(),
    };
    let mut methods = Vec::new();
    for endpoint in endpoints {
        let method = Arc::new(scope.method(endpoint)?);
        let subject = address.base.method(method.descriptor.name);
        methods.push((subject.clone(), Arc::clone(&method)));
        plans.push(PlannedSubscription {
            subject,
            queue: method.options.queue_group.clone(),
            route: Route::Method(method),
        });
    }
    let subscriptions = InstanceSubscriptions {
        service,
        address,
        queue,
        metadata: options.metadata,
        methods,
    };
    Ok(subscriptions.plan(start, plans))
}

impl ServiceScope<'_> {
    /// Makes the method that calls of this endpoint run: its options from all their sources, its handler
    /// behind all middleware, its limit and its counts.
    fn method(&self, endpoint: Endpoint) -> Result<ServedMethod, Error> {
        let (start, descriptor) = (self.start, endpoint.method);
        let options = MethodOptions::resolve(&OptionSources {
            service_options: self.options,
            rpc: &endpoint.rpc,
            method: descriptor,
            service: self.service,
            server_queue_group: start.queue_group.as_deref(),
            default_timeout: start.server.timeouts.default,
        });
        if let Some(queue) = &options.queue_group {
            check_token("queue group", queue)?;
        }
        let layers = [
            start.layers.clone(),
            self.layers.clone(),
            self.options.layers.stack_for(descriptor.name),
        ];
        Ok(ServedMethod {
            server: Arc::clone(&start.server),
            address: Arc::clone(&self.address),
            descriptor,
            method_limit: concurrency_limit(options.max_concurrent),
            options,
            stream_options: self.options.stream_options.or(start.stream_options),
            handler: layered(endpoint.handler, descriptor, layers),
            json: Arc::clone(&self.json),
            request_sizes: Arc::new(RequestSizes::new(
                Arc::clone(&self.element_sizes),
                descriptor.input,
            )),
            service_limit: Arc::clone(&self.limit),
            cost: PollCost::new(),
            metrics: Arc::new(MethodMetrics::new(Side::Server, descriptor)),
            stats: MethodStats::new(),
            drops: DropCounts::new(descriptor.full_name),
            logs: MethodLogs::default(),
            burst_refusals: BurstRefusals::default(),
        })
    }
}

fn concurrency_limit(calls: Option<u32>) -> ConcurrencyLimit {
    ConcurrencyLimit::new(calls.map_or(usize::MAX, |calls| calls as usize))
}
