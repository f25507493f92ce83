//! `InstanceSubscriptions`: the subscriptions of a service instance that are not of a method.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_nats::Subject;

use crate::descriptor::ServiceDescriptor;
use crate::discovery::records::Labels;
use crate::dispatch::{
    BroadcastRoute, InstanceAddress, InstanceDescription, InstanceRoute, Introspection,
    IntrospectionQuery, Route, ServedMethod,
};
use crate::server::planned_subscription::PlannedSubscription;
use crate::server::start_context::StartContext;
use crate::wire::subject::Verb;

/// One service instance whose methods are planned, and which needs subscriptions besides:
///
/// | subject | subscriptions | for |
/// |---|---|---|
/// | `<base>._i.<instance>.>` | one, plain | calls of this instance, and the frames of its streams |
/// | `<base>._i._all.>` | one, plain | calls of all instances at once |
/// | `<base>._schema`, `<base>._health` | two, in the queue group | queries that any instance can reply to |
/// | `$SRV.<verb>[.<name>[.<id>]]` | nine, plain | ADR-32 |
pub(super) struct InstanceSubscriptions {
    pub(super) service: &'static ServiceDescriptor,
    pub(super) address: Arc<InstanceAddress>,
    /// Queue group of the service as a whole.
    pub(super) queue: Option<String>,
    pub(super) metadata: Labels,
    /// Methods, and the subject of each.
    pub(super) methods: Vec<(Subject, Arc<ServedMethod>)>,
}

impl InstanceSubscriptions {
    /// Adds the plans of this instance, and returns its introspection, which announces its start and stop.
    pub(super) fn plan(
        self,
        start: &StartContext,
        plans: &mut Vec<PlannedSubscription>,
    ) -> Arc<Introspection> {
        let Self {
            service,
            address,
            queue,
            metadata,
            methods: described,
        } = self;
        let methods = described.iter().map(|(_, method)| Arc::clone(method));
        let methods = methods.collect::<Vec<_>>();
        let description = InstanceDescription {
            service,
            id: address.instance.clone(),
            bus_prefix: start.bus.prefix().unwrap_or_default().to_owned(),
            srv_prefix: start.srv_prefix.clone(),
            metadata,
        };
        let introspection = Arc::new(Introspection::new(
            Arc::clone(&start.server),
            description,
            described,
            Arc::clone(&start.health),
            Arc::clone(&address),
        ));
        let base = &address.base;
        plans.push(PlannedSubscription {
            subject: base.instance_pattern(&address.instance),
            queue: None,
            route: Route::Instance(InstanceRoute {
                service,
                server: Arc::clone(&start.server),
                address: Arc::clone(&address),
                methods: methods.clone(),
                is_stopping: AtomicBool::new(false),
                introspection: Arc::clone(&introspection),
            }),
        });
        plans.push(PlannedSubscription {
            subject: base.broadcast_pattern(),
            queue: None,
            route: Route::Broadcast(BroadcastRoute {
                service,
                server: Arc::clone(&start.server),
                responder: address.instance.as_str().into(),
                address: Arc::clone(&address),
                methods,
            }),
        });
        for (subject, query) in [
            (base.schema(), IntrospectionQuery::Schema),
            (base.health(), IntrospectionQuery::Health),
        ] {
            plans.push(PlannedSubscription {
                subject,
                queue: queue.clone(),
                route: Route::Introspection(Arc::clone(&introspection), query),
            });
        }
        plan_srv(&start.srv_prefix, &introspection, plans);
        introspection
    }
}

/// Adds the plans of ADR-32's nine subjects. Each instance replies on its own, so that there is never a
/// queue group.
fn plan_srv(
    prefix: &str,
    introspection: &Arc<Introspection>,
    plans: &mut Vec<PlannedSubscription>,
) {
    let info = introspection.info();
    let (name, id) = (info.name.as_str(), info.id.as_str());
    for verb in Verb::ALL {
        for (name, id) in [(None, None), (Some(name), None), (Some(name), Some(id))] {
            let query = IntrospectionQuery::Srv(verb);
            plans.push(PlannedSubscription {
                subject: verb.subject(prefix, name, id),
                queue: None,
                route: Route::Introspection(Arc::clone(introspection), query),
            });
        }
    }
}
