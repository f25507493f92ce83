//! Large messages: they are decoded beside the threads of the runtime, and their elements count in the memory budget.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::{
    Bus, Code, Context, Reason, ReplyStream, Server, Status, StreamOptions, Streaming, service,
};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Pair};
use micro_tests::elements::{Counted, Elements, ElementsClient, ElementsServer, Empty, Tree};

use crate::carriers::{Carrier, on_both_carriers_and_paused};
use crate::until::until;

const MIB: usize = 1 << 20;

on_both_carriers_and_paused! {
    large_messages_are_decoded_whole
    what_takes_more_memory_than_the_budget_is_refused
}

pub(crate) struct CountingHandler;

fn elements(tree: &Tree) -> u64 {
    let below = tree.children.iter().map(elements).sum::<u64>();
    let own = tree.children.len() + tree.names.len() + tree.numbers.len() + tree.empties.len();
    own as u64 + below
}

#[service]
impl Elements for CountingHandler {
    async fn count(&self, _: Context, tree: Tree) -> Result<Counted, Status> {
        Ok(Counted {
            elements: elements(&tree),
        })
    }

    async fn count_all(&self, _: Context, mut trees: Streaming<Tree>) -> Result<Counted, Status> {
        let mut sum = 0;
        while let Some(tree) = trees.message().await? {
            sum += elements(&tree);
        }
        Ok(Counted { elements: sum })
    }

    async fn grow(&self, _: Context, size: Counted) -> Result<Tree, Status> {
        Ok(of_texts(usize::try_from(size.elements).unwrap_or_default()))
    }

    async fn grow_all(&self, _: Context, size: Counted) -> Result<impl ReplyStream<Tree>, Status> {
        let tree = of_texts(usize::try_from(size.elements).unwrap_or_default());
        Ok(Streaming::from_iter([tree.clone(), Tree::default(), tree]))
    }
}

/// Returns a message with so many texts of 1,000 bytes.
pub(crate) fn of_texts(count: usize) -> Tree {
    let empty = Empty {
        text: "x".repeat(1_000),
    };
    Tree {
        empties: vec![empty; count],
        ..Tree::default()
    }
}

/// Returns the same in JSON.
pub(crate) fn json_of_texts(count: usize) -> String {
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(1_000));
    format!("{{\"empties\":[{}]}}", vec![text; count].join(","))
}

async fn large_messages_are_decoded_whole(carrier: Carrier) {
    let server = Server::new(&carrier.bus).add(ElementsServer::new(CountingHandler));
    let server = server.start().await.unwrap();
    let client: ElementsClient = carrier.another_bus().await.client();
    // Below and above the length from which a message is decoded on another thread.
    for count in [1, 250, 270, 3_000] {
        let counted = client.count(of_texts(count)).await.unwrap();
        assert_eq!(counted.elements, count as u64);
        let mut sum = client.count_all().open().await.unwrap();
        for _ in 0..3 {
            sum.send(of_texts(count)).await.unwrap();
        }
        assert_eq!(sum.finish().await.unwrap().elements, 3 * count as u64);
        let size = Counted {
            elements: count as u64,
        };
        assert_eq!(client.grow(size).await.unwrap(), of_texts(count));
        let reply = client.grow(size).with_metadata().await.unwrap();
        assert_eq!(reply.message, of_texts(count));
        let mut trees = client.grow_all(size).await.unwrap();
        for expected in [of_texts(count), Tree::default(), of_texts(count)] {
            assert_eq!(trees.message().await.unwrap().unwrap(), expected);
        }
        assert!(trees.message().await.unwrap().is_none());
    }
    let dynamic = carrier.bus.dynamic("elements.v1.Elements").await.unwrap();
    for count in [1, 40, 1_000] {
        let reply = dynamic.call("Count", json_of_texts(count)).await.unwrap();
        assert_eq!(reply.json().unwrap()["elements"], count.to_string());
        let size = format!("{{\"elements\":{count}}}");
        let reply = dynamic.call("Grow", size.clone()).await.unwrap();
        let empties = &reply.json().unwrap()["empties"];
        assert_eq!(empties.as_array().unwrap().len(), count);
        let mut trees = dynamic.call("GrowAll", size).stream().await.unwrap();
        for expected in [count, 0, count] {
            let tree = trees.message().await.unwrap().unwrap().json().unwrap();
            let found = tree["empties"].as_array().map_or(0, Vec::len);
            assert_eq!(found, expected);
        }
    }
    until(|| server.stats()[0].data.as_ref().unwrap().held_bytes == 0).await;
}

async fn what_takes_more_memory_than_the_budget_is_refused(carrier: Carrier) {
    let server = Server::new(&carrier.bus)
        .memory_budget(32 * MIB)
        .add(ElementsServer::new(CountingHandler));
    let server = server.start().await.unwrap();
    let client: ElementsClient = carrier.another_bus().await.client();
    let empties = |count| Tree {
        empties: vec![Empty::default(); count],
        ..Tree::default()
    };
    assert_eq!(
        client.count(empties(10_000)).await.unwrap().elements,
        10_000
    );
    // Two bytes on the wire take 24 once they are decoded.
    let large = empties(1_500_000);
    assert!(large.encoded_len() < 4 * MIB);
    let check = |status: &Status| {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        let parts = [
            "3000000 bytes of elements.v1.Tree",
            "`Server::memory_budget`",
        ];
        for part in parts {
            assert!(status.message().contains(part), "{status}");
        }
    };
    let status = client.count(large.clone()).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::TooLarge), "{status}");
    check(&status);
    let mut sum = client.count_all().open().await.unwrap();
    sum.send(large).await.unwrap();
    check(&sum.finish().await.unwrap_err());
    until(|| server.stats()[0].data.as_ref().unwrap().held_bytes == 0).await;
}

/// Sends eight requests of 4 MB in JSON and four of 4 MiB in protobuf at once, and waits for their replies.
async fn send_large(client: async_nats::Client) {
    let send = |content_type: Option<&str>, payload: Bytes| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Micro-Timeout", "120000");
        if let Some(content_type) = content_type {
            headers.insert("Content-Type", content_type);
        }
        let request = async_nats::Request::new()
            .headers(headers)
            .timeout(Some(Duration::from_secs(120)))
            .payload(payload);
        client.send_request("elements.v1.Elements.Count", request)
    };
    let json = Bytes::from(json_of_texts(4_000));
    let protobuf = Bytes::from(of_texts(4_150).encode_to_vec());
    let json = (0..8).map(|_| send(Some("application/json"), json.clone()));
    let protobuf = (0..4).map(|_| send(None, protobuf.clone()));
    let (json, protobuf) = tokio::join!(join_all(json), join_all(protobuf));
    for reply in json.into_iter().chain(protobuf) {
        let headers = reply.unwrap().headers.unwrap_or_default();
        let status = headers.get("Micro-Status");
        assert!(status.is_none(), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_delay_no_other_call() {
    within(Duration::from_secs(180), async {
        let nats = NatsServer::builder().max_payload(8 * MIB);
        let nats = nats.start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let server = Server::new(&bus)
            .memory_budget(1024 * MIB)
            .stream_options(StreamOptions::new().max_message_bytes(5 * MIB))
            .add(ElementsServer::new(CountingHandler))
            .add(BehaviorServer::new(BehaviorHandler::default()));
        let _server = server.start().await.unwrap();
        let client = async_nats::connect(nats.url()).await.unwrap();
        let bystander: BehaviorClient = Bus::connect(nats.url()).await.unwrap().client();
        let pair = Pair { left: 1, right: 2 };
        bystander.swap(pair).await.unwrap();
        let large = tokio::spawn(send_large(client));
        let mut times = Vec::new();
        while !large.is_finished() {
            let started = Instant::now();
            bystander.swap(pair).await.unwrap();
            times.push(started.elapsed());
        }
        large.await.unwrap();
        times.sort();
        let p99 = times[times.len() * 99 / 100];
        println!(
            "{} calls, p99 {p99:?}, at most {:?}",
            times.len(),
            times.last()
        );
        assert!(
            p99 < Duration::from_millis(100),
            "{p99:?} of {}",
            times.len()
        );
    })
    .await;
}
