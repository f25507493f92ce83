//! Names of connections, as `nats server report connections` reads them from NATS.

use std::process::Command;
use std::time::Duration;

use micro_runtime::{Bus, ConnectOptions, RunningServer, Server};
use micro_testkit::{NatsServer, Process, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use serde_json::Value;

use crate::server_process::PROCESS_TIMEOUT;

const LIMIT: Duration = Duration::from_secs(60);

/// Starts a server with a system account, and another one that needs no login.
async fn nats() -> NatsServer {
    let accounts = "accounts { SYS: { users: [{ user: sys, password: s }] }, APP: { users: [{ user: app, password: s }] } }
        system_account: SYS, no_auth_user: app";
    NatsServer::builder()
        .config(accounts)
        .start()
        .await
        .unwrap()
}

/// Returns the names of all connections, without the one that asks.
async fn names(nats: &NatsServer) -> Vec<String> {
    let options = async_nats::ConnectOptions::with_user_and_password("sys".into(), "s".into());
    let client = options.connect(nats.url()).await.unwrap();
    let own = client.server_info().client_id;
    let report = client.request("$SYS.REQ.SERVER.PING.CONNZ", "{}".into());
    let report = report.await.unwrap().payload;
    let report: Value = serde_json::from_slice(&report).unwrap();
    let connections = report["data"]["connections"].as_array().unwrap().iter();
    connections
        .filter(|connection| connection["cid"] != own)
        .map(|connection| connection["name"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Waits until the connections have these names.
async fn wait_for(nats: &NatsServer, expected: &[&str]) {
    let waiting = async {
        while names(nats).await != expected {
            tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polling interval
        }
    };
    let seen = tokio::time::timeout(LIMIT, waiting).await;
    assert!(seen.is_ok(), "{expected:?}: {:?}", names(nats).await);
}

async fn serve(bus: &Bus) -> RunningServer {
    let server = Server::new(bus).add(BehaviorServer::new(BehaviorHandler::on(bus)));
    server.start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_has_the_name_of_its_program_and_later_of_its_services() {
    let mut nats = nats().await;
    let program = std::env::current_exe().unwrap();
    let program = program.file_stem().unwrap().to_str().unwrap();
    let serving = format!("{program} (behavior.v1.Behavior)");
    let bus = Bus::connect(nats.url()).await.unwrap();
    let [first, second] = [serve(&bus).await, serve(&bus).await];
    assert_eq!(names(&nats).await, [program]);
    nats.restart().await.unwrap();
    wait_for(&nats, &[&serving]).await;
    first.shutdown().await.unwrap();
    nats.restart().await.unwrap();
    wait_for(&nats, &[&serving]).await;
    within(LIMIT, second.shutdown()).await.unwrap();
    nats.restart().await.unwrap();
    wait_for(&nats, &[program]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_the_options_is_kept_as_it_is() {
    let mut nats = nats().await;
    let options = ConnectOptions::new().name("billing, EU");
    let bus = Bus::connect_with(options, nats.url()).await.unwrap();
    let _server = serve(&bus).await;
    assert_eq!(names(&nats).await, ["billing, EU"]);
    nats.restart().await.unwrap();
    wait_for(&nats, &["billing, EU"]).await;
}

#[tokio::test]
async fn a_name_of_the_variables_replaces_that_of_the_program() {
    for (variable, expected) in [("", "behavior-server"), ("billing", "billing")] {
        let nats = nats().await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_behavior-server"));
        command.env("NATS_URL", nats.url());
        command.env("MICRO_CONNECTION_NAME", variable);
        let process = Process::spawn(command).unwrap();
        let ready = process.wait_for_line("ready", PROCESS_TIMEOUT).await;
        ready.unwrap();
        assert_eq!(names(&nats).await, [expected]);
    }
}
