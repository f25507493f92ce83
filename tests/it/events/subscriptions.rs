//! Subscriptions that return typed events, or events as bytes.

use std::time::Duration;

use micro_runtime::event::EventFilter as _;
use micro_runtime::{Code, Event as _};
use micro_tests::behavior::Blob;
use micro_tests::market::{Closed, ClosedFilter, Order, OrderFilter, Side, Trade, TradeFilter};

use super::trades::trade;
use crate::carriers::{Carrier, on_both_carriers};

on_both_carriers! {
    a_filter_selects_events_by_their_fields
    hostile_field_values_are_escaped_and_filterable
    every_field_type_can_be_filtered
    an_undecodable_event_is_an_error_item_and_not_the_end
    headers_and_subject_arrive_with_the_event
    a_queue_group_shares_the_events
    a_drained_subscription_returns_the_events_that_had_arrived
    raw_events_are_published_and_received_as_bytes
    requests_are_raw_events_with_reply_subject_and_all_headers
    an_event_without_fields_has_one_subject
    a_subject_that_nats_does_not_take_costs_no_connection
}

async fn a_filter_selects_events_by_their_fields(carrier: Carrier) {
    let bus = carrier.another_bus().await;
    let mut all = bus
        .subscribe::<Trade>(TradeFilter::new())
        .open()
        .await
        .unwrap();
    let kraken = TradeFilter::new().venue("kraken");
    let mut kraken = bus.subscribe::<Trade>(kraken).open().await.unwrap();
    let eur = TradeFilter::new().symbol("EUR");
    let mut eur = bus.subscribe::<Trade>(eur).open().await.unwrap();
    for (number, venue, symbol) in [
        (1, "kraken", "BTC"),
        (2, "lmax", "EUR"),
        (3, "kraken", "EUR"),
    ] {
        let event = trade(venue, symbol, number);
        carrier.bus.publish(&event).await.unwrap();
    }
    for (stream, expected) in [
        (&mut all, &[1, 2, 3][..]),
        (&mut kraken, &[1, 3]),
        (&mut eur, &[2, 3]),
    ] {
        for number in expected {
            assert_eq!(stream.next().await.unwrap().unwrap().number, *number);
        }
    }
}

async fn hostile_field_values_are_escaped_and_filterable(carrier: Carrier) {
    let bus = carrier.another_bus().await;
    let values = [
        "a.b",
        "*",
        ">",
        " ",
        "",
        "%",
        "a\r\nPUB x 1",
        "東京",
        "_INBOX",
        "$SRV.PING",
        "💥",
    ];
    let mut all = bus
        .subscribe::<Trade>(TradeFilter::new())
        .open()
        .await
        .unwrap();
    for (number, value) in (0..).zip(values) {
        let filter = TradeFilter::new().venue(value).symbol(value);
        let mut one = bus.subscribe::<Trade>(filter).open().await.unwrap();
        carrier
            .bus
            .publish(&trade("other", value, 99))
            .await
            .unwrap();
        let event = trade(value, value, number);
        carrier.bus.publish(&event).await.unwrap();
        assert_eq!(one.next().await.unwrap().unwrap(), event, "{value:?}");
        assert_eq!(all.next().await.unwrap().unwrap().number, 99);
        let (ctx, seen) = all.next_with_context().await.unwrap().unwrap();
        assert_eq!(seen, event);
        let subject = ctx.subject().unwrap();
        assert_eq!(subject, event.subject().unwrap());
        let fields = ctx.event().unwrap().parse(subject).unwrap();
        assert_eq!(fields, [value, value]);
    }
    let long = trade(&"x".repeat(129), "", 0);
    let status = carrier.bus.publish(&long).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("`venue`"), "{status}");
    let filter = TradeFilter::new().venue("x".repeat(129));
    let error = bus.subscribe::<Trade>(filter).open().await.unwrap_err();
    assert!(error.to_string().contains("market.v1.Trade"), "{error}");
}

async fn every_field_type_can_be_filtered(carrier: Carrier) {
    let filter = OrderFilter::new().side(Side::Sell).id(-7).is_open(true);
    assert_eq!(filter.subject().unwrap(), "evt.market.order.SELL.-7.true.*");
    let mut orders = carrier.bus.subscribe::<Order>(filter).open().await.unwrap();
    let order = |side: Side, note: Option<&str>| Order {
        side: side.into(),
        id: -7,
        is_open: true,
        note: note.map(str::to_owned),
    };
    carrier.bus.publish(&order(Side::Buy, None)).await.unwrap();
    carrier.bus.publish(&order(Side::Sell, None)).await.unwrap();
    assert_eq!(
        orders.next().await.unwrap().unwrap(),
        order(Side::Sell, None)
    );
    assert_eq!(
        order(Side::Buy, None).subject().unwrap(),
        "evt.market.order.BUY.-7.true.%"
    );
    let unnamed = Order {
        side: 9,
        ..order(Side::Buy, None)
    };
    let status = carrier.bus.publish(&unnamed).await.unwrap_err();
    assert!(status.message().contains("`side`"), "{status}");
}

async fn an_undecodable_event_is_an_error_item_and_not_the_end(carrier: Carrier) {
    let mut trades = carrier
        .bus
        .subscribe::<Trade>(TradeFilter::new())
        .open()
        .await
        .unwrap();
    carrier
        .bus
        .publish_raw("evt.market.trade.a.b", &b"\xff"[..])
        .await
        .unwrap();
    carrier.bus.publish(&trade("a", "b", 1)).await.unwrap();
    let status = trades.next().await.unwrap().unwrap_err();
    assert!(
        status.message().contains("is no market.v1.Trade"),
        "{status}"
    );
    assert_eq!(trades.next().await.unwrap().unwrap().number, 1);
    assert_eq!(trades.undecodable(), 1);
}

async fn headers_and_subject_arrive_with_the_event(carrier: Carrier) {
    let bus = carrier.bus.clone().with_prefix("staging").unwrap();
    let mut trades = bus
        .subscribe::<Trade>(TradeFilter::new())
        .open()
        .await
        .unwrap();
    bus.publish(&trade("a", "b", 1))
        .header("source", "replay")
        .await
        .unwrap();
    let (ctx, event) = trades.next_with_context().await.unwrap().unwrap();
    assert_eq!((ctx.header("source"), event.number), (Some("replay"), 1));
    assert_eq!(ctx.subject(), Some("evt.market.trade.a.b"));
    let refused = bus
        .publish(&trade("a", "b", 1))
        .header("micro-x", "1")
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

async fn a_queue_group_shares_the_events(carrier: Carrier) {
    let mut members = Vec::new();
    for _ in 0..2 {
        let bus = carrier.another_bus().await;
        let member = bus
            .subscribe::<Trade>(TradeFilter::new())
            .queue("q")
            .open()
            .await;
        members.push(member.unwrap());
    }
    let all = carrier.bus.subscribe::<Trade>(TradeFilter::new());
    let mut all = all.open().await.unwrap();
    for number in 0..=100 {
        carrier.bus.publish(&trade("a", "b", number)).await.unwrap();
    }
    // Once the last event has arrived, the members have received the others.
    while all.next().await.unwrap().unwrap().number < 100 {}
    let mut seen = Vec::new();
    for member in &mut members {
        member.drain().await.unwrap();
        while let Some(event) = member.next().await {
            seen.push(event.unwrap().number);
        }
    }
    seen.sort_unstable();
    seen.retain(|number| *number < 100);
    assert!(seen.iter().copied().eq(0..100), "{seen:?}");
}

async fn a_drained_subscription_returns_the_events_that_had_arrived(carrier: Carrier) {
    let mut trades = carrier
        .bus
        .subscribe::<Trade>(TradeFilter::new())
        .open()
        .await
        .unwrap();
    for number in 0..1000 {
        carrier.bus.publish(&trade("a", "b", number)).await.unwrap();
    }
    trades.drain().await.unwrap();
    for number in 0..1000 {
        assert_eq!(trades.next().await.unwrap().unwrap().number, number);
    }
    assert!(trades.next().await.is_none());
}

async fn raw_events_are_published_and_received_as_bytes(carrier: Carrier) {
    let mut all = carrier
        .bus
        .subscribe_raw("evt.*.login")
        .open()
        .await
        .unwrap();
    let publish = carrier
        .bus
        .publish_raw("evt.audit.login", "ada")
        .header("k", "v");
    publish.await.unwrap();
    let event = all.next().await.unwrap();
    assert_eq!(&event.payload[..], b"ada");
    assert_eq!(event.context.subject(), Some("evt.audit.login"));
    assert_eq!(event.context.header("k"), Some("v"));
    for wrong in ["", "a..b", "a b", "a.*", "a.>", "a\r\n"] {
        let status = carrier.bus.publish_raw(wrong, "").await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{wrong:?}");
    }
    for wrong in ["", "a..b", "a b", ">.a"] {
        carrier.bus.subscribe_raw(wrong).open().await.unwrap_err();
    }
}

async fn requests_are_raw_events_with_reply_subject_and_all_headers(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let bus = carrier.another_bus().await;
    let mut all = bus.subscribe_raw("behavior.v1.>").open().await.unwrap();
    let call = fixture.client.echo(Blob::default());
    call.header("tenant", "acme").await.unwrap();
    let request = all.next().await.unwrap();
    assert_eq!(request.subject(), "behavior.v1.Behavior.Echo");
    assert!(request.reply_subject().unwrap().starts_with("_INBOX."));
    let mut headers: Vec<_> = request.headers().collect();
    headers.sort_unstable();
    assert_eq!(headers, [("tenant", "acme")]);
    // The protocol's own headers are no metadata, and are shown, too.
    let call = fixture.client.echo(Blob::default());
    call.timeout(Duration::from_secs(60)).await.unwrap();
    let request = all.next().await.unwrap();
    assert!(request.context.metadata().is_empty());
    let names: Vec<_> = request.headers().map(|(name, _)| name).collect();
    assert_eq!(names, ["Micro-Timeout"]);
    bus.publish_raw("behavior.v1.other", "x").await.unwrap();
    let event = all.next().await.unwrap();
    assert_eq!((event.reply_subject(), event.headers().count()), (None, 0));
}

async fn an_event_without_fields_has_one_subject(carrier: Carrier) {
    let mut closed = carrier
        .bus
        .subscribe::<Closed>(ClosedFilter::new())
        .open()
        .await
        .unwrap();
    carrier.bus.publish(&Closed { number: 7 }).await.unwrap();
    assert_eq!(closed.next().await.unwrap().unwrap().number, 7);
    assert_eq!(Closed::default().subject().unwrap(), "evt.market.closed");
}

/// nats-server ends the connection of a longer line of its protocol.
async fn a_subject_that_nats_does_not_take_costs_no_connection(carrier: Carrier) {
    let bus = &carrier.bus;
    let too_long = format!("evt.{}", "x".repeat(5_000));
    let status = bus.publish_raw(&too_long, "x").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("3,072 bytes"), "{status}");
    let error = bus.subscribe_raw(&too_long).open().await.unwrap_err();
    assert!(error.to_string().contains("3,072 bytes"), "{error}");
    let longest = format!("evt.{}", "x".repeat(3_068));
    let mut events = bus.subscribe_raw(&longest).open().await.unwrap();
    bus.publish_raw(&longest, "x").await.unwrap();
    assert_eq!(events.next().await.unwrap().subject(), longest);
}
