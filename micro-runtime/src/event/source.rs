//! What can feed a handler on a server: subscriptions of the bus, and what lies outside of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use async_nats::Subject;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::Bus;
use crate::error::{Error, ErrorKind};
use crate::event::event::Event;
use crate::event::handler::EventHandler;
use crate::event::workers::{Order, WorkerSettings};
use crate::status::Status;
use crate::subject;

/// How a server gets the events of one handler: [`Subscription`](crate::Subscription), at most once,
/// and with the feature `jetstream` `Durable`, at least once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how to subscribe to `{E}`",
    note = "write `Subscription::broadcast()`, `Subscription::queue(\"…\")`, or with the feature `jetstream` `Durable::named(\"…\")`"
)]
pub trait EventSource<E: Event> {
    /// Ties the handler to its source; nothing runs yet.
    #[doc(hidden)]
    fn bind(self, handler: EventHandler) -> BoundSource;
}

/// A source with its handler, to be started.
#[doc(hidden)]
pub struct BoundSource(pub(crate) SourceKind);

pub(crate) enum SourceKind {
    Core(CoreSource),
    #[cfg_attr(
        not(feature = "jetstream"),
        expect(dead_code, reason = "made by durable subscriptions alone")
    )]
    External(Box<dyn ExternalSource>),
}

/// A subscription of the bus.
pub(crate) struct CoreSource {
    pub(crate) handler: EventHandler,
    /// Without the prefix of the bus, or why there is none.
    pub(crate) subject: Result<String, Status>,
    pub(crate) queue: Option<String>,
    pub(crate) order: Order,
    pub(crate) settings: WorkerSettings,
}

/// A source that is no subscription of the bus, and has a life of its own.
pub(crate) trait ExternalSource: Send + Sync {
    fn handler(&self) -> &EventHandler;

    /// Starts to feed the handler, in tasks of `run.tasks`; an error keeps the server from starting.
    fn start(
        self: Box<Self>,
        run: SourceRun,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;
}

/// What a running server lends to a source.
#[derive(Clone)]
pub(crate) struct SourceRun {
    pub(crate) bus: Bus,
    /// The server waits for these when it stops, as long as its grace lasts.
    pub(crate) tasks: TaskTracker,
    /// The server begins to stop: take nothing more, finish what was taken.
    pub(crate) stop: CancellationToken,
    /// The grace is over: give up.
    pub(crate) end: CancellationToken,
    /// What this server answers to, with the prefix of the bus; patterns for instances.
    pub(crate) call_subjects: Vec<Subject>,
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

impl SourceRun {
    /// Refuses a subject, with the prefix of the bus, under which calls to this server would come as
    /// well.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Service`] with both subjects.
    pub(crate) fn check_subject(&self, event: &str, subject: &str) -> Result<(), Error> {
        let covered = |call: &&Subject| subject::overlap(subject, call);
        match self.call_subjects.iter().find(covered) {
            None => Ok(()),
            Some(call) => Err(Error::new(
                ErrorKind::Service,
                format!(
                    "the subject `{subject}` of {event} covers the call subject `{call}` of this server; begin the subjects of events with `evt.`"
                ),
            )),
        }
    }
}
