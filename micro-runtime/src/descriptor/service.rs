//! `ServiceDescriptor` and `MethodDescriptor`: a service and its methods as the .proto declares them.

use std::time::Duration;

/// A service as its .proto declares it. Generated code holds one per service.
///
/// A handler learns the method that is called from [`Context::method`](crate::Context::method).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ServiceDescriptor {
    /// Package and name, as in `greeter.v1.Greeter`.
    pub full_name: &'static str,
    /// Package; empty if the .proto has none.
    pub package: &'static str,
    /// Name without the package, as in `Greeter`.
    pub name: &'static str,
    /// Methods in the order of the .proto. Generated clients and servers refer to them by index.
    pub methods: &'static [MethodDescriptor],
    /// SemVer version that discovery shows; `0.0.0` if the .proto sets none.
    pub version: &'static str,
    /// Queue group of the instances, of which one gets each call. `-` switches it off, so that every instance gets
    /// each call; empty if the .proto sets none.
    pub queue_group: &'static str,
    /// Description that discovery shows.
    pub description: &'static str,
    /// Serialized `FileDescriptorSet` with all imports, as the compiler wrote it; every instance replies to
    /// `_schema` with these bytes.
    pub file_descriptor_set: &'static [u8],
}

/// A method as its .proto declares it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::descriptor::{MethodDescriptor, MethodKind};
///
/// const SAY_HELLO: MethodDescriptor = MethodDescriptor::new(
///     "greeter.v1.Greeter.SayHello",
///     "SayHello",
///     MethodKind::Unary,
///     "greeter.v1.HelloRequest",
///     "greeter.v1.HelloReply",
/// )
/// .timeout_ms(250);
/// assert_eq!(SAY_HELLO.timeout, Some(Duration::from_millis(250)));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MethodDescriptor {
    /// Service and name, as in `greeter.v1.Greeter.SayHello`: the call subject without the prefix of a bus.
    pub full_name: &'static str,
    /// Name, as in `SayHello`.
    pub name: &'static str,
    /// Number of messages in each direction.
    pub kind: MethodKind,
    /// Full name of the request message.
    pub input: &'static str,
    /// Full name of the reply message.
    pub output: &'static str,
    /// Timeout of a unary call that sets none, if the .proto has the option; otherwise it is 5 s.
    pub timeout: Option<Duration>,
    /// Maximum number of calls that one instance runs at a time, if the .proto has the option.
    pub max_concurrent: Option<u32>,
    /// Whether a call may be sent again.
    pub idempotency: Idempotency,
    /// Whether the .proto marks it `deprecated`.
    pub is_deprecated: bool,
    /// Whether a call must not begin after its deadline by the clock, if the .proto has the option.
    pub expires: bool,
}

/// Kind of a method: number of messages in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// One request, one reply.
    Unary,
    /// One request, many replies.
    ServerStreaming,
    /// Many requests, one reply.
    ClientStreaming,
    /// Many requests, many replies.
    Bidirectional,
}

/// Standard method option `idempotency_level`, which decides whether a client may send a request again that an
/// instance may have handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Idempotency {
    /// Not set: such a request is sent again only if no instance got it.
    #[default]
    Unknown,
    /// The call changes nothing. A failed call may be sent again.
    NoSideEffects,
    /// A second call with the same request changes nothing more. A failed call may be sent again.
    Idempotent,
}

impl ServiceDescriptor {
    /// Returns the descriptor of a service without options.
    #[must_use]
    pub const fn new(
        full_name: &'static str,
        package: &'static str,
        name: &'static str,
        methods: &'static [MethodDescriptor],
    ) -> Self {
        Self {
            full_name,
            package,
            name,
            methods,
            version: "0.0.0",
            queue_group: "",
            description: "",
            file_descriptor_set: &[],
        }
    }

    /// Sets the SemVer version that discovery shows.
    #[must_use]
    pub const fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Sets the queue group; `-` switches it off.
    #[must_use]
    pub const fn queue_group(mut self, queue_group: &'static str) -> Self {
        self.queue_group = queue_group;
        self
    }

    /// Sets the description that discovery shows.
    #[must_use]
    pub const fn description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Sets the serialized `FileDescriptorSet` that is the reply to `_schema`.
    #[must_use]
    pub const fn file_descriptor_set(mut self, bytes: &'static [u8]) -> Self {
        self.file_descriptor_set = bytes;
        self
    }
}

impl MethodDescriptor {
    /// Returns the descriptor of a method without options.
    #[must_use]
    pub const fn new(
        full_name: &'static str,
        name: &'static str,
        kind: MethodKind,
        input: &'static str,
        output: &'static str,
    ) -> Self {
        Self {
            full_name,
            name,
            kind,
            input,
            output,
            timeout: None,
            max_concurrent: None,
            idempotency: Idempotency::Unknown,
            is_deprecated: false,
            expires: false,
        }
    }

    /// Sets the default timeout, in milliseconds.
    #[must_use]
    pub const fn timeout_ms(mut self, milliseconds: u64) -> Self {
        self.timeout = Some(Duration::from_millis(milliseconds));
        self
    }

    /// Sets the maximum number of calls that one instance runs at a time.
    #[must_use]
    pub const fn max_concurrent(mut self, calls: u32) -> Self {
        self.max_concurrent = Some(calls);
        self
    }

    /// Sets the option `idempotency_level`.
    #[must_use]
    pub const fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = idempotency;
        self
    }

    /// Lets calls expire by the clock.
    #[must_use]
    pub const fn expires(mut self) -> Self {
        self.expires = true;
        self
    }

    /// Marks the method as deprecated.
    #[must_use]
    pub const fn deprecated(mut self) -> Self {
        self.is_deprecated = true;
        self
    }
}
