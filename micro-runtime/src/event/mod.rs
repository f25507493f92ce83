//! Events: publish, subscribe, and handlers of events on a server.
//!
//! An event is a message with the option `(micro.v1.event)`: its subject is a template filled with
//! fields of the message, see [`Event`]. Events of core NATS are delivered at most once, to the
//! subscribers that are connected at that moment; durable ones, which a JetStream stream stores and which
//! are delivered at least once, are in `jetstream` (feature `jetstream`). Both are on the wire as
//! docs/PROTOCOL.md, "Events", describes.
//!
//! | to | there is |
//! |---|---|
//! | publish | [`Bus::publish`](crate::Bus::publish), [`Bus::publish_raw`](crate::Bus::publish_raw) |
//! | read events as a stream | [`Bus::subscribe`](crate::Bus::subscribe), [`Bus::subscribe_raw`](crate::Bus::subscribe_raw) |
//! | handle events on a server | [`Server::subscribe`](crate::Server::subscribe) with a [`Subscriber`] and a [`Subscription`] |
//! | see how many were handled, failed or dropped | [`RunningServer::events`](crate::RunningServer::events) |

// How an event comes to its handler: `dispatcher` reads a subscription; `handler` runs the handler, in an
// `inline_slot` or in a task of `workers`, whose events `backlog` counts; `observer` and `counters` record
// the outcome. `jetstream` feeds the same `handler`.
mod backlog;
mod counters;
mod decode;
mod dispatcher;
#[expect(clippy::module_inception, reason = "the type of its name lives in it")]
mod event;
mod event_logs;
mod events;
mod filter;
mod handler;
mod inline_slot;
mod observer;
mod publish;
mod publish_budget;
mod queued_bytes;
mod source;
mod source_scope;
mod subject_writer;
#[cfg(test)]
mod subject_writer_tests;
mod subscribe;
mod subscriber;
mod subscription;
mod workers;

pub(crate) use counters::EventCounters;
pub use counters::EventStats;
#[cfg(feature = "jetstream")]
pub(crate) use decode::decode_message;
pub(crate) use decode::{decode, receive};
pub(crate) use dispatcher::EventDispatcher;
pub use event::Event;
pub(crate) use event::write;
pub use events::{Events, RawEvent, RawEvents};
pub use filter::EventFilter;
#[doc(hidden)]
pub use filter::Fixed;
pub(crate) use handler::EventHandler;
#[cfg(feature = "jetstream")]
pub(crate) use handler::{EventExecution, InlineRunner};
#[cfg(feature = "jetstream")]
pub(crate) use observer::EventObserver;
pub use publish::{Publish, PublishFuture};
pub use source::EventSource;
pub(crate) use source::{BoundSource, CoreSource, ExternalSource, SourceKind};
pub(crate) use source_scope::SourceScope;
#[doc(hidden)]
pub use subject_writer::SubjectWriter;
pub use subscribe::Subscribe;
pub use subscriber::Subscriber;
pub use subscription::Subscription;
