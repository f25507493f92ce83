//! The subscriptions of a service instance that are not of a method: its own, and its desk's.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_nats::Subject;

use crate::descriptor::ServiceDescriptor;
use crate::discovery::names;
use crate::discovery::records::Labels;
use crate::dispatch::{
    BroadcastRoute, InstanceAddress, InstanceRoute, Introspection, IntrospectionQuery,
    IntrospectionSettings, Route, ServedMethod, ServiceOptions,
};
use crate::error::{Error, ErrorKind};
use crate::server::plan::{PlannedSubscription, StartContext};
use crate::wire::subject::Verb;

/// Keys that belong to the runtime and to NATS.
const RESERVED_KEYS: [&str; 2] = ["micro.", "_nats."];

/// One service instance whose methods are planned.
pub(super) struct InstanceSubscriptions {
    pub(super) service: &'static ServiceDescriptor,
    pub(super) home: Arc<InstanceAddress>,
    pub(super) queue: Option<String>,
    pub(super) metadata: Labels,
    pub(super) served: Vec<(Subject, Arc<ServedMethod>)>,
}

impl InstanceSubscriptions {
    pub(super) fn plan(
        self,
        world: &StartContext,
        plans: &mut Vec<PlannedSubscription>,
    ) -> Arc<Introspection> {
        let Self {
            service,
            home,
            queue,
            metadata,
            served,
        } = self;
        let endpoints = served.iter().map(|(_, endpoint)| Arc::clone(endpoint));
        let endpoints = endpoints.collect::<Vec<_>>();
        let settings = IntrospectionSettings {
            service,
            id: home.instance.clone(),
            bus_prefix: world.bus.prefix().unwrap_or_default().to_owned(),
            srv_prefix: world.srv_prefix.clone(),
            metadata,
        };
        let health = Arc::clone(&world.health);
        let shared = Arc::clone(&world.shared);
        let desk = Introspection::new(shared, settings, served, health, Arc::clone(&home));
        let desk = Arc::new(desk);
        plans.push(PlannedSubscription {
            subject: home.base.instance_pattern(&home.instance),
            queue: None,
            target: Route::Instance(InstanceRoute {
                service,
                shared: Arc::clone(&world.shared),
                home: Arc::clone(&home),
                endpoints: endpoints.clone(),
                is_stopping: AtomicBool::new(false),
                desk: Arc::clone(&desk),
            }),
        });
        plans.push(PlannedSubscription {
            subject: home.base.broadcast_pattern(),
            queue: None,
            target: Route::Broadcast(BroadcastRoute {
                shared: Arc::clone(&world.shared),
                service: service.full_name,
                id: home.instance.as_str().into(),
                home: Arc::clone(&home),
                endpoints,
            }),
        });
        for (subject, ask) in [
            (home.base.schema(), IntrospectionQuery::Schema),
            (home.base.health(), IntrospectionQuery::Health),
        ] {
            plans.push(PlannedSubscription {
                subject,
                queue: queue.clone(),
                target: Route::Introspection(Arc::clone(&desk), ask),
            });
        }
        plan_srv(&world.srv_prefix, &desk, plans);
        desk
    }
}

/// ADR-32's nine subjects; each instance answers on its own, so there is never a queue group.
fn plan_srv(prefix: &str, desk: &Arc<Introspection>, plans: &mut Vec<PlannedSubscription>) {
    let (name, id) = (desk.info().name.as_str(), desk.info().id.as_str());
    for verb in Verb::ALL {
        for (name, id) in [(None, None), (Some(name), None), (Some(name), Some(id))] {
            plans.push(PlannedSubscription {
                subject: verb.subject(prefix, name, id),
                queue: None,
                target: Route::Introspection(Arc::clone(desk), IntrospectionQuery::Srv(verb)),
            });
        }
    }
}

/// Holds what ADR-32 says about names, versions and metadata.
pub(super) fn check_service(
    service: &ServiceDescriptor,
    options: &ServiceOptions,
) -> Result<(), Error> {
    let name = names::service_name(service.full_name);
    if let Some(flaw) = names::name_flaw(&name) {
        let name = service.full_name;
        return Err(refused(format!(
            "`{name}` cannot be the name of a service: {flaw}"
        )));
    }
    if !names::is_semver(service.version) {
        return Err(refused(format!(
            "the version `{}` of {} is no SemVer, which discovery asks for; write one such as `1.2.3`",
            service.version, service.full_name
        )));
    }
    for method in service.methods {
        if let Some(flaw) = names::name_flaw(method.name) {
            return Err(refused(format!(
                "`{}` cannot be the name of a method of {}: {flaw}",
                method.name, service.full_name
            )));
        }
    }
    let reserved = |key: &&String| RESERVED_KEYS.iter().any(|prefix| key.starts_with(prefix));
    match options.metadata.keys().find(reserved) {
        None => Ok(()),
        Some(key) => Err(refused(format!(
            "`{key}` cannot be a key of the metadata of {}: `micro.` and `_nats.` are reserved",
            service.full_name
        ))),
    }
}

pub(super) fn check_prefix(prefix: &str) -> Result<(), Error> {
    match names::prefix_flaw(prefix) {
        None => Ok(()),
        Some(flaw) => Err(refused(format!(
            "`{prefix}` cannot be the prefix of discovery: {flaw}"
        ))),
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Service, message)
}
