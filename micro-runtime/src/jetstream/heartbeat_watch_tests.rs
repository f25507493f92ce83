//! Tests of silence under paused time.

use std::future::poll_fn;

use super::*;

/// Waits until the consumer is silent; returns how long that took.
async fn silence(watch: &mut HeartbeatWatch) -> Duration {
    let begin = Instant::now();
    poll_fn(|cx| watch.poll_silent(cx)).await;
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_silent_once_two_heartbeats_are_missing() {
    let mut watch = HeartbeatWatch::new();
    let timeout = SUSPICION_TIMEOUT + CONFIRMATION_TIME;
    for _ in 0..2 {
        watch.received();
        let silence = silence(&mut watch).await;
        assert!(
            (timeout..timeout + IDLE_HEARTBEAT).contains(&silence),
            "{silence:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_was_held_up_finds_what_has_arrived_first() {
    let mut watch = HeartbeatWatch::new();
    let mut poll = async || poll_fn(|cx| Poll::Ready(watch.poll_silent(cx))).await;
    assert!(poll().await.is_pending());
    tokio::time::advance(10 * SUSPICION_TIMEOUT).await;
    assert!(poll().await.is_pending(), "suspected, and read once more");
    watch.received();
    tokio::time::advance(CONFIRMATION_TIME).await;
    let polled = poll_fn(|cx| Poll::Ready(watch.poll_silent(cx))).await;
    assert!(polled.is_pending(), "a message has come");
}
