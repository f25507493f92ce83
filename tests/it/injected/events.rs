//! Core events that are lost, late, repeated, out of order or forged: at most what the carrier delivered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::faults::{Forgery, MessageKind, Rule};
use micro_runtime::{
    Bus, Code, Context, Event as _, Reason, Server, Status, Subscriber, Subscription, service,
};
use micro_tests::market::{Trade, TradeFilter};

use super::forgeries::of_nats;
use crate::until::until;

/// Number of events that each test publishes.
const EVENTS: u64 = 20;

fn trade(number: u64) -> Trade {
    Trade {
        venue: "v".into(),
        symbol: "s".into(),
        number,
        price: 1.5,
    }
}

/// Publishes events under a rule, then one without it, and returns the numbers that arrived before that one.
async fn arrived(rule: Rule) -> Vec<u64> {
    let (bus, faults) = Bus::in_process_with_faults(3);
    let mut events = bus
        .subscribe::<Trade>(TradeFilter::new())
        .open()
        .await
        .unwrap();
    let rule = faults.add(rule.of_kind(MessageKind::Event));
    for number in 0..EVENTS {
        bus.publish(&trade(number)).await.unwrap();
    }
    assert_eq!(rule.matched(), EVENTS);
    faults.clear();
    // sleep: the longest delay of a rule.
    tokio::time::sleep(Duration::from_millis(30)).await;
    bus.publish(&trade(u64::MAX)).await.unwrap();
    let mut numbers = Vec::new();
    loop {
        match events.next().await.unwrap().unwrap().number {
            u64::MAX => return numbers,
            number => numbers.push(number),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_missing_and_no_other() {
    let numbers = arrived(Rule::drop("evt.>").nth(8)).await;
    let expected: Vec<u64> = (0..EVENTS).filter(|&number| number != 7).collect();
    assert_eq!(numbers, expected);
    assert_eq!(arrived(Rule::drop("evt.>")).await, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn events_out_of_order_and_late_arrive_each_once() {
    for rule in [
        Rule::reorder("evt.>"),
        Rule::delay("evt.>", Duration::ZERO..Duration::from_millis(20)),
    ] {
        let mut numbers = arrived(rule).await;
        assert!(!numbers.is_sorted());
        numbers.sort_unstable();
        assert_eq!(numbers, (0..EVENTS).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_event_is_received_again() {
    let numbers = arrived(Rule::duplicate("evt.>", 1, Duration::ZERO..Duration::ZERO)).await;
    let expected: Vec<u64> = (0..EVENTS).flat_map(|number| [number; 2]).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn a_forged_event_is_an_error_item_or_that_event_and_not_the_end() {
    let (bus, faults) = Bus::in_process_with_faults(3);
    let mut events = bus
        .subscribe::<Trade>(TradeFilter::new())
        .open()
        .await
        .unwrap();
    let mut raw = bus.subscribe_raw("evt.>").open().await.unwrap();
    bus.publish(&trade(1)).await.unwrap();
    let published = raw.next().await.unwrap();
    let subject = published.context.subject().unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().number, 1);
    for payload in [&b"\x07"[..], b"\xff\xff", b"{}"] {
        faults.forge(subject, &Forgery::new().payload(payload));
        let failure = events.next().await.unwrap().unwrap_err();
        assert_eq!(failure.code(), Code::InvalidArgument, "{failure}");
    }
    bus.publish(&trade(2)).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().number, 2);
}

/// Collects the numbers of trades.
#[derive(Clone, Default)]
pub(crate) struct TradeNumbers(Arc<Mutex<Vec<u64>>>);

impl TradeNumbers {
    pub(crate) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[service]
impl Subscriber<Trade> for TradeNumbers {
    async fn on_event(&self, _: Context, trade: Trade) -> Result<(), Status> {
        self.0.lock().unwrap().push(trade.number);
        Ok(())
    }
}

#[tokio::test]
async fn messages_of_nats_are_no_events() {
    let (bus, faults) = Bus::in_process_with_faults(3);
    let filter = TradeFilter::new();
    let mut events = bus.subscribe::<Trade>(filter).open().await.unwrap();
    let mut raw = bus.subscribe_raw("evt.>").open().await.unwrap();
    let (numbers, keyed) = (TradeNumbers::default(), TradeNumbers::default());
    let by_key = Subscription::broadcast().ordered_by(|trade: &Trade| trade.number);
    let server = Server::new(&bus)
        .subscribe::<Trade>(numbers.clone(), Subscription::broadcast())
        .subscribe::<Trade>(keyed.clone(), by_key);
    let server = server.start().await.unwrap();
    let subject = trade(1).subject().unwrap();
    let messages = of_nats();
    for message in &messages {
        faults.forge(&subject, message);
    }
    bus.publish(&trade(1)).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().number, 1);
    assert!(!raw.next().await.unwrap().payload.is_empty());
    let count = messages.len() as u64;
    assert_eq!((events.undecodable(), raw.undecodable()), (count, count));
    until(|| server.events().iter().all(|stats| stats.handled == 1)).await;
    for stats in server.events() {
        assert_eq!((stats.received, stats.undecodable), (count + 1, count));
        let error = stats.last_error.unwrap();
        assert!(error.message().contains("of NATS itself"), "{error}");
    }
    for handled in [numbers, keyed] {
        assert_eq!(handled.take(), [1]);
    }
}

#[tokio::test]
async fn events_are_refused_while_disconnected_and_arrive_after_the_reconnect() {
    let (bus, faults) = Bus::in_process_with_faults(3);
    let mut events = bus
        .subscribe::<Trade>(TradeFilter::new())
        .open()
        .await
        .unwrap();
    bus.publish(&trade(1)).await.unwrap();
    faults.disconnect();
    faults.disconnect();
    let status = bus.publish(&trade(2)).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
    // Events that have arrived before can be read.
    assert_eq!(events.next().await.unwrap().unwrap().number, 1);
    faults.reconnect();
    faults.reconnect();
    bus.publish(&trade(3)).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().number, 3);
}
