//! The three programs of the example, started as a newcomer starts them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::time::Duration;

use micro_testkit::{NatsServer, Process, workspace_root};

/// Limit for one program to start or to end, on a machine that is busy with other builds.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);
/// Number of servers that get a signal right after they announce themselves, half of them SIGINT.
const SIGNALED_SERVERS: usize = 20;

const SERVER: &str = env!("CARGO_BIN_EXE_hello-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_hello-client");

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("NATS_URL");
    command
}

/// Starts a hello-server and returns when it has printed that it serves.
fn start_server(nats: &NatsServer) -> Process {
    let mut command = command(SERVER);
    command.env("NATS_URL", nats.url());
    let server = Process::spawn(command).unwrap();
    server
        .wait_for_line_blocking("is served", PROCESS_TIMEOUT)
        .unwrap();
    server
}

async fn run(mut command: Command, args: &[&str]) -> (bool, String) {
    command.args(args);
    let mut process = Process::spawn(command).unwrap();
    let status = process.wait(PROCESS_TIMEOUT).await.unwrap();
    (status.success(), process.output())
}

/// Waits for the end of a server that got a signal; it must have drained.
fn check_drained(mut server: Process) {
    let status = server.wait_blocking(PROCESS_TIMEOUT).unwrap();
    let output = server.output();
    assert!(status.success(), "{status}: {output}");
    assert!(output.contains("draining\nstopped\n"), "{output}");
}

#[tokio::test]
async fn hello_runs_without_a_nats_server() {
    let (is_success, output) = run(command(env!("CARGO_BIN_EXE_hello")), &[]).await;
    assert!(is_success, "{output}");
    assert!(output.contains("inside this process"), "{output}");
    assert!(output.contains("Hello, Ada!"), "{output}");
    assert!(output.contains("INVALID_ARGUMENT"), "{output}");
}

#[tokio::test]
async fn client_and_server_talk_over_a_nats_server() {
    let nats = NatsServer::start().await.unwrap();
    let mut server = start_server(&nats);

    let mut client = command(CLIENT);
    client.env("NATS_URL", nats.url());
    let (is_success, output) = run(client, &["Ada", "Grace"]).await;
    assert!(is_success, "{output}");
    assert!(output.contains("Hello, Ada!\n"), "{output}");
    assert!(output.contains("Hello, Grace!"), "{output}");

    let mut both = command(env!("CARGO_BIN_EXE_hello"));
    both.env("NATS_URL", nats.url());
    let (is_success, output) = run(both, &[]).await;
    assert!(is_success, "{output}");
    assert!(output.contains("NATS at NATS_URL"), "{output}");
    assert!(output.contains("Hello, Ada!"), "{output}");

    server.terminate().unwrap();
    check_drained(server);
}

#[test]
fn sigint_drains_the_server() {
    let nats = NatsServer::start_blocking().unwrap();
    let mut server = start_server(&nats);
    server.interrupt().unwrap();
    check_drained(server);
}

/// The signal is sent as soon as the line is read, without a pause: a handler that is registered
/// after the announcement loses this race on a busy machine, and the process dies by the signal.
#[test]
fn a_signal_at_the_announcement_drains_the_server() {
    let nats = NatsServer::start_blocking().unwrap();
    for number in 0..SIGNALED_SERVERS {
        let mut server = start_server(&nats);
        match number % 2 {
            0 => server.interrupt().unwrap(),
            _ => server.terminate().unwrap(),
        }
        check_drained(server);
    }
}

#[tokio::test]
async fn connect_failure_names_the_url() {
    for (program, args) in [(SERVER, &[][..]), (CLIENT, &["Ada"])] {
        let mut command = command(program);
        command.env("NATS_URL", "nats://127.0.0.1:1");
        let (is_success, output) = run(command, args).await;
        assert!(!is_success);
        assert!(
            output.contains("cannot connect to NATS at nats://127.0.0.1:1"),
            "{output}"
        );
    }
}

#[tokio::test]
async fn a_login_in_nats_url_is_used_and_a_wrong_one_is_named_without_it() {
    let users = "authorization { users = [{ user: ada, password: s3cret }] }";
    let nats = NatsServer::builder().config(users).start().await.unwrap();
    let mut both = command(env!("CARGO_BIN_EXE_hello"));
    both.env("NATS_URL", nats.url_as("ada", "s3cret"));
    let (is_success, output) = run(both, &[]).await;
    assert!(is_success && output.contains("Hello, Ada!"), "{output}");
    let mut client = command(CLIENT);
    client.env("NATS_URL", nats.url_as("ada", "wr0ng"));
    let (is_success, output) = run(client, &["Ada"]).await;
    assert!(!is_success, "{output}");
    assert!(output.contains("the server refuses the login"), "{output}");
    assert!(output.contains("user and password"), "{output}");
    assert!(!output.contains("wr0ng"), "{output}");
    let mut client = command(CLIENT);
    client.env("NATS_URL", nats.url()).env("NATS_USER", "ada");
    let (is_success, output) = run(client, &["Ada"]).await;
    assert!(!is_success, "{output}");
    assert!(output.contains("NATS_PASSWORD is not set"), "{output}");
}

/// The users of docs/PROTOCOL.md, "Permissions", as they are copied from there: NATS refuses nothing.
#[tokio::test]
async fn the_documented_users_serve_and_call_by_their_environment() {
    let page = std::fs::read_to_string(workspace_root().join("docs/PROTOCOL.md")).unwrap();
    let users = ["service", "client"].map(|role| {
        let block = page.split(&format!("```conf\n# {role}\n")).nth(1).unwrap();
        let permissions = block.split("```").next().unwrap();
        format!("{{ user: {role}, password: s3cret\n{permissions} }}\n")
    });
    let users = format!("authorization {{ users = [\n{}] }}", users.concat());
    let nats = NatsServer::builder().jetstream().config(&users);
    let nats = nats.start().await.unwrap();
    let as_user = |program: &str, user: &str| {
        let mut command = command(program);
        command.env("NATS_URL", nats.url());
        command
            .env("NATS_USER", user)
            .env("NATS_PASSWORD", "s3cret");
        command.env("NATS_INBOX_PREFIX", format!("_INBOX.{user}"));
        command
    };
    let mut server = Process::spawn(as_user(SERVER, "service")).unwrap();
    let served = server.wait_for_line("is served", PROCESS_TIMEOUT);
    served.await.unwrap();
    let (is_success, output) = run(as_user(CLIENT, "client"), &["Ada"]).await;
    assert!(is_success && output.contains("Hello, Ada!"), "{output}");
    server.interrupt().unwrap();
    check_drained(server);
    assert!(!nats.log().contains("Violation"), "{}", nats.log());
}

#[tokio::test]
async fn help_names_nats_url() {
    for program in [SERVER, CLIENT] {
        let (is_success, output) = run(command(program), &["--help"]).await;
        assert!(is_success);
        assert!(output.contains("NATS_URL"), "{output}");
    }
}

#[tokio::test]
async fn client_reports_that_no_server_runs() {
    let nats = NatsServer::start().await.unwrap();
    let mut client = command(CLIENT);
    client.env("NATS_URL", nats.url());
    let (is_success, output) = run(client, &["Ada"]).await;
    assert!(!is_success);
    assert!(
        output.contains("no instance serves greeter.v1.Greeter.SayHello"),
        "{output}"
    );
}
