//! `Subscriber`: what handles events on a server, and how it is called, whatever feeds it.

mod counters;
mod options;
mod source;
mod workers;

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use tracing::Instrument as _;

use crate::context::Context;
use crate::event::{Event, EventDescriptor};
use crate::events;
use crate::observe;
use crate::status::{Code, Reason, Status};

pub(crate) use counters::EventCounters;
pub use counters::EventStats;
pub use options::Subscription;
pub use source::EventSource;
pub(crate) use source::{CoreSource, ExternalSource, Kind, Source, SourceRun};
pub(crate) use workers::EventTarget;

/// Handles events of one kind; see [`Server::subscribe`](crate::Server::subscribe).
///
/// Under `#[service]` mistakes in the signature are told in plain words; a plain impl works too.
///
/// # Examples
///
/// ```ignore
/// #[service]
/// impl Subscriber<Trade> for Recorder {
///     async fn on_event(&self, ctx: Context, trade: Trade) -> Result<(), Status> {
///         self.store(trade).await
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not subscribe to `{E}`",
    label = "no `impl Subscriber<{E}>` for this type",
    note = "write `#[service] impl Subscriber<{E}> for {Self} {{ async fn on_event(&self, ctx: Context, event: {E}) -> Result<(), Status> {{ … }} }}`"
)]
pub trait Subscriber<E: Event>: Send + Sync + 'static {
    /// Handles one event. A failure is counted and logged by the server, and does not end the
    /// subscription; what becomes of the event then is up to the kind of subscription.
    fn on_event(&self, ctx: Context, event: E) -> impl Future<Output = Result<(), Status>> + Send;

    /// What the server calls; `#[service]` puts a handler here that takes `self: Arc<Self>`.
    #[doc(hidden)]
    fn __shared_on_event(
        self: Arc<Self>,
        ctx: Context,
        event: E,
    ) -> impl Future<Output = Result<(), Status>> + Send {
        async move { self.on_event(ctx, event).await }
    }
}

impl<E: Event, S: Subscriber<E>> Subscriber<E> for Arc<S> {
    fn on_event(&self, ctx: Context, event: E) -> impl Future<Output = Result<(), Status>> + Send {
        S::on_event(self, ctx, event)
    }

    fn __shared_on_event(
        self: Arc<Self>,
        ctx: Context,
        event: E,
    ) -> impl Future<Output = Result<(), Status>> + Send {
        S::__shared_on_event(Self::clone(&self), ctx, event)
    }
}

/// The table of [`Subscriber`], of the trait's own name: `#[service]` calls it.
#[doc(hidden)]
#[macro_export]
macro_rules! __micro_Subscriber {
    ($($input:tt)*) => {
        $crate::codegen::subscriber_impl! { runtime($crate) $($input)* }
    };
}

/// A subscriber without its types: bytes in, a status out. Decodes, calls, counts and logs; never
/// panics.
#[derive(Clone)]
#[doc(hidden)]
pub struct EventHandler {
    pub(crate) event: &'static EventDescriptor,
    pub(crate) counters: Arc<EventCounters>,
    call: Arc<Call>,
}

type Call = dyn Fn(Context, Bytes) -> Handling + Send + Sync;
type Handling = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

impl EventHandler {
    pub(crate) fn new<E: Event>(subscriber: impl Subscriber<E>) -> Self {
        let subscriber = Arc::new(subscriber);
        let call = move |ctx: Context, payload: Bytes| -> Handling {
            let subscriber = Arc::clone(&subscriber);
            Box::pin(async move {
                let event = events::decode::<E>(payload)?;
                let handled = subscriber.__shared_on_event(ctx, event).await;
                // What a nested call's runtime said is this handler's word now.
                handled.map_err(|status| status.with_reason(None))
            })
        };
        Self {
            event: E::DESCRIPTOR,
            counters: Arc::new(EventCounters::new(E::DESCRIPTOR)),
            call: Arc::new(call),
        }
    }

    /// Handles one event, until the deadline of its context.
    ///
    /// # Errors
    ///
    /// The handler's status; with a [`Reason`], what the runtime itself has to say: that the bytes
    /// are no such event, that the handler panicked, or that time is up.
    pub(crate) async fn handle(&self, ctx: Context, payload: Bytes) -> Result<(), Status> {
        let span = observe::event_span(self.event.full_name, ctx.subject().unwrap_or_default());
        observe::extract(&span, ctx.trace());
        let _ended = Ended(ctx.clone());
        let handling = self.run(ctx, payload).instrument(span.clone());
        let result = handling.await;
        let _entered = span.enter();
        self.counters.record(&result);
        result
    }

    async fn run(&self, ctx: Context, payload: Bytes) -> Result<(), Status> {
        let deadline = ctx.deadline();
        let name = self.event.full_name;
        let mut handling = (self.call)(ctx, payload);
        let caught = poll_fn(move |cx| {
            catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(cx)))
                .unwrap_or_else(|panic| Poll::Ready(Err(panicked(name, panic.as_ref()))))
        });
        let Some(deadline) = deadline else {
            return caught.await;
        };
        match tokio::time::timeout_at(Instant::into(deadline), caught).await {
            Ok(result) => result,
            Err(_) => Err(Status::from_runtime(
                Code::DeadlineExceeded,
                Reason::Deadline,
                format!("the handler of {name} did not end in time"),
            )),
        }
    }
}

/// What was made within an event ends with it.
struct Ended(Context);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn panicked(name: &'static str, panic: &(dyn Any + Send)) -> Status {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    Status::from_runtime(
        Code::Internal,
        Reason::Panicked,
        format!("the handler of {name} panicked: {text}"),
    )
}

impl fmt::Debug for EventHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHandler")
            .field("event", &self.event.full_name)
            .finish_non_exhaustive()
    }
}
