//! `Target`: the server that is attacked, and another caller of it.

use std::fs;
use std::time::{Duration, Instant};

use micro_runtime::{Bus, Status};
use micro_testkit::{NatsServer, Process};
use micro_tests::behavior::{BehaviorClient, Blob};
use micro_tests::greeter::{GreeterClient, HelloRequest};
use tokio_util::sync::CancellationToken;

/// Time between two calls.
const PAUSE: Duration = Duration::from_millis(2);
/// Limit of the start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Tasks besides those at the start that are there for a while: of log lines that are held back, and of the checks.
const SPARE_TASKS: u64 = 4;

pub(crate) struct Target {
    process: Process,
    client: BehaviorClient,
    state: GreeterClient,
}

/// What the server holds for its callers.
#[derive(Debug)]
pub(crate) struct Holdings {
    tasks: u64,
    bytes: u64,
    calls: u64,
    streams: u64,
}

/// Calls of another caller during an attack.
#[derive(Default)]
pub(crate) struct OtherCalls {
    pub(crate) made: usize,
    pub(crate) failures: Vec<Status>,
    times: Vec<Duration>,
}

impl OtherCalls {
    pub(crate) fn p99(&self) -> Duration {
        self.times
            .get(self.times.len() * 99 / 100)
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn longest(&self) -> Duration {
        self.times.last().copied().unwrap_or_default()
    }
}

impl Target {
    /// Starts the server, on separate connections if asked to.
    pub(crate) async fn start(nats: &NatsServer, is_separate: bool) -> Self {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hostile-target"));
        command.env("NATS_URL", nats.url());
        command.env("MICRO_SEPARATE_CONNECTIONS", is_separate.to_string());
        let process = Process::spawn(command).unwrap();
        process.wait_for_line("ready", START_TIMEOUT).await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let target = Self {
            process,
            client: bus.client(),
            state: bus.client(),
        };
        for _ in 0..500 {
            target.client.echo(Blob::default()).await.unwrap();
        }
        target
    }

    /// Asks the server what it holds.
    pub(crate) async fn holdings(&self) -> Holdings {
        let call = self
            .state
            .say_hello(HelloRequest::default())
            .timeout(CALL_TIMEOUT);
        let reply = call.await.unwrap().message;
        let numbers: Vec<u64> = reply
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect();
        let [tasks, bytes, calls, streams] = numbers[..] else {
            panic!("not four numbers: {reply}");
        };
        Holdings {
            tasks,
            bytes,
            calls,
            streams,
        }
    }

    /// Waits until the server holds what it held at its start, and returns how long it took.
    pub(crate) async fn wait_for(&self, start: &Holdings, limit: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            let now = self.holdings().await;
            let took = begun.elapsed();
            let is_back = now.tasks <= start.tasks + SPARE_TASKS
                && now.bytes <= start.bytes
                && now.calls <= start.calls
                && now.streams <= start.streams;
            if is_back || took > limit {
                return took;
            }
            tokio::time::sleep(Duration::from_millis(20)).await; // sleep: polling interval
        }
    }

    /// Calls one after the other until the token is canceled.
    pub(crate) async fn call_until(&self, ended: CancellationToken) -> OtherCalls {
        let mut calls = OtherCalls::default();
        while !ended.is_cancelled() {
            let begun = Instant::now();
            let call = self
                .client
                .echo(Blob::default())
                .no_retry()
                .timeout(CALL_TIMEOUT);
            calls.made += 1;
            match call.await {
                Ok(_) => calls.times.push(begun.elapsed()),
                Err(status) => calls.failures.push(status),
            }
            // sleep: the load of this caller.
            tokio::time::sleep(PAUSE).await;
        }
        calls.times.sort_unstable();
        calls
    }

    /// Forgets the peak of the server's memory, and returns the memory that it has now, in bytes.
    pub(crate) fn reset_peak(&self) -> u64 {
        fs::write(format!("/proc/{}/clear_refs", self.process.pid()), "5").unwrap();
        self.status("VmRSS:")
    }

    /// Returns the peak of the server's memory, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }
}
