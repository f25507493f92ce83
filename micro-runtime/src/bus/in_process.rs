//! The carrier inside one process: the same subjects, queue groups and answers as NATS, no server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_nats::{Message, StatusCode, Subject};
use tokio::sync::mpsc;

use crate::bus::mux::Mux;
use crate::bus::outgoing::{Outgoing, PublishError};
use crate::subject;
use crate::sync::lock;

/// nats-server's default for one message, headers included.
pub(crate) const MAX_PAYLOAD: usize = 1024 * 1024;
/// async-nats's default for one subscription; what does not fit is dropped, as there.
const SUBSCRIPTION_CAPACITY: usize = 64 * 1024;

/// The subscriptions of one process, and who gets what is published.
pub(crate) struct InProcess {
    mux: Arc<Mux>,
    routes: Mutex<Routes>,
}

#[derive(Default)]
struct Routes {
    next_id: u64,
    literal: HashMap<String, Vec<InProcessRoute>>,
    patterns: Vec<(Subject, InProcessRoute)>,
}

#[derive(Clone)]
struct InProcessRoute {
    id: u64,
    queue: Option<Subject>,
    sender: mpsc::Sender<Message>,
}

/// One subscription; ends when it is unsubscribed and read to the end.
pub(crate) struct InProcessSubscription {
    carrier: Arc<InProcess>,
    subject: Subject,
    id: u64,
    receiver: mpsc::Receiver<Message>,
}

impl InProcess {
    pub(crate) fn new(mux: Arc<Mux>) -> Self {
        Self {
            mux,
            routes: Mutex::default(),
        }
    }

    pub(crate) fn publish(&self, outgoing: Outgoing) -> Result<(), PublishError> {
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
        self.route(message);
        Ok(())
    }

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
        InProcessSubscription {
            carrier: Arc::clone(self),
            subject,
            id,
            receiver,
        }
    }

    fn route(&self, message: Message) {
        if message.subject.starts_with(self.mux.inbox().as_str()) {
            return self.mux.deliver(message);
        }
        let targets = lock(&self.routes).targets(&message.subject);
        if targets.is_empty() {
            if let Some(reply) = message.reply {
                self.route(no_responders(reply));
            }
            return;
        }
        for target in targets {
            if target.try_send(message.clone()).is_err() {
                tracing::warn!(subject = %message.subject, "a slow consumer lost a message");
            }
        }
    }
}

impl Routes {
    /// Every plain subscription, and one member of every queue group.
    fn targets(&self, subject: &Subject) -> Vec<mpsc::Sender<Message>> {
        let literal = self.literal.get(subject.as_str()).into_iter().flatten();
        let patterns = self
            .patterns
            .iter()
            .filter(|(pattern, _)| subject::matches(pattern, subject))
            .map(|(_, route)| route);
        let mut targets = Vec::new();
        let mut groups: Vec<(&Subject, Vec<&InProcessRoute>)> = Vec::new();
        for route in literal.chain(patterns) {
            let Some(queue) = &route.queue else {
                targets.push(route.sender.clone());
                continue;
            };
            match groups.iter_mut().find(|(name, _)| *name == queue) {
                Some((_, members)) => members.push(route),
                None => groups.push((queue, vec![route])),
            }
        }
        targets.extend(
            groups
                .iter()
                .map(|(_, members)| members[fastrand::usize(..members.len())].sender.clone()),
        );
        targets
    }

    fn remove(&mut self, subject: &Subject, id: u64) {
        self.patterns.retain(|(_, route)| route.id != id);
        if let Some(routes) = self.literal.get_mut(subject.as_str()) {
            routes.retain(|route| route.id != id);
            if routes.is_empty() {
                self.literal.remove(subject.as_str());
            }
        }
    }
}

impl InProcessSubscription {
    pub(crate) async fn next(&mut self) -> Option<Message> {
        self.receiver.recv().await
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.receiver.poll_recv(cx)
    }

    /// Takes nothing more; what has arrived can still be read.
    pub(crate) fn unsubscribe(&mut self) {
        lock(&self.carrier.routes).remove(&self.subject, self.id);
    }
}

impl Drop for InProcessSubscription {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

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
