//! Core NATS events: publishing, subscriptions and handlers, on both carriers.

mod gated_subscriber;
mod handlers;
mod inline_handlers;
mod subscriptions;
pub(crate) mod trades;
mod waiting_events;
