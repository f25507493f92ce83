//! The tasks of a link's inbox: one reads it, the other one subscribes to it again after NATS has revoked it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::bus::marker::Markers;
use crate::bus::moves::{InboxMove, ReadingGuard};
use crate::bus::mux::Mux;
use crate::bus::outgoing::disconnected;
use crate::bus::refusal_watch::RefusalWatch;
use crate::bus::refusals::{Refusals, is_lossy};
use crate::error::{Error, ErrorKind};
use crate::wire::subject;

/// Time between two attempts to subscribe to an inbox that NATS refuses. Each is a line in the log of NATS.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The inbox of one link. Dropping it ends its tasks.
pub(super) struct Inbox {
    supervisor: AbortHandle,
    next_move: Arc<InboxMove>,
    heard: CancellationToken,
}

/// Makes the subscription again, where NATS has refused it.
struct InboxSupervisor {
    client: Client,
    mux: Arc<Mux>,
    refusals: Arc<Refusals>,
    markers: Markers,
    lost: CancellationToken,
    next_move: Arc<InboxMove>,
    /// Held for its drop alone: a subscription that is made again replaces it.
    reading: ReadingTask,
}

/// The task that reads the subscription. Dropping it ends the task.
struct ReadingTask(AbortHandle);

/// What the task that reads works on.
struct Reading {
    replies: Subscriber,
    mux: Arc<Mux>,
    lost: CancellationToken,
    /// The inbox before, and what to cancel once anything has come while that is still read.
    before: Option<(Arc<InboxMove>, CancellationToken)>,
    next_move: Arc<InboxMove>,
    _guard: ReadingGuard,
}

impl Inbox {
    /// Subscribes, and starts the tasks. The end of the subscription is the end of the link, and cancels `lost`.
    /// Messages wait for the end of the inbox of `before`, the move away from which has begun.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] if the link is lost.
    pub(super) async fn open(
        client: &Client,
        mux: &Arc<Mux>,
        refusals: &Arc<Refusals>,
        markers: &Markers,
        lost: &CancellationToken,
        before: Option<&Arc<InboxMove>>,
    ) -> Result<Self, Error> {
        let replies = subscribe(client, mux).await?;
        let next_move = Arc::new(InboxMove::default());
        let heard = CancellationToken::new();
        let reading = Reading {
            replies,
            mux: Arc::clone(mux),
            lost: lost.clone(),
            before: before.map(|before| (Arc::clone(before), heard.clone())),
            _guard: next_move.reading_guard(),
            next_move: Arc::clone(&next_move),
        };
        let supervisor = InboxSupervisor {
            client: client.clone(),
            mux: Arc::clone(mux),
            refusals: Arc::clone(refusals),
            markers: markers.clone(),
            lost: lost.clone(),
            next_move: Arc::clone(&next_move),
            reading: ReadingTask::spawn(reading),
        };
        Ok(Self {
            supervisor: tokio::spawn(supervisor.run()).abort_handle(),
            next_move,
            heard,
        })
    }

    /// Returns the hand-over to the inbox of the next link.
    pub(super) fn next_move(&self) -> &Arc<InboxMove> {
        &self.next_move
    }

    /// Returns once anything has come, of an inbox that follows another one.
    pub(super) async fn heard(&self) {
        self.heard.cancelled().await;
    }

    /// Ends the tasks: nothing is delivered any more.
    pub(super) fn end(&self) {
        self.supervisor.abort();
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.end();
    }
}

impl InboxSupervisor {
    /// Subscribes again each second, while NATS refuses the inbox and calls need it. A program that needs no replies
    /// leaves NATS alone.
    async fn run(mut self) {
        loop {
            self.mux.inbox_refused().await;
            tokio::time::sleep(RETRY_INTERVAL).await;
            // A new connection may allow it, too.
            if !self.mux.is_inbox_refused() || !self.mux.take_inbox_wanted() {
                continue;
            }
            match self.subscribe_again().await {
                Err(error) if error.kind() == ErrorKind::Connect => return,
                Err(error) => tracing::debug!(%error, "the inbox is tried again"),
                Ok(()) => {}
            }
        }
    }

    /// Subscribes once more, and goes on with that subscription if NATS takes it. The one that it has refused must end,
    /// or the next connection would make it again, and each reply would arrive twice.
    async fn subscribe_again(&mut self) -> Result<(), Error> {
        let since = self.refusals.events();
        let refusals = self.mux.inbox_refusals();
        let refused = watch_refusal(&self.mux, &self.refusals);
        let replies = subscribe(&self.client, &self.mux).await?;
        self.markers.pass(&self.client, &self.refusals).await?;
        let is_proven = !is_lossy(since, self.refusals.events());
        // The watch is first to have a refusal that came before the marker; the count has one that came since.
        if refused.now().is_none() && is_proven && self.mux.allow_inbox(refusals) {
            self.reading = ReadingTask::spawn(Reading {
                replies,
                mux: Arc::clone(&self.mux),
                lost: self.lost.clone(),
                before: None,
                _guard: self.next_move.reading_guard(),
                next_move: Arc::clone(&self.next_move),
            });
            tracing::info!("NATS lets this user subscribe to its inbox again");
        }
        Ok(())
    }
}

impl ReadingTask {
    /// Delivers what arrives. The task never waits for anything but the next message, since every reply and every frame
    /// of the link passes through it; see [`FrameSink`](crate::bus::FrameSink).
    fn spawn(reading: Reading) -> Self {
        Self(tokio::spawn(reading.run()).abort_handle())
    }
}

impl Reading {
    async fn run(mut self) {
        if let Some((before, heard)) = self.before.take() {
            let deliver = |message| {
                self.next_move.note(&message);
                self.mux.deliver(message);
            };
            before.follow(&mut self.replies, &heard, deliver).await;
        }
        while let Some(message) = self.replies.next().await {
            self.next_move.note(&message);
            self.mux.deliver(message);
        }
        self.lost.cancel();
    }
}

impl Drop for ReadingTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn subscribe(client: &Client, mux: &Mux) -> Result<Subscriber, Error> {
    let pattern = subject::reply_pattern(mux.inbox());
    let subscribed = client.subscribe(pattern).await;
    subscribed.map_err(|error| disconnected().with_source(error))
}

fn watch_refusal(mux: &Mux, refusals: &Arc<Refusals>) -> RefusalWatch {
    let pattern = subject::reply_pattern(mux.inbox());
    refusals.watch(move |refusal| refusal.is_of_subscription(&pattern, None))
}
