//! Tests of `RequestBacklog`.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::Subject;
use bytes::Bytes;

use super::*;
use crate::bus::{Bus, Outgoing};

/// An intake without limits, if it has no memory budget.
#[derive(Default)]
struct TestIntake {
    memory: Option<Arc<MemoryBudget>>,
    given_up: AtomicUsize,
}

impl Intake for TestIntake {
    fn take_at_once(&self, message: Message) -> Option<Message> {
        (message.payload != "frame").then_some(message)
    }

    fn is_full(&self) -> bool {
        false
    }

    fn memory(&self) -> Option<&Arc<MemoryBudget>> {
        self.memory.as_ref()
    }

    fn reached_by(&self, now: Instant) -> Instant {
        now
    }

    fn give_up(&self, _message: Message) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns a subject and its subscription.
async fn subscribed(bus: &Bus) -> (Subject, CarrierSubscription) {
    let subject = Subject::from_static("a.b");
    let subscribing = bus.calling().subscribe(subject.clone(), None);
    (subject, subscribing.await.unwrap())
}

/// Returns the payload of the next turn, and whether the request is handled.
async fn next(
    backlog: &mut RequestBacklog,
    from: &mut CarrierSubscription,
) -> Option<(Bytes, bool)> {
    let intake = TestIntake::default();
    let turn = poll_fn(|cx| backlog.poll_turn(from, &intake, cx)).await?;
    Some(match turn {
        Turn::Handle(message, _) => (message.payload, true),
        Turn::Refuse(message, ..) => (message.payload, false),
    })
}

#[tokio::test]
async fn what_exceeds_the_backlog_is_refused_and_the_rest_handled_in_order() {
    const REFUSED: usize = 2 * MAX_REFUSED + 1;
    let bus = Bus::in_process();
    let (subject, mut subscription) = subscribed(&bus).await;
    for number in 0..MAX_WAITING + REFUSED {
        let outgoing = Outgoing::to(subject.clone(), Bytes::from(number.to_string()));
        let published = bus.calling().publish(outgoing).await;
        assert!(published.is_ok());
    }
    subscription.close().await;
    let mut backlog = RequestBacklog::default();
    let (mut handled, mut refused) = (Vec::new(), 0);
    while let Some((payload, is_handled)) = next(&mut backlog, &mut subscription).await {
        let number: usize = std::str::from_utf8(&payload).unwrap().parse().unwrap();
        match is_handled {
            true => handled.push(number),
            false => refused += 1,
        }
        // Those that wait have turns although more are to be refused.
        let rounds = handled.len() / MAX_TURNS_IN_A_ROW + 1;
        assert!(refused <= rounds * MAX_REFUSED, "{rounds}: {refused}");
    }
    assert_eq!(handled.len() + refused, MAX_WAITING + REFUSED);
    assert!(handled.is_sorted() && refused > MAX_REFUSED, "{refused}");
    assert!(handled.iter().copied().take(MAX_WAITING).eq(0..MAX_WAITING));
}

#[tokio::test]
async fn those_behind_the_first_of_what_was_taken_have_waited() {
    let bus = Bus::in_process();
    let (subject, mut subscription) = subscribed(&bus).await;
    let (mut backlog, intake) = (RequestBacklog::default(), TestIntake::default());
    for count in [3, 1] {
        for _ in 0..count {
            let outgoing = Outgoing::to(subject.clone(), Bytes::new());
            assert!(bus.calling().publish(outgoing).await.is_ok());
        }
        let mut waited = Vec::new();
        for _ in 0..count {
            let turn = poll_fn(|cx| backlog.poll_turn(&mut subscription, &intake, cx)).await;
            let Some(Turn::Handle(_, arrival)) = turn else {
                panic!("no turn");
            };
            waited.push(!arrival.waited().is_zero());
        }
        assert_eq!(waited, [false, false, true][..count]);
    }
}

/// Publishes so many requests while a reply waits for the connection. Returns the payloads of those that are handled
/// then, and the number of those that are refused.
async fn taken_while_sending(
    count: usize,
    length: usize,
    intake: &TestIntake,
) -> (Vec<Bytes>, usize) {
    let bus = Bus::in_process();
    let (subject, mut subscription) = subscribed(&bus).await;
    let mut backlog = RequestBacklog::default();
    let (sent, sending) = tokio::sync::oneshot::channel::<()>();
    let publishing = async {
        for number in 0..count {
            let payload = Bytes::from(format!("{number:0length$}"));
            let mut outgoing = Outgoing::to(subject.clone(), payload);
            outgoing.reply = Some(Subject::from_static("reply"));
            assert!(bus.calling().publish(outgoing).await.is_ok());
            if number % 1000 == 0 {
                yield_now().await;
            }
        }
        // Behind a poll that takes the rest.
        for _ in 0..2 {
            yield_now().await;
        }
        sent.send(()).unwrap();
    };
    let reply = Box::pin(async { sending.await.unwrap() });
    let taking = backlog.take_while_sending(reply, &mut subscription, intake);
    tokio::join!(taking, publishing);
    subscription.close().await;
    let (mut handled, mut refused) = (Vec::new(), 0);
    loop {
        match poll_fn(|cx| backlog.poll_turn(&mut subscription, intake, cx)).await {
            Some(Turn::Handle(message, _)) => handled.push(message.payload),
            Some(Turn::Refuse(message, ..)) => {
                assert!(message.reply.is_some());
                refused += 1;
            }
            None => return (handled, refused),
        }
    }
}

#[tokio::test]
async fn requests_that_arrive_while_a_reply_waits_are_taken_and_handled_in_order() {
    let intake = TestIntake::default();
    let (handled, refused) = taken_while_sending(5000, 6, &intake).await;
    assert_eq!((handled.len(), refused), (5000, 0));
    assert!(handled.is_sorted());
}

#[tokio::test]
async fn what_arrives_while_a_reply_waits_is_refused_where_half_of_the_memory_is_used_and_given_up_in_the_end()
 {
    // Requests of 10 kB: the memory of 1,000 of them holds half of these, and refusals of the others.
    const LENGTH: usize = 10_000;
    for (count, gives_up) in [(2000, false), (90_000, true)] {
        let memory = MemoryBudget::new(1000 * LENGTH);
        let intake = TestIntake {
            memory: Some(Arc::clone(&memory)),
            ..TestIntake::default()
        };
        let (handled, refused) = taken_while_sending(count, LENGTH, &intake).await;
        let given_up = intake.given_up.load(Ordering::Relaxed);
        assert_eq!(handled.len() + refused + given_up, count);
        assert!((400..600).contains(&handled.len()), "{}", handled.len());
        assert!(refused > 1000, "{refused}");
        assert_eq!(given_up > 0, gives_up, "{given_up}");
        assert_eq!(memory.used(), 0);
    }
}

#[tokio::test]
async fn refusals_wait_although_the_memory_is_used_up() {
    let memory = MemoryBudget::new(10);
    let used = memory.try_take(10).unwrap();
    let intake = TestIntake {
        memory: Some(Arc::clone(&memory)),
        ..TestIntake::default()
    };
    let (handled, refused) = taken_while_sending(20_000, 3_000, &intake).await;
    assert_eq!(intake.given_up.load(Ordering::Relaxed), 0);
    assert_eq!((handled.len(), refused), (0, 20_000));
    drop(used);
    assert_eq!(memory.used(), 0);
}

/// A marker of an expired key: its headers tell that NATS has made it. As a refusal it would lose them, and get a
/// reply.
#[tokio::test]
async fn a_message_of_nats_is_no_refusal_while_a_reply_waits() {
    let bus = Bus::in_process();
    let (subject, mut subscription) = subscribed(&bus).await;
    let mut marker = Outgoing::to(subject, Bytes::new());
    marker.reply = Some(Subject::from_static("reply"));
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Marker-Reason", "MaxAge");
    marker.headers = Some(headers);
    assert!(bus.calling().publish(marker).await.is_ok());
    subscription.close().await;
    let memory = MemoryBudget::new(10);
    let _used = memory.try_take(10).unwrap();
    let intake = TestIntake {
        memory: Some(memory),
        ..TestIntake::default()
    };
    let mut backlog = RequestBacklog::default();
    let mut polls = 0;
    let reply = Box::pin(poll_fn(move |cx| {
        polls += 1;
        cx.waker().wake_by_ref();
        match polls > 2 {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }));
    backlog
        .take_while_sending(reply, &mut subscription, &intake)
        .await;
    assert_eq!(intake.given_up.load(Ordering::Relaxed), 1);
    let turn = poll_fn(|cx| backlog.poll_turn(&mut subscription, &intake, cx)).await;
    assert!(turn.is_none());
}
