//! Checks of `ClientOptions` against the service that is called.
//!
//! A client is made without an error. One whose options are wrong fails each call with the reason, before anything is
//! sent: a layer that is left out, or a subject that NATS cannot route, would fail in silence or in a way that hides
//! the mistake.

use crate::client::options::ClientOptions;
use crate::descriptor::ServiceDescriptor;
use crate::status::Status;
use crate::subject;

/// Returns the error of calls with these options; `None` if there is nothing wrong.
pub(super) fn flaw(options: &ClientOptions, service: &ServiceDescriptor) -> Option<Status> {
    target_flaw(options).or_else(|| method_flaw(options, service))
}

/// Returns the error of an instance or a base of subjects that cannot be a part of a subject.
pub(crate) fn target_flaw(options: &ClientOptions) -> Option<Status> {
    instance_flaw(options).or_else(|| base_flaw(options))
}

fn instance_flaw(options: &ClientOptions) -> Option<Status> {
    let id = options.instance.as_deref()?;
    let has_tokens = || id.contains('.').then_some("it has more than one token");
    let flaw = subject::literal_flaw(id).or_else(has_tokens)?;
    let text = format!(
        "`{}` cannot be the id of an instance: {flaw}",
        id.escape_debug()
    );
    Some(Status::invalid_argument(text))
}

fn base_flaw(options: &ClientOptions) -> Option<Status> {
    let base = options.subject_base.as_deref()?;
    let flaw = subject::raw_flaw(base, false)?;
    let text = format!(
        "`{}` cannot be the base of subjects: {flaw}",
        base.escape_debug()
    );
    Some(Status::invalid_argument(text))
}

fn method_flaw(options: &ClientOptions, service: &ServiceDescriptor) -> Option<Status> {
    let names = || service.methods.iter().map(|method| method.name);
    let unknown = options
        .layers
        .methods()
        .find(|name| names().all(|known| known != *name))?;
    Some(Status::invalid_argument(format!(
        "the options of the client name the method `{}`, which {} does not have; it has {}",
        unknown.escape_debug(),
        service.full_name,
        names().collect::<Vec<_>>().join(", ")
    )))
}
