//! The carrier inside one process: the subjects, queue groups and replies of NATS without a server.
//!
//! It routes a message in the task that publishes it, straight into the channels of the subscriptions, and
//! never waits. Kept from NATS on purpose, so that tests find what production would: the limit of 1 MiB for a
//! message, one member of a queue group for each message, status 503 without subscribers, and a full
//! subscription that loses messages instead of slowing the publisher.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_nats::{Message, StatusCode, Subject};
use smallvec::SmallVec;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use crate::bus::capacity::SUBSCRIPTION_CAPACITY;
use crate::bus::connection_state::ConnectionState;
#[cfg(feature = "__testkit")]
use crate::bus::fault_injection::Injector;
use crate::bus::mux::Mux;
use crate::bus::outgoing::{Outgoing, PublishError, disconnected};
use crate::error::Error;
use crate::subject;
use crate::sync::lock;
use crate::wire::subject::reply_token;

/// Maximum length of one message in bytes, headers included; nats-server's default.
pub(crate) const MAX_PAYLOAD: usize = 1024 * 1024;

/// The subscriptions of one bus, and the routing of messages to them.
///
/// One lock guards the routes, held while the receivers of a message are looked up and never while it is delivered.
pub(crate) struct InProcess {
    pub(super) mux: Arc<Mux>,
    pub(super) routes: Mutex<Routes>,
    pub(super) states: watch::Sender<ConnectionState>,
    pub(super) is_closed: AtomicBool,
    /// `None` on a bus without faults.
    #[cfg(feature = "__testkit")]
    pub(super) injector: Option<Arc<Injector>>,
}

/// Subscriptions by subject. Literal subjects, which nearly all are, are found in a map; patterns are compared
/// one by one.
#[derive(Default)]
pub(super) struct Routes {
    next_id: u64,
    pub(super) literal: HashMap<String, Vec<InProcessRoute>>,
    pub(super) patterns: Vec<(Subject, InProcessRoute)>,
    /// Subscriptions that get nothing any more, as after a refusal of NATS. They stay open.
    #[cfg(feature = "__testkit")]
    pub(super) revoked: Vec<InProcessRoute>,
}

/// The sending half of one subscription.
#[derive(Clone)]
pub(super) struct InProcessRoute {
    id: u64,
    pub(super) queue: Option<Subject>,
    sender: mpsc::Sender<Message>,
}

/// A queue group of which one member receives the message.
struct QueueGroup<'a> {
    queue: &'a Subject,
    /// Number of members found so far.
    members: usize,
    /// Index of the chosen member among the receivers.
    target: usize,
}

/// One subscription. After [`unsubscribe`](Self::unsubscribe) it yields what has arrived, then ends.
pub(crate) struct InProcessSubscription {
    carrier: Arc<InProcess>,
    subject: Subject,
    id: u64,
    receiver: mpsc::Receiver<Message>,
}

impl InProcess {
    /// Returns a carrier without subscriptions; `mux` receives what is published under its inbox.
    pub(crate) fn new(mux: Arc<Mux>) -> Self {
        Self {
            mux,
            routes: Mutex::default(),
            states: watch::Sender::new(ConnectionState::Connected),
            is_closed: AtomicBool::new(false),
            #[cfg(feature = "__testkit")]
            injector: None,
        }
    }

    /// Routes a message to its subscribers, before it returns.
    ///
    /// # Errors
    ///
    /// [`PublishError::TooLarge`] for a message longer than [`MAX_PAYLOAD`]; [`PublishError::Closed`] behind
    /// [`close`](Self::close), and [`PublishError::Disconnected`] while a fault keeps the bus disconnected.
    pub(crate) fn publish(self: &Arc<Self>, outgoing: Outgoing) -> Result<(), PublishError> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(PublishError::Closed);
        }
        let length = outgoing.size();
        if length > MAX_PAYLOAD {
            return Err(PublishError::TooLarge { max: MAX_PAYLOAD });
        }
        let message = Message {
            subject: outgoing.subject,
            reply: outgoing.reply,
            payload: outgoing.payload,
            headers: outgoing.headers,
            status: None,
            description: None,
            length,
        };
        #[cfg(feature = "__testkit")]
        if let Some(injector) = &self.injector {
            return self.inject(injector, message);
        }
        self.route(message);
        Ok(())
    }

    /// Takes nothing from here on.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.states.send_replace(ConnectionState::Closed);
    }

    /// Fails while the bus is disconnected.
    pub(crate) fn check_connected(&self) -> Result<(), Error> {
        match *self.states.borrow() {
            ConnectionState::Connected => Ok(()),
            ConnectionState::Disconnected | ConnectionState::Closed => Err(disconnected()),
        }
    }

    /// Adds a subscription, which receives messages from now on; in a queue group if `queue` is set.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        subject: Subject,
        queue: Option<Subject>,
    ) -> InProcessSubscription {
        let (sender, receiver) = mpsc::channel(SUBSCRIPTION_CAPACITY);
        let mut routes = lock(&self.routes);
        routes.next_id += 1;
        let id = routes.next_id;
        let route = InProcessRoute { id, queue, sender };
        if subject::is_pattern(&subject) {
            routes.patterns.push((subject.clone(), route));
        } else {
            routes
                .literal
                .entry(subject.to_string())
                .or_default()
                .push(route);
        }
        drop(routes);
        #[cfg(feature = "__testkit")]
        self.revoke_refused();
        InProcessSubscription {
            carrier: Arc::clone(self),
            subject,
            id,
            receiver,
        }
    }

    /// Delivers a message: to the inbox if its subject lies there, else to its subscribers, else a 503 to its
    /// reply subject.
    ///
    /// The lock on the routes is released before anything is delivered: a reply slot may wake a task, and a
    /// waker may run any code.
    pub(super) fn route(&self, message: Message) {
        if reply_token(self.mux.inbox(), &message.subject).is_some() {
            return self.mux.deliver(message);
        }
        let mut targets = lock(&self.routes).targets(&message.subject);
        let Some(last) = targets.pop() else {
            if let Some(reply) = message.reply {
                self.route(no_responders(reply));
            }
            return;
        };
        for target in targets {
            self.deliver(&target, message.clone());
        }
        self.deliver(&last, message);
    }

    /// Puts a message into the channel of a subscription. A channel that is full or closed loses it.
    fn deliver(&self, target: &mpsc::Sender<Message>, message: Message) {
        if let Err(TrySendError::Full(lost) | TrySendError::Closed(lost)) = target.try_send(message)
        {
            self.mux.counts().lost_message_on(lost.subject);
        }
    }
}

impl Routes {
    /// Returns the receivers of a message: every plain subscription, and one member of every queue group,
    /// chosen at random as nats-server does.
    ///
    /// Members of a group may be found in both tables. Each further one replaces the chosen one with a
    /// probability of one in the members so far, which is fair without a list of them: the usual message has one
    /// receiver, and its way costs no allocation.
    fn targets(&self, subject: &Subject) -> SmallVec<[mpsc::Sender<Message>; 2]> {
        let literal = self.literal.get(subject.as_str()).into_iter().flatten();
        let patterns = self
            .patterns
            .iter()
            .filter(|(pattern, _)| subject::matches(pattern, subject))
            .map(|(_, route)| route);
        let mut targets = SmallVec::new();
        let mut groups: SmallVec<[QueueGroup<'_>; 1]> = SmallVec::new();
        for route in literal.chain(patterns) {
            if let Some(queue) = &route.queue {
                if let Some(group) = groups.iter_mut().find(|group| group.queue == queue) {
                    group.members += 1;
                    if fastrand::usize(..group.members) == 0 {
                        targets[group.target] = route.sender.clone();
                    }
                    continue;
                }
                groups.push(QueueGroup {
                    queue,
                    members: 1,
                    target: targets.len(),
                });
            }
            targets.push(route.sender.clone());
        }
        targets
    }

    /// Removes a subscription; no effect if it was removed before.
    fn remove(&mut self, subject: &Subject, id: u64) {
        self.patterns.retain(|(_, route)| route.id != id);
        #[cfg(feature = "__testkit")]
        self.revoked.retain(|route| route.id != id);
        if let Some(routes) = self.literal.get_mut(subject.as_str()) {
            routes.retain(|route| route.id != id);
            if routes.is_empty() {
                self.literal.remove(subject.as_str());
            }
        }
    }
}

impl InProcessSubscription {
    /// Polls for the next message; `None` after `unsubscribe`, once everything is read.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.receiver.poll_recv(cx)
    }

    /// Ends the subscription: nothing more arrives, and messages that have arrived can still be read. A
    /// second call has no effect.
    pub(crate) fn unsubscribe(&mut self) {
        lock(&self.carrier.routes).remove(&self.subject, self.id);
    }
}

impl Drop for InProcessSubscription {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

/// Returns the message by which nats-server reports that a request has no responders.
fn no_responders(reply: Subject) -> Message {
    Message {
        subject: reply,
        reply: None,
        payload: bytes::Bytes::new(),
        headers: None,
        status: Some(StatusCode::NO_RESPONDERS),
        description: None,
        length: 0,
    }
}
