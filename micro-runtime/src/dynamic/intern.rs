//! Interns descriptors of services that were unknown at compile time.
//!
//! Middleware, spans and metrics of a call take a `&'static MethodDescriptor`, which costs a generated
//! client nothing. A descriptor that is built at run time therefore has to live until the process ends:
//! it is leaked, once per distinct service. The total is limited, so that a peer whose schema changes all
//! the time cannot fill the memory.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::descriptor::{Idempotency, MethodDescriptor, MethodKind, ServiceDescriptor};
use crate::status::{Code, Status};
use crate::sync::lock;

/// Maximum size of all interned descriptors, in bytes of names and structs: 16 MiB.
const MAX_INTERNED_BYTES: usize = 16 * 1024 * 1024;

static INTERNED: Mutex<Interner> = Mutex::new(Interner {
    services: BTreeMap::new(),
    bytes: 0,
});

/// Every service that was interned, and the size of all.
struct Interner {
    services: BTreeMap<InternedService, &'static ServiceDescriptor>,
    bytes: usize,
}

/// A service as its schema describes it; equal ones have one descriptor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InternedService {
    pub(super) full_name: String,
    pub(super) methods: Vec<InternedMethod>,
}

/// A method as its schema describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InternedMethod {
    pub(super) full_name: String,
    pub(super) name: String,
    pub(super) streams_requests: bool,
    pub(super) streams_replies: bool,
    pub(super) input: String,
    pub(super) output: String,
    pub(super) timeout: Option<Duration>,
    /// Number of the enum value of the standard option `idempotency_level`.
    pub(super) idempotency: i32,
}

/// Returns the descriptor of a service: the same one for an equal service.
///
/// # Errors
///
/// `RESOURCE_EXHAUSTED` above [`MAX_INTERNED_BYTES`].
pub(super) fn intern(service: InternedService) -> Result<&'static ServiceDescriptor, Status> {
    let mut interned = lock(&INTERNED);
    if let Some(known) = interned.services.get(&service) {
        return Ok(known);
    }
    let bytes = service.bytes();
    if interned.bytes + bytes > MAX_INTERNED_BYTES {
        return Err(Status::new(
            Code::ResourceExhausted,
            format!(
                "this process has described {MAX_INTERNED_BYTES} bytes of services, and keeps no more"
            ),
        ));
    }
    interned.bytes += bytes;
    let descriptor = service.leak();
    interned.services.insert(service, descriptor);
    Ok(descriptor)
}

impl InternedService {
    /// Returns the size of the service: that of its names, as map key and as descriptor, and of the
    /// structs.
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
        let methods = self.methods.iter().map(InternedMethod::leak);
        let methods: &'static [MethodDescriptor] = Vec::leak(methods.collect());
        Box::leak(Box::new(ServiceDescriptor::new(
            full_name, package, name, methods,
        )))
    }
}

impl InternedMethod {
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
    fn equal_services_have_one_descriptor() {
        let one = intern(service("intern.v1.One")).unwrap();
        let same = intern(service("intern.v1.One")).unwrap();
        assert!(std::ptr::eq(one, same));
        assert_eq!((one.package, one.name), ("intern.v1", "One"));
    }

    #[test]
    fn descriptors_above_the_limit_are_refused() {
        let huge = service(&"x".repeat(MAX_INTERNED_BYTES / 2));
        assert_eq!(intern(huge).unwrap_err().code(), Code::ResourceExhausted);
    }
}
