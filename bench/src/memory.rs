//! What calls, services and streams take on the heap: client and server in one process, with an
//! allocator that counts.

use std::time::Duration;

use clap::ValueEnum;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use micro_runtime::Bus;
use serde_json::json;

use crate::arguments::Place;
use crate::stack::hand::Handling;
use crate::stack::{Caller, Stack, hand, micro, tonic};
use crate::{Result, heap};

const WARM_UP: u64 = 2_000;
const CALLS: u64 = 20_000;
const SERVICES: usize = 100;
const STREAMS: usize = 1_000;
/// Calls that nobody answers are made so many at a time.
const AT_ONCE: u64 = 1_000;
const UNANSWERED_AFTER: Duration = Duration::from_millis(3);

/// What is looked at.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Matter {
    /// Allocations of a call, both sides together
    Allocations,
    /// Bytes that a service takes that nobody calls
    IdleService,
    /// Bytes that a stream takes on both sides that carries nothing
    IdleStream,
    /// Bytes that stay after calls that nobody answers
    Unanswered,
}

/// Measures, and prints one line.
pub(crate) async fn measure(matter: Matter, place: &Place, calls: u64) -> Result<()> {
    heap::count();
    let (metric, figure) = match matter {
        Matter::Allocations => ("allocations", allocations(place).await?),
        Matter::IdleService => ("bytes", idle_service(place).await?),
        Matter::IdleStream => ("bytes", idle_stream(place).await?),
        Matter::Unanswered => ("bytes", unanswered(place, calls).await?),
    };
    println!("{}", json!({ metric: figure }));
    Ok(())
}

async fn allocations(place: &Place) -> Result<f64> {
    match place.stack {
        Stack::Micro => {
            let _server = micro::serve_on(&Bus::connect(&place.url).await?).await?;
            per_call(micro::connect(&place.url).await?).await
        }
        Stack::AsyncNats | Stack::AsyncNatsSpawned => {
            let handling = match place.stack {
                Stack::AsyncNats => Handling::InPlace,
                _ => Handling::Spawned,
            };
            hand::serve(&place.url, handling, 0).await?;
            per_call(hand::connect(&place.url).await?).await
        }
        Stack::Tonic => {
            let address = tonic::serve().await?;
            per_call(tonic::connect(&address.to_string()).await?).await
        }
    }
}

async fn per_call(caller: impl Caller) -> Result<f64> {
    for number in 0..WARM_UP {
        caller.swap(number).await?;
    }
    let before = heap::allocations();
    for number in 0..CALLS {
        caller.swap(number).await?;
    }
    Ok((heap::allocations() - before) as f64 / CALLS as f64)
}

async fn idle_service(place: &Place) -> Result<f64> {
    let before;
    match place.stack {
        Stack::Micro => {
            let bus = Bus::connect(&place.url).await?;
            let _first = micro::serve_on(&bus).await?;
            before = heap::live_bytes();
            let others = join_all((0..SERVICES).map(|_| micro::serve_on(&bus))).await;
            let _others = others.into_iter().collect::<Result<Vec<_>>>()?;
            Ok((heap::live_bytes() - before) as f64 / SERVICES as f64)
        }
        Stack::AsyncNats | Stack::AsyncNatsSpawned => {
            let client = hand::connect(&place.url).await?;
            hand::idle_service(&client, SERVICES).await?;
            before = heap::live_bytes();
            for number in 0..SERVICES {
                hand::idle_service(&client, number).await?;
            }
            Ok((heap::live_bytes() - before) as f64 / SERVICES as f64)
        }
        Stack::Tonic => Err("a tonic service has no subscriptions to keep".into()),
    }
}

async fn idle_stream(place: &Place) -> Result<f64> {
    match place.stack {
        Stack::Micro => {
            let _server = micro::serve_on(&Bus::connect(&place.url).await?).await?;
            per_stream(micro::connect(&place.url).await?).await
        }
        Stack::AsyncNats | Stack::AsyncNatsSpawned => Err("nobody writes streams by hand".into()),
        Stack::Tonic => {
            let address = tonic::serve().await?;
            per_stream(tonic::connect(&address.to_string()).await?).await
        }
    }
}

async fn per_stream(caller: impl Caller) -> Result<f64> {
    let _first = caller.idle_stream().await?;
    let before = heap::live_bytes();
    let mut streams = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        streams.push(caller.idle_stream().await?);
    }
    Ok((heap::live_bytes() - before) as f64 / STREAMS as f64)
}

/// What stays of so many calls, after as many as there are slots to grow.
async fn unanswered(place: &Place, calls: u64) -> Result<f64> {
    let listener = async_nats::connect(&place.url).await?;
    // Somebody listens and never answers, so that NATS does not say that nobody is there.
    let mut silence = listener.subscribe("*.v1.Echo.Swap").await?;
    let _ = listener.request("nobody.serves.this", "".into()).await;
    tokio::spawn(async move { while silence.next().await.is_some() {} });
    match place.stack {
        Stack::Micro => growth(micro::connect(&place.url).await?, calls).await,
        Stack::AsyncNats | Stack::AsyncNatsSpawned => {
            growth(hand::connect(&place.url).await?, calls).await
        }
        Stack::Tonic => Err("a tonic server always answers".into()),
    }
}

async fn growth(caller: impl Caller, calls: u64) -> Result<f64> {
    let round = || {
        let calls = (0..AT_ONCE).map(|number| {
            let call = caller.swap(number);
            tokio::time::timeout(UNANSWERED_AFTER, call)
        });
        join_all(calls)
    };
    for _ in 0..10 {
        round().await;
    }
    let before = heap::live_bytes();
    for _ in 0..calls / AT_ONCE {
        round().await;
    }
    Ok((heap::live_bytes() - before).max(0) as f64)
}
