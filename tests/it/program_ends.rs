//! The end of a program: what it has published arrives or is lost as the guide states, a server drains, and nothing is
//! logged that looks like a fault.
#![expect(clippy::print_stdout, reason = "what was lost is the result of a run")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use micro_runtime::Bus;
use micro_runtime::event::Events;
use micro_runtime::jetstream::EventStream;
use micro_testkit::{NatsServer, Process, within};
use micro_tests::market::{Trade, TradeFilter};

use crate::server_process::PROCESS_TIMEOUT;
use crate::until::until;

/// Numbers of events that a program publishes.
const EVENTS: [u64; 3] = [1, 100, 10_000];
/// Number of runs in each ordinary test.
const FEW: usize = 1;
/// Number of runs in each slow test.
const MANY: usize = 100;
/// Number of threads that keep the processors busy.
const BUSY_THREADS: usize = 2;

/// Ways to end behind a flush, which lose nothing.
const FLUSHING: [&str; 3] = ["flush", "close", "signal"];
/// Ways to end without one.
const LOSING: [&str; 3] = ["return", "drop", "killed"];
/// Ways in which a server, its clients and its bus end.
const SERVING: [&str; 6] = [
    "return",
    "drop",
    "close",
    "shutdown",
    "shutdown-and-close",
    "signal",
];

/// Returns the limit of one test with so many runs of each case.
fn limit(runs: usize) -> Duration {
    Duration::from_secs(60) * u32::try_from(runs).unwrap()
}

async fn wait_for(program: &Process, line: &str) -> String {
    program.wait_for_line(line, PROCESS_TIMEOUT).await.unwrap()
}

/// A nats-server with a stream for trades, and a reader of the trades that are published.
struct Market {
    nats: NatsServer,
    bus: Bus,
    trades: Events<Trade>,
}

impl Market {
    async fn start() -> Self {
        // The log shows the end of each connection.
        let nats = NatsServer::builder().jetstream().arg("-D").start();
        let nats = nats.await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let stream = EventStream::named("MARKET").subject("evt.market.>");
        bus.declare(&stream).await.unwrap();
        let trades = bus.subscribe::<Trade>(TradeFilter::new());
        Self {
            trades: trades.open().await.unwrap(),
            nats,
            bus,
        }
    }

    fn start_program(&self, arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_program-end"));
        command.env("NATS_URL", self.nats.url()).args(arguments);
        Process::spawn(command).unwrap()
    }

    /// Number of connections that have ended.
    fn ended_connections(&self) -> usize {
        self.nats.log().matches("Client connection closed").count()
    }

    /// Runs a program that publishes, to its end. Returns how many of its events have arrived; they are always the
    /// first ones, in order.
    async fn publish(&mut self, kind: &str, events: u64, ending: &str) -> u64 {
        let ended = self.ended_connections();
        let count = events.to_string();
        let mut program = self.start_program(&["publish", kind, &count, ending]);
        wait_for(&program, "published").await;
        if matches!(ending, "signal" | "killed") {
            program.terminate().unwrap();
        }
        let status = program.wait(PROCESS_TIMEOUT).await.unwrap();
        let output = program.output();
        assert_eq!(status.success(), ending != "killed", "{ending}: {output}");
        assert_eq!(output, "published\n", "{kind}, {ending}");
        // NATS has read everything that the program has written.
        until(|| self.ended_connections() > ended).await;
        self.read(kind).await
    }

    /// Reads the events of a program that has ended, and returns their number.
    async fn read(&mut self, kind: &str) -> u64 {
        let last = Trade {
            venue: "last".to_owned(),
            symbol: "last".to_owned(),
            ..Trade::default()
        };
        self.bus.publish(&last).await.unwrap();
        let mut arrived = 0;
        loop {
            let trade = self.trades.next().await.unwrap().unwrap();
            if trade.venue == "last" {
                return arrived;
            }
            assert_eq!((trade.number, trade.symbol.as_str()), (arrived, kind));
            arrived += 1;
        }
    }
}

async fn flushing_programs_lose_no_event(runs: usize) {
    let mut market = Market::start().await;
    for kind in ["core", "durable"] {
        for events in EVENTS {
            for ending in FLUSHING {
                for _ in 0..runs {
                    let arrived = market.publish(kind, events, ending).await;
                    assert_eq!(arrived, events, "{kind}, {ending}");
                }
            }
        }
    }
}

async fn other_programs_lose_the_last_events(runs: usize) {
    let mut market = Market::start().await;
    for kind in ["core", "durable"] {
        for events in EVENTS {
            for ending in LOSING {
                let mut lost = vec![];
                for _ in 0..runs {
                    lost.push(events - market.publish(kind, events, ending).await);
                }
                let complete = lost.iter().filter(|lost| **lost == 0).count();
                let most = lost.iter().max().unwrap();
                println!(
                    "{events} {kind} events, {ending}: {complete} of {runs} runs lost none, the others up to {most}"
                );
            }
        }
    }
}

async fn ends_are_quiet(runs: usize) {
    let market = Market::start().await;
    for ending in SERVING {
        for _ in 0..runs {
            let mut program = market.start_program(&["serve", ending]);
            wait_for(&program, "served").await;
            if ending == "signal" {
                program.terminate().unwrap();
            }
            let status = program.wait(PROCESS_TIMEOUT).await.unwrap();
            let output = program.output();
            let expected = match ending {
                "signal" => "served\ndraining\nstopped\n",
                _ => "served\n",
            };
            assert!(status.success(), "{ending}: {status}\n{output}");
            assert_eq!(output, expected, "{ending}");
        }
    }
}

/// Threads that keep the processors busy until they are dropped.
struct BusyThreads(Arc<AtomicBool>);

impl BusyThreads {
    fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        for _ in 0..BUSY_THREADS {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || while !is_over.load(Ordering::Relaxed) {});
        }
        Self(is_over)
    }
}

impl Drop for BusyThreads {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The signal is sent as soon as the line is read: a handler that is registered after the announcement loses that race.
async fn a_signal_at_the_announcement_drains(runs: usize) {
    let _busy = BusyThreads::start();
    let market = Market::start().await;
    for run in 0..runs {
        let mut program = market.start_program(&["serve", "signal"]);
        wait_for(&program, "served").await;
        program.terminate().unwrap();
        let status = program.wait(PROCESS_TIMEOUT).await.unwrap();
        let output = program.output();
        assert!(status.success(), "run {run}: {status}\n{output}");
        assert_eq!(output, "served\ndraining\nstopped\n", "run {run}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_flushes_closes_or_is_signaled_loses_no_event() {
    within(limit(FEW), flushing_programs_lose_no_event(FEW)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_ends_without_a_flush_loses_the_last_events_alone() {
    within(limit(FEW), other_programs_lose_the_last_events(FEW)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_ends_in_order_logs_no_warning() {
    within(limit(FEW), ends_are_quiet(FEW)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_at_the_announcement_drains_a_server_on_a_busy_machine() {
    within(limit(FEW), a_signal_at_the_announcement_drains(FEW)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow program-ends"]
async fn a_hundred_programs_that_flush_close_or_are_signaled_lose_no_event() {
    within(limit(MANY), flushing_programs_lose_no_event(MANY)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow program-ends"]
async fn a_hundred_programs_that_end_without_a_flush_lose_the_last_events_alone() {
    within(limit(MANY), other_programs_lose_the_last_events(MANY)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow program-ends"]
async fn a_hundred_programs_that_end_in_order_log_no_warning() {
    within(limit(MANY), ends_are_quiet(MANY)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow program-ends"]
async fn a_hundred_signals_at_the_announcement_drain_servers_on_a_busy_machine() {
    within(limit(MANY), a_signal_at_the_announcement_drains(MANY)).await;
}

/// A bus that is dropped in a program that goes on has sent what it was given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_is_dropped_in_a_program_that_goes_on_sends_what_it_has() {
    within(limit(FEW), async {
        let mut market = Market::start().await;
        for events in EVENTS {
            let (ended, count) = (market.ended_connections(), events.to_string());
            let arguments = ["publish", "core", &count, "drop-and-go-on"];
            let mut program = market.start_program(&arguments);
            until(|| market.ended_connections() > ended).await;
            assert_eq!(market.read("core").await, events);
            program.kill().unwrap();
        }
    })
    .await;
}

/// A server that waits for a handler says so, and a second signal ends it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_a_server_that_waits() {
    within(limit(FEW), async {
        let market = Market::start().await;
        for (is_interrupt, code) in [(true, 130), (false, 143)] {
            let mut program = loop {
                let mut program = market.start_program(&["serve", "wait"]);
                wait_for(&program, "served").await;
                let begun = Instant::now();
                program.terminate().unwrap();
                // A signal that follows within 200 ms is the same one; on a busy machine this one may come too late.
                program.interrupt().unwrap();
                if begun.elapsed() < Duration::from_millis(100) {
                    break program;
                }
            };
            let waits = wait_for(&program, "the server stops").await;
            assert!(
                waits.contains("WARN") && waits.contains("1 call of behavior.v1.Behavior.Wait"),
                "{waits}"
            );
            let signaled = Instant::now();
            match is_interrupt {
                true => program.interrupt().unwrap(),
                false => program.terminate().unwrap(),
            }
            let status = program.wait(PROCESS_TIMEOUT).await.unwrap();
            assert_eq!(status.code(), Some(code), "{}", program.output());
            // The grace period of 25 s has not ended.
            assert!(signaled.elapsed() < Duration::from_secs(10));
        }
    })
    .await;
}
