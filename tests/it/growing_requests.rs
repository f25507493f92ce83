//! Small requests that take many times their length once they are decoded: they count in the memory budget, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::{
    Code, Context, ReplyStream, RunningServer, Server, Status, Streaming, service,
};
use micro_tests::elements::{Counted, Elements, ElementsClient, ElementsServer, Tree};
use tokio::sync::Semaphore;

use crate::carriers::{Carrier, on_both_carriers_and_paused};
use crate::until::until;

const BUDGET: usize = 8 << 20;
/// Number of requests at a time, which take several times the budget.
const REQUESTS: usize = 200;
/// Elements of a request: two bytes each on the wire, so that it has less than 1 KiB.
const CHILDREN: usize = 500;

on_both_carriers_and_paused! {
    small_requests_that_grow_count
    small_requests_in_json_that_grow_count
    small_messages_of_streams_that_grow_count
}

/// Keeps what it has decoded until it is released.
#[derive(Clone)]
struct KeepingHandler {
    kept: Arc<AtomicUsize>,
    release: Arc<Semaphore>,
}

impl KeepingHandler {
    async fn keep(&self, tree: &Tree) -> Counted {
        self.kept.fetch_add(1, Ordering::SeqCst);
        let _released = self.release.acquire().await;
        Counted {
            elements: tree.children.len() as u64,
        }
    }
}

#[service]
impl Elements for KeepingHandler {
    async fn count(&self, _: Context, tree: Tree) -> Result<Counted, Status> {
        Ok(self.keep(&tree).await)
    }

    async fn count_all(&self, _: Context, mut trees: Streaming<Tree>) -> Result<Counted, Status> {
        let tree = trees.message().await?.unwrap_or_default();
        Ok(self.keep(&tree).await)
    }

    async fn grow(&self, _: Context, _: Counted) -> Result<Tree, Status> {
        Ok(Tree::default())
    }

    async fn grow_all(&self, _: Context, _: Counted) -> Result<impl ReplyStream<Tree>, Status> {
        Ok(Streaming::from_iter([]))
    }
}

fn request() -> Tree {
    let tree = Tree {
        children: vec![Tree::default(); CHILDREN],
        ..Tree::default()
    };
    assert!(tree.encoded_len() <= 1024);
    tree
}

/// Makes all calls at once, and checks that no more of them are kept than the budget allows, and the others refused.
async fn check_budget(
    carrier: &Carrier,
    elements: usize,
    call: impl AsyncFn() -> Result<(), Status>,
) {
    let handler = KeepingHandler {
        kept: Arc::default(),
        release: Arc::new(Semaphore::new(0)),
    };
    let server = Server::new(&carrier.bus)
        .memory_budget(BUDGET)
        .add(ElementsServer::new(handler.clone()));
    let server = server.start().await.unwrap();
    let calls = (0..REQUESTS).map(|_| call());
    let count_kept = || handler.kept.load(Ordering::SeqCst);
    let release = async {
        until(|| count_kept() + refused_by(&server) == REQUESTS).await;
        let decoded = count_kept() * elements * size_of::<Tree>();
        assert!(decoded <= BUDGET, "{decoded} bytes of {}", count_kept());
        assert!(count_kept() > 0 && held_by(&server) <= BUDGET);
        handler.release.add_permits(REQUESTS);
    };
    let (results, ()) = tokio::join!(join_all(calls), release);
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert_eq!(failed.len(), REQUESTS - count_kept());
    for status in failed {
        // Without its reason, as the handler passes it on, where the message is one of a stream.
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.message().contains("memory budget"), "{status}");
    }
    until(|| held_by(&server) == 0).await;
    server.shutdown().await.unwrap();
}

fn held_by(server: &RunningServer) -> usize {
    let held = server.stats()[0].data.as_ref().unwrap().held_bytes;
    usize::try_from(held).unwrap()
}

fn refused_by(server: &RunningServer) -> usize {
    let refused = server.stats()[0].data.as_ref().unwrap().refused_holds;
    usize::try_from(refused).unwrap()
}

async fn small_requests_that_grow_count(carrier: Carrier) {
    let client: ElementsClient = carrier.another_bus().await.client();
    check_budget(&carrier, CHILDREN, async || {
        let reply = client.count(request()).no_retry().await?;
        assert_eq!(reply.elements, CHILDREN as u64);
        Ok(())
    })
    .await;
}

async fn small_requests_in_json_that_grow_count(carrier: Carrier) {
    const ELEMENTS: usize = 330;
    let bus = carrier.another_bus().await;
    check_budget(&carrier, ELEMENTS, async || {
        let dynamic = bus.dynamic("elements.v1.Elements").await.unwrap().in_json();
        let json = format!("{{\"children\":[{}]}}", ["{}"; ELEMENTS].join(","));
        assert!(json.len() <= 1024);
        dynamic.call("Count", json).no_retry().await.map(drop)
    })
    .await;
}

async fn small_messages_of_streams_that_grow_count(carrier: Carrier) {
    let client: ElementsClient = carrier.another_bus().await.client();
    check_budget(&carrier, CHILDREN, async || {
        let mut stream = client.count_all().open().await?;
        stream.send(request()).await?;
        stream.finish().await.map(drop)
    })
    .await;
}
