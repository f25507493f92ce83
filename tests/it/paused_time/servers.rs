//! Servers under paused time: the grace period of a stop, health checks, handlers of events, blocking handlers.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::{Bus, Code, Context, Server, Status, Subscriber, Subscription};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorServer, WaitRequest};
use micro_tests::market::Trade;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{HOUR, check_elapsed};
use crate::carriers::{Carrier, RealTimeLimit};
use crate::events::trades::trade;
use crate::until::until;

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_handlers_and_at_most_for_the_grace_period() {
    let _limit = RealTimeLimit::start();
    for (needed, expected) in [(HOUR / 2, HOUR / 2), (3 * HOUR, HOUR)] {
        let carrier = Carrier::in_process().await;
        let fixture = carrier.serve_with(|server| server.grace(HOUR)).await;
        let client = fixture.client.clone();
        let milliseconds = u32::try_from(needed.as_millis()).unwrap();
        let call = client.wait(WaitRequest { milliseconds });
        let call = tokio::spawn(call.timeout(5 * HOUR).into_future());
        let begun = Instant::now();
        until(|| fixture.handler.running() == 1).await;
        let stopped = fixture.server.shutdown().await;
        check_elapsed(begun, expected);
        let outcome = call.await.unwrap();
        assert_eq!(outcome.is_ok(), needed < HOUR, "{outcome:?} {stopped:?}");
        if let Err(status) = outcome {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_health_check_that_hangs_fails_and_runs_again_after_a_second() {
    let _limit = RealTimeLimit::start();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let server = Server::new(&Bus::in_process())
        .add(BehaviorServer::new(BehaviorHandler::default()))
        .readiness_check("database", move || {
            let is_first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                // sleep: the first run hangs.
                tokio::time::sleep(if is_first { HOUR } else { HOUR / 7200 }).await;
                Ok::<(), Status>(())
            }
        });
    let server = server.start().await.unwrap();
    let is_ready = async || {
        let stats = server.checked_stats().await.remove(0);
        stats.data.unwrap().is_ready
    };
    let begun = Instant::now();
    assert!(!is_ready().await);
    check_elapsed(begun, Duration::from_secs(1));
    // sleep: the outcome is still fresh, then it is not.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(!is_ready().await);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_millis(200)).await; // sleep: as above
    assert!(is_ready().await);
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

/// Handler that sleeps for an hour for each trade, and reports its number and when it was done.
struct Sleeper(mpsc::UnboundedSender<(u64, Instant)>);

impl Subscriber<Trade> for Sleeper {
    async fn on_event(&self, _: Context, trade: Trade) -> Result<(), Status> {
        // sleep: the handler takes an hour.
        tokio::time::sleep(HOUR).await;
        let _ = self.0.send((trade.number, Instant::now()));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_of_events_may_sleep_for_hours_and_have_timeouts() {
    let _limit = RealTimeLimit::start();
    let bus = Bus::in_process();
    let (sender, mut handled) = mpsc::unbounded_channel();
    let impatient = Subscription::broadcast().timeout(HOUR / 2);
    let server = Server::new(&bus)
        .subscribe::<Trade>(Sleeper(sender.clone()), Subscription::broadcast())
        .subscribe::<Trade>(Sleeper(sender), impatient);
    let server = server.start().await.unwrap();
    let begun = Instant::now();
    for number in 0..5 {
        bus.publish(&trade("v", "s", number)).await.unwrap();
    }
    for number in 0..5 {
        let (found, at) = handled.recv().await.unwrap();
        assert_eq!(found, number);
        let hours = u32::try_from(number + 1).unwrap();
        assert_eq!((at - begun).as_secs(), (hours * HOUR).as_secs());
    }
    let failed = server.events()[1].failed;
    assert_eq!(failed, 5, "each handler was ended after half an hour");
}
