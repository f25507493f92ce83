//! Makes a client of one ADR-32 endpoint, whose service need not be built on this library.

use async_nats::Subject;

use crate::bus::Bus;
use crate::client::{Client, ClientOptions};
use crate::discovery::Info;
use crate::dynamic::intern;
use crate::dynamic::intern::{InternedMethod, InternedService};
use crate::status::Status;
use crate::subject;
use crate::wire::subject::ServiceBase;

/// Returns a client with one method: the endpoint that `infos` announce under the name `endpoint`, or whose
/// subject matches it.
///
/// The subject of such a client is the announced one, with no prefix added: INFO holds whole subjects. Where the
/// options name an instance, which the caller has found to serve them, it is the one of that instance.
///
/// # Errors
///
/// `NOT_FOUND` if no such endpoint is announced; `INVALID_ARGUMENT` if its subject is a pattern, so that a
/// literal one must be named, or if no subject of the instance can be made of it.
pub(super) fn endpoint_client(
    bus: &Bus,
    service: &str,
    infos: &[Info],
    endpoint: &str,
    options: &ClientOptions,
) -> Result<Client, Status> {
    let announced = || infos.iter().flat_map(|info| &info.endpoints);
    let found = announced()
        .find(|known| known.name == endpoint)
        .or_else(|| announced().find(|known| subject::matches(&known.subject, endpoint)));
    let Some(found) = found else {
        let names = announced().map(|known| known.name.as_str());
        return Err(Status::not_found(format!(
            "`{service}` announces no endpoint `{endpoint}`; it has: {}",
            names.collect::<Vec<_>>().join(", ")
        )));
    };
    let is_name = found.name == endpoint;
    let subject = if is_name { &found.subject } else { endpoint };
    // An announced subject is not trusted: white space would end the subject in NATS's text protocol.
    let is_unsafe = |c: char| c.is_whitespace() || c.is_control();
    if subject::is_pattern(subject) || subject.is_empty() || subject.contains(is_unsafe) {
        return Err(Status::invalid_argument(format!(
            "`{endpoint}` of `{service}` has the subject `{subject}`: name a subject without wildcards to call"
        )));
    }
    let descriptor = intern::intern(InternedService {
        full_name: service.to_owned(),
        methods: vec![InternedMethod {
            full_name: found.subject.clone(),
            name: found.name.clone(),
            streams_requests: false,
            streams_replies: false,
            input: String::new(),
            output: String::new(),
            timeout: None,
            idempotency: 0,
        }],
    })?;
    let subject = match options.instance_id() {
        None => Subject::from(subject.to_owned()),
        Some(id) => of_instance(subject, id).ok_or_else(|| {
            Status::invalid_argument(format!(
                "`{subject}` of `{service}` is no service base and method, so that it is not under `_i` of an instance"
            ))
        })?,
    };
    let subjects = Box::new([subject]);
    let base = ServiceBase::new(None, service);
    let options = options.clone().taking_any_reply();
    let client = Client::with_subjects(bus, descriptor, subjects, base, options);
    Ok(client)
}

/// Returns the subject of one instance for the method with this subject: `<service base>._i.<id>.<method>`.
fn of_instance(subject: &str, id: &str) -> Option<Subject> {
    let (base, method) = subject.rsplit_once('.')?;
    Some(ServiceBase::new(None, base).instance_method(id, method))
}
