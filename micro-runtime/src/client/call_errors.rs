//! The statuses with which the client ends a call itself, each with the full name of the method.

use crate::context::TimeLimit;
use crate::status::{Code, Reason, Status};
use crate::stream::IN_PARTS;

/// The reply did not arrive in time. The handler may have run, or still be running.
pub(crate) fn deadline_exceeded(method: &str, limit: &TimeLimit) -> Status {
    limit.exceeded(format_args!("{method} had no reply"))
}

/// The middleware of the client held the call, before or behind its request.
pub(crate) fn deadline_exceeded_in_layers(method: &str, limit: &TimeLimit) -> Status {
    limit.exceeded(format_args!(
        "{method} was held by the middleware of its client, and did not end"
    ))
}

/// The reply has arrived, and was not decoded in time: it is long, and waited for its turn or takes long.
pub(crate) fn not_decoded_in_time(method: &str, limit: &TimeLimit) -> Status {
    limit.exceeded(format_args!(
        "the reply of {method} has arrived and was not decoded"
    ))
}

/// There was no connection, or no room on it, until the deadline. An earlier attempt may have been sent.
pub(crate) fn not_sent_in_time(method: &str, limit: &TimeLimit) -> Status {
    limit.exceeded(format_args!(
        "the last request to {method} waited for the connection to NATS and was not sent"
    ))
}

/// The request was still converted at the deadline, or waited for its turn.
#[cfg(feature = "json")]
pub(crate) fn not_encoded_in_time(method: &str, limit: &TimeLimit) -> Status {
    limit.exceeded(format_args!("the request to {method} was not encoded"))
}

/// The request or the reply is in parts, and they did not arrive in time.
pub(crate) fn deadline_exceeded_in_parts(method: &str, limit: &TimeLimit) -> Status {
    Reason::Deadline.status(format!("{method} had no reply within {limit}{IN_PARTS}"))
}

/// NATS replied that no subscription matches the subject: no handler has run.
pub(crate) fn no_responders(method: &str) -> Status {
    Reason::NoResponders.status(format!(
        "no instance serves {method}: is the service started, with this NATS, this account and this subject prefix?"
    ))
}

/// NATS replied that no subscription matches the subject of the instance with this id.
pub(crate) fn no_such_instance(method: &str, id: &str) -> Status {
    Reason::NoResponders.status(format!(
        "no instance `{id}` replies to {method} under `_i`: it has stopped, or its service replies under the subjects \
         of its methods alone, as one of another library without `micro.wire` in its INFO does"
    ))
}

/// The instance with this id died while it had a call.
pub(crate) fn instance_gone(method: &str, id: &str) -> Status {
    Reason::PeerGone.status(format!(
        "instance `{id}` had a call of {method} and is gone: NATS has no subscriber for it any more; its handler may have run"
    ))
}

/// NATS replied that no subscription matches the subject of all instances.
pub(crate) fn no_broadcast(method: &str) -> Status {
    Reason::NoResponders.status(format!(
        "no instance replies to {method} under `_i._all`: none runs, or its service replies under the subjects of its \
         methods alone, as one of another library without `micro.wire` in its INFO does"
    ))
}

/// The record of the service announces no streams; `what` needs one. Nothing was sent.
pub(crate) fn without_streams(what: std::fmt::Arguments<'_>) -> Status {
    Reason::NotAService.status_with(
        Code::Unimplemented,
        format!(
            "{what} needs streams, which the service does not serve: its INFO has no `micro.wire`; nothing was sent"
        ),
    )
}

/// The service failed an opening without a message with this status, as for a request that it cannot read; `why` states
/// why the opening has none.
pub(crate) fn failed_opening(status: &Status, why: std::fmt::Arguments<'_>) -> Status {
    let text = format!(
        "{} (the reply to an opening without a message, since {why}: a service that serves requests in one message only \
         cannot read it)",
        status.message()
    );
    Status::new(status.code(), text).with_details(status.details().iter().cloned())
}

/// The connection to NATS was lost while the call was in flight; the handler may have run.
pub(crate) fn disconnected(method: &str) -> Status {
    Reason::Disconnected.status(format!(
        "the connection to NATS was lost while {method} was in flight"
    ))
}

/// The call or event that this call was made within has ended.
pub(crate) fn parent_ended(method: &str) -> Status {
    Reason::ParentEnded.status(format!("the call that {method} was a part of has ended"))
}
