//! `ClientOptions`: the settings that all calls of one client share.

use std::time::Duration;

use tower::Layer;

use crate::discovery::Record;
use crate::middleware::{Layered, Layers, Next};
use crate::status::Status;
use crate::stream::StreamOptions;
use crate::wire::PayloadFormat;

/// Settings of a client, for [`Bus::client_with`](crate::Bus::client_with) and, with the feature `json`,
/// `Bus::dynamic_with`.
///
/// A setting of a single call, as [`UnaryCall::timeout`](crate::call::UnaryCall::timeout), overrides the one of
/// its client; a setting of the client overrides the .proto's.
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
    pub(super) instance: Option<String>,
    /// The record of the service announces no streams.
    pub(super) is_without_streams: bool,
    pub(super) timeout: Option<Duration>,
    pub(crate) stream_options: StreamOptions,
    pub(super) subject_base: Option<String>,
    pub(super) format: PayloadFormat,
    pub(super) layers: Layers,
    pub(super) waits_for_ready: bool,
    pub(super) cancels_by_header: bool,
}

impl ClientOptions {
    /// Returns options with nothing set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls only the instance with this id, instead of any one of the queue group.
    ///
    /// A call is `UNAVAILABLE` (reason [`NoResponders`](crate::Reason::NoResponders)) once the instance
    /// has stopped; no other one takes over. It is so, too, for an instance that is built on another library and
    /// replies under the subjects of its methods alone; [`instance_of`](Self::instance_of) detects that before. If the
    /// instance dies while it has a unary call, that ends within a heartbeat (5 s) with the reason
    /// [`PeerGone`](crate::Reason::PeerGone); a call of a queue group waits for its deadline. The
    /// ids of running instances are those that [`Bus::discovery`](crate::Bus::discovery) lists. An id that is not one
    /// token of a subject fails every call with `INVALID_ARGUMENT`.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::ClientOptions;
    ///
    /// let options = ClientOptions::new().instance("V3OdTFDMmBaIbdJkGbsW1O");
    /// ```
    #[must_use]
    pub fn instance(mut self, id: impl Into<String>) -> Self {
        self.instance = Some(id.into());
        self
    }

    /// Calls only the instance of this record of discovery, as [`instance`](Self::instance) does, after a check that it
    /// can be called by its id.
    ///
    /// # Errors
    ///
    /// `UNIMPLEMENTED`: with the reason [`WireVersion`](crate::Reason::WireVersion) if the instance announces another
    /// version of the wire, with [`NotAService`](crate::Reason::NotAService) if it announces none: it is built on
    /// another library, and replies under the subjects of its methods alone.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::{GreeterClient, HelloRequest};
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), Box<dyn std::error::Error>> {
    /// use micro_runtime::ClientOptions;
    ///
    /// for info in bus.discovery().get("greeter.v1.Greeter").await? {
    ///     let one: GreeterClient = bus.client_with(ClientOptions::new().instance_of(&info)?);
    ///     println!("{}", one.say_hello(HelloRequest { name: "one".into() }).await?.message);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn instance_of(self, record: &impl Record) -> Result<Self, Status> {
        let peer = record.identity();
        peer.check_addressable()?;
        Ok(self.instance(peer.id))
    }

    /// Sets the time allowed for unary calls without a timeout of their own. The default is the .proto's
    /// `(micro.v1.method).timeout`, else 5 s. Streams have no default timeout.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use micro_runtime::ClientOptions;
    ///
    /// let options = ClientOptions::new().timeout(Duration::from_millis(250));
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Lets every call wait for the connection to NATS while it is lost, until its deadline, instead of failing at once
    /// with `UNAVAILABLE`; as `wait_for_ready` of a call.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::ClientOptions;
    ///
    /// let options = ClientOptions::new().wait_for_ready();
    /// ```
    #[must_use]
    pub fn wait_for_ready(mut self) -> Self {
        self.waits_for_ready = true;
        self
    }

    /// Sends an id with each call, by which it is canceled when it is dropped: for a service that is imported from
    /// another account, where NATS replaces the reply subject by which a server knows a call otherwise.
    ///
    /// Costs a header for each call, which halves the rate of small ones. The importing account must be allowed to
    /// publish to `<service>._i._all._cancel`, and have it imported.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::ClientOptions;
    ///
    /// let options = ClientOptions::new().subject_base("acme.greeter").cancel_by_header();
    /// ```
    #[must_use]
    pub fn cancel_by_header(mut self) -> Self {
        self.cancels_by_header = true;
        self
    }

    /// Sets flow-control windows, heartbeat and timeouts of the streams of this client. A call can
    /// override each of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{ClientOptions, StreamOptions};
    ///
    /// let small = StreamOptions::new().window_bytes(64 * 1024);
    /// let options = ClientOptions::new().stream_options(small);
    /// ```
    #[must_use]
    pub fn stream_options(mut self, options: StreamOptions) -> Self {
        self.stream_options = options;
        self
    }

    /// Calls the service under another subject than its .proto's full name, as in `acme.greeter`: for
    /// NATS accounts that import the service under a subject of their own. The prefix of the bus, if it
    /// has one, still stands before it.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::ClientOptions;
    ///
    /// // SayHello is called on `acme.greeter.SayHello`.
    /// let options = ClientOptions::new().subject_base("acme.greeter");
    /// ```
    #[must_use]
    pub fn subject_base(mut self, base: impl Into<String>) -> Self {
        self.subject_base = Some(base.into());
        self
    }

    /// Adds middleware around every call of the client. The layer that is added first is the outermost.
    /// A call passes the layers once, however often its request is sent; of a stream they see the
    /// opening. See [`middleware`](crate::middleware). The deadline of the call, and the end of the call that it is
    /// within, end it in its layers too.
    ///
    /// The server does not see the timeout of a layer, as of `tower`'s `TimeoutLayer`: its handler runs on until
    /// the call's own deadline, which [`timeout`](Self::timeout) sets.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::ClientOptions;
    /// use micro_runtime::middleware::{Next, Request};
    /// use tower::ServiceExt as _;
    ///
    /// let tenant = tower::layer::layer_fn(|next: Next| {
    ///     next.map_request(|mut request: Request| {
    ///         let tenant = request.metadata_mut().append("tenant", "acme");
    ///         tenant.expect("name and value are valid");
    ///         request
    ///     })
    /// });
    /// let options = ClientOptions::new().layer(tenant);
    /// ```
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.layers.add(layer);
        self
    }

    /// Adds middleware around the calls of one method, inside the layers for all calls.
    ///
    /// `method` is the name in the .proto, as in `SayHello`. Where no method has this name, every call of the client
    /// fails with `INVALID_ARGUMENT`, which lists those that exist: a layer that is misspelt must not be left out.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use micro_runtime::ClientOptions;
    /// use tower::timeout::TimeoutLayer;
    ///
    /// let short = TimeoutLayer::new(Duration::from_millis(50));
    /// let options = ClientOptions::new().method_layer("SayHello", short);
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

    /// Marks requests as JSON. The caller must encode them as such.
    #[cfg(feature = "json")]
    pub(crate) fn in_json(mut self) -> Self {
        self.format = PayloadFormat::JSON;
        self
    }

    /// Accepts replies of any content type.
    #[cfg(feature = "json")]
    pub(crate) fn taking_any_reply(mut self) -> Self {
        self.format = self.format.taking_any_reply();
        self
    }

    /// Sets the service base unless one was set.
    #[cfg(feature = "json")]
    pub(crate) fn or_service_base(mut self, base: &str) -> Self {
        self.subject_base.get_or_insert_with(|| base.to_owned());
        self
    }

    /// Marks a service whose record announces no streams, so that no call opens one.
    #[cfg(feature = "json")]
    pub(crate) fn without_streams(mut self, is_without: bool) -> Self {
        self.is_without_streams = is_without;
        self
    }

    /// Returns whether the caller has named where the service is, so that instances of other prefixes are meant
    /// too.
    #[cfg(feature = "json")]
    pub(crate) fn names_target(&self) -> bool {
        self.instance.is_some() || self.subject_base.is_some()
    }

    #[cfg(feature = "json")]
    pub(crate) fn instance_id(&self) -> Option<&str> {
        self.instance.as_deref()
    }
}
