//! A model of durable events: random interleavings of publishes, handlers of all kinds, crashes, edits by operators and
//! restarts of nats-server. What is published and acknowledged is handled or dead-lettered, whatever comes between.
//!
//! Variables of the environment: `MODEL_SEED`, which repeats one case and prints its steps.
#![expect(clippy::print_stdout, reason = "the cases, and the steps of one")]

mod ledger;
mod step;
mod world;

use std::time::Duration;

use micro_testkit::within;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use self::step::Step;
use self::world::World;

/// Maximum time of one case.
const CASE_TIMEOUT: Duration = Duration::from_secs(120);
/// Seed of the first case.
const FIRST_SEED: u64 = 2016;
/// Range of the number of steps of a case.
const STEPS: std::ops::Range<usize> = 10..40;

/// Runs one case: its steps, and then a worker until everything is accounted for.
async fn run_case(seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::start(seed).await;
    let count = random.random_range(STEPS);
    for _ in 0..count {
        let step = Step::random(&mut random);
        if std::env::var_os("MODEL_SEED").is_some() {
            println!("{step:?}");
        }
        world.take(step).await;
    }
    world.finish().await;
}

async fn run_cases(count: u64) {
    let only = std::env::var("MODEL_SEED").ok();
    let only = only.map(|seed| seed.parse::<u64>().unwrap());
    let seeds = match only {
        Some(seed) => seed..seed + 1,
        None => FIRST_SEED..FIRST_SEED + count,
    };
    for seed in seeds {
        println!("case {seed}");
        within(CASE_TIMEOUT, run_case(seed)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow durable-model"]
async fn twenty_cases_lose_no_event() {
    run_cases(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow durable-model"]
async fn two_hundred_cases_lose_no_event() {
    run_cases(200).await;
}
