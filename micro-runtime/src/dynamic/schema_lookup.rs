//! Reads the schema of a running service, checks it against what the instances announce, and caches it.

use std::fmt::Write as _;
use std::sync::Mutex;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::bus::Bus;
use crate::client::{CallFuture, Client, ClientOptions, EncodedCall};
use crate::descriptor::{Idempotency, MethodDescriptor, MethodKind, ServiceDescriptor};
use crate::discovery::Info;
use crate::json::Schema;
use crate::status::{Code, Reason, Status};
use crate::stream::StreamOptions;
use crate::sync::lock;
use crate::wire;
use crate::wire::subject::SCHEMA;

/// Maximum number of parsed schemas that a process caches; the one unused for longest is dropped.
const MAX_CACHED_SCHEMAS: usize = 32;
/// Maximum length in bytes of a serialized schema.
const MAX_SCHEMA_BYTES: usize = 16 * 1024 * 1024;

/// Parsed schemas, the one that was used last at the end.
static CACHE: Mutex<Vec<ParsedSchema>> = Mutex::new(Vec::new());

/// `_schema` as a method, so that it is called like any other, with retries and large replies. Its service
/// base is set by [`ClientOptions::or_service_base`], which makes the subject `<service base>._schema`.
static SCHEMA_SERVICE: ServiceDescriptor = ServiceDescriptor::new(
    SCHEMA,
    "",
    SCHEMA,
    &[MethodDescriptor::new(
        SCHEMA,
        SCHEMA,
        MethodKind::Unary,
        "google.protobuf.Empty",
        "google.protobuf.FileDescriptorSet",
    )
    .idempotency(Idempotency::NoSideEffects)],
);

/// A schema, with the SHA-256 of its serialized `FileDescriptorSet` in hexadecimal. Cheap to clone.
#[derive(Clone)]
pub(super) struct ParsedSchema {
    pub(super) sha256: String,
    pub(super) schema: Schema,
}

/// Returns the INFO of one instance under the prefix of this bus, or of one of any prefix if the options name an
/// instance or a service base. Empty if there is none, or if this client has no permission for `$SRV.INFO`: calls
/// work without.
pub(super) async fn instance_infos(bus: &Bus, service: &str, options: &ClientOptions) -> Vec<Info> {
    let mut query = bus.discovery().get(service).expected(1);
    if !options.names_target() {
        query = query.of_bus(bus.prefix());
    }
    if let Some(id) = options.instance_id() {
        query = query.instance(id);
    }
    query.await.unwrap_or_default()
}

/// Returns the schema of a service, as one of its instances has it now.
///
/// The SHA-256 of `infos` makes a cached schema valid without asking for it, and is the reason to distrust
/// a reply that has another one: a subject that several responders share must not decide what types mean.
pub(super) async fn schema(
    bus: &Bus,
    service: &str,
    options: &ClientOptions,
    infos: &[Info],
) -> Result<ParsedSchema, Status> {
    let announced = infos
        .iter()
        .find_map(|info| announced_sha256(info, service));
    if let Some(announced) = announced
        && let Some(known) = cached(announced, service)
    {
        return Ok(known);
    }
    let bytes = fetch(bus, service, options).await?;
    let sha256 = hexadecimal(&Sha256::digest(&bytes));
    if let Some(announced) = announced
        && announced != sha256
    {
        // Instances of two versions may run beside each other during a deployment.
        let all = bus.discovery().get(service).of_bus(bus.prefix()).await;
        let all = all.unwrap_or_default();
        let is_announced = |info| announced_sha256(info, service) == Some(sha256.as_str());
        if !all.iter().any(is_announced) {
            return Err(Status::new(
                Code::DataLoss,
                format!(
                    "the schema that {service} sends has the SHA-256 {sha256}, which no instance announces"
                ),
            ));
        }
    }
    if let Some(known) = cached(&sha256, service) {
        return Ok(known);
    }
    let schema = parse(bytes, service).await?;
    let parsed = ParsedSchema { sha256, schema };
    add_to_cache(parsed.clone());
    Ok(parsed)
}

/// Status for a schema that was read and cannot be used.
pub(super) fn unusable(service: &str, error: &str) -> Status {
    Reason::Undecodable.status_with(
        Code::Unimplemented,
        format!("the schema that {service} sends cannot be used: {error}"),
    )
}

/// Returns the SHA-256 that an instance announces for the schema of the service.
fn announced_sha256<'a>(info: &'a Info, service: &str) -> Option<&'a str> {
    let label = |name: &str| info.metadata.get(name).map(String::as_str);
    let is_service = label("micro.service") == Some(service);
    is_service.then(|| label("micro.schema")).flatten()
}

async fn fetch(bus: &Bus, service: &str, options: &ClientOptions) -> Result<Bytes, Status> {
    let limit = StreamOptions::new().max_message_bytes(MAX_SCHEMA_BYTES);
    let limit = limit.or(options.stream_options);
    let options = options
        .clone()
        .or_service_base(service)
        .stream_options(limit);
    let client = Client::new(bus, &SCHEMA_SERVICE, options);
    let reply = CallFuture::new(EncodedCall::new(&client, 0, Bytes::new()).request).await;
    let reply = reply.map_err(|status| match status.reason() {
        Some(Reason::NoResponders) => Reason::NoResponders.status(format!(
            "no instance serves {service}, or none that replies to `_schema`"
        )),
        _ => status,
    })?;
    let bytes = reply.into_payload();
    match wire::acknowledged_by(&bytes) {
        Some(status) => Err(status),
        None => Ok(bytes),
    }
}

/// Parses a schema on a thread for blocking work: a large one takes milliseconds, which would delay the
/// other tasks of a runtime's worker.
async fn parse(bytes: Bytes, service: &str) -> Result<Schema, Status> {
    let name = service.to_owned();
    let parsing = tokio::task::spawn_blocking(move || Schema::read(bytes, &name));
    match parsing.await {
        Ok(Ok(schema)) => Ok(schema),
        Ok(Err(error)) => Err(unusable(service, &error)),
        Err(error) => Err(Status::unavailable("the runtime stops").with_source(error)),
    }
}

fn cached(sha256: &str, service: &str) -> Option<ParsedSchema> {
    let mut cache = lock(&CACHE);
    // One file set may hold several services, each of which is parsed by itself.
    let is_wanted = |cached: &ParsedSchema| {
        cached.sha256 == sha256 && cached.schema.service().full_name() == service
    };
    let found = cache.iter().position(is_wanted)?;
    let found = cache.remove(found);
    cache.push(found.clone());
    Some(found)
}

fn add_to_cache(parsed: ParsedSchema) {
    let mut cache = lock(&CACHE);
    if cache.len() >= MAX_CACHED_SCHEMAS {
        cache.remove(0);
    }
    cache.push(parsed);
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
