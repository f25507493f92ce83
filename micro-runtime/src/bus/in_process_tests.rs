//! The in-process carrier delivers each message to the receivers that nats-server would choose.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_nats::Subject;

use crate::bus::in_process::{InProcess, InProcessSubscription};
use crate::bus::mux::Mux;
use crate::bus::outgoing::Outgoing;

/// Number of messages that each test publishes.
const MESSAGES: usize = 3000;

#[test]
fn one_member_of_a_queue_group_gets_each_message_and_all_get_a_fair_share() {
    let carrier = carrier();
    // A group whose members subscribe to a subject and to patterns that match it is one group.
    let mut members = ["a.b", "a.b", "a.*", "a.>"].map(|subject| subscribe(&carrier, subject, "g"));
    publish(&carrier, "a.b");
    let shares = members.each_mut().map(received);
    assert_eq!(shares.iter().sum::<usize>(), MESSAGES, "{shares:?}");
    let expected = MESSAGES / members.len();
    for share in shares {
        assert!(share.abs_diff(expected) < expected / 4, "{shares:?}");
    }
}

#[test]
fn each_group_and_each_plain_subscription_gets_every_message() {
    let carrier = carrier();
    let mut plain = ["a.b", "a.>"].map(|subject| carrier.subscribe(subject.into(), None));
    let mut first = ["a.b", "a.*"].map(|subject| subscribe(&carrier, subject, "g"));
    let mut second = ["a.>", "a.b"].map(|subject| subscribe(&carrier, subject, "h"));
    let mut other = subscribe(&carrier, "a.c", "g");
    publish(&carrier, "a.b");
    assert_eq!(plain.each_mut().map(received), [MESSAGES; 2]);
    for group in [&mut first, &mut second] {
        let shares = group.each_mut().map(received);
        assert_eq!(shares.iter().sum::<usize>(), MESSAGES, "{shares:?}");
    }
    assert_eq!(received(&mut other), 0);
}

fn carrier() -> Arc<InProcess> {
    Arc::new(InProcess::new(Arc::new(Mux::new("_INBOX.test"))))
}

fn subscribe(carrier: &Arc<InProcess>, subject: &str, group: &str) -> InProcessSubscription {
    carrier.subscribe(subject.into(), Some(group.into()))
}

fn publish(carrier: &Arc<InProcess>, subject: &'static str) {
    for _ in 0..MESSAGES {
        let outgoing = Outgoing::to(Subject::from_static(subject), "".into());
        assert!(carrier.publish(outgoing).is_ok());
    }
}

fn received(subscription: &mut InProcessSubscription) -> usize {
    let cx = &mut Context::from_waker(Waker::noop());
    (0..)
        .take_while(|_| matches!(subscription.poll_next(cx), Poll::Ready(Some(_))))
        .count()
}
