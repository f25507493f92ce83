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
/// The subject of such a client is the announced one, with no prefix or instance added: INFO holds whole
/// subjects.
///
/// # Errors
///
/// `NOT_FOUND` if no such endpoint is announced; `INVALID_ARGUMENT` if its subject is a pattern, so that a
/// literal one must be named.
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
    let subjects = Box::new([Subject::from(subject.to_owned())]);
    let base = ServiceBase::new(None, service);
    let client = Client::with_subjects(bus, descriptor, subjects, base, options.clone());
    Ok(client)
}
