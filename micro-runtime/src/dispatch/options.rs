//! Settings of services and methods, and who wins where several say something.

use std::time::Duration;

use tower::Layer;

use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::discovery::records::Labels;
use crate::middleware::{Layered, Layers, Next};
use crate::stream::StreamOptions;
use crate::wire;

/// What `#[rpc(…)]` says about one method. Made by `#[service]`.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct RpcOptions {
    method: &'static str,
    timeout: Option<Duration>,
    max_concurrent: Option<u32>,
    queue: Option<&'static str>,
    is_blocking: bool,
    is_detached: bool,
}

/// How one service is served; see [`Server::add_with`](crate::Server::add_with).
///
/// What is set here wins over `#[rpc(…)]`, which wins over the .proto, which wins over the
/// server's defaults.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::ServiceOptions;
///
/// let options = ServiceOptions::new().timeout(Duration::from_secs(1)).queue_group("canary");
/// ```
#[derive(Clone, Debug, Default)]
pub struct ServiceOptions {
    pub(crate) instance: Option<String>,
    pub(crate) max_concurrent: Option<u32>,
    pub(crate) layers: Layers,
    pub(crate) stream_options: StreamOptions,
    timeout: Option<Duration>,
    method_limits: Vec<(String, u32)>,
    queue_group: Option<String>,
    method_queue_groups: Vec<(String, String)>,
    pub(crate) metadata: Labels,
}

/// What a server makes of the time that callers bring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) default: Duration,
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

/// The queue group that means none.
const NO_QUEUE_GROUP: &str = "-";
/// ADR-32's default.
const DEFAULT_QUEUE_GROUP: &str = "q";

/// How one method is served, once everybody has been heard.
#[derive(Clone, Debug)]
pub(crate) struct MethodOptions {
    pub(crate) timeout: Duration,
    pub(crate) max_concurrent: Option<u32>,
    pub(crate) queue_group: Option<String>,
    pub(crate) is_blocking: bool,
    pub(crate) is_detached: bool,
}

impl RpcOptions {
    /// Starts with nothing said about the method that the .proto calls so.
    #[must_use]
    pub const fn new(method: &'static str) -> Self {
        Self {
            method,
            timeout: None,
            max_concurrent: None,
            queue: None,
            is_blocking: false,
            is_detached: false,
        }
    }

    /// The deadline of calls that bring none.
    #[must_use]
    pub const fn timeout_ms(mut self, milliseconds: u64) -> Self {
        self.timeout = Some(Duration::from_millis(milliseconds));
        self
    }

    /// How many calls one instance runs at a time.
    #[must_use]
    pub const fn max_concurrent(mut self, calls: u32) -> Self {
        self.max_concurrent = Some(calls);
        self
    }

    /// The queue group; `-` for none.
    #[must_use]
    pub const fn queue(mut self, group: &'static str) -> Self {
        self.queue = Some(group);
        self
    }

    /// The handler blocks its thread.
    #[must_use]
    pub const fn blocking(mut self) -> Self {
        self.is_blocking = true;
        self
    }

    /// The handler goes on after its deadline.
    #[must_use]
    pub const fn detached(mut self) -> Self {
        self.is_detached = true;
        self
    }

    /// The entry for a method among those of its handler.
    pub(crate) fn of(method: &'static str, all: &[Self]) -> Self {
        all.iter()
            .find(|options| options.method == method)
            .copied()
            .unwrap_or(Self::new(method))
    }
}

impl ServiceOptions {
    /// Starts with nothing set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names this instance; by default it gets a name that nobody else has.
    #[must_use]
    pub fn instance(mut self, id: impl Into<String>) -> Self {
        self.instance = Some(id.into());
        self
    }

    /// The deadline of calls that bring none.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many calls of the service this instance runs at a time, all methods together.
    #[must_use]
    pub fn max_concurrent(mut self, calls: u32) -> Self {
        self.max_concurrent = Some(calls);
        self
    }

    /// How many calls of one method this instance runs at a time; 0 lifts a limit of the .proto.
    /// The name is the .proto's, as in `SayHello`.
    #[must_use]
    pub fn method_max_concurrent(mut self, method: impl Into<String>, calls: u32) -> Self {
        self.method_limits.push((method.into(), calls));
        self
    }

    /// Sets what the streams of this service may have under way; wins over the server's.
    #[must_use]
    pub fn stream_options(mut self, options: StreamOptions) -> Self {
        self.stream_options = options;
        self
    }

    /// Puts middleware around every call of the service, inside of the server's; the first that is
    /// added is the outermost. See [`middleware`](crate::middleware).
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.layers.add(layer);
        self
    }

    /// Puts middleware around the calls of one method, inside of the service's. The name is the
    /// .proto's, as in `SayHello`.
    #[must_use]
    pub fn method_layer<L>(mut self, method: impl Into<String>, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.layers.add_for(method, layer);
        self
    }

    /// The methods that something was said about.
    pub(crate) fn named_methods(&self) -> impl Iterator<Item = &str> {
        let limited = self.method_limits.iter().map(|(name, _)| name.as_str());
        let grouped = self.method_queue_groups.iter();
        let grouped = grouped.map(|(name, _)| name.as_str());
        limited.chain(grouped).chain(self.layers.methods())
    }

    fn method_limit(&self, method: &str) -> Option<u32> {
        let limit = self.method_limits.iter().rfind(|(name, _)| name == method);
        limit.map(|(_, calls)| *calls)
    }

    /// The queue group whose members share the calls; `-` for none: every instance answers.
    #[must_use]
    pub fn queue_group(mut self, group: impl Into<String>) -> Self {
        self.queue_group = Some(group.into());
        self
    }

    /// The queue group of one method; `-` for none. The name is the .proto's, as in `SayHello`.
    #[must_use]
    pub fn method_queue_group(
        mut self,
        method: impl Into<String>,
        group: impl Into<String>,
    ) -> Self {
        self.method_queue_groups.push((method.into(), group.into()));
        self
    }

    /// Adds a key and a value that discovery shows, as in `zone` and `eu-west-1`. Keys that begin
    /// with `micro.` and `_nats.` are the runtime's and NATS's own.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The queue group of what belongs to the service as a whole; `None` for none.
    pub(crate) fn service_queue_group(
        &self,
        service: &ServiceDescriptor,
        server: Option<&str>,
    ) -> Option<String> {
        let group = self.queue_group.as_deref();
        queue_group([group, said(service.queue_group), server])
    }

    fn queue_group_of(&self, method: &str) -> Option<&str> {
        let groups = &self.method_queue_groups;
        let group = groups.iter().rfind(|(name, _)| name == method);
        group.map(|(_, group)| group.as_str())
    }
}

/// The first group that somebody named, or the default; `None` if it means none.
fn queue_group<const N: usize>(said: [Option<&str>; N]) -> Option<String> {
    let group = said.into_iter().flatten().next();
    let group = group.unwrap_or(DEFAULT_QUEUE_GROUP);
    (group != NO_QUEUE_GROUP).then(|| group.to_owned())
}

/// What the .proto says, if it says anything.
fn said(group: &'static str) -> Option<&'static str> {
    (!group.is_empty()).then_some(group)
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            default: wire::DEFAULT_TIMEOUT,
            min: Duration::ZERO,
            max: Duration::MAX,
        }
    }
}

impl MethodOptions {
    pub(crate) fn resolve(
        service: &ServiceOptions,
        rpc: &RpcOptions,
        method: &MethodDescriptor,
        groups: (&'static str, Option<&str>),
        default_timeout: Duration,
    ) -> Self {
        let (descriptor_group, server_group) = groups;
        let groups = [
            service.queue_group_of(method.name),
            service.queue_group.as_deref(),
            rpc.queue,
            said(descriptor_group),
            server_group,
        ];
        Self {
            timeout: service
                .timeout
                .or(rpc.timeout)
                .or(method.timeout)
                .unwrap_or(default_timeout),
            max_concurrent: service
                .method_limit(method.name)
                .or(rpc.max_concurrent)
                .or(method.max_concurrent)
                .filter(|calls| *calls > 0),
            queue_group: queue_group(groups),
            is_blocking: rpc.is_blocking,
            is_detached: rpc.is_detached,
        }
    }
}
