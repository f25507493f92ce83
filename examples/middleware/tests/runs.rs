//! The example as a newcomer starts it: what each layer does is there to be read.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::time::Duration;

use micro_testkit::{NatsServer, Process};

const PATIENCE: Duration = Duration::from_secs(60);

/// Lines in their order; others may come between them.
const LINES: [&str; 26] = [
    "log: SayHello, 5 bytes in, UNAUTHENTICATED, ",
    "no token: UNAUTHENTICATED: send the header `authorization: Bearer <token>`",
    "log: SayHello, 5 bytes in, UNAUTHENTICATED, ",
    "a wrong token: UNAUTHENTICATED: this token is not the one",
    "log: SayHello, 5 bytes in, OK, 13 bytes out, ",
    "the right token: Hello, Ada!",
    "log: SayHelloSlowly, 9 bytes in, DEADLINE_EXCEEDED, ",
    "a call of a minute: DEADLINE_EXCEEDED: a timeout of the middleware passed",
    "a call of a millisecond: Hello, Ada!",
    "6 calls at once: 6 answered, the handler ran at most 2 at a time",
    "log: SayHelloRarely, 5 bytes in, RESOURCE_EXHAUSTED, ",
    "8 calls at once: 5 answered, and the others",
    "RESOURCE_EXHAUSTED: too many calls; come again in ",
    "RESOURCE_EXHAUSTED: too many calls; come again in ",
    "RESOURCE_EXHAUSTED: too many calls; come again in ",
    "the server has stopped",
    "call 1: UNAVAILABLE: no instance serves middleware.v1.Greeter.SayHello",
    "call 2: UNAVAILABLE: no instance serves middleware.v1.Greeter.SayHello",
    "breaker: open: no call is made",
    "call 3: UNAVAILABLE: no instance serves middleware.v1.Greeter.SayHello",
    "call 4: UNAVAILABLE: the circuit is open",
    "call 5: UNAVAILABLE: the circuit is open",
    "the server is back",
    "breaker: half open: one call tries",
    "breaker: closed: calls are made",
    "the next call: Hello, Ada!",
];

async fn output_of(url: Option<&str>, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_middleware"));
    command.args(args).env_remove("NATS_URL");
    command.envs(url.map(|url| ("NATS_URL", url)));
    let mut process = Process::spawn(command).unwrap();
    let status = process.wait(PATIENCE).await.unwrap();
    assert!(status.success(), "{}", process.output());
    process.output()
}

fn check(output: &str, bus: &str) {
    let mut lines = output.lines();
    for expected in [bus].iter().chain(&LINES) {
        assert!(
            lines.any(|line| line.trim_start().starts_with(expected)),
            "{expected:?} does not come, or not in its place:\n{output}"
        );
    }
}

#[tokio::test]
async fn every_layer_shows_what_it_does() {
    check(&output_of(None, &[]).await, "bus: inside this process");
}

#[tokio::test]
async fn every_layer_does_it_on_a_server_too() {
    let nats = NatsServer::start().await.unwrap();
    check(&output_of(Some(&nats.url()), &[]).await, "bus: NATS");
}

#[tokio::test]
async fn help_says_how_it_is_run() {
    let output = output_of(None, &["--help"]).await;
    assert!(output.contains("NATS_URL"), "{output}");
}
