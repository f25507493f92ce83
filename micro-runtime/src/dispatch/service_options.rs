//! `ServiceOptions`: how one service of a server is served.

use std::time::Duration;

use tower::Layer;

use crate::descriptor::ServiceDescriptor;
use crate::discovery::records::Labels;
use crate::dispatch::queue_group::{declared_queue_group, first_queue_group};
use crate::middleware::{Layered, Layers, Next};
use crate::stream::StreamOptions;

/// Options of one service, for [`Server::add_with`](crate::Server::add_with).
///
/// For each setting the strongest source that has it applies: these options, then `#[rpc(…)]` on the
/// handler, then the .proto, then the defaults of the [`Server`](crate::Server). Discovery shows the
/// result.
///
/// Names of methods are those of the .proto, as in `SayHello`. Starting the server fails with
/// [`ErrorKind::Service`](crate::ErrorKind::Service) if an option names a method that the service does
/// not have.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::ServiceOptions;
///
/// let options = ServiceOptions::new()
///     .timeout(Duration::from_secs(1))
///     .max_concurrent(1_000)
///     .method_max_concurrent("Export", 2)
///     .metadata("zone", "eu-west-1");
/// ```
#[derive(Clone, Debug, Default)]
pub struct ServiceOptions {
    pub(crate) instance: Option<String>,
    pub(crate) max_concurrent: Option<u32>,
    pub(crate) layers: Layers,
    pub(crate) stream_options: StreamOptions,
    pub(crate) metadata: Labels,
    pub(super) timeout: Option<Duration>,
    pub(super) queue_group: Option<String>,
    method_limits: Vec<(String, u32)>,
    method_queue_groups: Vec<(String, String)>,
}

impl ServiceOptions {
    /// Makes options with nothing set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the id of the instance, one subject token; by default it is a unique random one.
    ///
    /// Clients call this very instance with [`ClientOptions::instance`](crate::ClientOptions::instance).
    /// Two instances with one id both get those calls. Starting the server fails if the id is not one
    /// token: it must not be empty, nor hold dots, wildcards or spaces, nor begin with `_` or `$`.
    #[must_use]
    pub fn instance(mut self, id: impl Into<String>) -> Self {
        self.instance = Some(id.into());
        self
    }

    /// Sets the timeout of unary calls that bring none; by default that of `#[rpc(…)]`, of the .proto or of the server,
    /// 5 s. A call that brings a longer one keeps it; see
    /// [`Server::max_timeout`](crate::Server::max_timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the maximum number of calls that this instance runs at a time, all methods of the service
    /// together. Unlimited by default, within the limits of the server and of the methods.
    ///
    /// A call above it is refused with `RESOURCE_EXHAUSTED` at once; it does not wait.
    #[must_use]
    pub fn max_concurrent(mut self, calls: u32) -> Self {
        self.max_concurrent = Some(calls);
        self
    }

    /// Sets the maximum number of calls of one method that this instance runs at a time; 0 lifts a
    /// limit that `#[rpc(…)]` or the .proto sets. Unlimited by default.
    ///
    /// A call above it is refused with `RESOURCE_EXHAUSTED` at once; it does not wait.
    #[must_use]
    pub fn method_max_concurrent(mut self, method: impl Into<String>, calls: u32) -> Self {
        self.method_limits.push((method.into(), calls));
        self
    }

    /// Sets the windows and timeouts of the streams of this service. What they leave out is taken from
    /// [`Server::stream_options`](crate::Server::stream_options).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use micro_runtime::{ServiceOptions, StreamOptions};
    ///
    /// let uploads = StreamOptions::new().idle_timeout(Duration::from_secs(60));
    /// let options = ServiceOptions::new().stream_options(uploads);
    /// ```
    #[must_use]
    pub fn stream_options(mut self, options: StreamOptions) -> Self {
        self.stream_options = options;
        self
    }

    /// Puts middleware around every call of the service, inside of the server's. The first layer that
    /// is added is the outermost. See [`middleware`](crate::middleware).
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.layers.add(layer);
        self
    }

    /// Puts middleware around the calls of one method, inside of the service's.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use micro_runtime::ServiceOptions;
    /// use tower::timeout::TimeoutLayer;
    ///
    /// let options = ServiceOptions::new()
    ///     .method_layer("Export", TimeoutLayer::new(Duration::from_secs(60)));
    /// ```
    #[must_use]
    pub fn method_layer<L>(mut self, method: impl Into<String>, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.layers.add_for(method, layer);
        self
    }

    /// Sets the queue group whose members share the calls; `-` for none: every instance gets each
    /// call, and its caller takes the first reply. `q` by default.
    ///
    /// A canary that must get a share of the calls stays in the group; one in a group of its own gets a
    /// copy of each call.
    #[must_use]
    pub fn queue_group(mut self, group: impl Into<String>) -> Self {
        self.queue_group = Some(group.into());
        self
    }

    /// Sets the queue group of one method; `-` for none.
    ///
    /// # Examples
    ///
    /// A method that every instance must handle, as it empties a cache of each:
    ///
    /// ```
    /// use micro_runtime::ServiceOptions;
    ///
    /// let options = ServiceOptions::new().method_queue_group("DropCache", "-");
    /// ```
    #[must_use]
    pub fn method_queue_group(
        mut self,
        method: impl Into<String>,
        group: impl Into<String>,
    ) -> Self {
        self.method_queue_groups.push((method.into(), group.into()));
        self
    }

    /// Adds a key and a value that discovery shows, as `zone` and `eu-west-1`.
    ///
    /// Starting the server fails if a key begins with `micro.` or `_nats.`, which belong to the runtime
    /// and to NATS.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Returns the methods that an option names, for the check that they exist.
    pub(crate) fn named_methods(&self) -> impl Iterator<Item = &str> {
        let limited = self.method_limits.iter().map(|(name, _)| name.as_str());
        let grouped = self.method_queue_groups.iter();
        let grouped = grouped.map(|(name, _)| name.as_str());
        limited.chain(grouped).chain(self.layers.methods())
    }

    /// Returns the queue group of `_schema` and `_health`, which belong to the service as a whole;
    /// `None` for none.
    pub(crate) fn service_queue_group(
        &self,
        service: &ServiceDescriptor,
        server: Option<&str>,
    ) -> Option<String> {
        let group = self.queue_group.as_deref();
        first_queue_group([group, declared_queue_group(service), server])
    }

    /// Returns the limit that was last set for a method.
    pub(super) fn max_concurrent_of(&self, method: &str) -> Option<u32> {
        let limit = self.method_limits.iter().rfind(|(name, _)| name == method);
        limit.map(|(_, calls)| *calls)
    }

    /// Returns the queue group that was last set for a method.
    pub(super) fn queue_group_of(&self, method: &str) -> Option<&str> {
        let groups = &self.method_queue_groups;
        let group = groups.iter().rfind(|(name, _)| name == method);
        group.map(|(_, group)| group.as_str())
    }
}
