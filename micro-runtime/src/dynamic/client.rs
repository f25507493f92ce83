//! `DynamicClient`: calls any method of any running service, knowing nothing at compile time.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use prost_reflect::{DescriptorPool, MessageDescriptor};

use crate::bus::Bus;
use crate::client::{Call, Client, ClientOptions};
use crate::descriptor::MethodDescriptor;
use crate::discovery::{EndpointInfo, Info};
use crate::dynamic::call::Prepared;
use crate::dynamic::call::{DynamicCall, RawCall};
use crate::dynamic::lookup;
use crate::dynamic::message;
use crate::dynamic::message::DynamicRequest;
use crate::status::{Code, Reason, Status};
use crate::subject;

/// A service that was found while the program runs; made by [`Bus::dynamic`]. Cheap to clone.
///
/// It keeps to the schema that the service had when it was found, as a generated client keeps to its
/// .proto; [`refresh`](Self::refresh) asks again.
///
/// # Examples
///
/// ```no_run
/// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Status> {
/// let greeter = bus.dynamic("greeter.v1.Greeter").await?;
/// for method in greeter.methods() {
///     println!("{} takes {} and gives {}", method.name, method.input, method.output);
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
    /// Absent for a service without a schema.
    typed: Option<TypedMethod>,
}

#[derive(Clone)]
struct TypedMethod {
    client: Client,
    parsed: lookup::Parsed,
}

impl Bus {
    /// Finds a service by its full name, as in `greeter.v1.Greeter`, and reads its schema; one that is
    /// not ours by its ADR-32 name, for [`DynamicClient::call_raw`]. The schema is checked against the
    /// SHA-256 that the instances announce, where they may be asked.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE` if no instance is there; `UNIMPLEMENTED` if its schema cannot be read; `DATA_LOSS`
    /// if no instance announces the schema that one answered.
    pub async fn dynamic(&self, service: &str) -> Result<DynamicClient, Status> {
        self.dynamic_with(service, ClientOptions::new()).await
    }

    /// Finds a service, to call one instance of it, or with another timeout.
    ///
    /// # Errors
    ///
    /// As [`dynamic`](Self::dynamic).
    pub async fn dynamic_with(
        &self,
        service: &str,
        options: ClientOptions,
    ) -> Result<DynamicClient, Status> {
        if let Some(flaw) = subject::literal_flaw(service) {
            let text = format!("`{service}` cannot be the name of a service: {flaw}");
            return Err(Status::invalid_argument(text));
        }
        // Whether every instance answers a call is not known here.
        let options = options.unique_reply_subjects(true);
        let infos = lookup::infos(self, service, &options).await;
        let is_ours = |info: &Info| info.metadata.contains_key("micro.service");
        let is_foreign = !infos.is_empty() && !infos.iter().any(is_ours);
        let typed = match is_foreign {
            true => None,
            false => {
                let parsed = lookup::schema(self, service, &options, &infos).await?;
                let described = lookup::describe(&parsed.schema)?;
                let client = Client::new(self, described, options.clone());
                Some(TypedMethod { client, parsed })
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
    /// The name that the service was found by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The methods; none of a service without a schema.
    #[must_use]
    pub fn methods(&self) -> &'static [MethodDescriptor] {
        let typed = self.typed.as_ref();
        typed.map_or(&[], |typed| typed.client.service().methods)
    }

    /// The endpoints that an instance announces, of any ADR-32 service.
    pub fn endpoints(&self) -> impl Iterator<Item = &EndpointInfo> {
        self.infos.iter().flat_map(|info| &info.endpoints)
    }

    /// The types of the service's schema, to make messages of.
    #[must_use]
    pub fn types(&self) -> Option<&DescriptorPool> {
        Some(self.typed.as_ref()?.parsed.schema.pool())
    }

    /// The type of a method's request.
    ///
    /// # Errors
    ///
    /// `UNIMPLEMENTED` if there is no such method.
    pub fn request_type(&self, method: &str) -> Result<MessageDescriptor, Status> {
        let typed = self.typed()?;
        let found = typed.parsed.schema.method(method);
        found
            .map(|method| method.input())
            .ok_or_else(|| self.no_method(method))
    }

    /// The SHA-256 of the schema, in hexadecimal; `None` for a service without one.
    #[must_use]
    pub fn schema_sha256(&self) -> Option<&str> {
        Some(&self.typed.as_ref()?.parsed.sha256)
    }

    /// Sends and receives JSON, and not protobuf; only a server with the feature `json` answers it.
    #[must_use]
    pub fn in_json(mut self) -> Self {
        self.options = self.options.in_json();
        if let Some(typed) = &mut self.typed {
            let service = typed.client.service();
            typed.client = Client::new(&self.bus, service, self.options.clone());
        }
        self
    }

    /// Finds the service again, as it is now.
    ///
    /// # Errors
    ///
    /// As [`Bus::dynamic`].
    pub async fn refresh(&self) -> Result<Self, Status> {
        let found = self.bus.dynamic_with(&self.name, self.options.clone());
        found.await
    }

    /// Starts a call with one request. The method is named as in the .proto (`SayHello`); the request is
    /// JSON, as a `serde_json::Value` or as text, or a `DynamicMessage`. Awaiting it makes a unary call;
    /// [`DynamicCall::stream`] one with many replies.
    pub fn call(&self, method: &str, request: impl Into<DynamicRequest>) -> DynamicCall {
        DynamicCall(self.prepare(method, Some(request.into())))
    }

    /// Starts a call with many requests; [`DynamicCall::open`] makes it.
    pub fn call_streaming(&self, method: &str) -> DynamicCall {
        DynamicCall(self.prepare(method, None))
    }

    /// Starts a call of an endpoint with bytes: of a service that has no schema, in whatever format it
    /// takes. The endpoint is named as the instances announce it, or by its subject.
    pub fn call_raw(&self, endpoint: &str, payload: impl Into<Bytes>) -> RawCall {
        let client = lookup::endpoint(&self.bus, &self.name, &self.infos, endpoint, &self.options);
        RawCall(client.map(|client| Call::new(&client, 0, payload.into())))
    }

    fn prepare(&self, method: &str, request: Option<DynamicRequest>) -> Result<Prepared, Status> {
        let typed = self.typed()?;
        let index = typed.client.service().methods.iter();
        let index = index.enumerate().find(|(_, known)| known.name == method);
        let found = typed.parsed.schema.method(method);
        let (Some((index, _)), Some(found)) = (index, found) else {
            return Err(self.no_method(method));
        };
        let (input, output) = (found.input(), found.output());
        let body = match request {
            Some(request) => message::encode(request, &input, self.options.is_in_json())?,
            None => Bytes::new(),
        };
        Ok(Prepared {
            call: Call::new(&typed.client, index, body),
            input,
            output,
        })
    }

    fn typed(&self) -> Result<&TypedMethod, Status> {
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

impl fmt::Debug for TypedMethod {
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
