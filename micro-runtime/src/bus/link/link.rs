//! `Link`: one physical connection to NATS, with the tasks that belong to it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::{Client, Subject, Subscriber};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bus::inbox::Inbox;
use crate::bus::link::bulk_window::BULK_LEN;
use crate::bus::link::gate::Gate;
use crate::bus::link::link_events::LinkEvents;
use crate::bus::link::link_traffic::{LinkLoss, LinkTraffic};
use crate::bus::link::pulse;
use crate::bus::link::pulse::Pulses;
use crate::bus::link::silence;
use crate::bus::link::silence::SilenceLimits;
use crate::bus::link::window::Window;
use crate::bus::marker::Markers;
use crate::bus::moves::InboxMove;
use crate::bus::mux::Mux;
use crate::bus::nats;
use crate::bus::outgoing::{Outgoing, PublishError, disconnected};
use crate::bus::probe::Prober;
use crate::bus::refusal_queue::ConnectionReport;
use crate::bus::refusal_tasks::RefusalTasks;
use crate::bus::refusals::Refusals;
use crate::error::Error;

/// One physical connection. Dropping it ends its tasks, and closes the connection once nothing publishes any more.
pub(in crate::bus) struct Link {
    /// Distinguishes the links of a bus.
    number: u64,
    client: Client,
    lost: CancellationToken,
    /// Canceled once the nats-server says that it is about to stop.
    leaving: CancellationToken,
    gate: Gate,
    /// `None` if the connection was made by the user: its event callback belongs to the user, and refusals cannot be
    /// detected.
    refusal_tasks: Option<Box<RefusalTasks>>,
    markers: Markers,
    window: Arc<Window>,
    /// `None` where nothing is confirmed.
    pulses: Option<Arc<Pulses>>,
    traffic: Arc<LinkTraffic>,
    inbox: Inbox,
    /// Ends what waits for the link when it is dropped.
    _ending: DropGuard,
}

/// What a link is made of.
pub(in crate::bus) struct LinkParts<'a> {
    pub(in crate::bus) number: u64,
    pub(in crate::bus) client: Client,
    pub(in crate::bus) mux: &'a Arc<Mux>,
    pub(in crate::bus) refusals: &'a Arc<Refusals>,
    pub(in crate::bus) limits: Option<SilenceLimits>,
    /// `None` for a connection that was made by the user.
    pub(in crate::bus) events: Option<(Arc<LinkEvents>, mpsc::Receiver<ConnectionReport>)>,
    /// The link that this one takes over from. Then the inbox waits for the end of its inbox, and messages wait until
    /// the [`Gate`] is opened.
    pub(in crate::bus) before: Option<&'a Link>,
}

impl LinkParts<'_> {
    /// Subscribes to the inbox, and starts the tasks of the link.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) if the connection is lost already.
    pub(in crate::bus) async fn open(self) -> Result<Link, Error> {
        let Self {
            number,
            client,
            mux,
            refusals,
            limits,
            events,
            before,
        } = self;
        let logs = events.as_ref().map(|(events, _)| Arc::clone(events.logs()));
        let (lost, leaving, traffic) = match &events {
            Some((events, _)) => (
                events.lost().clone(),
                events.leaving().clone(),
                Arc::clone(events.traffic()),
            ),
            None => Default::default(),
        };
        let markers = Markers::new(lost.clone());
        let inbox_before = before.map(|link| link.inbox.next_move());
        let inbox = Inbox::open(&client, mux, refusals, &markers, &lost, inbox_before).await?;
        let refusal_tasks = events.map(|(_, reports)| {
            let prober = Prober::new(client.clone(), Arc::clone(mux), Arc::clone(refusals));
            RefusalTasks::spawn(reports, prober)
        });
        let window = Arc::new(Window::new());
        let takes_over = before.is_some();
        let pulses = limits.and_then(|_| Pulses::new(&client, mux, &window, &lost, takes_over));
        let pulses = pulses.map(Arc::new);
        match (&pulses, limits, logs) {
            (Some(pulses), Some(limits), Some(logs)) => {
                let pulses = Arc::clone(pulses);
                let traffic = Arc::clone(&traffic);
                tokio::spawn(pulse::watch(pulses, limits, lost.clone(), logs, traffic));
            }
            _ => {
                window.end_pulses();
                mux.confirmed().set(u64::MAX);
            }
        }
        Ok(Link {
            number,
            client,
            leaving,
            gate: Gate::new(before.is_none()),
            window,
            pulses,
            traffic,
            refusal_tasks,
            markers,
            inbox,
            _ending: lost.clone().drop_guard(),
            lost,
        })
    }
}

impl Link {
    pub(in crate::bus) fn number(&self) -> u64 {
        self.number
    }

    pub(in crate::bus) fn client(&self) -> &Client {
        &self.client
    }

    pub(in crate::bus) fn markers(&self) -> &Markers {
        &self.markers
    }

    pub(in crate::bus) fn refusal_tasks(&self) -> Option<&RefusalTasks> {
        self.refusal_tasks.as_deref()
    }

    /// Returns the token that is canceled once the link is lost.
    pub(in crate::bus) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Returns what is known of the loss, once the link is lost and before it is [ended](Self::end).
    pub(super) fn loss(&self) -> LinkLoss {
        let received = self.client.statistics().in_bytes.load(Ordering::Relaxed);
        self.traffic.loss(self.client.server_info(), received)
    }

    /// Returns the token that is canceled once the nats-server says that it is about to stop.
    pub(super) fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    /// Returns the hand-over of the inbox to the next link.
    pub(super) fn inbox_move(&self) -> &InboxMove {
        self.inbox.next_move()
    }

    /// Lets the messages through that wait for the link before.
    pub(super) fn open_gate(&self) {
        self.gate.open();
    }

    /// Returns once NATS has sent something to the inbox of this link, which follows another one. The confirmation of
    /// what was sent may have come on that one. At once where nothing is confirmed.
    pub(super) async fn heard(&self) {
        if self.pulses.is_some() {
            self.inbox.heard().await;
        }
    }

    /// Confirms requests from here on, the link before having ended.
    pub(super) fn confirm_requests(&self) {
        if let Some(pulses) = &self.pulses {
            pulses.confirm_requests();
        }
    }

    /// Ends the link, from which everything has moved, which is lost, or whose bus is closed: each subscription that
    /// lives would keep it open.
    pub(in crate::bus) fn end(&self) {
        self.lost.cancel();
        self.inbox.end();
        // The client does not connect again. If it has no room, it ends with the connection, which NATS cuts off.
        let cx = &mut Context::from_waker(Waker::noop());
        let _ = pin!(unconstrained(self.client.force_reconnect())).poll(cx);
    }

    /// Hands a message to async-nats; waits while its queue of commands is full, at most until the link is lost.
    ///
    /// Cancel safe: if the future is dropped while it waits, nothing is sent.
    pub(in crate::bus) async fn publish(&self, outgoing: Outgoing) -> Result<(), PublishError> {
        let publishing = async {
            self.gate.opened().await;
            if outgoing.reply.is_some() && !self.window.has_room() {
                self.window.room().await;
                // The end of a link ends its pulses, and with them the bound of the window.
                if self.lost.is_cancelled() {
                    return Err(PublishError::Disconnected);
                }
            } else if is_bulk(outgoing.reply.as_ref(), &outgoing.payload) {
                self.window.bulk_room().await;
            }
            let length = outgoing.size();
            nats::publish(&self.client, outgoing).await?;
            self.note_handed_over(length);
            Ok(())
        };
        tokio::select! {
            biased;
            published = publishing => published,
            () = self.lost.cancelled() => Err(PublishError::Disconnected),
        }
    }

    /// Returns the number of bytes of requests that may be handed over, once there are some, or once the link is lost.
    pub(in crate::bus) async fn room(&self) -> usize {
        if !self.window.has_room() {
            self.lost.run_until_cancelled(self.window.room()).await;
        }
        self.window.left()
    }

    /// Returns whether NATS has confirmed what was handed over before, once it has; `false` at once where it cannot.
    pub(in crate::bus) async fn confirmed(&self) -> bool {
        let Some(pulses) = &self.pulses else {
            return false;
        };
        pulses.send();
        self.window.confirmed().await
    }

    /// Returns whether NATS has processed everything that was sent before, subscriptions and their ends as well, once
    /// it has: one round trip. `false` at once where nothing is confirmed.
    pub(super) async fn round_trip(&self) -> bool {
        // Without a message of its own there may be nothing to confirm.
        self.window.add(0);
        self.confirmed().await
    }

    /// Returns when the messages that are read now had reached NATS at the latest, see [`Pulses::reached_by`].
    pub(in crate::bus) fn reached_by(&self, now: Instant) -> Instant {
        match &self.pulses {
            Some(pulses) => pulses.reached_by(now),
            None => now,
        }
    }

    /// Returns the time that what is unconfirmed takes on a slow link.
    pub(in crate::bus) fn unconfirmed_time(&self) -> Duration {
        silence::allowance(self.window.unconfirmed())
    }

    /// Returns whether the window has room for a message.
    #[inline]
    fn has_room_for(&self, reply: Option<&Subject>, payload: &Bytes) -> bool {
        match reply {
            Some(_) => self.window.has_room(),
            None => !is_bulk(None, payload) || self.window.has_bulk_room(),
        }
    }

    /// Counts a message that async-nats has taken.
    #[inline]
    fn note_handed_over(&self, length: usize) {
        if self.window.add(length)
            && let Some(pulses) = &self.pulses
        {
            pulses.send();
        }
    }

    /// Hands a message without headers to async-nats if its queue has room now. `Pending` means that nothing was sent,
    /// and no waker is registered.
    ///
    /// It consumes nothing of the task's cooperative budget, see
    /// [`Connection::try_publish`](crate::bus::Connection::try_publish).
    #[inline]
    pub(in crate::bus) fn try_publish(
        &self,
        subject: &Subject,
        reply: Option<&Subject>,
        payload: &Bytes,
    ) -> Poll<Result<(), PublishError>> {
        if !self.gate.is_open() || !self.has_room_for(reply, payload) {
            return Poll::Pending;
        }
        let length = payload.len();
        let (client, subject, payload) = (&self.client, subject.clone(), payload.clone());
        // `Pending` leaves no waker behind.
        let cx = &mut Context::from_waker(Waker::noop());
        let published = match reply {
            None => pin!(unconstrained(client.publish(subject, payload))).poll(cx),
            Some(reply) => {
                let published = client.publish_with_reply(subject, reply.clone(), payload);
                pin!(unconstrained(published)).poll(cx)
            }
        };
        if matches!(published, Poll::Ready(Ok(()))) {
            self.note_handed_over(length);
        }
        published.map_err(|error| nats::not_published(client, error))
    }

    /// Hands over a message as [`try_publish`](Self::try_publish) does, which may have headers. One with headers and a
    /// reply subject is left to [`publish`](Self::publish).
    #[inline]
    pub(in crate::bus) fn try_publish_whole(
        &self,
        outgoing: &Outgoing,
    ) -> Poll<Result<(), PublishError>> {
        let Outgoing {
            subject,
            reply,
            headers,
            payload,
        } = outgoing;
        match (headers, reply) {
            (None, reply) => self.try_publish(subject, reply.as_ref(), payload),
            (Some(headers), None) if self.gate.is_open() && self.has_room_for(None, payload) => {
                let (client, subject) = (&self.client, subject.clone());
                let published =
                    client.publish_with_headers(subject, headers.clone(), payload.clone());
                let cx = &mut Context::from_waker(Waker::noop());
                let published = pin!(unconstrained(published)).poll(cx);
                if matches!(published, Poll::Ready(Ok(()))) {
                    self.note_handed_over(outgoing.size());
                }
                published.map_err(|error| nats::not_published(client, error))
            }
            (Some(_), _) => Poll::Pending,
        }
    }

    /// Subscribes, as a member of a queue group if `queue` is set; waits as [`publish`](Self::publish) does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) if the link is lost.
    pub(in crate::bus) async fn subscribe(
        &self,
        subject: Subject,
        queue: Option<&str>,
    ) -> Result<Subscriber, Error> {
        let subscribing = async {
            match queue {
                Some(queue) => self.client.queue_subscribe(subject, queue.to_owned()).await,
                None => self.client.subscribe(subject).await,
            }
        };
        tokio::select! {
            biased;
            subscribed = subscribing => subscribed.map_err(|error| disconnected().with_source(error)),
            () = self.lost.cancelled() => Err(disconnected()),
        }
    }
}

/// Returns whether a message is one that lets calls go first: large, and no request.
#[inline]
fn is_bulk(reply: Option<&Subject>, payload: &Bytes) -> bool {
    payload.len() >= BULK_LEN && reply.is_none()
}
