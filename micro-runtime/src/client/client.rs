//! `Client`: subjects, options and retry budget of one service, as its callers see it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;

use crate::bus::{Bus, Connection, ReplySlot};
use crate::client::option_flaws::flaw;
use crate::client::options::ClientOptions;
use crate::client::retry_policy::RetryBudget;
use crate::context::TimeoutSource;
use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::middleware::{Layers, Next};
use crate::observe::{MethodMetrics, Side};
use crate::status::Status;
use crate::stream::{StreamLabel, StreamOptions};
use crate::wire;
use crate::wire::PayloadFormat;
use crate::wire::subject::ServiceBase;

/// The part of a generated client that is the same for all services. Cheap to clone.
///
/// Subjects are formatted once, when the client is made, so that a call allocates nothing for them.
#[derive(Clone)]
#[doc(hidden)]
pub struct Client(Arc<Inner>);

struct Inner {
    connection: Arc<Connection>,
    service: &'static ServiceDescriptor,
    /// One per method, in the order of the descriptor.
    subjects: Box<[Subject]>,
    base: ServiceBase,
    options: ClientOptions,
    retry_budget: RetryBudget,
    /// One per method, made once: looking up a recorder's metric costs a call more than the call's own
    /// bookkeeping.
    metrics: Box<[Arc<MethodMetrics>]>,
    /// Layers around all calls, and around those of each method; `None` if there are none, which is the
    /// path without boxes.
    stacks: Option<(Next, Box<[Next]>)>,
}

/// A client that micro-build generated; [`Bus::client`] makes it.
#[doc(hidden)]
pub trait ServiceClient: Sized {
    /// Descriptor of the service that it calls.
    const SERVICE: &'static ServiceDescriptor;

    /// Wraps the part that is the same for all services.
    fn from_client(client: Client) -> Self;
}

impl Bus {
    /// Returns a client of a generated service.
    ///
    /// This sends nothing and cannot fail: whether an instance serves the method shows when it is called.
    /// A client is cheap to clone, and its clones share a budget for retries.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::{GreeterClient, HelloRequest};
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Status> {
    /// let greeter: GreeterClient = bus.client();
    /// let reply = greeter.say_hello(HelloRequest { name: "Ada".into() }).await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn client<C: ServiceClient>(&self) -> C {
        self.client_with(ClientOptions::new())
    }

    /// Returns a client of a generated service with these options.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::GreeterClient;
    /// use std::time::Duration;
    /// use micro_runtime::ClientOptions;
    ///
    /// # fn run(bus: micro_runtime::Bus) {
    /// let options = ClientOptions::new().timeout(Duration::from_millis(250));
    /// let greeter: GreeterClient = bus.client_with(options);
    /// # }
    /// ```
    #[must_use]
    pub fn client_with<C: ServiceClient>(&self, options: ClientOptions) -> C {
        C::from_client(Client::new(self, C::SERVICE, options))
    }
}

impl Client {
    /// Returns a client of the service that the descriptor describes.
    pub(crate) fn new(
        bus: &Bus,
        service: &'static ServiceDescriptor,
        mut options: ClientOptions,
    ) -> Self {
        if let Some(status) = flaw(&options, service) {
            options.layers = Layers::failing(status);
        }
        let base = options.subject_base.as_deref();
        let base = ServiceBase::new(bus.prefix(), base.unwrap_or(service.full_name));
        let subjects = service
            .methods
            .iter()
            .map(|method| match &options.instance {
                None => base.method(method.name),
                Some(id) => base.instance_method(id, method.name),
            })
            .collect();
        Self::with_subjects(bus, service, subjects, base, options)
    }

    /// Returns a client whose methods have these subjects, one per method.
    pub(crate) fn with_subjects(
        bus: &Bus,
        service: &'static ServiceDescriptor,
        subjects: Box<[Subject]>,
        base: ServiceBase,
        options: ClientOptions,
    ) -> Self {
        let stacks = stacks(&options.layers, service);
        let metrics = service
            .methods
            .iter()
            .map(|method| Arc::new(MethodMetrics::new(Side::Client, method)));
        Self(Arc::new(Inner {
            connection: Arc::clone(bus.calling()),
            service,
            subjects,
            base,
            retry_budget: RetryBudget::new(),
            metrics: metrics.collect(),
            stacks,
            options,
        }))
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.0.connection
    }

    /// Returns whether calls wait for the connection while it is lost.
    pub(crate) fn waits_for_ready(&self) -> bool {
        self.0.options.waits_for_ready
    }

    /// Returns whether calls have an id to be canceled by.
    pub(crate) fn cancels_by_header(&self) -> bool {
        self.0.options.cancels_by_header
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

    /// Returns the subject on which every instance receives the request (docs/PROTOCOL.md, NAME-5).
    pub(crate) fn subject_of_all(&self, index: usize) -> Subject {
        self.0.base.broadcast_method(self.method(index).name)
    }

    /// Reserves a reply slot for a call of a method, and returns the subject that the reply must go to.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` if NATS has just refused a call of the method, or refuses the inbox.
    #[inline]
    pub(crate) fn reserve_reply_slot(&self, method: usize) -> Result<(ReplySlot, Subject), Status> {
        self.connection().mux().reserve(self.subject(method))
    }

    /// Returns the format of requests, and so of replies.
    pub(crate) fn format(&self) -> PayloadFormat {
        self.0.options.format
    }

    pub(crate) fn base(&self) -> &ServiceBase {
        &self.0.base
    }

    pub(crate) fn stream_options(&self) -> StreamOptions {
        self.0.options.stream_options
    }

    /// Checks the length of a reply that came in one NATS message.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED`, with the option that raises the limit.
    #[inline]
    pub(crate) fn check_reply_len(
        &self,
        method: &'static MethodDescriptor,
        reply: &[u8],
    ) -> Result<(), Status> {
        let max = self.stream_options().message_limit();
        StreamLabel::check_len(method, true, reply.len() as u64, max)
    }

    /// Returns the id of the only instance that is called; `None` for any one of the queue group.
    pub(crate) fn instance(&self) -> Option<&str> {
        self.0.options.instance.as_deref()
    }

    /// Returns whether the service announces no streams, so that none may be opened.
    pub(crate) fn is_without_streams(&self) -> bool {
        self.0.options.is_without_streams
    }

    /// Returns the budget for retries that all calls of this client share.
    pub(crate) fn retry_budget(&self) -> &RetryBudget {
        &self.0.retry_budget
    }

    pub(crate) fn metrics(&self, index: usize) -> &Arc<MethodMetrics> {
        &self.0.metrics[index]
    }

    /// Returns the layers around a method's calls, the outer ones first; `None` if there are none.
    pub(crate) fn stacks(&self, index: usize) -> Option<[Next; 2]> {
        let (all, methods) = self.0.stacks.as_ref()?;
        Some([all.clone(), methods[index].clone()])
    }

    /// Returns the timeout of a unary call that sets none, and where it comes from: the client's, else the .proto's,
    /// else the protocol's.
    #[inline]
    pub(crate) fn timeout(&self, method: &MethodDescriptor) -> (Duration, TimeoutSource) {
        match (self.0.options.timeout, method.timeout) {
            (Some(timeout), _) => (timeout, TimeoutSource::Client),
            (None, Some(timeout)) => (timeout, TimeoutSource::Method),
            (None, None) => (wire::DEFAULT_TIMEOUT, TimeoutSource::Protocol),
        }
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
