//! Finds out what a service is: its schema, checked against what its instances announce.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use prost_reflect::{MethodDescriptor as Reflected, Value};
use sha2::{Digest as _, Sha256};

use crate::bus::Bus;
use crate::client::{Call, CallFuture, Client, ClientOptions};
use crate::descriptor::{Idempotency, MethodDescriptor, MethodKind, ServiceDescriptor};
use crate::discovery::Info;
use crate::dynamic::intern;
use crate::json::Schema;
use crate::status::{Code, Reason, Status};
use crate::subject;
use crate::sync::lock;
use crate::wire;
use crate::wire::subject::{SCHEMA as SCHEMA_TOKEN, ServiceBase};

/// So many schemas are kept parsed in a process, those that were used last.
const KEPT: usize = 32;

static PARSED: Mutex<Vec<Parsed>> = Mutex::new(Vec::new());

/// `_schema` as if it were a method of a service; under which name is said by the options.
static SCHEMA: ServiceDescriptor = ServiceDescriptor::new(
    SCHEMA_TOKEN,
    "",
    SCHEMA_TOKEN,
    &[MethodDescriptor::new(
        SCHEMA_TOKEN,
        SCHEMA_TOKEN,
        MethodKind::Unary,
        "google.protobuf.Empty",
        "google.protobuf.FileDescriptorSet",
    )
    .idempotency(Idempotency::NoSideEffects)],
);

/// A schema that was read, with the SHA-256 of its bytes in hexadecimal.
#[derive(Clone)]
pub(super) struct Parsed {
    pub(super) sha256: String,
    pub(super) schema: Schema,
}

/// What instances say of themselves; nothing if they may not be asked.
pub(super) async fn infos(bus: &Bus, service: &str, options: &ClientOptions) -> Vec<Info> {
    let mut query = bus.discovery().get(service).expected(1);
    if let Some(id) = options.instance_id() {
        query = query.instance(id);
    }
    query.await.unwrap_or_default()
}

/// The schema of a service, as one of its instances has it now.
pub(super) async fn schema(
    bus: &Bus,
    service: &str,
    options: &ClientOptions,
    infos: &[Info],
) -> Result<Parsed, Status> {
    let announced = infos.iter().find_map(|info| announced(bus, info, service));
    if let Some(announced) = announced
        && let Some(known) = recall(announced, service)
    {
        return Ok(known);
    }
    let bytes = fetch(bus, service, options).await?;
    let sha256 = hexadecimal(&Sha256::digest(&bytes));
    if let Some(announced) = announced
        && announced != sha256
    {
        // Instances of two versions may run beside each other.
        let all = bus.discovery().get(service).await.unwrap_or_default();
        let is_known = |info| self::announced(bus, info, service) == Some(sha256.as_str());
        if !all.iter().any(is_known) {
            return Err(Status::new(
                Code::DataLoss,
                format!(
                    "the schema that {service} answers has the SHA-256 {sha256}, which no instance announces"
                ),
            ));
        }
    }
    if let Some(known) = recall(&sha256, service) {
        return Ok(known);
    }
    let schema = parse(bytes, service).await?;
    let parsed = Parsed { sha256, schema };
    remember(parsed.clone());
    Ok(parsed)
}

/// The descriptor of a service that a schema describes.
pub(super) fn describe(schema: &Schema) -> Result<&'static ServiceDescriptor, Status> {
    let service = schema.service();
    let methods = service.methods().map(|method| {
        if let Some(flaw) = subject::literal_flaw(method.name()) {
            return Err(unreadable(
                service.full_name(),
                &format!("its method `{}` has no usable name: {flaw}", method.name()),
            ));
        }
        Ok(intern::Method {
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
    intern::descriptor(intern::InternedService {
        full_name: service.full_name().to_owned(),
        methods: methods.collect::<Result<_, _>>()?,
    })
}

/// The client of one endpoint, which may be anybody's.
pub(super) fn endpoint(
    bus: &Bus,
    service: &str,
    infos: &[Info],
    named: &str,
    options: &ClientOptions,
) -> Result<Client, Status> {
    let endpoints = || infos.iter().flat_map(|info| &info.endpoints);
    let found = endpoints()
        .find(|endpoint| endpoint.name == named)
        .or_else(|| endpoints().find(|endpoint| subject::matches(&endpoint.subject, named)));
    let Some(found) = found else {
        let names = endpoints().map(|endpoint| endpoint.name.as_str());
        return Err(Status::not_found(format!(
            "`{service}` announces no endpoint `{named}`; it has: {}",
            names.collect::<Vec<_>>().join(", ")
        )));
    };
    let is_name = found.name == named;
    let subject = if is_name { &found.subject } else { named };
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    if subject::is_pattern(subject) || subject.is_empty() || subject.contains(is_odd) {
        return Err(Status::invalid_argument(format!(
            "`{named}` of `{service}` has the subject `{subject}`: name a subject without wildcards to call"
        )));
    }
    let described = intern::descriptor(intern::InternedService {
        full_name: service.to_owned(),
        methods: vec![intern::Method {
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
    Ok(Client::at(bus, described, subjects, base, options.clone()))
}

/// The SHA-256 that an instance of ours announces for the service under this bus's prefix.
fn announced<'a>(bus: &Bus, info: &'a Info, service: &str) -> Option<&'a str> {
    let label = |name: &str| info.metadata.get(name).map(String::as_str);
    let is_it = label("micro.service") == Some(service)
        && bus.prefix().unwrap_or_default() == label("micro.prefix").unwrap_or_default();
    is_it.then(|| label("micro.schema")).flatten()
}

async fn fetch(bus: &Bus, service: &str, options: &ClientOptions) -> Result<Bytes, Status> {
    let options = options.clone().or_service_base(service);
    let client = Client::new(bus, &SCHEMA, options);
    let reply = CallFuture::new(Call::new(&client, 0, Bytes::new()).request).await;
    let reply = reply.map_err(|status| match status.reason() {
        Some(Reason::NoResponders) => Reason::NoResponders.status(format!(
            "no instance serves {service}, or none that answers `_schema`"
        )),
        _ => status,
    })?;
    let bytes = reply.into_payload();
    wire::check_not_jetstream(&bytes)?;
    Ok(bytes)
}

/// A large schema takes its time, which is not the runtime's.
async fn parse(bytes: Bytes, service: &str) -> Result<Schema, Status> {
    let name = service.to_owned();
    let parsing = tokio::task::spawn_blocking(move || Schema::read(bytes, &name));
    match parsing.await {
        Ok(Ok(schema)) => Ok(schema),
        Ok(Err(error)) => Err(unreadable(service, &error)),
        Err(error) => Err(Status::unavailable("the runtime stops").with_source(error)),
    }
}

fn unreadable(service: &str, error: &str) -> Status {
    Reason::Undecodable.status_with(
        Code::Unimplemented,
        format!("the schema that {service} answers cannot be used: {error}"),
    )
}

fn recall(sha256: &str, service: &str) -> Option<Parsed> {
    let mut parsed = lock(&PARSED);
    let is_it = |one: &Parsed| one.sha256 == sha256 && one.schema.service().full_name() == service;
    let found = parsed.iter().position(is_it)?;
    let found = parsed.remove(found);
    parsed.push(found.clone());
    Some(found)
}

fn remember(new: Parsed) {
    let mut parsed = lock(&PARSED);
    if parsed.len() >= KEPT {
        parsed.remove(0);
    }
    parsed.push(new);
}

/// What the method's `(micro.v1.method)` says about its deadline.
fn timeout(schema: &Schema, method: &Reflected) -> Option<Duration> {
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

fn idempotency(method: &Reflected) -> i32 {
    let options = method.options();
    let level = options.get_field_by_name("idempotency_level");
    level
        .as_deref()
        .and_then(Value::as_enum_number)
        .unwrap_or_default()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
