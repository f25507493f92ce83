//! `EventSource`: the sources of events of a server's handlers, core subscriptions and external ones.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::error::Error;
use crate::event::dispatcher::EventOrder;
use crate::event::event::Event;
use crate::event::handler::EventHandler;
use crate::event::source_scope::SourceScope;
use crate::event::workers::WorkerSettings;
use crate::status::Status;

/// Source of the events of one handler, given to [`Server::subscribe`](crate::Server::subscribe).
///
/// - [`Subscription`](crate::Subscription): core NATS, each event at most once.
/// - `jetstream::Durable` (feature `jetstream`): a durable consumer, each event at least once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how to subscribe to `{E}`",
    note = "write `Subscription::broadcast()`, `Subscription::queue(\"…\")`, or with the feature `jetstream` `Durable::named(\"…\")`"
)]
pub trait EventSource<E: Event> {
    /// Combines the handler with its source; nothing runs yet.
    #[doc(hidden)]
    fn bind(self, handler: EventHandler) -> BoundSource;
}

/// A source with its handler, which the server starts.
#[doc(hidden)]
pub struct BoundSource(pub(crate) SourceKind);

/// The two kinds of sources: the server runs core subscriptions itself, beside those of its methods, and
/// leaves external sources to themselves.
pub(crate) enum SourceKind {
    Core(CoreSource),
    #[cfg_attr(
        not(feature = "jetstream"),
        expect(dead_code, reason = "made by durable subscriptions alone")
    )]
    External(Box<dyn ExternalSource>),
}

/// A subscription of core NATS.
pub(crate) struct CoreSource {
    pub(crate) handler: EventHandler,
    /// Pattern without the prefix of the bus, or the error of its filter.
    pub(crate) subject: Result<String, Status>,
    /// Name of the queue group; `None` for a broadcast.
    pub(crate) queue: Option<String>,
    pub(crate) order: EventOrder,
    pub(crate) settings: WorkerSettings,
}

/// A source that is no subscription of core NATS and brings its own tasks. It keeps `event` free of
/// JetStream: a lower layer knows the trait, and `jetstream` implements it.
pub(crate) trait ExternalSource: Send + Sync {
    /// Returns the handler, whose counts the server shows.
    fn handler(&self) -> &EventHandler;

    /// Starts to run the handler in tasks of `scope.tasks`.
    ///
    /// # Errors
    ///
    /// Anything that must keep the server from starting, such as a missing stream.
    fn start(
        self: Box<Self>,
        scope: SourceScope,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;
}

impl fmt::Debug for BoundSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handler = match &self.0 {
            SourceKind::Core(source) => &source.handler,
            SourceKind::External(source) => source.handler(),
        };
        f.debug_tuple("Source").field(handler).finish()
    }
}
