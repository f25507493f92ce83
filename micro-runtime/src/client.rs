//! `Client`: a service seen from the caller: which subjects, which options.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;

use crate::bus::Bus;
use crate::bus::Connection;
use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::wire;

/// What a generated client holds. Cheap to clone.
#[derive(Clone)]
#[doc(hidden)]
pub struct Client(Arc<Inner>);

struct Inner {
    connection: Arc<Connection>,
    service: &'static ServiceDescriptor,
    subjects: Box<[Subject]>,
    options: ClientOptions,
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
        let service = C::SERVICE;
        let subjects = service
            .methods
            .iter()
            .map(|method| match &options.instance {
                None => self.subject(method.full_name),
                Some(id) => self.subject(&format!("{}._i.{id}.{}", service.full_name, method.name)),
            })
            .collect();
        C::from_client(Client(Arc::new(Inner {
            connection: Arc::clone(self.connection()),
            service,
            subjects,
            options,
        })))
    }
}

impl Client {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.0.connection
    }

    pub(crate) fn method(&self, index: usize) -> &'static MethodDescriptor {
        &self.0.service.methods[index]
    }

    pub(crate) fn subject(&self, index: usize) -> &Subject {
        &self.0.subjects[index]
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

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("service", &self.0.service.full_name)
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
