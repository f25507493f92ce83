//! The program of the example, started as a newcomer starts it: it shows the effect of each layer.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::time::Duration;

use micro_testkit::{NatsServer, Process};

/// Limit for one run of the program, on a machine that is busy with other builds.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// Beginnings of lines in the order of the output; other lines may come between them.
const LINES: [&str; 26] = [
    "log: SayHello, 5 bytes in, UNAUTHENTICATED, ",
    "no token: UNAUTHENTICATED: send the header `authorization: Bearer <token>`",
    "log: SayHello, 5 bytes in, UNAUTHENTICATED, ",
    "a wrong token: UNAUTHENTICATED: the token is wrong",
    "log: SayHello, 5 bytes in, OK, 13 bytes out, ",
    "the right token: Hello, Ada!",
    "log: SayHelloSlowly, 9 bytes in, DEADLINE_EXCEEDED, ",
    "a call of a minute: DEADLINE_EXCEEDED: a timeout of the middleware passed",
    "a call of a millisecond: Hello, Ada!",
    "6 calls at once: 6 succeeded, at most 2 handlers ran at a time",
    "log: SayHelloRarely, 5 bytes in, RESOURCE_EXHAUSTED, ",
    "8 calls at once: 5 succeeded, the others failed:",
    "RESOURCE_EXHAUSTED: too many calls; retry in ",
    "RESOURCE_EXHAUSTED: too many calls; retry in ",
    "RESOURCE_EXHAUSTED: too many calls; retry in ",
    "the server has stopped",
    "call 1: UNAVAILABLE: no instance serves middleware.v1.Greeter.SayHello",
    "call 2: UNAVAILABLE: no instance serves middleware.v1.Greeter.SayHello",
    "breaker: open: calls are rejected",
    "call 3: UNAVAILABLE: no instance serves middleware.v1.Greeter.SayHello",
    "call 4: UNAVAILABLE: the circuit is open",
    "call 5: UNAVAILABLE: the circuit is open",
    "the server is back",
    "breaker: half open: one trial call is sent",
    "breaker: closed: calls are sent",
    "the next call: Hello, Ada!",
];

async fn output_of(url: Option<&str>, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_middleware"));
    command.args(args).env_remove("NATS_URL");
    command.envs(url.map(|url| ("NATS_URL", url)));
    let mut process = Process::spawn(command).unwrap();
    let status = process.wait(RUN_TIMEOUT).await.unwrap();
    assert!(status.success(), "{}", process.output());
    process.output()
}

fn check(output: &str, bus: &str) {
    let mut lines = output.lines();
    for expected in [bus].iter().chain(&LINES) {
        assert!(
            lines.any(|line| line.trim_start().starts_with(expected)),
            "{expected:?} is missing or not in its order:\n{output}"
        );
    }
}

#[tokio::test]
async fn each_layer_takes_effect_in_process() {
    check(&output_of(None, &[]).await, "bus: inside this process");
}

#[tokio::test]
async fn each_layer_takes_effect_over_nats() {
    let nats = NatsServer::start().await.unwrap();
    check(&output_of(Some(&nats.url()), &[]).await, "bus: NATS");
}

#[tokio::test]
async fn help_names_nats_url() {
    let output = output_of(None, &["--help"]).await;
    assert!(output.contains("NATS_URL"), "{output}");
}
