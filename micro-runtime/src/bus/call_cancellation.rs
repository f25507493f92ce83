//! Cancels calls whose callers have gone: those that were dropped, and those whose requests NATS holds up.

use async_nats::Subject;
use bytes::Bytes;
use tokio::time::Instant;

use crate::bus::connection::{Carrier, Connection};
use crate::bus::mux::AbandonedRequest;
use crate::bus::outgoing::Outgoing;
use crate::bus::unconfirmed_calls::{CONFIRMATION_TIME, UnconfirmedCall};
use crate::wire::CancelToken;

impl Connection {
    /// Cancels a call that was sent: every instance of its service hears of it on `subject`. Never waits, and never
    /// fails: a handler that does not hear of it runs to its end.
    pub(crate) fn cancel(&self, subject: Subject, token: CancelToken) {
        if self.refusals.is_cancel_refused(&subject) {
            return;
        }
        match &self.carrier {
            Carrier::Nats(nats) => nats.outbox.cancel(subject, token, self.mux.counts()),
            Carrier::InProcess(carrier) => {
                let payload = Bytes::copy_from_slice(token.as_bytes());
                let _ = carrier.publish(Outgoing::to(subject, payload));
            }
        }
    }

    /// Cancels a call that began at `begun` and has ended at its deadline, if NATS holds its request up; its server
    /// ends it otherwise. Never waits, and never fails.
    #[cold]
    pub(crate) fn cancel_held_up(
        &self,
        subject: Subject,
        request: AbandonedRequest,
        begun: Instant,
    ) {
        let AbandonedRequest { token, order } = request;
        let is_confirmed = order.get() <= self.mux.confirmed().last();
        let Carrier::Nats(nats) = &self.carrier else {
            return;
        };
        let Some(link) = nats.current.get() else {
            return;
        };
        if is_confirmed || self.refusals.is_cancel_refused(&subject) {
            return;
        }
        let due = begun + CONFIRMATION_TIME;
        if due <= Instant::now() {
            return nats.outbox.cancel(subject, token, self.mux.counts());
        }
        let lost = link.lost().clone();
        let call = UnconfirmedCall {
            subject,
            token,
            order,
            lost,
        };
        if !nats.unconfirmed.add(due, call) {
            self.mux.counts().dropped_cancel();
        }
    }
}
