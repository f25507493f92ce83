//! What the .proto says about a service and its methods, as constants that generated code holds.

use std::time::Duration;

/// A service as its .proto declares it. Generated code holds one per service.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ServiceDescriptor {
    /// Package and name, as in `greeter.v1.Greeter`.
    pub full_name: &'static str,
    /// The package, empty if there is none.
    pub package: &'static str,
    /// The name, as in `Greeter`.
    pub name: &'static str,
    /// The methods, in the order of the .proto.
    pub methods: &'static [MethodDescriptor],
    /// The version that discovery shows, a SemVer.
    pub version: &'static str,
    /// The queue group that shares the calls; `-` for none, empty if the .proto does not say.
    pub queue_group: &'static str,
    /// What discovery says about the service.
    pub description: &'static str,
    /// The serialized `FileDescriptorSet` with all imports.
    pub file_descriptor_set: &'static [u8],
}

/// A method as its .proto declares it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MethodDescriptor {
    /// Service and name, as in `greeter.v1.Greeter.SayHello`: the call subject without a prefix.
    pub full_name: &'static str,
    /// The name, as in `SayHello`.
    pub name: &'static str,
    /// How many messages go each way.
    pub kind: MethodKind,
    /// The full name of the request message.
    pub input: &'static str,
    /// The full name of the reply message.
    pub output: &'static str,
    /// The deadline of a unary call that sets none, if the .proto says so.
    pub timeout: Option<Duration>,
    /// How many calls one instance runs at a time, if the .proto says so.
    pub max_concurrent: Option<u32>,
    /// Whether a call may be sent again.
    pub idempotency: Idempotency,
    /// Whether the .proto marks it `deprecated`.
    pub is_deprecated: bool,
}

/// How many messages go each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// One request, one reply.
    Unary,
    /// One request, many replies.
    ServerStreaming,
    /// Many requests, one reply.
    ClientStreaming,
    /// Many both ways.
    Bidirectional,
}

/// The standard method option `idempotency_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Idempotency {
    /// Nothing is said: never sent twice.
    #[default]
    Unknown,
    /// The call changes nothing.
    NoSideEffects,
    /// A second call changes nothing more.
    Idempotent,
}

impl ServiceDescriptor {
    /// Describes a service about which the .proto says no more than its methods.
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

    /// Sets the version that discovery shows.
    #[must_use]
    pub const fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Sets the queue group; `-` means none.
    #[must_use]
    pub const fn queue_group(mut self, queue_group: &'static str) -> Self {
        self.queue_group = queue_group;
        self
    }

    /// Sets what discovery says about the service.
    #[must_use]
    pub const fn description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Embeds the serialized `FileDescriptorSet`.
    #[must_use]
    pub const fn file_descriptor_set(mut self, bytes: &'static [u8]) -> Self {
        self.file_descriptor_set = bytes;
        self
    }
}

impl MethodDescriptor {
    /// Describes a method about which the .proto says no more than its types.
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
        }
    }

    /// Sets the default deadline, in milliseconds.
    #[must_use]
    pub const fn timeout_ms(mut self, milliseconds: u64) -> Self {
        self.timeout = Some(Duration::from_millis(milliseconds));
        self
    }

    /// Sets how many calls one instance runs at a time.
    #[must_use]
    pub const fn max_concurrent(mut self, calls: u32) -> Self {
        self.max_concurrent = Some(calls);
        self
    }

    /// Sets whether a call may be sent again.
    #[must_use]
    pub const fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = idempotency;
        self
    }

    /// Marks the method as deprecated.
    #[must_use]
    pub const fn deprecated(mut self) -> Self {
        self.is_deprecated = true;
        self
    }
}
