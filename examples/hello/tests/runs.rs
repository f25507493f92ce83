//! The programs of the example, as a newcomer starts them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::time::Duration;

use micro_testkit::{NatsServer, Process};

const PATIENCE: Duration = Duration::from_secs(30);

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("NATS_URL");
    command
}

async fn output_of(mut command: Command, args: &[&str]) -> (bool, String) {
    command.args(args);
    let mut process = Process::spawn(command).unwrap();
    let status = process.wait(PATIENCE).await.unwrap();
    (status.success(), process.output())
}

#[tokio::test]
async fn one_command_shows_a_call_without_a_server() {
    let (is_success, output) = output_of(command(env!("CARGO_BIN_EXE_hello")), &[]).await;
    assert!(is_success, "{output}");
    assert!(output.contains("inside this process"), "{output}");
    assert!(output.contains("Hello, Ada!"), "{output}");
    assert!(output.contains("INVALID_ARGUMENT"), "{output}");
}

#[tokio::test]
async fn the_two_halves_meet_on_a_server() {
    let nats = NatsServer::start().await.unwrap();
    let mut serving = command(env!("CARGO_BIN_EXE_hello-server"));
    serving.env("NATS_URL", nats.url());
    let mut server = Process::spawn(serving).unwrap();
    server.wait_for_line("is served", PATIENCE).await.unwrap();

    let mut calling = command(env!("CARGO_BIN_EXE_hello-client"));
    calling.env("NATS_URL", nats.url());
    let (is_success, output) = output_of(calling, &["Ada", "Grace"]).await;
    assert!(is_success, "{output}");
    assert!(output.contains("Hello, Ada!\n"), "{output}");
    assert!(output.contains("Hello, Grace!"), "{output}");

    let mut both = command(env!("CARGO_BIN_EXE_hello"));
    both.env("NATS_URL", nats.url());
    let (is_success, output) = output_of(both, &[]).await;
    assert!(is_success, "{output}");
    assert!(output.contains("NATS at NATS_URL"), "{output}");
    assert!(output.contains("Hello, Ada!"), "{output}");

    server.terminate().unwrap();
    assert!(server.wait(PATIENCE).await.unwrap().success());
    assert!(server.output().contains("stopped"), "{}", server.output());
}

#[tokio::test]
async fn ctrl_c_drains_too() {
    let nats = NatsServer::start().await.unwrap();
    let mut serving = command(env!("CARGO_BIN_EXE_hello-server"));
    serving.env("NATS_URL", nats.url());
    let mut server = Process::spawn(serving).unwrap();
    server.wait_for_line("is served", PATIENCE).await.unwrap();
    server.interrupt().unwrap();
    assert!(server.wait(PATIENCE).await.unwrap().success());
    assert!(server.output().contains("draining"), "{}", server.output());
}

#[tokio::test]
async fn what_goes_wrong_is_said() {
    let nobody = "nats://127.0.0.1:1";
    for program in [
        env!("CARGO_BIN_EXE_hello-server"),
        env!("CARGO_BIN_EXE_hello-client"),
    ] {
        let mut calling = command(program);
        calling.env("NATS_URL", nobody);
        let args: &[&str] = if program.ends_with("client") {
            &["Ada"]
        } else {
            &[]
        };
        let (is_success, output) = output_of(calling, args).await;
        assert!(!is_success);
        assert!(
            output.contains("cannot connect to NATS at nats://127.0.0.1:1"),
            "{output}"
        );
        let (is_success, output) = output_of(command(program), &["--help"]).await;
        assert!(is_success);
        assert!(output.contains("NATS_URL"), "{output}");
    }
    let nats = NatsServer::start().await.unwrap();
    let mut calling = command(env!("CARGO_BIN_EXE_hello-client"));
    calling.env("NATS_URL", nats.url());
    let (is_success, output) = output_of(calling, &["Ada"]).await;
    assert!(!is_success);
    assert!(
        output.contains("no instance serves greeter.v1.Greeter.SayHello"),
        "{output}"
    );
}
