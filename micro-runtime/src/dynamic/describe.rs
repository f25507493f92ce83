//! Converts the schema of a service to the descriptor that calls carry.

use std::borrow::Cow;
use std::time::Duration;

use prost_reflect::{MethodDescriptor as ReflectMethod, Value};

use crate::descriptor::ServiceDescriptor;
use crate::dynamic::intern;
use crate::dynamic::intern::{InternedMethod, InternedService};
use crate::dynamic::schema_lookup::unusable;
use crate::json::Schema;
use crate::status::Status;
use crate::subject;

/// Returns the descriptor of the service that a schema describes.
///
/// # Errors
///
/// `UNIMPLEMENTED` if a method's name cannot be a part of a subject: a peer's schema must not choose the
/// subjects that this client publishes to. `RESOURCE_EXHAUSTED` if the process has interned too many.
pub(super) fn service_descriptor(schema: &Schema) -> Result<&'static ServiceDescriptor, Status> {
    let service = schema.service();
    let methods = service.methods().map(|method| {
        if let Some(flaw) = subject::literal_flaw(method.name()) {
            return Err(unusable(
                service.full_name(),
                &format!("its method `{}` has no usable name: {flaw}", method.name()),
            ));
        }
        Ok(InternedMethod {
            full_name: format!("{}.{}", service.full_name(), method.name()),
            name: method.name().to_owned(),
            streams_requests: method.is_client_streaming(),
            streams_replies: method.is_server_streaming(),
            input: method.input().full_name().to_owned(),
            output: method.output().full_name().to_owned(),
            timeout: timeout(schema, &method),
            idempotency: idempotency(&method),
        })
    });
    intern::intern(InternedService {
        full_name: service.full_name().to_owned(),
        methods: methods.collect::<Result<_, _>>()?,
    })
}

/// Returns the `timeout` of the option `(micro.v1.method)`; `None` without it, and for a negative or
/// malformed one.
fn timeout(schema: &Schema, method: &ReflectMethod) -> Option<Duration> {
    let extension = schema.pool().get_extension_by_name("micro.v1.method")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let option = options.get_extension(&extension);
    let option = option.as_message()?;
    let timeout = option
        .has_field_by_name("timeout")
        .then(|| option.get_field_by_name("timeout"))??;
    let timeout = timeout.as_message()?;
    let part = |name: &str| timeout.get_field_by_name(name).map(Cow::into_owned);
    let seconds = part("seconds").and_then(|part| part.as_i64());
    let nanos = part("nanos").and_then(|part| part.as_i32());
    let seconds = u64::try_from(seconds.unwrap_or_default()).ok()?;
    let nanos = u32::try_from(nanos.unwrap_or_default()).ok()?;
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

/// Returns the number of the standard option `idempotency_level`; 0 (unknown) without it.
fn idempotency(method: &ReflectMethod) -> i32 {
    let options = method.options();
    let level = options.get_field_by_name("idempotency_level");
    level
        .as_deref()
        .and_then(Value::as_enum_number)
        .unwrap_or_default()
}
