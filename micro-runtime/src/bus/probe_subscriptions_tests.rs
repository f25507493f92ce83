//! Tests of probes of a queue group: what they get reaches the reader of its member, once.

use std::task::Waker;

use async_nats::Subject;
use tokio::sync::mpsc;

use super::*;

pub(in crate::bus) fn message(subject: &'static str) -> Message {
    Message {
        subject: Subject::from_static(subject),
        reply: None,
        payload: bytes::Bytes::new(),
        headers: None,
        status: None,
        description: None,
        length: 0,
    }
}

fn probe() -> (mpsc::UnboundedSender<Message>, ProbeMessages) {
    let (sender, mut messages) = mpsc::unbounded_channel();
    let messages = futures_util::stream::poll_fn(move |cx| messages.poll_recv(cx));
    (sender, messages.boxed())
}

fn poll(probes: &mut ProbeSubscriptions) -> Option<String> {
    match probes.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(message) => Some(message.subject.to_string()),
        Poll::Pending => None,
    }
}

#[test]
fn what_a_probe_gets_is_read_once_until_it_is_over() {
    let mut probes = ProbeSubscriptions::default();
    let (sender, messages) = probe();
    let id = probes.add(messages);
    sender.send(message("a.1")).unwrap();
    assert_eq!(poll(&mut probes).as_deref(), Some("a.1"));
    assert_eq!(poll(&mut probes), None);
    assert!(!probes.is_empty(), "NATS may still send to it");
    for subject in ["a.2", "a.3"] {
        sender.send(message(subject)).unwrap();
    }
    probes.end(id);
    assert!(sender.is_closed(), "it is dropped");
    assert_eq!(poll(&mut probes).as_deref(), Some("a.2"));
    assert_eq!(poll(&mut probes).as_deref(), Some("a.3"));
    assert_eq!(poll(&mut probes), None);
    assert!(probes.is_empty());
}

#[test]
fn probes_whose_end_is_not_known_stay_open_behind_others() {
    let mut probes = ProbeSubscriptions::default();
    let (first, messages) = probe();
    let first_id = probes.add(messages);
    let (second, messages) = probe();
    let second_id = probes.add(messages);
    assert_eq!(poll(&mut probes), None);
    second.send(message("b.1")).unwrap();
    probes.end(second_id);
    assert_eq!(poll(&mut probes).as_deref(), Some("b.1"));
    assert_eq!(poll(&mut probes), None);
    assert!(second.is_closed() && !first.is_closed());
    first.send(message("a.1")).unwrap();
    assert_eq!(poll(&mut probes).as_deref(), Some("a.1"));
    probes.end(first_id);
    assert!(probes.is_empty());
}

#[test]
fn probes_that_no_reader_polls_do_not_pile_up() {
    let mut probes = ProbeSubscriptions::default();
    for number in ["a.1", "a.2", "a.3"] {
        let (sender, messages) = probe();
        let id = probes.add(messages);
        sender.send(message(number)).unwrap();
        probes.end(id);
        assert!(sender.is_closed(), "it is dropped");
    }
    for number in ["a.1", "a.2", "a.3"] {
        assert_eq!(poll(&mut probes).as_deref(), Some(number));
    }
    assert!(probes.is_empty());
}
