//! `PermissionGuard`: watches over the subscriptions of one server: at its start, after each reconnect, and between.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::bus::{Connection, Refusal, RefusalObserver, RefusalWatch, unless_refused};
use crate::dispatch::ServerState;
use crate::error::{Error, ErrorKind};
use crate::log_limit::LogLimit;
use crate::server::required_permissions::RequiredPermissions;

/// Time after which a proof that found no connection, or no reply, is made again.
const PROOF_INTERVAL: Duration = Duration::from_secs(5);

/// Watches over the subscriptions of one server.
///
/// | refusal | at the start | after a reconnect, until the proof | otherwise |
/// |---|---|---|---|
/// | of a subscription of the server, or of its inbox | the start fails | the server stops | the server stops |
/// | that names no subscription: a limit, an unknown text | the start fails | the limit stops the server | nothing |
/// | of a publish, or of a subscription that is not the server's | nothing | nothing | nothing |
pub(super) struct PermissionGuard {
    connection: Arc<Connection>,
    required: Arc<RequiredPermissions>,
    /// First refusal of a subscription of this server.
    refused: RefusalWatch,
    reconnects: watch::Receiver<u64>,
    unproved_log: LogLimit,
    /// Counts refused replies as long as the server runs.
    _replies: RefusalObserver,
}

impl PermissionGuard {
    /// Watches from now on; must precede the first subscription.
    pub(super) fn new(
        connection: &Arc<Connection>,
        required: Arc<RequiredPermissions>,
        server: &ServerState,
    ) -> Self {
        let refusals = connection.refusals();
        let own = Arc::clone(&required);
        Self {
            refused: refusals.watch(move |refusal| own.is_concerned_by(refusal)),
            reconnects: refusals.reconnects(),
            unproved_log: LogLimit::default(),
            _replies: server.observe_refused_replies(),
            connection: Arc::clone(connection),
            required,
        }
    }

    /// Subscribes, and returns once NATS has processed every subscription and has refused none.
    ///
    /// # Errors
    ///
    /// Of a refusal, and those of [`Connection::prove_subscriptions`].
    pub(super) async fn confirm<T>(
        &self,
        subscribing: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let refusals = self.connection.refusals();
        let since = refusals.events();
        let required = Arc::clone(&self.required);
        let refused = refusals.watch(move |refusal| {
            matches!(refusal, Refusal::SubscriptionLimit | Refusal::Other(_))
                || required.is_concerned_by(refusal)
        });
        // A refused inbox is known since the connection was made.
        self.connection.check_inbox()?;
        let subscribed = subscribing.await?;
        self.prove(&refused, since).await??;
        Ok(subscribed)
    }

    /// Proves the subscriptions unless one is refused, which is the outer error.
    async fn prove(&self, refused: &RefusalWatch, since: u64) -> Result<Result<(), Error>, Error> {
        let subscriptions = &self.required.subscriptions;
        let proof = self.connection.prove_subscriptions(since, subscriptions);
        unless_refused(refused, proof)
            .await
            .map_err(|refusal| self.required.error(&refusal))
    }

    /// Returns once NATS has refused a subscription of this server, with its error. Cancel safe.
    pub(super) async fn lost(&mut self) -> Error {
        loop {
            tokio::select! {
                biased;
                refusal = self.refused.refused() => return self.required.error(&refusal),
                changed = self.reconnects.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
            }
            if let Some(error) = Box::pin(self.prove_again()).await {
                return error;
            }
        }
    }

    /// Proves the subscriptions on a new connection, to which async-nats has made them again; returns the error of
    /// a refused one.
    async fn prove_again(&self) -> Option<Error> {
        let refusals = self.connection.refusals();
        let required = Arc::clone(&self.required);
        let observed = Arc::downgrade(refusals);
        let is_probing = move || {
            let refusals = observed.upgrade();
            refusals.is_some_and(|refusals| refusals.is_probing_subscriptions())
        };
        let refused = refusals.watch(move |refusal| match refusal {
            // One more subscription, by which NATS is asked about another, is not missing.
            Refusal::SubscriptionLimit => !is_probing(),
            _ => required.is_concerned_by(refusal),
        });
        loop {
            match self.prove(&refused, refusals.events_at_reconnect()).await {
                Err(error) => return Some(error),
                Ok(Ok(())) => {
                    return self
                        .refused
                        .now()
                        .map(|refusal| self.required.error(&refusal));
                }
                Ok(Err(error)) if error.kind() == ErrorKind::Permission => return Some(error),
                Ok(Err(error)) => {
                    self.unproved_log.write(move |count| {
                        tracing::warn!(%error, count, "the subscriptions of a server are not confirmed since the reconnect");
                    });
                    tokio::time::sleep(PROOF_INTERVAL).await;
                }
            }
        }
    }
}
