//! `DynamicClient`: calls any method of any running service without knowing it at compile time.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use prost_reflect::{DescriptorPool, MessageDescriptor};

use crate::bus::Bus;
use crate::client::{Client, ClientOptions, target_flaw};
use crate::descriptor::MethodDescriptor;
use crate::discovery::{EndpointInfo, Info, SealedRecord};
use crate::dynamic::call::{DynamicCall, PreparedCall, RawCall};
use crate::dynamic::message::DynamicRequest;
use crate::dynamic::schema_lookup::ParsedSchema;
use crate::dynamic::{describe, endpoint_client, schema_lookup};
use crate::status::{Code, Reason, Status};
use crate::subject;

/// A client of a service that was found at run time; made by [`Bus::dynamic`]. Cheap to clone.
///
/// It keeps the schema that the service had when it was found, as a generated client keeps that of its
/// .proto. [`refresh`](Self::refresh) reads the current one.
///
/// # Examples
///
/// ```no_run
/// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Status> {
/// let greeter = bus.dynamic("greeter.v1.Greeter").await?;
/// for method in greeter.methods() {
///     println!("{}({}) returns {}", method.name, method.input, method.output);
/// }
/// let reply = greeter.call("SayHello", r#"{"name": "Ada"}"#).await?;
/// println!("{}", reply.text()?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct DynamicClient {
    bus: Bus,
    name: Arc<str>,
    options: ClientOptions,
    infos: Arc<[Info]>,
    /// `None` for a service without a schema.
    typed: Option<TypedClient>,
}

/// Client and schema of a service that has one.
#[derive(Clone)]
struct TypedClient {
    client: Client,
    parsed: ParsedSchema,
}

impl Bus {
    /// Finds a service by its full name, as in `greeter.v1.Greeter`, and reads its schema. A service that
    /// is not built on this library is found by its ADR-32 name, for [`DynamicClient::call_raw`].
    ///
    /// The schema comes from `_schema` of one instance and is checked against the SHA-256 that the
    /// instances announce, if this client has permission for `$SRV.INFO`. It is read once per SHA-256: a
    /// process caches the 32 schemas that it used last. The descriptors of services take up to 16 MiB
    /// for the life of the process; above that, services with new schemas are `RESOURCE_EXHAUSTED`.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE` if no instance is there; `UNIMPLEMENTED` if its schema cannot be read, or if the instance
    /// that replied speaks another version of the wire ([`Reason::WireVersion`]); `DATA_LOSS`
    /// if no instance announces the SHA-256 of the schema that one of them sent; `INVALID_ARGUMENT` if
    /// the name cannot be a part of a subject.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Status> {
    /// let greeter = bus.dynamic("greeter.v1.Greeter").await?;
    /// let reply = greeter.call("SayHello", r#"{"name": "Ada"}"#).await?;
    /// # Ok(()) }
    /// ```
    pub async fn dynamic(&self, service: &str) -> Result<DynamicClient, Status> {
        self.dynamic_with(service, ClientOptions::new()).await
    }

    /// Finds a service as [`dynamic`](Self::dynamic) does, to call it with these options.
    ///
    /// # Errors
    ///
    /// As [`dynamic`](Self::dynamic).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use micro_runtime::ClientOptions;
    ///
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Status> {
    /// let options = ClientOptions::new().timeout(Duration::from_secs(1));
    /// let greeter = bus.dynamic_with("greeter.v1.Greeter", options).await?;
    /// # Ok(()) }
    /// ```
    pub async fn dynamic_with(
        &self,
        service: &str,
        options: ClientOptions,
    ) -> Result<DynamicClient, Status> {
        if let Some(flaw) = subject::literal_flaw(service) {
            let text = format!("`{service}` cannot be the name of a service: {flaw}");
            return Err(Status::invalid_argument(text));
        }
        if let Some(status) = target_flaw(&options) {
            return Err(status);
        }
        let infos = schema_lookup::instance_infos(self, service, &options).await;
        let options = check_peers(&infos, options)?;
        let has_schema = |info: &Info| info.metadata.contains_key("micro.service");
        // Without permission for `$SRV.INFO` there are no infos, and `_schema` is tried.
        let is_foreign = !infos.is_empty() && !infos.iter().any(has_schema);
        let typed = match is_foreign {
            true => None,
            false => {
                let parsed = schema_lookup::schema(self, service, &options, &infos).await?;
                let descriptor = describe::service_descriptor(&parsed.schema)?;
                let client = Client::new(self, descriptor, options.clone());
                Some(TypedClient { client, parsed })
            }
        };
        Ok(DynamicClient {
            bus: self.clone(),
            name: service.into(),
            options,
            infos: infos.into(),
            typed,
        })
    }
}

impl DynamicClient {
    /// Returns the name that the service was found by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the methods in the order of the .proto; empty for a service without a schema.
    #[must_use]
    pub fn methods(&self) -> &'static [MethodDescriptor] {
        let typed = self.typed.as_ref();
        typed.map_or(&[], |typed| typed.client.service().methods)
    }

    /// Returns the endpoints that an instance announces in its ADR-32 INFO, of any service. Empty if this
    /// client has no permission for it.
    pub fn endpoints(&self) -> impl Iterator<Item = &EndpointInfo> {
        self.infos.iter().flat_map(|info| &info.endpoints)
    }

    /// Returns the types of the service's schema, to make messages of; `None` for a service without one.
    #[must_use]
    pub fn types(&self) -> Option<&DescriptorPool> {
        Some(self.typed.as_ref()?.parsed.schema.pool())
    }

    /// Returns the type of a method's request.
    ///
    /// # Errors
    ///
    /// `UNIMPLEMENTED` if there is no such method, with a text that lists those that exist.
    pub fn request_type(&self, method: &str) -> Result<MessageDescriptor, Status> {
        let typed = self.typed()?;
        let found = typed.parsed.schema.method(method);
        found
            .map(|method| method.input())
            .ok_or_else(|| self.no_method(method))
    }

    /// Returns the SHA-256 of the schema in hexadecimal; `None` for a service without one.
    #[must_use]
    pub fn schema_sha256(&self) -> Option<&str> {
        Some(&self.typed.as_ref()?.parsed.sha256)
    }

    /// Sends and receives JSON on the wire instead of protobuf. A server without the feature `json`
    /// fails such calls with `UNIMPLEMENTED`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Status> {
    /// let greeter = bus.dynamic("greeter.v1.Greeter").await?.in_json();
    /// let reply = greeter.call("SayHello", r#"{"name": "Ada"}"#).await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn in_json(mut self) -> Self {
        self.options = self.options.in_json();
        if let Some(typed) = &mut self.typed {
            let service = typed.client.service();
            typed.client = Client::new(&self.bus, service, self.options.clone());
        }
        self
    }

    /// Finds the service again, as it is now, and returns a client with the same options.
    ///
    /// # Errors
    ///
    /// As [`Bus::dynamic`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
    /// let current = greeter.refresh().await?;
    /// if current.schema_sha256() != greeter.schema_sha256() {
    ///     println!("the schema has changed");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn refresh(&self) -> Result<Self, Status> {
        let found = self.bus.dynamic_with(&self.name, self.options.clone());
        found.await
    }

    /// Starts a call with one request. `method` is the name in the .proto, as in `SayHello`; the request
    /// is canonical proto3 JSON, as text or as a `serde_json::Value`, or a `DynamicMessage`.
    ///
    /// Awaiting the result makes a unary call; [`DynamicCall::stream`] makes one with many replies.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
    /// let reply = greeter.call("SayHello", r#"{"name": "Ada"}"#).await?;
    /// # Ok(()) }
    /// ```
    pub fn call(&self, method: &str, request: impl Into<DynamicRequest>) -> DynamicCall {
        DynamicCall::new(self.prepare(method, Some(request.into())))
    }

    /// Starts a call with many requests; [`DynamicCall::open`] makes it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
    /// let (mut requests, replies) = greeter.call_streaming("Chat").open().await?;
    /// requests.send(r#"{"name": "Ada"}"#).await?;
    /// # Ok(()) }
    /// ```
    pub fn call_streaming(&self, method: &str) -> DynamicCall {
        DynamicCall::new(self.prepare(method, None))
    }

    /// Starts a call of an endpoint with bytes in whatever format it takes, for services without a schema.
    ///
    /// `endpoint` is the name that the instances announce, or a subject without wildcards that an
    /// announced subject matches.
    ///
    /// A reply without headers that is `{"stream":…,"seq":…}`, with no field but those of JetStream's acknowledgment
    /// (`domain`, `duplicate`, …), fails the call with [`Reason::NotAService`] and the name of the stream: a stream
    /// that captures the subject acknowledges each request so, mostly before the service replies. A service whose own
    /// reply has this form replies with a header, as `Content-Type: application/json`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Status> {
    /// let service = bus.dynamic("text-tools").await?;
    /// let reply = service.call_raw("reverse", "abc").await?;
    /// assert_eq!(reply.message, "cba");
    /// # Ok(()) }
    /// ```
    pub fn call_raw(&self, endpoint: &str, payload: impl Into<Bytes>) -> RawCall {
        let client = endpoint_client::endpoint_client(
            &self.bus,
            &self.name,
            &self.infos,
            endpoint,
            &self.options,
        );
        RawCall::new(client, payload.into())
    }

    /// Finds the method of a call with this request; `None` for one with many requests.
    fn prepare(
        &self,
        method: &str,
        request: Option<DynamicRequest>,
    ) -> Result<PreparedCall, Status> {
        let typed = self.typed()?;
        let mut methods = typed.client.service().methods.iter();
        let index = methods.position(|known| known.name == method);
        let found = typed.parsed.schema.method(method);
        let (Some(index), Some(found)) = (index, found) else {
            return Err(self.no_method(method));
        };
        Ok(PreparedCall {
            client: typed.client.clone(),
            method: index,
            request,
            input: found.input(),
            output: found.output(),
        })
    }

    fn typed(&self) -> Result<&TypedClient, Status> {
        self.typed.as_ref().ok_or_else(|| {
            let names = self.endpoints().map(|endpoint| endpoint.name.as_str());
            Reason::NotAService.status_with(
                Code::Unimplemented,
                format!(
                    "`{}` has no schema, since it is not a service of micro: call its endpoints ({}) \
                     with `call_raw`",
                    self.name,
                    names.collect::<Vec<_>>().join(", ")
                ),
            )
        })
    }

    fn no_method(&self, method: &str) -> Status {
        let names = self.methods().iter().map(|method| method.name);
        Reason::NoSuchMethod.status(format!(
            "{} has no method `{method}`; it has: {}",
            self.name,
            names.collect::<Vec<_>>().join(", ")
        ))
    }
}

/// Checks what the instances announce, and returns the options for calling them: no streams for those that serve none.
///
/// # Errors
///
/// [`Reason::WireVersion`] if one speaks another version of the wire; `UNIMPLEMENTED` if the options name an instance
/// that cannot be called by its id.
fn check_peers(infos: &[Info], options: ClientOptions) -> Result<ClientOptions, Status> {
    let mut are_without_streams = !infos.is_empty();
    for peer in infos.iter().map(SealedRecord::identity) {
        are_without_streams &= !peer.serves_streams()?;
        if options.instance_id().is_some() {
            peer.check_addressable()?;
        }
    }
    Ok(options.without_streams(are_without_streams))
}

impl fmt::Debug for TypedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.client, f)
    }
}

impl fmt::Debug for DynamicClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicClient")
            .field("name", &self.name)
            .field("typed", &self.typed)
            .finish_non_exhaustive()
    }
}
