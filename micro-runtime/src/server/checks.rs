//! Checks of a server before it subscribes: names, methods, subjects.

use std::collections::HashSet;

use crate::descriptor::ServiceDescriptor;
use crate::dispatch::{IntrospectionQuery, Route, ServiceOptions};
use crate::error::{Error, ErrorKind};
use crate::server::plan::PlannedSubscription;
use crate::subject;

/// Settings for a method that does not exist would do nothing, in silence.
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

pub(super) fn check_subjects(plans: &[PlannedSubscription]) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for plan in plans {
        let is_shared = matches!(
            plan.target,
            Route::Introspection(_, IntrospectionQuery::Srv(_)) | Route::Broadcast(_)
        );
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
