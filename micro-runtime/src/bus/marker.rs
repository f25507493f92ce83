//! `Markers`: errors that NATS is made to report, each of which marks the end of everything that it reported before.
//!
//! NATS reports errors in the order of its work, but async-nats hands them to a task of their own, so that a message
//! which NATS sent behind them may be seen before them: no wait is provably enough. So the end is marked by one more
//! error, which comes on the same way, behind all others.
//!
//! | marker | its error | in the log of NATS |
//! |---|---|---|
//! | unnamed: a subscription to `<inbox>.>.<token>`, which is malformed | `Invalid Subject`, which names nothing | no |
//! | named: a message with a reply subject under `_R_.`, which is reserved | names the token | one line |
//!
//! The unnamed one is the usual one, since a start that succeeds must leave no error in the log of NATS. As its error
//! names nothing, three rules keep any other error from being taken for it:
//!
//! - One is under way at a time, and the next one waits until its error has come. A task does that, so that it does not
//!   depend on whether the caller still waits.
//! - Where it does not come, because async-nats has dropped it, a named one shows that it will not.
//! - An `Invalid Subject` that no marker has caused shows that this program subscribes to malformed subjects by its
//!   NATS client. From then on markers of this connection are named. The first such error is taken for that of a marker
//!   which is under way: this one start may then miss a refusal that comes behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Subject};
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;

use crate::bus::nats;
use crate::bus::outgoing::{Outgoing, PublishError, disconnected};
use crate::bus::refusal::Refusal;
use crate::bus::refusal_watch::RefusalWatch;
use crate::bus::refusals::Refusals;
use crate::error::{Error, ErrorKind};
use crate::wire;
use crate::wire::refused_subject;
use crate::wire::subject;

/// Time to wait for the unnamed marker before a named one is sent.
const UNNAMED_TIMEOUT: Duration = Duration::from_millis(250);
/// Time to wait for each named one. Short, since only a flood of errors makes more than one necessary.
const NAMED_TIMEOUT: Duration = Duration::from_millis(50);

/// The markers of one link.
#[derive(Clone)]
pub(super) struct Markers {
    /// Held while a marker is under way, by the task that waits for its error.
    only: Arc<AsyncMutex<()>>,
    /// Ends the tasks that wait for the error of one.
    lost: CancellationToken,
}

/// The two kinds of markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MarkerKind {
    Unnamed,
    Named,
}

/// Sends markers to NATS, or takes them in a test.
trait MarkerSender: Send + Sync + 'static {
    fn is_connected(&self) -> bool;
    fn send(
        &self,
        kind: MarkerKind,
        names: &Names,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Subjects of one marker, none of which is used again.
#[derive(Clone)]
struct Names {
    pattern: Subject,
    reply: Subject,
    target: Subject,
}

impl Markers {
    /// Returns the markers of a link, which end once `lost` is canceled.
    pub(super) fn new(lost: CancellationToken) -> Self {
        Self {
            only: Arc::default(),
            lost,
        }
    }

    /// Returns once everything that NATS reported before has been passed on by `refusals`, unless it was lost: about
    /// one round trip, and one more for each other marker that is under way. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Permission`] if the marker exceeds the limit of subscriptions; [`ErrorKind::Connect`] if the link
    /// is lost.
    pub(super) async fn pass(
        &self,
        client: &Client,
        refusals: &Arc<Refusals>,
    ) -> Result<(), Error> {
        self.pass_by(client.clone(), refusals).await
    }

    async fn pass_by(
        &self,
        sender: impl MarkerSender,
        refusals: &Arc<Refusals>,
    ) -> Result<(), Error> {
        let only = Arc::clone(&self.only).lock_owned().await;
        let lost = self.lost.clone();
        let refusals = Arc::clone(refusals);
        let passing = tokio::spawn(async move {
            let is_named = refusals.has_malformed_of_others();
            let passing = pass(&sender, &refusals, is_named);
            let passed = lost.run_until_cancelled(passing).await;
            drop(only);
            passed
        });
        match passing.await {
            Ok(Some(passed)) => passed,
            Ok(None) | Err(_) => Err(disconnected()),
        }
    }
}

/// Returns once everything that NATS reported before has been passed on by `refusals`, unless it was lost, as
/// [`Markers::pass`] does: for the middle of a flood, where a line more in the log of NATS does not matter. Named
/// markers need not wait for each other. Cancel safe.
///
/// # Errors
///
/// [`ErrorKind::Connect`] if the link is lost.
pub(super) async fn pass_named(client: &Client, refusals: &Arc<Refusals>) -> Result<(), Error> {
    pass(client, refusals, true).await
}

/// Sends markers until the error of one arrives.
async fn pass(
    sender: &impl MarkerSender,
    refusals: &Arc<Refusals>,
    is_named: bool,
) -> Result<(), Error> {
    let names = Names::new(refusals.inbox());
    let unnamed = (!is_named).then(|| names.watch_unnamed(refusals));
    let limit = refusals.watch(|refusal| *refusal == Refusal::SubscriptionLimit);
    let named = names.watch_named(refusals);
    let mut is_limited = is_named;
    let (mut kind, mut timeout) = match is_named {
        false => (MarkerKind::Unnamed, UNNAMED_TIMEOUT),
        true => (MarkerKind::Named, NAMED_TIMEOUT),
    };
    loop {
        if kind == MarkerKind::Unnamed || sender.is_connected() {
            sender.send(kind, &names).await?;
        }
        tokio::select! {
            biased;
            () = refused(unnamed.as_ref()) => return Ok(()),
            _ = named.refused() => break,
            // Of the marker, or of another subscription: a named marker, which needs none, shows whether the
            // unnamed one is taken all the same.
            _ = limit.refused(), if !is_limited => is_limited = true,
            () = tokio::time::sleep(timeout) => {}
        }
        (kind, timeout) = (MarkerKind::Named, NAMED_TIMEOUT);
    }
    match unnamed {
        Some(unnamed) if is_limited && unnamed.now().is_none() => Err(no_subscription_to_spare()),
        _ => Ok(()),
    }
}

/// Waits for a refusal; for ever without a watch.
async fn refused(watch: Option<&RefusalWatch>) {
    match watch {
        Some(watch) => drop(watch.refused().await),
        None => std::future::pending().await,
    }
}

impl Names {
    fn new(inbox: &str) -> Self {
        let token = subject::random_token();
        Self {
            pattern: refused_subject::pattern(inbox, &token),
            reply: refused_subject::reply(inbox, &token),
            target: refused_subject::target(inbox, &token),
        }
    }

    /// Waits for the error of the unnamed marker: that it is malformed, or that this user may not subscribe to it.
    /// It causes one error: a second `Invalid Subject` is of the program, or the own one behind that of the program.
    fn watch_unnamed(&self, refusals: &Arc<Refusals>) -> RefusalWatch {
        let pattern = self.pattern.clone();
        let has_error = AtomicBool::new(false);
        refusals.watch(move |refusal| match refusal {
            Refusal::InvalidSubject => !has_error.swap(true, Ordering::Relaxed),
            _ => refusal.is_of_subscription(&pattern, None),
        })
    }

    /// Waits for the error of a named marker: that its reply subject is reserved, or that this user may not publish
    /// it at all.
    fn watch_named(&self, refusals: &Arc<Refusals>) -> RefusalWatch {
        let (reply, target) = (self.reply.clone(), self.target.clone());
        refusals.watch(move |refusal| match refusal {
            Refusal::ReplySubject(subject) => **subject == *reply,
            _ => refusal.is_of_publish(&target),
        })
    }
}

impl MarkerSender for Client {
    fn is_connected(&self) -> bool {
        self.connection_state() == State::Connected
    }

    async fn send(&self, kind: MarkerKind, names: &Names) -> Result<(), Error> {
        if kind == MarkerKind::Unnamed {
            // Dropped at once, or the next connection would subscribe again.
            let subscribed = self.subscribe(names.pattern.clone()).await;
            return subscribed
                .map(drop)
                .map_err(|error| disconnected().with_source(error));
        }
        let marker = Outgoing {
            reply: Some(names.reply.clone()),
            ..Outgoing::to(names.target.clone(), wire::opening_payload())
        };
        match nats::publish(self, marker).await {
            Err(PublishError::Disconnected | PublishError::Closed) => Err(disconnected()),
            _ => Ok(()),
        }
    }
}

fn no_subscription_to_spare() -> Error {
    let message = "NATS allows this connection no further subscription (`max_subscriptions`), and a start needs one to spare, which shows that the others are in order";
    Error::new(ErrorKind::Permission, message)
}

#[cfg(test)]
#[path = "marker_tests.rs"]
mod tests;
