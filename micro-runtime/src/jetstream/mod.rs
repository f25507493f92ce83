//! Durable events over JetStream: streams declared in code, acknowledged publishing, durable consumers,
//! dead letters, replay.
//!
//! An event that is published durably is stored in a stream before the publisher continues, and is
//! delivered to each durable consumer until its handler has succeeded: at least once, so that handlers must
//! tolerate duplicates. The messages are those of core events. Everything is plain JetStream, so that other
//! clients of NATS can read and write the same streams (docs/PROTOCOL.md, "Durable events").
//!
//! | to | there is |
//! |---|---|
//! | create a stream, or check it | [`EventStream`], [`Bus::declare`](crate::Bus::declare), [`Server::declare`](crate::Server::declare) |
//! | publish and know that the event is stored | [`Bus::publish_durable`](crate::Bus::publish_durable), [`DurablePublisher`] |
//! | handle events on a server | [`Server::subscribe`](crate::Server::subscribe) with a [`Durable`] |
//! | handle many events in one transaction | [`Server::subscribe_batch`](crate::Server::subscribe_batch) with a [`BatchSubscriber`] |
//! | keep events that cannot be handled | [`Durable::dead_letter`] |
//! | read stored events again | [`Bus::replay`](crate::Bus::replay) |

// How a stream or consumer comes to be: `event_stream` and `durable` make a `raw_config`, which `differences` compares
// with the one that exists, by the rules of `on_difference`; `redeclaration` creates streams again that are gone, and
// `consumer` itself, at its `consumer_position`.
//
// How a delivery comes to its handler: `pull` requests deliveries by `pull_requests` and survives lost servers;
// `consumer_loop` hands them to a `delivery_handler` or `batch_handler`, those of events that were delivered before by
// way of `redeliveries`, which asks the `attempt_ledger`; `in_flight` knows which are not acknowledged, in which of the
// states of `delivery_state`, and `acknowledger` reports their outcome, after `dead_letters` has stored those given up.
// `stream_generation` keeps it from acknowledging events of a stream that was declared anew, and `ack_confirmation`
// makes sure that acknowledgments arrive. What
// async-nats cannot parse never arrives: `malformed_search` finds it as a `stored_message`.
mod ack_confirmation;
mod acked_publish;
mod acknowledger;
mod api;
mod attempt_ledger;
mod batch_handler;
mod batch_subscriber;
mod config_api;
mod consumer;
mod consumer_logs;
mod consumer_loop;
mod consumer_position;
mod consumer_settings;
mod dead_letters;
mod declaration;
mod delivery_handler;
mod delivery_state;
mod differences;
mod durable;
mod durable_event;
mod durable_publish;
mod durable_publisher;
mod durable_source;
mod event_stream;
mod heartbeat_watch;
mod in_flight;
mod loop_timers;
mod malformed_search;
mod no_stream_cause;
mod on_difference;
mod ordered_consumer;
mod pending_delivery;
mod pull;
mod pull_limits;
mod pull_requests;
mod pull_status;
mod raw_config;
mod ready_deliveries;
mod reconnect_detector;
mod redeclaration;
mod redeliveries;
mod replay;
mod replay_builder;
mod replay_position;
mod replay_reader;
mod replay_source;
mod start_from;
mod store_refusal;
mod stored_message;
mod stream_declaration;
mod stream_generation;
mod stream_lookup;
mod stream_settings;
mod stream_states;
mod worker_permit;

pub use acked_publish::PublishAck;
pub use batch_subscriber::BatchSubscriber;
pub use durable::Durable;
pub use durable_event::DurableEvent;
pub use durable_publish::{DurablePublish, DurablePublishFuture, PublishHandle};
pub use durable_publisher::DurablePublisher;
pub(crate) use durable_source::bind_batches;
pub use event_stream::{EventStream, Retention};
pub use on_difference::OnDifference;
pub use replay::Replay;
pub use replay_builder::ReplayBuilder;
pub use start_from::StartFrom;
pub use stream_states::{ConsumerState, EventStreamState};

pub use crate::context::Delivery;
