//! Events: publish, subscribe, and handlers of events on a server.

mod backlog;
mod counters;
mod decode;
#[expect(clippy::module_inception, reason = "the type of its name lives in it")]
mod event;
mod events;
mod filter;
mod handler;
mod inline_slot;
mod observer;
mod publish;
mod source;
mod subject_writer;
mod subscribe;
mod subscriber;
mod subscription;
#[cfg(test)]
mod tests;
mod workers;

pub(crate) use counters::EventCounters;
pub use counters::EventStats;
pub(crate) use decode::{context, decode};
pub use event::Event;
pub(crate) use event::write;
pub use events::{Events, RawEvent, RawEvents};
pub use filter::EventFilter;
#[doc(hidden)]
pub use filter::Fixed;
pub(crate) use handler::EventHandler;
#[cfg(feature = "jetstream")]
pub(crate) use handler::InlineRunner;
#[cfg(feature = "jetstream")]
pub(crate) use observer::EventObserver;
pub use publish::{Publish, PublishFuture};
pub use source::EventSource;
pub(crate) use source::{BoundSource, CoreSource, ExternalSource, SourceKind, SourceRun};
#[doc(hidden)]
pub use subject_writer::SubjectWriter;
pub use subscribe::Subscribe;
pub use subscriber::Subscriber;
pub use subscription::Subscription;
pub(crate) use workers::EventTarget;
