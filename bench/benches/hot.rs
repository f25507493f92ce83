//! The hot pieces of a call, each by itself: `cargo bench -p micro-bench`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use micro_runtime::bench::{self, Slots};
use micro_runtime::{Bus, Code, Context, Metadata, Server, Status, service};

mod echo {
    micro_runtime::include_proto!("bench.v1");
}

use echo::{Count, Demand, Echo, EchoClient, EchoServer, Pair, Payload};
use micro_runtime::{ReplyStream, Streaming};

fn slots(criterion: &mut Criterion) {
    for in_flight in [1, 64, 512, 10_000] {
        let mut slots = Slots::new();
        slots.round_trips(in_flight);
        criterion.bench_function(&format!("slots/{in_flight}"), |bencher| {
            bencher.iter(|| slots.round_trips(black_box(in_flight)));
        });
    }
}

fn headers(criterion: &mut Criterion) {
    let mut metadata = Metadata::new();
    metadata.append("tenant", "acme").ok();
    let left = Duration::from_millis(1500);
    criterion.bench_function("headers/write", |bencher| {
        bencher.iter(|| bench::write_headers(black_box(&metadata), left));
    });
    let headers = bench::write_headers(&metadata, left).unwrap_or_default();
    criterion.bench_function("headers/read", |bencher| {
        bencher.iter(|| bench::read_headers(black_box(&headers)));
    });
}

fn status(criterion: &mut Criterion) {
    let status = Status::new(
        Code::NotFound,
        "no book has the number 7 in Jorge's library",
    );
    criterion.bench_function("status/write", |bencher| {
        bencher.iter(|| bench::write_status(black_box(&status)));
    });
    let (headers, payload) = bench::write_status(&status);
    criterion.bench_function("status/read", |bencher| {
        bencher.iter(|| bench::read_status(black_box(&headers), black_box(&payload)));
    });
}

fn subjects(criterion: &mut Criterion) {
    let subject = "evt.market.trade.XNAS.AAPL";
    for (name, pattern) in [
        ("literal", subject),
        ("tokens", "evt.market.trade.*.*"),
        ("rest", "evt.market.>"),
        ("other", "evt.market.order.*.*"),
    ] {
        criterion.bench_function(&format!("subject/{name}"), |bencher| {
            bencher.iter(|| bench::subject_matches(black_box(pattern), black_box(subject)));
        });
    }
}

fn messages(criterion: &mut Criterion) {
    for (size, bytes) in [("16B", 16), ("1KiB", 1024), ("64KiB", 64 * 1024)] {
        let message = Payload {
            data: vec![7; bytes],
        };
        criterion.bench_function(&format!("message/write/{size}"), |bencher| {
            bencher.iter(|| bench::encode(black_box(&message)));
        });
    }
}

fn frames(criterion: &mut Criterion) {
    for (size, bytes, messages) in [("16B", 16, 1_000), ("1KiB", 1024, 32)] {
        let message = Payload {
            data: vec![7; bytes],
        };
        criterion.bench_function(&format!("frame/write/{messages}x{size}"), |bencher| {
            bencher.iter(|| bench::write_frame(messages, black_box(&message)));
        });
        let frame = bench::write_frame(messages, &message);
        criterion.bench_function(&format!("frame/read/{messages}x{size}"), |bencher| {
            bencher.iter(|| bench::read_frame(black_box(frame.clone())));
        });
    }
}

/// All of our own work for a call, without NATS.
fn call(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let (client, _server) = runtime.block_on(async {
        let bus = Bus::in_process();
        let server = Server::new(&bus)
            .add(EchoServer::new(Handler))
            .start()
            .await;
        (bus.client::<EchoClient>(), server.expect("it starts"))
    });
    criterion.bench_function("call/in-process", |bencher| {
        bencher.iter(|| {
            let call = async { client.swap(Pair { left: 1, right: 2 }).await };
            runtime.block_on(call).expect("a reply")
        });
    });
}

struct Handler;

#[service]
impl Echo for Handler {
    async fn unary(&self, _: Context, request: Payload) -> Result<Payload, Status> {
        Ok(request)
    }

    async fn swap(&self, _: Context, request: Pair) -> Result<Pair, Status> {
        Ok(request)
    }

    async fn server_stream(
        &self,
        _: Context,
        _: Demand,
    ) -> Result<impl ReplyStream<Payload>, Status> {
        Ok(futures_util::stream::empty())
    }

    async fn client_stream(&self, _: Context, _: Streaming<Payload>) -> Result<Count, Status> {
        Ok(Count::default())
    }

    async fn bidirectional(
        &self,
        _: Context,
        payloads: Streaming<Payload>,
    ) -> Result<impl ReplyStream<Payload>, Status> {
        Ok(payloads)
    }
}

criterion_group!(
    hot, slots, headers, status, subjects, messages, frames, call
);
criterion_main!(hot);
