//! The in-process carrier with faults: what the injector leaves of a message, and subscriptions that are revoked.

use std::sync::Arc;

use async_nats::Message;
use tokio::time::Instant;

use crate::bus::fault_injection::injector::Injector;
use crate::bus::in_process::{InProcess, Routes};
use crate::bus::mux::Mux;
use crate::bus::outgoing::PublishError;
use crate::bus::refusal::Refusal;
use crate::sync::lock;
use crate::wire::subject;

impl InProcess {
    /// Returns a carrier whose messages pass through `injector`.
    pub(crate) fn with_injector(mux: Arc<Mux>, injector: Arc<Injector>) -> Self {
        Self {
            injector: Some(injector),
            ..Self::new(mux)
        }
    }

    /// Applies the faults of the bus to a message, and routes what they leave, now and later.
    ///
    /// # Errors
    ///
    /// [`PublishError::Disconnected`] while the bus is not connected.
    pub(crate) fn inject(
        self: &Arc<Self>,
        injector: &Arc<Injector>,
        message: Message,
    ) -> Result<(), PublishError> {
        let outcome = injector.pass(message, Instant::now())?;
        if let Some(refusal) = outcome.refusal {
            injector.refusals().apply(&[refusal]);
            return Ok(());
        }
        for message in outcome.now {
            self.route(message);
        }
        for at in outcome.due_at {
            let (carrier, injector) = (Arc::clone(self), Arc::clone(injector));
            let connection = injector.connection();
            tokio::spawn(async move {
                let due = connection.run_until_cancelled(tokio::time::sleep_until(at));
                if due.await.is_some() {
                    for message in injector.take_due(Instant::now()) {
                        carrier.route(message);
                    }
                }
            });
        }
        Ok(())
    }

    /// Revokes every subscription that the injector refuses, and passes the refusals on. While the bus is disconnected
    /// nothing is revoked: NATS does that on the next connection.
    ///
    /// Replies have no subscription in process: they go to the reply slots. Where their inbox is refused, calls fail
    /// as over NATS.
    pub(crate) fn revoke_refused(&self) {
        let Some(injector) = &self.injector else {
            return;
        };
        if !injector.is_connected() {
            return;
        }
        let is_refused = |subject: &str| injector.is_subscription_refused(subject);
        let mut refusals = lock(&self.routes).revoke(is_refused);
        let replies = subject::reply_pattern(self.mux.inbox());
        if is_refused(&replies) && self.mux.check_inbox().is_ok() {
            refusals.push(Refusal::Subscription {
                subject: replies.to_string(),
                queue: None,
            });
        }
        if !refusals.is_empty() {
            injector.refusals().apply(&refusals);
        }
    }
}

impl Routes {
    /// Takes the subscriptions to subjects that are refused out of the routes, and returns the refusals.
    fn revoke(&mut self, is_refused: impl Fn(&str) -> bool) -> Vec<Refusal> {
        let mut revoked = Vec::new();
        let literal = self.literal.extract_if(|subject, _| is_refused(subject));
        for (subject, routes) in literal {
            revoked.extend(routes.into_iter().map(|route| (subject.clone(), route)));
        }
        let patterns = self
            .patterns
            .extract_if(.., |(pattern, _)| is_refused(pattern));
        revoked.extend(patterns.map(|(pattern, route)| (pattern.to_string(), route)));
        let mut refusals = Vec::new();
        for (subject, route) in revoked {
            refusals.push(Refusal::Subscription {
                subject,
                queue: route.queue.as_ref().map(ToString::to_string),
            });
            self.revoked.push(route);
        }
        refusals
    }
}
