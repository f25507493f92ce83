//! `Client`: a service seen from the caller: which subjects, which options.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use tower::Layer;

use crate::bus::{Bus, Connection, ReplySlot};
use crate::client::retry;
use crate::client::retry::Budget;
use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::middleware::{Layered, Layers, Next};
use crate::observe::{MethodMetrics, Side};
use crate::stream::StreamOptions;
use crate::wire;
use crate::wire::subject::ServiceBase;

/// What a generated client holds. Cheap to clone.
#[derive(Clone)]
#[doc(hidden)]
pub struct Client(Arc<Inner>);

struct Inner {
    connection: Arc<Connection>,
    service: &'static ServiceDescriptor,
    subjects: Box<[Subject]>,
    base: ServiceBase,
    options: ClientOptions,
    budget: Budget,
    meters: Box<[Arc<MethodMetrics>]>,
    /// The layers around all calls, and around those of each method; absent if there are none.
    stacks: Option<(Next, Box<[Next]>)>,
}

/// A client that micro-build generates; [`Bus::client`] makes it.
#[doc(hidden)]
pub trait ServiceClient: Sized {
    /// The service that it calls.
    const SERVICE: &'static ServiceDescriptor;

    /// Wraps the part that is the same for all services.
    fn from_client(client: Client) -> Self;
}

/// How a client calls; see [`Bus::client_with`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::ClientOptions;
///
/// let options = ClientOptions::new().timeout(Duration::from_millis(250));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    instance: Option<String>,
    timeout: Option<Duration>,
    has_unique_replies: bool,
    stream_options: StreamOptions,
    subject_base: Option<String>,
    is_json: bool,
    layers: Layers,
}

impl ClientOptions {
    /// Starts with nothing set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls this one instance, and not the queue group.
    #[must_use]
    pub fn instance(mut self, id: impl Into<String>) -> Self {
        self.instance = Some(id.into());
        self
    }

    /// What unary calls wait for that set no timeout of their own.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Uses each reply subject once, where a responder is not trusted: a second reply of his could
    /// otherwise reach a later call. It costs about a fifth of the throughput.
    #[must_use]
    pub fn unique_reply_subjects(mut self, is_wanted: bool) -> Self {
        self.has_unique_replies = is_wanted;
        self
    }

    /// Sets what the streams of this client may have under way, and how long they may be silent.
    #[must_use]
    pub fn stream_options(mut self, options: StreamOptions) -> Self {
        self.stream_options = options;
        self
    }

    /// Calls the service under another name than its .proto's, as in `acme.greeter`: where this NATS
    /// account imports it under a subject of its own. The bus's prefix still stands before it.
    #[must_use]
    pub fn subject_base(mut self, base: impl Into<String>) -> Self {
        self.subject_base = Some(base.into());
        self
    }

    /// Puts middleware around every call of the client; the first that is added is the outermost.
    /// See [`middleware`](crate::middleware).
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.layers.add(layer);
        self
    }

    /// Puts middleware around the calls of one method, inside of what is around all calls. The name
    /// is the .proto's, as in `SayHello`; a name that no method has matches nothing.
    #[must_use]
    pub fn method_layer<L>(mut self, method: impl Into<String>, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.layers.add_for(method, layer);
        self
    }
}

#[cfg(feature = "json")]
impl ClientOptions {
    /// Sends JSON; what is sent must be JSON then.
    pub(crate) fn in_json(mut self) -> Self {
        self.is_json = true;
        self
    }

    /// Calls under this name, unless another one was set.
    pub(crate) fn or_service_base(mut self, base: &str) -> Self {
        self.subject_base.get_or_insert_with(|| base.to_owned());
        self
    }

    pub(crate) fn is_in_json(&self) -> bool {
        self.is_json
    }

    pub(crate) fn instance_id(&self) -> Option<&str> {
        self.instance.as_deref()
    }
}

impl Bus {
    /// Makes a client for a generated service. It connects nothing, and never fails: a call says
    /// when nobody serves it.
    ///
    /// # Examples
    ///
    /// ```ignore
    /// let greeter: GreeterClient = bus.client();
    /// let reply = greeter.say_hello(HelloRequest { name: "Ada".into() }).await?;
    /// ```
    #[must_use]
    pub fn client<C: ServiceClient>(&self) -> C {
        self.client_with(ClientOptions::new())
    }

    /// Makes a client that calls one instance, or with another timeout.
    #[must_use]
    pub fn client_with<C: ServiceClient>(&self, options: ClientOptions) -> C {
        C::from_client(Client::new(self, C::SERVICE, options))
    }
}

impl Client {
    /// Makes a client for whatever service is described.
    pub(crate) fn new(
        bus: &Bus,
        service: &'static ServiceDescriptor,
        options: ClientOptions,
    ) -> Self {
        let base = options.subject_base.as_deref();
        let base = base.unwrap_or(service.full_name);
        let base = ServiceBase::new(bus.prefix(), base);
        let subjects = service
            .methods
            .iter()
            .map(|method| match &options.instance {
                None => base.method(method.name),
                Some(id) => base.instance_method(id, method.name),
            })
            .collect();
        Self::at(bus, service, subjects, base, options)
    }

    /// Makes a client whose methods have these subjects.
    pub(crate) fn at(
        bus: &Bus,
        service: &'static ServiceDescriptor,
        subjects: Box<[Subject]>,
        base: ServiceBase,
        options: ClientOptions,
    ) -> Self {
        let stacks = stacks(&options.layers, service);
        let meters = service
            .methods
            .iter()
            .map(|method| Arc::new(MethodMetrics::new(Side::Client, method)));
        Self(Arc::new(Inner {
            connection: Arc::clone(bus.connection()),
            service,
            subjects,
            base,
            budget: Budget::new(),
            meters: meters.collect(),
            stacks,
            options,
        }))
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.0.connection
    }

    #[cfg(feature = "json")]
    pub(crate) fn service(&self) -> &'static ServiceDescriptor {
        self.0.service
    }

    pub(crate) fn method(&self, index: usize) -> &'static MethodDescriptor {
        &self.0.service.methods[index]
    }

    pub(crate) fn subject(&self, index: usize) -> &Subject {
        &self.0.subjects[index]
    }

    /// Where every instance gets the request.
    pub(crate) fn subject_of_all(&self, index: usize) -> Subject {
        self.0.base.broadcast_method(self.method(index).name)
    }

    /// Takes a reply slot.
    pub(crate) fn open(&self) -> (ReplySlot, Subject) {
        // Without a queue group every instance answers, each call many times.
        let has_many_replies = self.0.service.queue_group == "-";
        let is_unique = self.0.options.has_unique_replies || has_many_replies;
        self.connection().mux().reserve(is_unique)
    }

    /// Whether what is sent is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.0.options.is_json
    }

    pub(crate) fn base(&self) -> ServiceBase {
        self.0.base.clone()
    }

    pub(crate) fn stream_options(&self) -> StreamOptions {
        self.0.options.stream_options
    }

    /// The retries that the calls of this client may still make.
    pub(crate) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    pub(crate) fn meters(&self, index: usize) -> &Arc<MethodMetrics> {
        &self.0.meters[index]
    }

    /// Counts a call of a method that may be sent again.
    pub(crate) fn count(&self, method: &MethodDescriptor) {
        if retry::is_safe(method) {
            self.0.budget.deposit();
        }
    }

    /// The layers around a method's calls, the outer ones first; `None` if there are none.
    pub(crate) fn stacks(&self, index: usize) -> Option<[Next; 2]> {
        let (all, methods) = self.0.stacks.as_ref()?;
        Some([all.clone(), methods[index].clone()])
    }

    /// What a call waits that sets no timeout: the client's word, the .proto's, the wire's.
    pub(crate) fn timeout(&self, method: &MethodDescriptor) -> Duration {
        self.0
            .options
            .timeout
            .or(method.timeout)
            .unwrap_or(wire::DEFAULT_TIMEOUT)
    }
}

fn stacks(layers: &Layers, service: &ServiceDescriptor) -> Option<(Next, Box<[Next]>)> {
    let all = layers.stack();
    let methods = service
        .methods
        .iter()
        .map(|method| layers.stack_for(method.name))
        .collect::<Box<[_]>>();
    let is_empty = all.is_empty() && methods.iter().all(Next::is_empty);
    (!is_empty).then_some((all, methods))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("service", &self.0.service.full_name)
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
