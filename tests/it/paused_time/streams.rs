//! Streams under paused time: heartbeats, absent peers, openings, deadlines.

use std::time::Duration;

use micro_runtime::faults::{Faults, MessageKind, Rule};
use micro_runtime::{Bus, Code, Reason, StreamOptions};
use micro_testkit::within;
use tokio::time::Instant;

use super::{HOUR, check_elapsed};
use crate::carriers::RealTimeLimit;
use crate::streams::fixture::StreamsFixture;
use crate::streams::items::{count, item};
use crate::until::until;

async fn serve() -> (Faults, StreamsFixture) {
    let (bus, faults) = Bus::in_process_with_faults(1);
    let set = |server: micro_runtime::Server| {
        // Longer than the heartbeats that callers ask for in these tests.
        server.stream_options(StreamOptions::new().heartbeat(HOUR))
    };
    (faults, StreamsFixture::start_with(&bus, set).await)
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_an_idle_stream_open_for_a_day() {
    let _limit = RealTimeLimit::start();
    let bus_and_faults = Bus::in_process_with_faults(1);
    let (bus, faults) = bus_and_faults;
    let fixture = StreamsFixture::start(&bus).await;
    let frames = faults.add(Rule::pass(">").of_kind(MessageKind::Frame));
    let (mut sender, mut items) = fixture.client.echo().open().await.unwrap();
    // sleep: a day in which nothing is sent.
    tokio::time::sleep(24 * HOUR).await;
    // A PING and its reply each 5 s, of either end: one that spins sends more, or takes real time.
    let seen = frames.matched();
    assert!((17_280..=4 * 17_280 + 100).contains(&seen), "{seen}");
    sender.send(item(7)).await.unwrap();
    assert_eq!(items.message().await.unwrap().unwrap().number, 7);
    sender.finish().await.unwrap();
    assert!(items.message().await.unwrap().is_none());
    fixture.wait_until_idle().await;
}

#[tokio::test(start_paused = true)]
async fn an_absent_peer_is_noticed_at_both_ends_after_the_idle_timeout() {
    let _limit = RealTimeLimit::start();
    for heartbeat in [1, 5, 600].map(Duration::from_secs) {
        let (faults, fixture) = serve().await;
        let call = fixture.client.count(count(1, "wait"));
        let options = StreamOptions::new().heartbeat(heartbeat);
        let mut items = call.stream_options(options).await.unwrap();
        items.message().await.unwrap().unwrap();
        faults.add(Rule::drop(">").of_kind(MessageKind::Frame));
        let lost = Instant::now();
        let status = items.message().await.unwrap_err();
        assert_eq!(status.reason(), Some(Reason::PeerGone), "{status}");
        check_elapsed(lost, 3 * heartbeat);
        // Its own timer ends the handler: no frame of the client arrives.
        let limit = 2 * heartbeat + Duration::from_secs(1);
        within(limit, fixture.handler.wait_until_idle()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_opening_waits_for_the_open_timeout() {
    let _limit = RealTimeLimit::start();
    let (faults, fixture) = serve().await;
    faults.add(Rule::drop("streams.v1.Streams.*").of_kind(MessageKind::Request));
    let begun = Instant::now();
    let options = StreamOptions::new().open_timeout(HOUR).heartbeat(HOUR);
    let call = fixture.client.count(count(1, "")).stream_options(options);
    let status = call.no_retry().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    check_elapsed(begun, HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_stream_that_is_alive_until_then() {
    let _limit = RealTimeLimit::start();
    let (_faults, fixture) = serve().await;
    let begun = Instant::now();
    let request = micro_tests::streams::CountRequest {
        pause_us: 60_000_000,
        ..count(1_000, "")
    };
    let mut items = fixture.client.count(request).timeout(HOUR).await.unwrap();
    let mut received = 0;
    let status = loop {
        match items.message().await {
            Ok(item) => received += u32::from(item.is_some()),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    check_elapsed(begun, HOUR);
    assert!((59..=60).contains(&received), "{received}");
    until(|| fixture.handler.live_calls() == 0).await;
}
