//! `Watch`: changes among the instances, from their lifecycle events and from pings (docs/PROTOCOL.md, "Watching").
//!
//! A start and a stop are announced by the instance. A death is not, so that each round of pings is compared with the
//! instances that are known; one that is missing is pinged alone, and then NATS distinguishes a dead instance (no
//! responders) from one that hangs. `roster` decides which observation is a change.

use std::collections::HashSet;
use std::error::Error as _;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::Stream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::bus::{
    CarrierSubscription, MultiReply, MultiReplyEnd, Outgoing, ReplyLimits, instant_after,
};
use crate::discovery::query::{Pong, Query};
use crate::discovery::records::{EventKind, Instance, LifecycleEvent};
use crate::discovery::roster::{Change, Roster};
use crate::discovery::scope::Scope;
use crate::discovery::{names, query, records};
use crate::error::{Error, ErrorKind};
use crate::log_limit::LogLimit;
use crate::printable::Printable;
use crate::status::{Reason, Status};
use crate::wire::BrokerMessage;
use crate::wire::subject;
use crate::wire::subject::Verb;

/// Default time between the beginnings of two rounds of pings.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);
/// Default time that an instance has to reply to a ping of its own.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(1);
/// Default time after which a silent instance counts as lost.
const DEFAULT_FORGET_AFTER: Duration = Duration::from_secs(60);
/// Maximum time after the announcement of a stop in which a reply to an earlier ping can arrive.
const MAX_REPLY_DELAY: Duration = Duration::from_secs(1);
/// Maximum number of changes that wait for the reader; the watch pauses at it.
const MAX_UNREAD: usize = 1024;

/// Options of a watch; made by [`Discovery::watch`](crate::discovery::Discovery::watch).
///
/// Instances announce their start and their stop. The death of one is noticed within the interval plus the
/// patience (or 300 ms, if that is more): a round waits for slow replies that long, and a ping to the missing
/// instance alone then gets NATS's "no responders" at once. An instance that hangs is noticed one patience later.
#[must_use = "a watch begins once it is opened"]
#[derive(Clone, Debug)]
pub struct WatchOptions {
    scope: Scope,
    service: Option<String>,
    interval: Duration,
    patience: Duration,
    forget_after: Duration,
}

/// Changes among the instances, beginning with those that are there; a [`Stream`] of them. Dropping it ends the watch.
///
/// Changes that are not read wait, up to 1,024; then the watch pauses, and later reports what has changed in sum.
///
/// It ends when the connection is closed, and when NATS revokes its subscription to the lifecycle events or refuses a
/// ping to all instances, without which it would miss those that are there and each death: [`error`](Self::error) is
/// the reason then.
#[must_use = "changes are there to be read"]
pub struct Watch {
    changes: mpsc::Receiver<Change>,
    error: Arc<OnceLock<Status>>,
    task: AbortHandle,
}

/// Result of one round of pings.
struct PingRound {
    sent_at: Instant,
    replies: Result<Vec<Pong>, Error>,
    /// Known instances that did not reply, with the end of the ping to each alone; `None` if it replied to that.
    missing: Vec<(Instance, Option<MultiReplyEnd>)>,
}

impl PingRound {
    /// Returns the status of a round that NATS has refused.
    fn refusal(&self) -> Option<&Status> {
        let status = self.replies.as_ref().err()?.source()?.downcast_ref();
        status.filter(|status: &&Status| status.reason() == Some(Reason::NotPermitted))
    }
}

impl WatchOptions {
    pub(crate) fn new(scope: &Scope) -> Self {
        Self {
            scope: scope.clone(),
            service: None,
            interval: DEFAULT_INTERVAL,
            patience: DEFAULT_PATIENCE,
            forget_after: DEFAULT_FORGET_AFTER,
        }
    }

    /// Watches only the instances of one service, by its full name or its ADR-32 name.
    pub fn of(mut self, service: &str) -> Self {
        self.service = Some(names::service_name(service));
        self
    }

    /// Sets the time between the beginnings of two rounds of pings. 2 s by default.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the time that an instance which missed a round has to reply to a ping of its own, before it counts as
    /// silent. 1 s by default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the time after which a silent instance counts as lost. 60 s by default.
    pub fn forget_after(mut self, silence: Duration) -> Self {
        self.forget_after = silence;
        self
    }

    /// Opens the watch. Every start and stop after this returns is seen.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Permission`](crate::ErrorKind::Permission) if this user may not subscribe to the lifecycle events,
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) or [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if NATS
    /// does not reply.
    pub async fn open(self) -> Result<Watch, Error> {
        let serving = &self.scope.serving;
        let subject = subject::lifecycle_pattern(&self.scope.prefix, self.service.as_deref());
        let events = serving.subscribe_confirmed(subject, None).await?;
        let (sender, changes) = mpsc::channel(MAX_UNREAD);
        let error = Arc::new(OnceLock::new());
        let task = tokio::spawn(run(self, events, sender, Arc::clone(&error))).abort_handle();
        Ok(Watch {
            changes,
            error,
            task,
        })
    }

    /// Pings all instances at `at`, and then each of those in `known` that did not reply by itself.
    async fn round(self, known: Vec<Instance>, at: Instant) -> PingRound {
        tokio::time::sleep_until(at).await;
        let sent_at = Instant::now();
        let mut ping = Query::<Pong>::new(&self.scope);
        if let Some(service) = &self.service {
            ping = ping.of(service);
        }
        let replies = ping.max_wait(self.patience.max(query::DEFAULT_STALL)).await;
        let missing = without_reply(known, replies.as_deref().unwrap_or_default());
        let probes = missing.into_iter().map(|instance| self.probe(instance));
        PingRound {
            sent_at,
            missing: if replies.is_ok() {
                join_all(probes).await
            } else {
                Vec::new()
            },
            replies,
        }
    }

    /// Pings one instance; the result is `None` if it replied.
    async fn probe(&self, instance: Instance) -> (Instance, Option<MultiReplyEnd>) {
        let (name, id) = (instance.name.as_str(), instance.id.as_str());
        let subject = Verb::Ping.subject(&self.scope.prefix, Some(name), Some(id));
        let outgoing = Outgoing::to(subject, Bytes::new());
        let limits = ReplyLimits {
            expected: Some(1),
            stall: self.patience,
            max_wait: self.patience,
        };
        let end = match MultiReply::send(&self.scope.connection, outgoing, limits).await {
            Ok(mut multi_reply) => match multi_reply.next().await {
                Some(_) => None,
                None => multi_reply.end(),
            },
            Err(_) => Some(MultiReplyEnd::Stalled),
        };
        (instance, end)
    }
}

/// Returns the instances among `known` that have not replied. Both lists may be as long as peers like.
fn without_reply(mut known: Vec<Instance>, replies: &[Pong]) -> Vec<Instance> {
    let replied = replies.iter().map(|pong| key(&pong.instance));
    let replied = replied.collect::<HashSet<_>>();
    known.retain(|instance| !replied.contains(&key(instance)));
    known
}

/// Returns the name of the service and the id, which no other instance has together.
fn key(instance: &Instance) -> (&str, &str) {
    (&instance.name, &instance.id)
}

/// Reports changes until the connection is closed, NATS revokes the subscription or refuses a round of pings, or the
/// reader is gone.
async fn run(
    options: WatchOptions,
    mut events: CarrierSubscription,
    changes: mpsc::Sender<Change>,
    error: Arc<OnceLock<Status>>,
) {
    let mut roster = Roster::new(options.forget_after, options.patience.min(MAX_REPLY_DELAY));
    let mut round = Box::pin(options.clone().round(Vec::new(), Instant::now()));
    let failed_rounds = LogLimit::default();
    loop {
        let found = tokio::select! {
            biased;
            event = events.next() => match event {
                Some(message) => apply_event(&mut roster, &message),
                None => {
                    if let Some(refusal) = events.take_refusal() {
                        let _ = error.set(refusal.status());
                    }
                    return;
                }
            },
            outcome = &mut round => {
                if let Some(refusal) = outcome.refusal() {
                    tracing::error!("a watch has ended: {}", Printable(refusal.message()));
                    let _ = error.set(refusal.clone());
                    return;
                }
                let at = instant_after(outcome.sent_at, options.interval);
                let found = apply_round(&mut roster, outcome, &failed_rounds);
                let next = options.clone().round(roster.instances(), at);
                round = Box::pin(next);
                found
            }
        };
        for change in found {
            if changes.send(change).await.is_err() {
                return;
            }
        }
    }
}

/// Applies a lifecycle event.
fn apply_event(roster: &mut Roster, message: &Message) -> Vec<Change> {
    if BrokerMessage::of(message).is_some() {
        return Vec::new();
    }
    let event = match records::read_event(&message.payload) {
        Ok((event, invalid_fields)) => {
            invalid_fields.iter().for_each(|field| {
                field.report();
            });
            Some(event)
        }
        Err(invalid_field) => {
            invalid_field.report();
            None
        }
    };
    // Permissions are on subjects: an event whose payload names another instance is ignored.
    let is_own = |event: &LifecycleEvent| {
        subject::is_lifecycle_event_of(&message.subject, &event.name, &event.id)
    };
    let Some(event) = event.filter(is_own) else {
        tracing::debug!(subject = %Printable(&message.subject), "a message is no lifecycle event of this subject");
        return Vec::new();
    };
    let now = Instant::now();
    let change = match event.kind {
        EventKind::Started => roster.started(event.into_instance(), now),
        EventKind::Stopping => roster.stopping(&event.into_instance(), now),
    };
    change.into_iter().collect()
}

/// Applies a round of pings.
fn apply_round(roster: &mut Roster, round: PingRound, log: &LogLimit) -> Vec<Change> {
    let now = Instant::now();
    let replies = match round.replies {
        Ok(replies) => replies,
        // The connection is lost or closed, which its own log states, and which is no statement about the instances.
        Err(error) if error.kind() == ErrorKind::Connect => {
            tracing::debug!(%error, "a round of pings failed");
            return Vec::new();
        }
        Err(error) => {
            log.write(move |count| tracing::warn!(%error, count, "a round of pings failed"));
            return Vec::new();
        }
    };
    let pongs = replies.into_iter().map(|pong| pong.instance);
    let mut changes = pongs
        .filter_map(|instance| roster.seen(instance, now))
        .collect::<Vec<_>>();
    for (instance, end) in round.missing {
        changes.extend(match end {
            None | Some(MultiReplyEnd::Complete) => roster.seen(instance, now),
            // The permissions of this user are no statement about the instance.
            Some(MultiReplyEnd::Failed(status))
                if status.reason() == Some(Reason::NotPermitted) =>
            {
                None
            }
            Some(MultiReplyEnd::NoResponders) => roster.died(&instance, round.sent_at),
            Some(MultiReplyEnd::Stalled | MultiReplyEnd::Failed(_)) => {
                roster.missed_ping(&instance, round.sent_at, now)
            }
        });
    }
    changes
}

impl Watch {
    /// Returns the next change; `None` once the connection is closed for good, or NATS has revoked the subscription or
    /// refused a ping to all instances.
    ///
    /// Cancel safe: no change is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }

    /// Returns why the watch has ended: `PERMISSION_DENIED` with the subject once NATS has revoked its subscription to
    /// the lifecycle events or refused a ping to all instances; `None` while it lasts, and where it has ended
    /// otherwise.
    #[must_use]
    pub fn error(&self) -> Option<&Status> {
        self.error.get()
    }
}

impl Stream for Watch {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Change>> {
        self.changes.poll_recv(cx)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::check_linear;

    fn instance(number: usize) -> Instance {
        Instance {
            name: "a".to_owned(),
            id: number.to_string(),
            ..Instance::default()
        }
    }

    fn pong(number: usize) -> Pong {
        Pong {
            instance: instance(number),
            round_trip: Duration::ZERO,
        }
    }

    #[test]
    fn instances_without_a_reply_are_found_in_linear_time() {
        let pongs = [0, 2].map(pong);
        let missing = without_reply((0..4).map(instance).collect(), &pongs);
        assert_eq!(missing, [instance(1), instance(3)]);
        let input = |size: usize| {
            let known = (0..size).map(instance).collect();
            (known, (0..size).rev().map(pong).collect::<Vec<_>>())
        };
        check_linear(1_000, input, |(known, pongs)| without_reply(known, &pongs));
    }
}
