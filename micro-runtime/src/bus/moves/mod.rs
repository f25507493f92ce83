//! The move of subscriptions from one link to the next, while both are connected: a nats-server that is about to stop
//! says so beforehand ("lame duck"), and the bus leaves it before it is cut off (`link::handover`).
//!
//! A subscription exists on both links for a moment, since NATS needs some milliseconds to route messages to the second
//! one. What happens to its messages depends on its kind:
//!
//! - **In a queue group** both are members, and NATS sends each message to one of them: both are read. The old member
//!   leaves without losing a message.
//! - **Without a group** every message arrives twice. The old one is read to its end; then the new one is, without what
//!   came on the old one as well ([`Repeats`](repeats::Repeats)). So nothing is lost, nothing comes twice, and messages
//!   keep their order, on which the frames of streams rest.
//!
//! The inbox is one without a group, and read by the tasks of its link ([`InboxMove`]).

mod inbox_move;
mod moving_subscription;
mod repeats;
mod subscription_move;

pub(super) use inbox_move::{InboxMove, ReadingGuard};
pub(super) use moving_subscription::MovingSubscription;
pub(super) use subscription_move::SubscriptionMove;
