//! Descriptors of services that nobody knew at compile time.
//!
//! What a call carries through middleware, spans and counts is a `&'static MethodDescriptor`. Those
//! made here are kept until the process ends, equal ones once, and only up to a limit: a peer whose
//! schema changes all the time cannot fill the memory.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::descriptor::{Idempotency, MethodDescriptor, MethodKind, ServiceDescriptor};
use crate::status::{Code, Status};
use crate::sync::lock;

/// How much is kept in all, in bytes of names and descriptors.
const MOST: usize = 16 * 1024 * 1024;

static KEPT: Mutex<Kept> = Mutex::new(Kept {
    services: BTreeMap::new(),
    bytes: 0,
});

struct Kept {
    services: BTreeMap<InternedService, &'static ServiceDescriptor>,
    bytes: usize,
}

/// A service as its schema describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InternedService {
    pub(super) full_name: String,
    pub(super) methods: Vec<Method>,
}

/// A method as its schema describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Method {
    pub(super) full_name: String,
    pub(super) name: String,
    pub(super) streams_requests: bool,
    pub(super) streams_replies: bool,
    pub(super) input: String,
    pub(super) output: String,
    pub(super) timeout: Option<Duration>,
    /// The number of the standard option.
    pub(super) idempotency: i32,
}

/// The descriptor of a service, the same one for the same service.
pub(super) fn descriptor(service: InternedService) -> Result<&'static ServiceDescriptor, Status> {
    let mut kept = lock(&KEPT);
    if let Some(known) = kept.services.get(&service) {
        return Ok(known);
    }
    let bytes = service.bytes();
    if kept.bytes + bytes > MOST {
        return Err(Status::new(
            Code::ResourceExhausted,
            format!("this process has described {MOST} bytes of services, and keeps no more"),
        ));
    }
    kept.bytes += bytes;
    let described = service.leak();
    kept.services.insert(service, described);
    Ok(described)
}

impl InternedService {
    fn bytes(&self) -> usize {
        let methods = self.methods.iter().map(|method| {
            let names = [
                &method.full_name,
                &method.name,
                &method.input,
                &method.output,
            ];
            let names = names.into_iter().map(String::len).sum::<usize>();
            2 * (names + size_of::<MethodDescriptor>())
        });
        methods.sum::<usize>() + 3 * self.full_name.len() + size_of::<ServiceDescriptor>()
    }

    fn leak(&self) -> &'static ServiceDescriptor {
        let full_name = leak_text(&self.full_name);
        let (package, name) = full_name.rsplit_once('.').unwrap_or(("", full_name));
        let methods = self.methods.iter().map(Method::leak).collect::<Vec<_>>();
        let methods: &'static [MethodDescriptor] = Vec::leak(methods);
        Box::leak(Box::new(ServiceDescriptor::new(
            full_name, package, name, methods,
        )))
    }
}

impl Method {
    fn leak(&self) -> MethodDescriptor {
        let kind = match (self.streams_requests, self.streams_replies) {
            (false, false) => MethodKind::Unary,
            (false, true) => MethodKind::ServerStreaming,
            (true, false) => MethodKind::ClientStreaming,
            (true, true) => MethodKind::Bidirectional,
        };
        let mut method = MethodDescriptor::new(
            leak_text(&self.full_name),
            leak_text(&self.name),
            kind,
            leak_text(&self.input),
            leak_text(&self.output),
        );
        method.timeout = self.timeout;
        method.idempotency(match self.idempotency {
            1 => Idempotency::NoSideEffects,
            2 => Idempotency::Idempotent,
            _ => Idempotency::Unknown,
        })
    }
}

fn leak_text(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> InternedService {
        InternedService {
            full_name: name.to_owned(),
            methods: Vec::new(),
        }
    }

    #[test]
    fn equal_services_are_described_once() {
        let one = descriptor(service("intern.v1.One")).unwrap();
        let same = descriptor(service("intern.v1.One")).unwrap();
        assert!(std::ptr::eq(one, same));
        assert_eq!((one.package, one.name), ("intern.v1", "One"));
    }

    #[test]
    fn what_is_kept_has_a_limit() {
        let huge = service(&"x".repeat(MOST / 2));
        assert_eq!(
            descriptor(huge).unwrap_err().code(),
            Code::ResourceExhausted
        );
    }
}
