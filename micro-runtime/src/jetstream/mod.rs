//! Durable events: streams declared in code, publishing that is acknowledged, consumers that lose
//! nothing. On plain JetStream: what any other client of NATS stores or reads is the same.

mod acknowledger;
mod batch;
mod consumer;
mod consumer_loop;
mod dead_letter;
mod delivery_handler;
mod difference;
mod durable;
mod in_flight;
mod pending_delivery;
mod publish;
mod pull;
mod replay;
mod source;
mod store;
mod stream;

pub use batch::{BatchSubscriber, DurableEvent};
pub use durable::{Durable, StartFrom};
pub use publish::{DurablePublish, DurablePublishFuture, DurablePublisher, PublishHandle};
pub use replay::{Replay, ReplayBuilder};
pub(crate) use source::batches;
pub use store::PublishAck;
pub use stream::{EventStream, Retention};

pub use crate::context::Delivery;
