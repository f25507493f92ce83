//! `Connection::prove_subscriptions`: returns once every refusal of what was subscribed before has been passed on.

use std::time::Duration;

use async_nats::Subject;

use crate::bus::connection::{Carrier, Connection};
use crate::bus::link::Link;
use crate::bus::loss_recovery::LossRecovery;
use crate::bus::outgoing::disconnected;
use crate::bus::permission::Permission;
use crate::bus::refusal::Refusal;
use crate::bus::refusal_watch::RefusalWatch;
use crate::bus::refusals::is_lossy;
use crate::bus::subscription::CarrierSubscription;
use crate::error::{Error, ErrorKind};

/// Time after which the proof fails.
const PROOF_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after which NATS is asked again, where it could not be asked.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Number of times that a subscription is tried while the limit of subscriptions is exceeded by it or another one.
const MAX_ATTEMPTS: usize = 2;

/// A subscription that a proof is about: its subject and queue group.
pub(crate) type ProvenSubscription = (Subject, Option<String>);

impl Connection {
    /// Returns once NATS has processed every subscription made before, and every refusal of one has been passed on
    /// to the observers of [`refusals`](Self::refusals). About one round trip.
    ///
    /// `since` is [`Refusals::events`](crate::bus::refusals::Refusals::events) before the first of `subscriptions`.
    ///
    /// - NATS does not acknowledge subscriptions. A marker shows that every error before it has been passed on
    ///   ([`Markers`](crate::bus::marker::Markers)).
    /// - A message to the own inbox is a part of it: it proves that the inbox can be used, and that whatever was on
    ///   its way here has arrived.
    /// - **Loss.** async-nats drops events while 128 wait for its callback. With so many events since `since`, the
    ///   refusal of a subscription may be among the lost ones: then NATS is asked about each once more
    ///   ([`LossRecovery`](crate::bus::loss_recovery::LossRecovery)).
    ///
    /// Where refusals cannot be detected, only the message to the own inbox is sent.
    ///
    /// # Errors
    ///
    /// Those of [`barrier`](Self::barrier); [`ErrorKind::Permission`] if the marker exceeds the limit of
    /// subscriptions; [`ErrorKind::Timeout`] or [`ErrorKind::Connect`] after 5 s without its error. So ends a proof in
    /// a flood of refused messages that never has fewer than 128 within a round trip, as over ever new subjects; the
    /// text names this cause.
    pub(crate) async fn prove_subscriptions(
        &self,
        since: u64,
        subscriptions: &[ProvenSubscription],
    ) -> Result<(), Error> {
        let Carrier::Nats(nats) = &self.carrier else {
            return self.barrier().await;
        };
        let link = nats.current.get().ok_or_else(disconnected)?;
        let Some(tasks) = link.refusal_tasks() else {
            return self.barrier().await;
        };
        let proving = self.prove_over(&link, &tasks.recovery, since, subscriptions);
        let is_flooded = || is_lossy(since, self.refusals.events());
        match tokio::time::timeout(PROOF_TIMEOUT, proving).await {
            Ok(Err(error)) if error.kind() == ErrorKind::Timeout => {
                Err(unconfirmed(&link, is_flooded(), error))
            }
            Ok(proved) => proved,
            Err(elapsed) => Err(unconfirmed(&link, is_flooded(), elapsed)),
        }
    }

    async fn prove_over(
        &self,
        link: &Link,
        recovery: &LossRecovery,
        since: u64,
        subscriptions: &[ProvenSubscription],
    ) -> Result<(), Error> {
        let marker = link.markers().pass(link.client(), &self.refusals);
        tokio::select! {
            biased;
            () = self.refusals.lossy_since(since) => {}
            proved = async { tokio::try_join!(self.barrier(), marker) } => {
                proved?;
                if !is_lossy(since, self.refusals.events()) {
                    return Ok(());
                }
            }
        }
        let permissions = subscriptions
            .iter()
            .map(|(subject, queue)| Permission::subscribe(subject, queue.as_deref()));
        let permissions = permissions.collect::<Vec<_>>();
        while let Err(error) = recovery.ask_again(permissions.clone()).await {
            if link.lost().is_cancelled() {
                return Err(disconnected());
            }
            tracing::debug!(%error, "NATS could not be asked about subscriptions");
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        self.barrier().await
    }

    /// Subscribes, and returns once NATS has processed the subscription and has not refused it. Without that, a
    /// subscriber without permission would wait for messages for ever. It ends when NATS refuses it later, as after a
    /// reload of the permissions or a reconnect.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Permission`] if NATS refuses it, also where `max_subscriptions` is reached; those of
    /// [`prove_subscriptions`](Self::prove_subscriptions).
    pub(crate) async fn subscribe_confirmed(
        &self,
        subject: Subject,
        queue: Option<&str>,
    ) -> Result<CarrierSubscription, Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let limit = self
                .refusals
                .watch(|refusal| *refusal == Refusal::SubscriptionLimit);
            let subscribed = self.try_subscribe(subject.clone(), queue).await;
            // NATS does not state which subscription exceeds the limit; it may be one of another subscriber, which
            // was made at the same moment.
            match limit.now() {
                Some(_) if attempts < MAX_ATTEMPTS => {}
                Some(refusal) => return Err(refusal.error()),
                None => return subscribed,
            }
        }
    }

    async fn try_subscribe(
        &self,
        subject: Subject,
        queue: Option<&str>,
    ) -> Result<CarrierSubscription, Error> {
        let since = self.refusals.events();
        let own = [(subject.clone(), queue.map(str::to_owned))];
        let refused = self.refusals.watch({
            let [(subject, queue)] = own.clone();
            move |refusal| refusal.is_of_subscription(&subject, queue.as_deref())
        });
        let subscription = self.subscribe(subject.clone(), queue).await?;
        let proof = self.prove_subscriptions(since, &own);
        let proved = unless_refused(&refused, proof).await;
        proved.map_err(|refusal| refusal.error())??;
        subscription.end_when_refused();
        // One that came before the line above has reached `refused` alone.
        match refused.now() {
            Some(refusal) => Err(refusal.error()),
            None => Ok(subscription),
        }
    }
}

/// Waits for a proof, or for a refusal that precedes its end, which is the error.
pub(crate) async fn unless_refused<T>(
    refused: &RefusalWatch,
    proof: impl Future<Output = T>,
) -> Result<T, Refusal> {
    let proved = tokio::select! {
        biased;
        refusal = refused.refused() => return Err(refusal),
        proved = proof => proved,
    };
    // Both may have come since the refusal was looked for.
    refused.now().map_or(Ok(proved), Err)
}

/// Returns the error of a proof that did not come to its end in time.
fn unconfirmed(
    link: &Link,
    is_flooded: bool,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    let message = match (link.lost().is_cancelled(), is_flooded) {
        (true, _) => return disconnected().with_source(cause),
        (false, true) => {
            "NATS refuses so many messages of this connection that its errors of subscriptions are lost, and did not confirm these within 5 s; the log names the subjects that are refused: stop publishing to them, or allow it"
        }
        (false, false) => "NATS did not confirm the subscriptions within 5 s",
    };
    Error::new(ErrorKind::Timeout, message).with_source(cause)
}
