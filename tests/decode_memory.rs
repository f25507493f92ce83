//! Memory of large requests while they are decoded and handled. It is a test binary of its own, for its allocator, with
//! one test, so that nothing else allocates meanwhile.

#[path = "heap/counting_allocator.rs"]
mod counting_allocator;

use std::collections::HashMap;
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::future::join_all;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::{Bus, Context, ReplyStream, Server, Status, Streaming, service};
use micro_testkit::{NatsServer, within};
use micro_tests::elements::{Counted, Elements, ElementsServer, Empty, Tree};

const MIB: usize = 1 << 20;
const BUDGET: usize = 64 * MIB;
/// What the process may take besides: buffers of the connections, the requests of the caller, replies.
const BESIDES: usize = 32 * MIB;
/// Number of requests at a time.
const REQUESTS: usize = 12;
/// Number of small requests at a time, which would take more than twice the budget.
const SMALL_REQUESTS: usize = 2_400;

struct HoldingHandler;

#[service]
impl Elements for HoldingHandler {
    async fn count(&self, _: Context, tree: Tree) -> Result<Counted, Status> {
        // sleep: requests are to be held at the same time.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let elements = tree.children.len() + tree.names.len() + tree.numbers.len();
        Ok(Counted {
            elements: elements as u64,
        })
    }

    async fn count_all(&self, _: Context, _: Streaming<Tree>) -> Result<Counted, Status> {
        Ok(Counted::default())
    }

    async fn grow(&self, _: Context, _: Counted) -> Result<Tree, Status> {
        Ok(Tree::default())
    }

    async fn grow_all(&self, _: Context, _: Counted) -> Result<impl ReplyStream<Tree>, Status> {
        Ok(Streaming::from_iter([]))
    }
}

/// A kind of request, and how many are sent at a time.
struct Kind {
    name: &'static str,
    is_json: bool,
    payload: Bytes,
    requests: usize,
}

fn protobuf(name: &'static str, tree: &Tree) -> Kind {
    Kind {
        name,
        is_json: false,
        payload: tree.encode_to_vec().into(),
        requests: REQUESTS,
    }
}

fn json(name: &'static str, field: &str, element: &str, count: usize) -> Kind {
    let elements = vec![element; count].join(",");
    Kind {
        name,
        is_json: true,
        payload: format!("{{\"{field}\":[{elements}]}}").into(),
        requests: REQUESTS,
    }
}

/// Many requests of 1,000 bytes.
fn small(name: &'static str) -> Kind {
    let tree = Tree {
        children: vec![Tree::default(); 500],
        ..Tree::default()
    };
    Kind {
        requests: SMALL_REQUESTS,
        ..protobuf(name, &tree)
    }
}

/// Requests whose elements take some 10 MiB each, by their size on this machine.
fn kinds() -> Vec<Kind> {
    let tree = Tree::default;
    let count = 10 * MIB / size_of::<Tree>();
    let by_name = (0..count / 2).map(|number| (number.to_string(), tree()));
    let mut nested = tree();
    for _ in 0..90 {
        nested = Tree {
            inner: Some(Box::new(nested)),
            children: vec![tree(); 1 + count / 100],
            ..tree()
        };
    }
    vec![
        small("messages in small requests"),
        protobuf(
            "messages",
            &Tree {
                children: vec![tree(); count],
                ..tree()
            },
        ),
        protobuf(
            "small messages",
            &Tree {
                empties: vec![Empty::default(); 400_000],
                ..tree()
            },
        ),
        protobuf(
            "texts",
            &Tree {
                names: vec!["a".to_owned(); 200_000],
                ..tree()
            },
        ),
        protobuf(
            "numbers",
            &Tree {
                numbers: vec![1; 1_000_000],
                ..tree()
            },
        ),
        protobuf(
            "entries",
            &Tree {
                by_name: by_name.collect::<HashMap<_, _>>(),
                ..tree()
            },
        ),
        protobuf(
            "small entries",
            &Tree {
                flags: (0..200_000).map(|number| (number, true)).collect(),
                ..tree()
            },
        ),
        protobuf("nested", &nested),
    ]
}

fn json_kinds() -> [Kind; 4] {
    [
        json("messages in JSON", "children", "{}", 40_000),
        json("fields in JSON", "empties", "{\"text\":\"a\"}", 10_000),
        json("numbers in JSON", "numbers", "1", 60_000),
        json("values in JSON", "values", "1", 8_000),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decoded_requests_stay_within_the_budget() {
    within(Duration::from_secs(300), async {
        let nats = NatsServer::builder().max_payload(8 * MIB);
        let nats = nats.start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let server = Server::new(&bus).memory_budget(BUDGET);
        let server = server.add(ElementsServer::new(HoldingHandler));
        let server = server.start().await.unwrap();
        let client = async_nats::connect(nats.url()).await.unwrap();
        let held = || server.stats()[0].data.as_ref().unwrap().held_bytes;
        for kind in kinds().into_iter().chain(json_kinds()) {
            assert!(kind.payload.len() <= 4 * MIB, "{}", kind.name);
            let before = counting_allocator::live_bytes();
            counting_allocator::take_peak_bytes();
            let request = || {
                let mut headers = HeaderMap::new();
                headers.insert("Micro-Timeout", "60000");
                if kind.is_json {
                    headers.insert("Content-Type", "application/json");
                }
                let request = async_nats::Request::new().headers(headers);
                let request = request
                    .timeout(Some(Duration::from_secs(60)))
                    .payload(kind.payload.clone());
                client.send_request("elements.v1.Elements.Count", request)
            };
            let replies = join_all((0..kind.requests).map(|_| request())).await;
            let codes = replies.into_iter().map(|reply| {
                let headers = reply.unwrap().headers?;
                Some(headers.get("Micro-Status")?.as_str().to_owned())
            });
            let (refused, done): (Vec<_>, Vec<_>) = codes.partition(Option::is_some);
            let peak = counting_allocator::take_peak_bytes().saturating_sub(before);
            println!(
                "{}: {} KiB, {} done, {} refused, at most {} KiB more",
                kind.name,
                kind.payload.len() / 1024,
                done.len(),
                refused.len(),
                peak / 1024
            );
            assert!(!done.is_empty(), "{}", kind.name);
            assert!(
                refused.iter().flatten().all(|code| code == "8"),
                "{refused:?}"
            );
            assert!(peak <= BUDGET + BESIDES, "{}: {peak} bytes", kind.name);
            while held() > 0 {
                tokio::task::yield_now().await;
            }
        }
        server.shutdown().await.unwrap();
    })
    .await;
}
