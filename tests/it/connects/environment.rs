//! Variables of `Bus::from_env` in a process of its own: what cannot be used is an error that names the variable.

use std::process::Command;

use micro_testkit::{NatsServer, Process, workspace_root};

use crate::server_process::PROCESS_TIMEOUT;

/// Checks that a program with these variables ends with an error that names all of `named`.
async fn check(nats: &NatsServer, variables: &[(&str, &str)], named: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_behavior-server"));
    command.env("NATS_URL", nats.url());
    command.envs(variables.iter().copied());
    let mut process = Process::spawn(command).unwrap();
    let status = process.wait(PROCESS_TIMEOUT).await.unwrap();
    let output = process.output();
    assert!(!status.success(), "{variables:?}: {output}");
    for named in named {
        assert!(output.contains(named), "{variables:?}: {output}");
    }
}

/// Also where the server has no TLS, and would never use the file.
#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_with_variable_and_path() {
    let nats = NatsServer::start().await.unwrap();
    let path = "/no/such/file";
    for name in ["NATS_CA", "NATS_CREDS", "NATS_NKEY"] {
        let named = format!("cannot read `{path}`, which {name} names");
        check(&nats, &[(name, path)], &[&named, "Configuration"]).await;
    }
    let certificate = workspace_root().join("tests/it/connects/server.pem");
    let certificate = certificate.to_str().unwrap();
    let named = format!("cannot read `{path}`, which NATS_KEY names");
    let pair = [("NATS_CERT", certificate), ("NATS_KEY", path)];
    check(&nats, &pair, &[&named]).await;
    let empty = [("NATS_CA", "/dev/null")];
    check(&nats, &empty, &["`/dev/null`", "no certificate"]).await;
}

#[tokio::test]
async fn a_variable_that_misses_another_is_an_error_with_both() {
    let users = "authorization { users = [{ user: ada, password: s3cret }] }";
    let nats = NatsServer::builder().config(users).start().await.unwrap();
    for (set, missing) in [
        ("NATS_USER", "NATS_PASSWORD"),
        ("NATS_PASSWORD", "NATS_USER"),
        ("NATS_CERT", "NATS_KEY"),
        ("NATS_KEY", "NATS_CERT"),
    ] {
        let is_missing = format!("{missing} is not set");
        check(&nats, &[(set, "ada")], &[set, &is_missing]).await;
    }
}

/// A server without TLS, or a peer that takes its place, gets no connection of a program that has set a certificate.
#[tokio::test]
async fn certificates_require_tls() {
    let nats = NatsServer::start().await.unwrap();
    let file = |name| workspace_root().join("tests/it/connects").join(name);
    let [certificate, key] = ["server.pem", "server-key.pem"].map(file);
    let [certificate, key] = [certificate.to_str().unwrap(), key.to_str().unwrap()];
    let named = ["does not serve TLS", "`NATS_CA`"];
    check(&nats, &[("NATS_CA", certificate)], &named).await;
    let pair = [("NATS_CERT", certificate), ("NATS_KEY", key)];
    check(&nats, &pair, &named).await;
}
