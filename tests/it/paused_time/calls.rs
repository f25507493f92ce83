//! Unary calls under paused time: the waits of handlers, deadlines, retries.

use std::collections::BTreeSet;
use std::time::Duration;

use micro_runtime::{Bus, Code, Context, Metadata, Reason, Status};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, Blob, FlakyRequest, WaitRequest};
use tokio::time::Instant;

use super::{HOUR, check_elapsed};
use crate::carriers::{BehaviorFixture, Carrier, RealTimeLimit};
use crate::layered::with_and_without_layer;
use crate::until::until;

const MINUTE: Duration = Duration::from_secs(60);

async fn serve() -> (Bus, BehaviorFixture) {
    let carrier = Carrier::in_process().await;
    let fixture = carrier.serve().await;
    (carrier.bus, fixture)
}

fn wait(time: Duration) -> WaitRequest {
    WaitRequest {
        milliseconds: u32::try_from(time.as_millis()).unwrap(),
    }
}

#[track_caller]
fn check_deadline(result: Result<Blob, Status>, since: Instant, expected: Duration) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    check_elapsed(since, expected);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_sleep_for_hours() {
    let _limit = RealTimeLimit::start();
    let (_bus, fixture) = serve().await;
    let begun = Instant::now();
    let call = fixture.client.wait(wait(9 * HOUR)).timeout(10 * HOUR);
    call.await.unwrap();
    check_elapsed(begun, 9 * HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_caller_and_handler() {
    let _limit = RealTimeLimit::start();
    let (bus, fixture) = serve().await;
    for options in with_and_without_layer(&Default::default()) {
        let client: BehaviorClient = bus.client_with(options);
        let forever = || client.wait(BehaviorHandler::UNTIL_RELEASED);
        let begun = Instant::now();
        check_deadline(forever().await, begun, Duration::from_secs(5));
        let begun = Instant::now();
        check_deadline(forever().timeout(HOUR).await, begun, HOUR);
        until(|| fixture.handler.running() == 0).await;
        // The handler knows what is left.
        let described = client
            .describe(Blob::default())
            .timeout(HOUR)
            .await
            .unwrap();
        assert_eq!(described.remaining_ms, 3_600_000);
    }
    assert_eq!(fixture.handler.dropped(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_ends_with_the_deadline_of_its_parent() {
    let _limit = RealTimeLimit::start();
    let (_bus, fixture) = serve().await;
    let begun = Instant::now();
    // The nested call has a timeout of 60 s of its own.
    let relay = fixture.client.relay(BehaviorHandler::UNTIL_RELEASED);
    check_deadline(relay.timeout(MINUTE / 2).await, begun, MINUTE / 2);
    until(|| fixture.handler.running() == 0).await;
    let begun = Instant::now();
    let relay = fixture.client.relay(BehaviorHandler::UNTIL_RELEASED);
    check_deadline(relay.timeout(HOUR).await, begun, MINUTE);

    let parent = Context::for_test_with(Metadata::new(), Some(HOUR));
    let begun = Instant::now();
    let call = fixture.client.wait(BehaviorHandler::UNTIL_RELEASED);
    check_deadline(call.timeout(2 * HOUR).within(&parent).await, begun, HOUR);
    assert_eq!(parent.remaining(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn retries_rest_for_their_backoff_and_not_longer() {
    let _limit = RealTimeLimit::start();
    let (_bus, fixture) = serve().await;
    let mut times = BTreeSet::new();
    // Each takes two of the ten retries of a new client.
    for key in ["a", "b", "c", "d", "e"] {
        let begun = Instant::now();
        let request = FlakyRequest {
            key: key.to_owned(),
            failures: 2,
            code: Code::Unavailable as i32,
        };
        let reply = fixture.client.flaky(request).timeout(MINUTE).await.unwrap();
        assert_eq!(reply.data, b"3");
        // Up to 50 ms, then up to 100 ms, each rounded up to the next millisecond by the timer.
        assert!(begun.elapsed() <= Duration::from_millis(152));
        times.insert(begun.elapsed());
    }
    assert!(times.len() > 1, "the backoff has no jitter: {times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_responders_rests_once_and_fails() {
    let _limit = RealTimeLimit::start();
    let client: BehaviorClient = Bus::in_process().client();
    let begun = Instant::now();
    let status = client
        .echo(Blob::default())
        .timeout(HOUR)
        .await
        .unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NoResponders), "{status}");
    let elapsed = begun.elapsed().as_millis();
    assert!((50..=300).contains(&elapsed), "{elapsed} ms");
}
