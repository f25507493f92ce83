//! `Watch`: the instances that come, go and fall silent, from what they say and from pings.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use async_nats::Message;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::Stream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::bus::{
    CarrierSubscription, MultiReply, MultiReplyEnd, Outgoing, ReplyLimits, instant_after,
};
use crate::discovery::query::{Pong, Query};
use crate::discovery::records::{EventKind, Instance, LifecycleEvent};
use crate::discovery::roster::{Change, Roster};
use crate::discovery::scope::Scope;
use crate::discovery::{names, query};
use crate::error::Error;
use crate::wire::subject;
use crate::wire::subject::Verb;

const INTERVAL: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(1);
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// nats-server says what it refuses up to a millisecond after the barrier.
const REFUSAL: Duration = Duration::from_millis(25);
/// For so long an answer may still be under way of somebody who has said that he stops.
const LATE: Duration = Duration::from_secs(1);
/// Changes that nobody has taken yet; the watch rests above that.
const UNREAD: usize = 1024;

/// A watch to be started; see [`Discovery::watch`](crate::discovery::Discovery::watch).
///
/// An instance that starts or stops says so at once. One that dies is noticed within the interval
/// plus the stall time of a ping (300 ms); one that hangs, within the interval plus the stall time
/// plus the patience.
#[must_use = "a watch begins once it is started"]
#[derive(Clone, Debug)]
pub struct WatchOptions {
    scope: Scope,
    service: Option<String>,
    interval: Duration,
    patience: Duration,
    forget_after: Duration,
}

/// The changes that a watch sees, beginning with the instances that are there. Dropping it ends it.
#[must_use = "changes are there to be read"]
pub struct Watch {
    changes: mpsc::Receiver<Change>,
    task: AbortHandle,
}

/// What one round of pings has found.
struct Round {
    asked: Instant,
    answered: Result<Vec<Pong>, Error>,
    missing: Vec<(Instance, Option<MultiReplyEnd>)>,
}

impl WatchOptions {
    pub(crate) fn new(scope: &Scope) -> Self {
        Self {
            scope: scope.clone(),
            service: None,
            interval: INTERVAL,
            patience: PATIENCE,
            forget_after: FORGET_AFTER,
        }
    }

    /// Watches the instances of one service only.
    pub fn of(mut self, service: &str) -> Self {
        self.service = Some(names::service_name(service));
        self
    }

    /// How long after one round of pings the next begins. 2 s by default.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long an instance that missed a ping may take to answer one that is for it alone, before
    /// it counts as silent. 1 s by default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long an instance may be silent before it counts as gone. 60 s by default.
    pub fn forget_after(mut self, silence: Duration) -> Self {
        self.forget_after = silence;
        self
    }

    /// Begins to watch. When this returns, no start and no stop goes unseen.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Permission`](crate::ErrorKind::Permission) when this user may not subscribe to
    /// what instances say, [`ErrorKind::Connect`](crate::ErrorKind::Connect) or
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when NATS does not answer.
    pub async fn open(self) -> Result<Watch, Error> {
        let connection = &self.scope.connection;
        let subject = subject::lifecycle_pattern(&self.scope.prefix, self.service.as_deref());
        let mut violations = connection.violations();
        let events = connection.subscribe(subject.clone(), None).await?;
        connection.barrier().await?;
        if violations.is_some() {
            let refusal = query::refusal(violations.as_mut(), &subject);
            if let Ok(error) = tokio::time::timeout(REFUSAL, refusal).await {
                return Err(error);
            }
        }
        let (sender, changes) = mpsc::channel(UNREAD);
        let task = tokio::spawn(run(self, events, sender)).abort_handle();
        Ok(Watch { changes, task })
    }

    /// Pings everybody, and then one by one those of `known` that did not answer.
    async fn round(self, known: Vec<Instance>, at: Instant) -> Round {
        tokio::time::sleep_until(at.into()).await;
        let asked = Instant::now();
        let mut ping = Query::<Pong>::new(&self.scope);
        if let Some(service) = &self.service {
            ping = ping.of(service);
        }
        let answered = ping.max_wait(self.patience.max(query::STALL)).await;
        let has_answered = |instance: &Instance| {
            let mut pongs = answered.iter().flatten();
            pongs.any(|pong| pong.instance.id == instance.id && pong.instance.name == instance.name)
        };
        let missing = known.into_iter().filter(|one| !has_answered(one));
        let probes = missing.map(|instance| self.probe(instance));
        Round {
            asked,
            missing: if answered.is_ok() {
                join_all(probes).await
            } else {
                Vec::new()
            },
            answered,
        }
    }

    /// Asks one instance; `None` if it answered.
    async fn probe(&self, instance: Instance) -> (Instance, Option<MultiReplyEnd>) {
        let (name, id) = (instance.name.as_str(), instance.id.as_str());
        let subject = Verb::Ping.subject(&self.scope.prefix, Some(name), Some(id));
        let outgoing = Outgoing::to(subject, Bytes::new());
        let patience = ReplyLimits {
            expected: Some(1),
            stall: self.patience,
            max_wait: self.patience,
        };
        let end = match MultiReply::send(&self.scope.connection, outgoing, patience).await {
            Ok(mut gather) => match gather.next().await {
                Some(_) => None,
                None => gather.end(),
            },
            Err(_) => Some(MultiReplyEnd::Stalled),
        };
        (instance, end)
    }
}

async fn run(
    options: WatchOptions,
    mut events: CarrierSubscription,
    changes: mpsc::Sender<Change>,
) {
    let mut roster = Roster::new(options.forget_after, options.patience.min(LATE));
    let mut round = Box::pin(options.clone().round(Vec::new(), Instant::now()));
    loop {
        let found = tokio::select! {
            biased;
            event = events.next() => match event {
                Some(message) => take_event(&mut roster, &message),
                None => return,
            },
            outcome = &mut round => {
                let at = instant_after(outcome.asked, options.interval);
                let found = take_round(&mut roster, outcome);
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

fn take_event(roster: &mut Roster, message: &Message) -> Vec<Change> {
    let event = serde_json::from_slice::<LifecycleEvent>(&message.payload).ok();
    // Who may speak is a matter of the subject: the payload must not name somebody else.
    let is_own = |event: &LifecycleEvent| {
        subject::is_lifecycle_event_of(&message.subject, &event.name, &event.id)
    };
    let Some(event) = event.filter(is_own) else {
        tracing::debug!(subject = %message.subject, "an instance said what is no event of its own");
        return Vec::new();
    };
    let now = Instant::now();
    let change = match event.kind {
        EventKind::Started => roster.started(event.into_instance(), now),
        EventKind::Stopping => roster.stopping(&event.into_instance(), now),
    };
    change.into_iter().collect()
}

fn take_round(roster: &mut Roster, round: Round) -> Vec<Change> {
    let now = Instant::now();
    let answered = match round.answered {
        Ok(answered) => answered,
        Err(error) => {
            // The bus does not carry: that says nothing about the instances.
            tracing::warn!(%error, "a round of pings failed");
            return Vec::new();
        }
    };
    let pongs = answered.into_iter().map(|pong| pong.instance);
    let mut changes = pongs
        .filter_map(|instance| roster.seen(instance, now))
        .collect::<Vec<_>>();
    for (instance, end) in round.missing {
        changes.extend(match end {
            None | Some(MultiReplyEnd::Complete) => roster.seen(instance, now),
            Some(MultiReplyEnd::NoResponders) => roster.died(&instance, round.asked),
            Some(MultiReplyEnd::Stalled) => roster.unanswered(&instance, round.asked, now),
        });
    }
    changes
}

impl Watch {
    /// The next change; `None` once the connection is closed for good.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
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
