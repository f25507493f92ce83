//! Many refusals at once, of which async-nats loses some.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::{Bus, ClientOptions};
use micro_testkit::within;
use micro_tests::behavior::{BehaviorClient, Blob};

use super::users::{User, check_status, connect, nats_with};

/// Limit for each test, half the timeout of each call: none waits for its deadline.
const LIMIT: Duration = Duration::from_secs(60);
/// Time that docs/guide/failure.md promises for many calls.
const PROMISED: Duration = Duration::from_secs(1);

/// Makes calls, and returns the time until the last one is refused. Each has a subject of its own, so that no refusal
/// stands for two calls.
async fn call_distinct_subjects(bus: &Bus, count: usize) -> Duration {
    let clients = (0..count).map(|number| {
        let base = format!("refused{number}.Behavior");
        let options = ClientOptions::new().subject_base(base).timeout(2 * LIMIT);
        bus.client_with::<BehaviorClient>(options)
    });
    let clients = clients.collect::<Vec<_>>();
    let calls = clients
        .iter()
        .enumerate()
        .map(|(number, client)| async move {
            let status = client.echo(Blob::default()).await.unwrap_err();
            check_status(&status, &format!("`refused{number}.Behavior.Echo`"));
        });
    let began = Instant::now();
    join_all(calls).await;
    began.elapsed()
}

/// Until one of many rounds has ended in time, as not every one does on a busy machine.
async fn calls_end_within(time: Duration, count: usize) {
    let nats = nats_with(&[User::client(&["behavior.v1.Behavior.>"])]).await;
    loop {
        let bus = connect(&nats, "client").await;
        if call_distinct_subjects(&bus, count).await < time {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_512_refused_subjects_end_within_a_second() {
    within(LIMIT, calls_end_within(PROMISED, 512)).await;
}

#[tokio::test]
async fn calls_to_512_refused_subjects_end_on_one_thread_too() {
    within(LIMIT, calls_end_within(PROMISED, 512)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_2000_refused_subjects_end_within_seconds() {
    // Of a debug build on a busy machine; a release build needs far less.
    within(LIMIT, calls_end_within(3 * PROMISED, 2000)).await;
}
