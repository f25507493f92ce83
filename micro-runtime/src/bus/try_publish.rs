//! Publishing without waiting: what most messages need, and costs no future that holds them.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll};

use async_nats::Subject;
use bytes::Bytes;
use tokio::task::coop::unconstrained;

use crate::bus::connection::{Carrier, Connection};
use crate::bus::nats::not_published;
use crate::bus::outgoing::{Outgoing, PublishError};

impl Connection {
    /// Hands a message without headers to the carrier if there is room now; otherwise nothing is
    /// sent. The layers of [`publish`](Self::publish) would each move the message. It takes nothing of
    /// what tokio lets a task do at a time: who calls it in a loop has to see to that.
    pub(crate) fn try_publish(
        &self,
        subject: &Subject,
        payload: &Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PublishError>> {
        match &self.carrier {
            Carrier::Nats(nats) => {
                let client = &nats.client;
                // A budget that is used up would look like a queue that is full.
                let published = unconstrained(client.publish(subject.clone(), payload.clone()));
                pin!(published)
                    .poll(cx)
                    .map_err(|error| not_published(client, error))
            }
            Carrier::InProcess(carrier) => {
                Poll::Ready(carrier.publish(Outgoing::to(subject.clone(), payload.clone())))
            }
        }
    }
}
