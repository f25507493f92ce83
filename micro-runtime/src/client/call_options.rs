//! `CallOptions` and `MessageOptions`: the settings of one call or one publish, and the builder methods that set
//! them.

use std::time::Duration;

use async_nats::HeaderMap;
use tokio::time::Instant;
use tracing::Span;

use crate::context::{Context, TimeLimit, TimeoutSource};
use crate::metadata::Metadata;
use crate::observe;
use crate::status::Status;
use crate::wire;

/// Settings of one call.
///
/// Every builder that users see (`UnaryCall`, the streaming calls, `DynamicCall`, `RawCall`, `DurablePublish`) holds
/// one of these and takes its methods from [`call_option_methods`]. Durable publishes ignore `may_retry`.
#[derive(Clone, Debug)]
pub(crate) struct CallOptions {
    pub(crate) message: MessageOptions,
    /// Time allowed from the first poll on; `None` stands for the default of the kind of call.
    pub(crate) timeout: Option<Duration>,
    /// Time limit of a call that has passed layers, or whose request took time to encode, computed before that.
    pub(crate) limit: Option<Box<TimeLimit>>,
    /// Whether the request may be sent again after a failure.
    pub(crate) may_retry: bool,
    /// Whether the call must not begin after its deadline by the clock.
    pub(crate) expires: bool,
}

/// Settings of one message to its receiver: all that `Publish` has, and a part of those of a call. Apart from
/// [`CallOptions`], since a publish is moved several times and each word of it costs time.
#[derive(Clone, Debug)]
pub(crate) struct MessageOptions {
    /// Call or event that this one is a part of: source of the trace, and upper bound of the deadline.
    pub(crate) parent: Option<Context>,
    /// Metadata to send, or the error with which the call fails because a header was invalid. Builder
    /// methods return `Self`, so that an invalid header is reported where the call is awaited.
    pub(crate) metadata: Result<Metadata, Status>,
    /// Whether the message waits for the connection while that is lost.
    pub(crate) waits_for_ready: bool,
}

impl CallOptions {
    pub(crate) const fn new() -> Self {
        Self {
            message: MessageOptions::new(),
            timeout: None,
            limit: None,
            may_retry: true,
            expires: false,
        }
    }

    /// Adds a header; as [`MessageOptions::add_header`].
    pub(crate) fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.message.add_header(name, value);
    }

    /// Lets the call wait for the connection; as [`MessageOptions::wait_for_ready`].
    pub(crate) fn wait_for_ready(&mut self) {
        self.message.wait_for_ready();
    }

    /// Makes the call a part of the one that `ctx` belongs to.
    pub(crate) fn set_parent(&mut self, ctx: &Context) {
        self.message.set_parent(ctx);
    }

    /// Returns the earlier of two limits: `own` and the parent's deadline. `None` if there is neither.
    #[inline]
    pub(crate) fn within_parent(&self, now: Instant, own: Option<TimeLimit>) -> Option<TimeLimit> {
        let inherited = self.message.parent.as_ref().and_then(Context::deadline);
        let Some(deadline) = inherited else {
            return own;
        };
        match own {
            Some(own) if own.deadline <= deadline => Some(own),
            _ => Some(TimeLimit {
                deadline,
                timeout: deadline.saturating_duration_since(now),
                source: TimeoutSource::Parent,
            }),
        }
    }

    /// Returns the headers that carry metadata and trace; as [`MessageOptions::headers`].
    #[inline]
    pub(crate) fn headers(&self, span: &Span) -> Result<Option<HeaderMap>, Status> {
        self.message.headers(span)
    }
}

impl MessageOptions {
    pub(crate) const fn new() -> Self {
        Self {
            parent: None,
            metadata: Ok(Metadata::new()),
            waits_for_ready: false,
        }
    }

    /// Adds a header. The first invalid one becomes the error of the call; later headers are ignored.
    pub(crate) fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        if let Ok(metadata) = &mut self.metadata
            && let Err(status) = metadata.append(name, value)
        {
            self.metadata = Err(status);
        }
    }

    /// Returns whether the call or event that this is a part of has ended: a call within it is not sent then.
    #[inline]
    pub(crate) fn has_ended_parent(&self) -> bool {
        self.parent.as_ref().is_some_and(Context::is_ended)
    }

    /// Lets the message wait for the connection while that is lost, instead of failing at once.
    pub(crate) fn wait_for_ready(&mut self) {
        self.waits_for_ready = true;
    }

    /// Makes the message a part of the call or event that `ctx` belongs to.
    pub(crate) fn set_parent(&mut self, ctx: &Context) {
        self.parent = Some(ctx.clone());
    }

    /// Returns the headers that carry metadata and trace; `None` where there is nothing to send, which
    /// saves the allocations of a `HeaderMap` on the plain path.
    ///
    /// `span` is the span of this call or publish. If it is sampled it replaces the parent's
    /// `traceparent`, because it is itself a child of the parent's trace.
    #[inline]
    pub(crate) fn headers(&self, span: &Span) -> Result<Option<HeaderMap>, Status> {
        let mut headers = None;
        match &self.metadata {
            Ok(metadata) => wire::encode_metadata(&mut headers, metadata),
            Err(status) => return Err(status.clone()),
        }
        if let Some(parent) = &self.parent {
            wire::forward_trace(&mut headers, parent.trace());
        }
        observe::inject(span, &mut headers);
        Ok(headers)
    }
}

/// Waits until the call or event that `parent` belongs to has ended; forever without a parent.
pub(crate) async fn parent_ended(parent: Option<&Context>) {
    match parent {
        Some(parent) => parent.end_token().cancelled().await,
        None => std::future::pending().await,
    }
}

/// Implements builder methods on a type that holds [`CallOptions`] or [`MessageOptions`].
///
/// The first argument is the path of the field with the options, in parentheses; it is followed by the
/// methods to implement. A method's doc comment is appended to the one that all types share.
///
/// ```text
/// impl RawCall {
///     call_option_methods! { (options):
///         /// The default is that of the client.
///         timeout;
///         headers;
///     }
/// }
/// ```
macro_rules! call_option_methods {
    ($options:tt: $($(#[$doc:meta])* $method:ident;)+) => {
        $(call_option_methods!(@ $options [$(#[$doc])*] $method);)+
    };
    (@ ($($field:ident).*) [$($doc:tt)*] timeout) => {
        /// Sets the time allowed, counted from the first poll of the future.
        ///
        $($doc)*
        pub fn timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.$($field.)*timeout = Some(timeout);
            self
        }
    };
    // The headers that every kind of call and publish can set; a further one becomes a method here.
    (@ ($($field:ident).*) [$($doc:tt)*] headers) => {
        /// Adds a header, which the receiver reads with [`Context::header`](crate::Context::header).
        ///
        /// Repeated names keep all their values, in this order. An invalid header does not fail here:
        /// awaiting returns the error of [`Metadata::append`](crate::Metadata::append), which documents
        /// the rules for names, values and their total size of 8 KiB.
        $($doc)*
        pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
            self.$($field.)*add_header(name, value);
            self
        }
    };
    (@ ($($field:ident).*) [$($doc:tt)*] within) => {
        $($doc)*
        pub fn within(mut self, ctx: &$crate::context::Context) -> Self {
            self.$($field.)*set_parent(ctx);
            self
        }
    };
    (@ ($($field:ident).*) [$($doc:tt)*] no_retry) => {
        /// Sends the request once.
        ///
        /// Without this a request without responders is sent once more after 50 to 100 ms, and a
        /// request whose .proto sets `idempotency_level` is sent up to three times while the failure
        /// is `UNAVAILABLE` or `RESOURCE_EXHAUSTED`.
        $($doc)*
        pub fn no_retry(mut self) -> Self {
            self.$($field.)*may_retry = false;
            self
        }
    };
    (@ ($($field:ident).*) [$($doc:tt)*] expires) => {
        /// Sends the deadline as a time of the clock besides: no server begins the call after it, however long the
        /// request was on its way. The default is the .proto's `(micro.v1.method).expires`, else not.
        ///
        /// For methods that must not run late, as an order at the price of a moment. The clocks of caller and server
        /// must agree: a server whose clock is ahead by the timeout begins no call, and one that is behind begins calls
        /// late by as much. No effect on a call without a deadline.
        $($doc)*
        pub fn expires(mut self) -> Self {
            self.$($field.)*expires = true;
            self
        }
    };
    (@ ($($field:ident).*) [$($doc:tt)*] wait_for_ready) => {
        /// Waits for the connection to NATS while it is lost, instead of failing at once with `UNAVAILABLE` (reason
        /// [`Disconnected`](crate::Reason::Disconnected)). What is in flight when the connection is lost fails all the
        /// same. At most 16,384 messages of a connection wait; further ones fail at once.
        ///
        /// A call waits until its deadline, and for a service that is not back yet for 5 s after a reconnect at most.
        /// An event waits without a limit: put `tokio::time::timeout` around it; one that was given up is not sent.
        /// What waited is sent as soon as this process is connected, and subscribers of core NATS in other processes
        /// may be connected some 100 ms later: what must reach them goes through `publish_durable`.
        $($doc)*
        pub fn wait_for_ready(mut self) -> Self {
            self.$($field.)*wait_for_ready();
            self
        }
    };
    (@ ($($field:ident).*) [$($doc:tt)*] stream_options) => {
        /// Sets flow-control windows, heartbeat and timeouts of the stream. An option set here overrides
        /// the same option of [`ClientOptions::stream_options`](crate::ClientOptions::stream_options).
        $($doc)*
        pub fn stream_options(mut self, options: $crate::stream::StreamOptions) -> Self {
            self.$($field.)*stream_options = options;
            self
        }
    };
}

pub(crate) use call_option_methods;
