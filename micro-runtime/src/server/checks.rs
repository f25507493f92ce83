//! Checks of a server before it subscribes: names, versions, metadata, methods, subjects.
//!
//! A server that breaks one of these rules would start and then fail in silence: NATS routes by any
//! subject, and tools for ADR-32 leave out an instance that they cannot parse. So each is an error of
//! the start, which quotes the name that has to change.

use std::collections::HashSet;

use crate::descriptor::ServiceDescriptor;
use crate::discovery::names;
use crate::dispatch::{IntrospectionQuery, Route, ServiceOptions};
use crate::error::{Error, ErrorKind};
use crate::server::planned_subscription::PlannedSubscription;
use crate::server::server::Server;
use crate::subject;

/// Prefixes of metadata keys that belong to the runtime and to NATS.
const RESERVED_KEY_PREFIXES: [&str; 2] = ["micro.", "_nats."];

/// Checks that there is something to serve: a server without it would run and do nothing, as where a service is added
/// to another one by mistake.
pub(super) fn check_not_empty(server: &Server) -> Result<(), Error> {
    let counts = [
        server.services.len(),
        server.sources.len(),
        #[cfg(feature = "jetstream")]
        server.streams.len(),
    ];
    match counts.iter().any(|count| *count > 0) {
        true => Ok(()),
        false => Err(refused(
            "the server has nothing to serve: add a service with `Server::add`, or a subscriber with `Server::subscribe`"
                .to_owned(),
        )),
    }
}

/// Checks that options name methods of the service only: settings for a method that does not exist would
/// have no effect.
pub(super) fn check_methods(
    service: &ServiceDescriptor,
    options: &ServiceOptions,
) -> Result<(), Error> {
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

/// Checks a name that becomes one token of a subject; `what` is what it names, for the text.
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

/// Checks that no subject is planned twice, as when a service is added twice: both endpoints would be
/// in one queue group, and each get a part of the calls.
///
/// Exempt are subjects of which every subscription gets each request: `$SRV.PING` and the like, which all services of
/// a server have in common, and `_i._all.>`, for calls to all instances.
pub(super) fn check_subjects(plans: &[PlannedSubscription]) -> Result<(), Error> {
    let mut planned = HashSet::new();
    for plan in plans {
        let is_shared = matches!(
            plan.route,
            Route::Introspection(_, IntrospectionQuery::Srv(_)) | Route::Broadcast(_)
        );
        if !is_shared && !planned.insert(plan.subject.as_str()) {
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

/// Checks ADR-32's rules for names, versions and metadata of a service.
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
    let reserved = |key: &&String| {
        RESERVED_KEY_PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix))
    };
    match options.metadata.keys().find(reserved) {
        None => Ok(()),
        Some(key) => Err(refused(format!(
            "`{key}` cannot be a key of the metadata of {}: `micro.` and `_nats.` are reserved",
            service.full_name
        ))),
    }
}

/// Checks the tokens in place of `$SRV`.
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
