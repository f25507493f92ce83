//! Discovery under paused time: the ends of queries, and what a watch concludes from silence.

use std::time::Duration;

use micro_runtime::discovery::{Change, Departure, Watch};
use micro_runtime::faults::{MessageKind, Rule};
use micro_runtime::{Bus, Server};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use tokio::time::Instant;

use super::{HOUR, check_elapsed};
use crate::carriers::RealTimeLimit;

fn server(bus: &Bus) -> Server {
    Server::new(bus).add(BehaviorServer::new(BehaviorHandler::default()))
}

#[tokio::test(start_paused = true)]
async fn a_query_ends_after_the_stall_time_or_the_maximum() {
    let _limit = RealTimeLimit::start();
    let (bus, faults) = Bus::in_process_with_faults(1);
    let _first = server(&bus).start().await.unwrap();
    let _second = server(&bus).start().await.unwrap();
    let query = || bus.discovery().ping().stall(HOUR).max_wait(5 * HOUR);
    let begun = Instant::now();
    assert_eq!(query().await.unwrap().len(), 2);
    check_elapsed(begun, HOUR);
    let begun = Instant::now();
    assert_eq!(query().expected(2).await.unwrap().len(), 2);
    check_elapsed(begun, Duration::ZERO);
    faults.add(Rule::drop("$SRV.PING").of_kind(MessageKind::Request));
    let begun = Instant::now();
    assert!(query().await.unwrap().is_empty());
    check_elapsed(begun, 5 * HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_watch_reports_silence_return_loss_and_death_in_time() {
    let _limit = RealTimeLimit::start();
    let (bus, faults) = Bus::in_process_with_faults(1);
    let (interval, patience) = (HOUR / 6, HOUR / 60);
    let watch = bus.discovery().watch().interval(interval);
    let watch = watch.patience(patience).forget_after(HOUR);
    let mut watch = watch.open().await.unwrap();
    let running = server(&bus).start().await.unwrap();
    // A round and the ping of one instance are later than their interval by what they wait for.
    let next = async |watch: &mut Watch, within_time: Duration| {
        let change = tokio::time::timeout(within_time, watch.next()).await;
        change.expect("a change in time").unwrap()
    };
    let soon = interval + 2 * patience;
    let silence = || {
        faults.add(Rule::drop("$SRV.PING").of_kind(MessageKind::Request));
        faults.add(Rule::drop("$SRV.PING.>").of_kind(MessageKind::Request));
    };
    assert!(matches!(next(&mut watch, soon).await, Change::Joined(_)));

    // sleep: nothing changes in days.
    let unexpected = tokio::time::timeout(100 * HOUR, watch.next()).await;
    assert!(unexpected.is_err(), "{unexpected:?}");
    silence();
    assert!(matches!(next(&mut watch, soon).await, Change::Silent(_)));
    faults.clear();
    assert!(matches!(next(&mut watch, soon).await, Change::Back(_)));

    silence();
    assert!(matches!(next(&mut watch, soon).await, Change::Silent(_)));
    let silent = Instant::now();
    let lost = next(&mut watch, HOUR + soon).await;
    assert!(matches!(lost, Change::Left(_, Departure::Lost)), "{lost:?}");
    assert!(silent.elapsed() >= HOUR - soon);
    faults.clear();
    assert!(matches!(next(&mut watch, soon).await, Change::Joined(_)));
    // As of a process that is killed: nothing is announced.
    faults.add(Rule::drop("$SRV._EVENT.>"));
    drop(running);
    let died = next(&mut watch, soon).await;
    assert!(matches!(died, Change::Left(_, Departure::Died)), "{died:?}");
}
