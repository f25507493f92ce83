//! Heap use of calls, services and streams: client and server in one process, with an allocator that
//! counts.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use micro_runtime::Bus;
use serde_json::json;

use crate::arguments::{MemoryMetric, Target};
use crate::contender::Stack;
use crate::failure::Result;
use crate::heap;
use crate::stack::caller::Caller;
use crate::stack::hand::HandlerMode;
use crate::stack::{hand, micro, tonic};

const WARM_UP_CALLS: u64 = 2_000;
const COUNTED_CALLS: u64 = 20_000;
const WARM_UP_BATCHES: u64 = 10;
const SERVICES: usize = 100;
const STREAMS: usize = 1_000;
/// Number of calls without a reply that are in flight together.
const BATCH_WITHOUT_REPLY: u64 = 1_000;
const TIMEOUT_WITHOUT_REPLY: Duration = Duration::from_millis(3);

/// Measures a quantity and prints it as one line of JSON.
pub(crate) async fn measure(metric: MemoryMetric, target: &Target, calls: u64) -> Result<()> {
    heap::count();
    let (name, figure) = match metric {
        MemoryMetric::Allocations => ("allocations", allocations(target).await?),
        MemoryMetric::IdleService => ("bytes", idle_service(target).await?),
        MemoryMetric::IdleStream => ("bytes", idle_stream(target).await?),
        MemoryMetric::Unanswered => ("bytes", unanswered(target, calls).await?),
    };
    println!("{}", json!({ name: figure }));
    Ok(())
}

async fn allocations(target: &Target) -> Result<f64> {
    match target.stack {
        Stack::Micro => {
            let _server = micro::serve_on(&Bus::connect(&target.url).await?).await?;
            per_call(micro::connect(&target.url).await?).await
        }
        Stack::AsyncNats | Stack::AsyncNatsSpawned => {
            let mode = match target.stack {
                Stack::AsyncNats => HandlerMode::Inline,
                _ => HandlerMode::Spawned,
            };
            hand::serve(&target.url, mode, 0).await?;
            per_call(hand::connect(&target.url).await?).await
        }
        Stack::Tonic => {
            let address = tonic::serve().await?;
            per_call(tonic::connect(&address.to_string()).await?).await
        }
    }
}

async fn per_call(caller: impl Caller) -> Result<f64> {
    for number in 0..WARM_UP_CALLS {
        caller.swap(number).await?;
    }
    let before = heap::allocations();
    for number in 0..COUNTED_CALLS {
        caller.swap(number).await?;
    }
    Ok((heap::allocations() - before) as f64 / COUNTED_CALLS as f64)
}

async fn idle_service(target: &Target) -> Result<f64> {
    let before;
    match target.stack {
        Stack::Micro => {
            let bus = Bus::connect(&target.url).await?;
            let _first = micro::serve_on(&bus).await?;
            before = heap::live_bytes();
            let others = join_all((0..SERVICES).map(|_| micro::serve_on(&bus))).await;
            let _others = others.into_iter().collect::<Result<Vec<_>>>()?;
            Ok((heap::live_bytes() - before) as f64 / SERVICES as f64)
        }
        Stack::AsyncNats | Stack::AsyncNatsSpawned => {
            let client = hand::connect(&target.url).await?;
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

async fn idle_stream(target: &Target) -> Result<f64> {
    match target.stack {
        Stack::Micro => {
            let _server = micro::serve_on(&Bus::connect(&target.url).await?).await?;
            per_stream(micro::connect(&target.url).await?).await
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

/// Returns the bytes that remain of `calls` calls without a reply.
async fn unanswered(target: &Target, calls: u64) -> Result<f64> {
    let listener = async_nats::connect(&target.url).await?;
    // A subscription without replies: with none, NATS would reply "no responders" at once.
    let mut requests = listener.subscribe("*.v1.Echo.Swap").await?;
    let _ = listener.request("nobody.serves.this", "".into()).await;
    tokio::spawn(async move { while requests.next().await.is_some() {} });
    match target.stack {
        Stack::Micro => growth(micro::connect(&target.url).await?, calls).await,
        Stack::AsyncNats | Stack::AsyncNatsSpawned => {
            growth(hand::connect(&target.url).await?, calls).await
        }
        Stack::Tonic => Err("a tonic server always replies".into()),
    }
}

/// Counts after ten batches, in which the table of replies reaches its size.
async fn growth(caller: impl Caller, calls: u64) -> Result<f64> {
    let round = || {
        let calls = (0..BATCH_WITHOUT_REPLY).map(|number| {
            let call = caller.swap(number);
            tokio::time::timeout(TIMEOUT_WITHOUT_REPLY, call)
        });
        join_all(calls)
    };
    for _ in 0..WARM_UP_BATCHES {
        round().await;
    }
    let before = heap::live_bytes();
    for _ in 0..calls / BATCH_WITHOUT_REPLY {
        round().await;
    }
    Ok((heap::live_bytes() - before).max(0) as f64)
}
