//! Moves everything from one link to another while both are connected: a nats-server that is about to stop says so
//! beforehand, and cuts its clients off some seconds later.
//!
//! 1. Every subscription, the inbox among them, is made on the new link as well (`bus::moves`).
//! 2. Once NATS has had the time to route messages to those, messages go through the new link, where they wait at its
//!    `Gate` until NATS has everything that was sent on the old one.
//! 3. Subscriptions that were made meanwhile follow.
//! 4. The old subscriptions end, and with them the old link.
//!
//! Nobody notices: calls in flight get their replies, streams go on, no event is lost.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::begun_moves::BegunMoves;
use crate::bus::link::current_link::CurrentLink;
use crate::bus::link::link::{Link, LinkParts};
use crate::bus::outgoing::disconnected;
use crate::bus::refusals::Refusals;
use crate::error::Error;

/// Time that NATS gets to pass something on to all servers of its cluster, which it does not confirm: a message, or
/// that a subscription exists. It takes some milliseconds, unless the servers are overloaded or on several continents.
const ROUTING_TIME: Duration = Duration::from_secs(1);
/// Maximum time of each step that waits for NATS, or for a reader.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum time that messages wait for those on the old link. Then those of a stream could overtake each other, which
/// its other end notices as a loss.
const GATE_TIMEOUT: Duration = Duration::from_millis(500);
/// Interval at which is looked whether the old link is still in use.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Moves everything from `old` to the link of these parts, which `current` holds then. Returns whether NATS has
/// everything that was sent on the old one.
///
/// # Errors
///
/// [`ErrorKind::Connect`] if the new link is lost, or does not confirm in time, before anything goes through it; then
/// the old one is as it was.
pub(super) async fn hand_over(
    old: &Arc<Link>,
    parts: LinkParts<'_>,
    current: &CurrentLink,
) -> Result<bool, Error> {
    let refusals = parts.refusals;
    refusals.begin_link();
    let (new, moves) = match subscribe_on_both(old, parts).await {
        Ok(subscribed) => subscribed,
        Err(error) => {
            old.inbox_move().cancel();
            return Err(error);
        }
    };
    while_connected(old, ROUTING_TIME).await;
    current.set(Arc::clone(&new));
    let _ = tokio::time::timeout(GATE_TIMEOUT, drained(old, refusals)).await;
    new.open_gate();
    let late = BegunMoves::begin(refusals.subscriptions(), new.number());
    if !late.is_empty() && subscribe(&late, &new).await.is_ok() {
        while_connected(old, ROUTING_TIME).await;
    }
    let leaving = async { tokio::join!(moves.leave(), late.leave()) };
    let _ = tokio::time::timeout(STEP_TIMEOUT, old.lost().run_until_cancelled(leaving)).await;
    let is_whole = has_passed(old, refusals).await;
    new.confirm_requests();
    drop((moves, late));
    old.end();
    Ok(is_whole)
}

/// Makes the new link, and on it everything that is open on the old one, which stays as it is.
async fn subscribe_on_both(
    old: &Link,
    parts: LinkParts<'_>,
) -> Result<(Arc<Link>, BegunMoves), Error> {
    let refusals = parts.refusals;
    old.inbox_move().begin();
    let moves = BegunMoves::begin(refusals.subscriptions(), parts.number);
    // A message that has come on the old link may be on its way to the new server as well.
    while_connected(old, ROUTING_TIME).await;
    let opened = parts.open().await.map(Arc::new);
    let subscribed = match &opened {
        Ok(new) => {
            // First: from its subscription on, a member of a group gets messages that no other one does.
            let works = has_passed(new, refusals).await && has_heard(new).await;
            works && subscribe(&moves, new).await.is_ok() && has_passed(new, refusals).await
        }
        Err(_) => false,
    };
    match opened {
        Ok(new) if subscribed => Ok((new, moves)),
        failed => {
            moves.abort(old.number());
            let new = failed?;
            new.end();
            Err(disconnected())
        }
    }
}

/// Returns once nobody hands messages to the old link any more, and NATS has all of them.
async fn drained(old: &Arc<Link>, refusals: &Arc<Refusals>) {
    // One is the keeper's. Who waits for something else than room on this link, as the proof of a start does, holds up
    // the others until the timeout of this.
    while Arc::strong_count(old) > 1 {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    has_passed(old, refusals).await;
}

async fn subscribe(moves: &BegunMoves, new: &Arc<Link>) -> Result<(), Error> {
    let subscribe = |subject, queue: Option<Box<str>>| async move {
        new.subscribe(subject, queue.as_deref()).await
    };
    moves.subscribe(new.number(), subscribe).await
}

/// Returns whether NATS has processed everything that was sent on the link, once it has.
async fn has_passed(link: &Link, refusals: &Arc<Refusals>) -> bool {
    let passing = async {
        if link.round_trip().await {
            return true;
        }
        let passed = link.markers().pass(link.client(), refusals).await;
        // A user who may not have the marker has its error.
        passed.is_ok() || !link.lost().is_cancelled()
    };
    let passing = tokio::time::timeout(STEP_TIMEOUT, passing);
    matches!(
        link.lost().run_until_cancelled(passing).await,
        Some(Ok(true))
    )
}

/// Returns whether NATS sends to the new link, too.
async fn has_heard(new: &Link) -> bool {
    let hearing = tokio::time::timeout(STEP_TIMEOUT, new.heard());
    let heard = new.lost().run_until_cancelled(hearing).await;
    matches!(heard, Some(Ok(())))
}

/// Waits, at most until the link is lost.
async fn while_connected(link: &Link, time: Duration) {
    link.lost()
        .run_until_cancelled(tokio::time::sleep(time))
        .await;
}
