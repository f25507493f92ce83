//! Tests of open subscriptions: which there are, how one ends, and what wakes its reader.

use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Wake};

use futures_util::{FutureExt as _, stream};
use tokio::sync::mpsc;

use crate::bus::probe_subscriptions::message;

use super::*;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn add(
    all: &Arc<OpenSubscriptions>,
    subject: &'static str,
    queue: Option<&str>,
) -> SubscriptionRegistration {
    all.add(Subject::from_static(subject), queue)
}

/// Adds a subscription that ends when it is refused.
fn add_confirmed(
    all: &Arc<OpenSubscriptions>,
    subject: &'static str,
    queue: Option<&str>,
) -> SubscriptionRegistration {
    let registration = add(all, subject, queue);
    registration.end_when_refused();
    registration
}

fn refusal(subject: &str, queue: Option<&str>) -> Refusal {
    Refusal::Subscription {
        subject: subject.to_owned(),
        queue: queue.map(str::to_owned),
    }
}

fn is_refused(registration: &mut SubscriptionRegistration) -> bool {
    registration.take_refusal().is_some()
}

#[test]
fn a_permission_is_needed_once_until_its_last_subscription_ends() {
    let all = Arc::new(OpenSubscriptions::default());
    let is_open = |queue| {
        let subject = Subject::from_static("a.B.C");
        all.while_open(&subject, queue, |_| ()).is_some()
    };
    let first = add(&all, "a.B.C", Some("q"));
    let second = add(&all, "a.B.C", Some("q"));
    let _plain = add(&all, "a.B.C", None);
    let plain = Permission::subscribe("a.B.C", None);
    let grouped = Permission::subscribe("a.B.C", Some("q"));
    assert_eq!(all.permissions(), HashSet::from([plain.clone(), grouped]));
    drop(first);
    assert!(is_open(Some("q")));
    second.end();
    assert!(!is_open(Some("q")) && !is_open(Some("r")) && is_open(None));
    drop(second);
    assert_eq!(all.permissions(), HashSet::from([plain]));
}

#[test]
fn a_refusal_ends_the_subscriptions_of_its_subject_and_queue_group_alone() {
    let all = Arc::new(OpenSubscriptions::default());
    let mut plain = [(); 2].map(|()| add_confirmed(&all, "a.*", None));
    let mut grouped = add_confirmed(&all, "a.*", Some("q"));
    let mut other = add_confirmed(&all, "a.b", None);
    let mut of_server = add(&all, "a.*", None);
    assert_eq!(all.end(&refusal("a.*", None)), 2);
    assert!(plain.iter_mut().all(is_refused));
    assert!(
        ![&mut grouped, &mut other, &mut of_server]
            .into_iter()
            .any(is_refused)
    );
    assert_eq!(all.end(&refusal("a.*", None)), 0, "ended before");
    assert_eq!(all.end(&refusal("a.*", Some("q"))), 1);
    assert!(is_refused(&mut grouped));
    assert_eq!(all.end(&Refusal::Publish("a.b".to_owned())), 0);
    assert!(!is_refused(&mut other));
}

#[test]
fn a_subscription_that_is_dropped_leaves_nothing() {
    let all = Arc::new(OpenSubscriptions::default());
    let first = add_confirmed(&all, "a.b", None);
    let mut second = add_confirmed(&all, "a.b", None);
    drop(first);
    assert_eq!(all.end(&refusal("a.b", None)), 1);
    assert!(is_refused(&mut second));
    drop(second);
    drop(add(&all, "a.c", Some("q")));
    assert!(lock(&all.0).is_empty());
}

#[test]
fn the_reader_is_woken_by_a_probe_by_its_messages_by_its_end_and_by_a_refusal() {
    let all = Arc::new(OpenSubscriptions::default());
    let mut registration = add_confirmed(&all, "a.b", Some("q"));
    let wakes = [(); 2].map(|()| Arc::new(Wakes::default()));
    let [earlier, later] = wakes.clone().map(Waker::from);
    let counts = || {
        wakes
            .each_ref()
            .map(|wakes| wakes.0.load(Ordering::Relaxed))
    };
    let mut poll = |waker: &Waker| {
        let cx = &mut Context::from_waker(waker);
        assert!(!registration.is_waiting(cx));
        let is_ready = registration.poll_probes(cx).is_ready();
        (is_ready, registration.is_waiting(cx))
    };
    assert_eq!(poll(&earlier), (false, true));
    assert_eq!(poll(&later), (false, true));
    let subject = Subject::from_static("a.b");
    let member = all.while_open(&subject, Some("q"), Arc::clone).unwrap();
    let (sender, mut messages) = mpsc::unbounded_channel();
    let join = member.begin_join().unwrap();
    let open = join.finish(stream::poll_fn(move |cx| messages.poll_recv(cx)));
    assert_eq!(counts(), [0, 1]);
    assert_eq!(poll(&later), (false, false), "the probe has to be polled");
    sender.send(message("a.b")).unwrap();
    assert_eq!(counts(), [0, 2]);
    assert_eq!(poll(&later), (true, false));
    drop(open);
    assert_eq!(counts(), [0, 3]);
    assert_eq!(poll(&later), (false, true), "nothing is left of the probe");
    assert_eq!(all.end(&refusal("a.b", Some("q"))), 1);
    assert_eq!(counts(), [0, 4]);
    assert_eq!(poll(&later), (false, false), "the refusal has to be taken");
    assert!(is_refused(&mut registration));
}

#[tokio::test]
async fn a_stop_waits_for_a_probe_that_is_being_made_and_leaves_its_messages_to_the_reader() {
    let all = Arc::new(OpenSubscriptions::default());
    let mut registration = add(&all, "a.b", Some("q"));
    let subject = Subject::from_static("a.b");
    let begin = || all.while_open(&subject, Some("q"), OpenSubscription::begin_join);
    let [first, second] = [(); 2].map(|()| begin().flatten().unwrap());
    registration.end();
    assert!(begin().is_none(), "no further one");
    drop(first);
    {
        let mut stopping = pin!(registration.finish_joins());
        assert!(stopping.as_mut().now_or_never().is_none());
        let _open = second.finish(stream::iter([message("a.b")]));
        stopping.await;
    }
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(registration.poll_probes(cx).is_ready());
}
