//! `Prober`: asks NATS whether it allows what a connection depends on, so that an error that was lost comes again.
//!
//! | about | probe | reply of NATS |
//! |---|---|---|
//! | a subject that a call or stream publishes to, or a consumer's pulls | a message to it with a reply subject under
//! `_R_.`, which nats-server refuses to every client before it routes anything | that the subject is not allowed, or
//! that the reply subject is not |
//! | a subscription | a second one, which ends at once | an error if it is not allowed, otherwise none |
//!
//! The errors reach whatever they concern, as those that were lost would have. How many were lost of a subject is not
//! known, so one error ends all requests to it. Three rules make the replies sure:
//!
//! - Few probes are under way at a time, between two markers, and they are sent again if so many events came between
//!   these that one may have been dropped.
//! - Of a queue group's messages a probe may get one. The reader of the subscription that NATS is asked about reads it
//!   ([`OpenSubscriptions`](crate::bus::open_subscriptions::OpenSubscriptions)); without a reader there is no probe.
//! - Nothing that publishes, replies or stops waits for the reply to a probe. A stop does wait until a probe that may
//!   get one of its messages is in the connection's queue.
//!
//! The payload of a probe is that of an opening message, which no handler decodes: where something else than
//! nats-server carries it to a service after all, nothing runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Subject, Subscriber};
use futures_util::FutureExt as _;
use tokio::task::coop::unconstrained;

use crate::bus::marker;
use crate::bus::mux::Mux;
use crate::bus::nats;
use crate::bus::open_subscriptions::OpenProbe;
use crate::bus::outgoing::{Outgoing, PublishError, disconnected};
use crate::bus::permission::Permission;
use crate::bus::refusal_log::Concern;
use crate::bus::refusals::{Refusals, is_lossy};
use crate::error::{Error, ErrorKind};
use crate::sync::lock;
use crate::wire;
use crate::wire::refused_subject;
use crate::wire::subject::reply_pattern;

/// Maximum number of probes between two markers. Their errors must not overrun async-nats, also where two tasks ask.
const MAX_PROBES: usize = 16;
/// Maximum number of times that probes are sent while errors may be lost.
const MAX_ROUNDS: usize = 8;
/// Maximum time for which a marker is waited for.
const MARKER_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends the probes of one connection.
pub(super) struct Prober {
    client: Client,
    mux: Arc<Mux>,
    refusals: Arc<Refusals>,
    /// Probes whose marker did not come: the next one shows that everything that was sent to them has arrived.
    open: Mutex<Vec<OpenProbe>>,
}

/// Probes that end with the next marker. Where that does not come, they are kept for a later one.
struct OpenProbes<'a> {
    later: &'a Mutex<Vec<OpenProbe>>,
    probes: Vec<OpenProbe>,
}

/// Replies of NATS to the probes about some permissions.
#[derive(Default)]
pub(super) struct ProbeReplies {
    /// Permissions that NATS refuses.
    pub(super) refused: HashSet<Permission>,
    /// Whether some others may be refused as well: errors kept being lost.
    pub(super) is_incomplete: bool,
}

impl Prober {
    pub(super) fn new(client: Client, mux: Arc<Mux>, refusals: Arc<Refusals>) -> Self {
        Self {
            client,
            mux,
            refusals,
            open: Mutex::default(),
        }
    }

    pub(super) fn mux(&self) -> &Arc<Mux> {
        &self.mux
    }

    pub(super) fn refusals(&self) -> &Arc<Refusals> {
        &self.refusals
    }

    /// Asks NATS, and returns once its errors have been passed on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] while there is no connection, [`ErrorKind::Timeout`] if a marker did not come within 1 s.
    pub(super) async fn ask(
        &self,
        permissions: HashSet<Permission>,
    ) -> Result<ProbeReplies, Error> {
        let permissions = permissions.into_iter().collect::<Vec<_>>();
        let mut all = ProbeReplies::default();
        for some in permissions.chunks(MAX_PROBES) {
            let replies = self.ask_some(some).await?;
            all.refused.extend(replies.refused);
            all.is_incomplete |= replies.is_incomplete;
        }
        Ok(all)
    }

    /// Sends some probes until no reply can have been lost, or [`MAX_ROUNDS`] times.
    async fn ask_some(&self, permissions: &[Permission]) -> Result<ProbeReplies, Error> {
        let asked = permissions.iter().cloned().collect::<HashSet<_>>();
        let published = permissions
            .iter()
            .filter_map(|permission| match permission {
                Permission::Publish(subject) => Some(subject.clone()),
                Permission::Subscribe { .. } => None,
            })
            .collect::<HashSet<_>>();
        let has_subscriptions = published.len() < asked.len();
        let _subscriptions = has_subscriptions.then(|| self.refusals.probe_subscriptions());
        let _probed = (!published.is_empty()).then(|| self.mux.probe_subjects(published));
        let refused = Arc::new(Mutex::new(HashSet::new()));
        let _observer = self.refusals.observe({
            let refused = Arc::clone(&refused);
            move |refusal| match Permission::of(refusal).filter(|one| asked.contains(one)) {
                Some(permission) => {
                    let is_publish = matches!(permission, Permission::Publish(_));
                    lock(&refused).insert(permission);
                    // What a probe asks about may have ended, and then its error is no lost event.
                    match is_publish {
                        true => Concern::Reported,
                        false => Concern::None,
                    }
                }
                None => Concern::None,
            }
        });
        let mut is_incomplete = true;
        for _ in 0..MAX_ROUNDS {
            let since = self.refusals.events();
            self.send_all(permissions).await?;
            is_incomplete = is_lossy(since, self.refusals.events());
            if !is_incomplete {
                break;
            }
        }
        let refused = std::mem::take(&mut *lock(&refused));
        Ok(ProbeReplies {
            refused,
            is_incomplete,
        })
    }

    /// Sends probes, and a marker behind them, and returns once its error has been passed on. Sends none while there is
    /// no connection: they would wait for it, each time some more.
    async fn send_all(&self, permissions: &[Permission]) -> Result<(), Error> {
        if self.client.connection_state() != State::Connected {
            return Err(disconnected());
        }
        let mut open = OpenProbes {
            later: &self.open,
            probes: std::mem::take(&mut *lock(&self.open)),
        };
        for permission in permissions {
            open.probes.extend(self.send(permission).await?);
        }
        self.pass_marker().await?;
        // Everything that was sent to them has arrived.
        open.probes.clear();
        Ok(())
    }

    /// Sends one probe, if what it is about still exists.
    async fn send(&self, permission: &Permission) -> Result<Option<OpenProbe>, Error> {
        match permission {
            Permission::Publish(subject) => self.publish(subject).await.map(|()| None),
            Permission::Subscribe { subject, queue } => {
                let subject = Subject::from(subject.as_str());
                match queue {
                    None => self.subscribe(subject).await.map(|()| None),
                    Some(queue) => self.join_group(subject, queue).await,
                }
            }
        }
    }

    async fn publish(&self, subject: &str) -> Result<(), Error> {
        let probe = Outgoing {
            reply: Some(refused_subject::probe_reply(self.mux.inbox())),
            ..Outgoing::to(Subject::from(subject), wire::opening_payload())
        };
        match nats::publish(&self.client, probe).await {
            Err(PublishError::Disconnected | PublishError::Closed) => Err(disconnected()),
            _ => Ok(()),
        }
    }

    /// Subscribes, and drops the copies that arrive.
    async fn subscribe(&self, subject: Subject) -> Result<(), Error> {
        let open = self.refusals.subscriptions();
        let is_open = || open.while_open(&subject, None, |_| ()).is_some();
        if reply_pattern(self.mux.inbox()) == subject || is_open() {
            let subscribed = self.client.subscribe(subject).await;
            drop(subscribed.map_err(|error| disconnected().with_source(error))?);
        }
        Ok(())
    }

    /// Subscribes in a queue group, and hands what arrives over to the reader of the member that this is about.
    ///
    /// NATS is sent the subscription, and its end, before that member can stop, which waits for what the probe gets.
    async fn join_group(&self, subject: Subject, queue: &str) -> Result<Option<OpenProbe>, Error> {
        let joining = subscribe_for_a_moment(&self.client, subject.clone(), queue);
        let mut joining = Box::pin(unconstrained(joining));
        let open = self.refusals.subscriptions();
        let begun = open.while_open(&subject, Some(queue), |member| {
            let join = member.begin_join()?;
            Some((join, joining.as_mut().now_or_never()))
        });
        let Some((join, joined)) = begun.flatten() else {
            return Ok(None);
        };
        let subscriber = match joined {
            Some(joined) => joined?,
            // The connection's queue is full.
            None => joining.await?,
        };
        Ok(Some(join.finish(subscriber)))
    }

    async fn pass_marker(&self) -> Result<(), Error> {
        let passing = marker::pass_named(&self.client, &self.refusals);
        match tokio::time::timeout(MARKER_TIMEOUT, passing).await {
            Ok(passed) => passed,
            Err(elapsed) => Err(Error::new(
                ErrorKind::Timeout,
                format!("NATS reported nothing within {MARKER_TIMEOUT:?}"),
            )
            .with_source(elapsed)),
        }
    }
}

impl Drop for OpenProbes<'_> {
    fn drop(&mut self) {
        lock(self.later).append(&mut self.probes);
    }
}

impl ProbeReplies {
    /// Returns an error if the replies are incomplete.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`].
    pub(super) fn complete(self) -> Result<(), Error> {
        match self.is_incomplete {
            true => Err(Error::new(
                ErrorKind::Timeout,
                "NATS refuses so many messages of this connection that its errors are lost",
            )),
            false => Ok(()),
        }
    }
}

/// Subscribes, and unsubscribes so that what has been sent still arrives, as
/// [`CarrierSubscription::stop`](crate::bus::CarrierSubscription::stop) does.
async fn subscribe_for_a_moment(
    client: &Client,
    subject: Subject,
    queue: &str,
) -> Result<Subscriber, Error> {
    let subscribed = client.queue_subscribe(subject, queue.to_owned()).await;
    let mut subscriber = subscribed.map_err(|error| disconnected().with_source(error))?;
    let unsubscribed = subscriber.unsubscribe_after(u64::MAX).await;
    unsubscribed.map_err(|error| disconnected().with_source(error))?;
    Ok(subscriber)
}
