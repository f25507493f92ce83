//! The tasks of a connection's inbox: one reads it, the other one subscribes to it again after NATS has revoked it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;
use tokio::task::AbortHandle;

use crate::bus::marker::Markers;
use crate::bus::mux::Mux;
use crate::bus::outgoing::closed;
use crate::bus::refusals::{RefusalWatch, Refusals, is_lossy};
use crate::error::{Error, ErrorKind};
use crate::status::Reason;
use crate::wire::subject;

/// Time between two attempts to subscribe to an inbox that NATS refuses. Each is a line in the log of NATS.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The inbox of one connection. Dropping it ends its tasks.
pub(super) struct Inbox {
    supervisor: AbortHandle,
}

/// Makes the subscription again, where NATS has refused it.
struct InboxSupervisor {
    client: Client,
    mux: Arc<Mux>,
    refusals: Arc<Refusals>,
    markers: Arc<Markers>,
    reading: ReadingTask,
}

/// The task that reads the subscription. Dropping it ends the task.
struct ReadingTask {
    /// Whether the inbox is read: by this task, or by the next one.
    open: Weak<OpenInbox>,
    task: AbortHandle,
}

/// Closes the reply slots when the inbox is not read any more: no call may wait for a reply that cannot arrive.
struct OpenInbox(Arc<Mux>);

impl Inbox {
    /// Subscribes, and starts the tasks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] if the connection is closed for good.
    pub(super) async fn open(
        client: &Client,
        mux: &Arc<Mux>,
        refusals: &Arc<Refusals>,
        markers: &Arc<Markers>,
    ) -> Result<Self, Error> {
        let replies = subscribe(client, mux).await?;
        let supervisor = InboxSupervisor {
            client: client.clone(),
            mux: Arc::clone(mux),
            refusals: Arc::clone(refusals),
            markers: Arc::clone(markers),
            reading: ReadingTask::spawn(Arc::new(OpenInbox(Arc::clone(mux))), replies),
        };
        Ok(Self {
            supervisor: tokio::spawn(supervisor.run()).abort_handle(),
        })
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.supervisor.abort();
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
        if let (None, true, Some(open)) = (refused.now(), is_proven, self.reading.open.upgrade())
            && self.mux.allow_inbox(refusals)
        {
            self.reading = ReadingTask::spawn(open, replies);
            tracing::info!("NATS lets this user subscribe to its inbox again");
        }
        Ok(())
    }
}

impl ReadingTask {
    /// Delivers what arrives. The task never waits for anything but the next message, since every reply and every frame
    /// of the connection passes through it; see [`FrameSink`](crate::bus::FrameSink).
    fn spawn(open: Arc<OpenInbox>, mut replies: Subscriber) -> Self {
        let weak = Arc::downgrade(&open);
        let reading = async move {
            while let Some(message) = replies.next().await {
                open.0.deliver(message);
            }
        };
        Self {
            open: weak,
            task: tokio::spawn(reading).abort_handle(),
        }
    }
}

impl Drop for ReadingTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for OpenInbox {
    fn drop(&mut self) {
        let text = "the connection to NATS is closed: the tokio runtime in which the bus was made has ended, or its last bus was dropped";
        self.0.close(&Reason::Disconnected.status(text));
    }
}

async fn subscribe(client: &Client, mux: &Mux) -> Result<Subscriber, Error> {
    let pattern = subject::reply_pattern(mux.inbox());
    client.subscribe(pattern).await.map_err(closed)
}

fn watch_refusal(mux: &Mux, refusals: &Arc<Refusals>) -> RefusalWatch {
    let pattern = subject::reply_pattern(mux.inbox());
    refusals.watch(move |refusal| refusal.is_of_subscription(&pattern, None))
}
