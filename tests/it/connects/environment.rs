//! Variables of `Bus::from_env` in a process of its own: every login, and errors that name what cannot be used.

use std::process::Command;

use micro_runtime::{Bus, ConnectOptions};
use micro_testkit::{NatsServer, Process};

use super::logins::{NKEY, NKEY_SEED, nats_with};
use super::operator::Operator;
use super::tls::{file, nats_with_tls};
use crate::server_process::PROCESS_TIMEOUT;

/// Starts a program with these variables.
fn start(nats: &NatsServer, variables: &[(&str, &str)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_behavior-server"));
    command.env("NATS_URL", nats.url());
    command.envs(variables.iter().copied());
    Process::spawn(command).unwrap()
}

/// Checks that a program with these variables ends with an error that names all of `named`.
async fn check(nats: &NatsServer, variables: &[(&str, &str)], named: &[&str]) {
    let mut process = start(nats, variables);
    let status = process.wait(PROCESS_TIMEOUT).await.unwrap();
    let output = process.output();
    assert!(!status.success(), "{variables:?}: {output}");
    for named in named {
        assert!(output.contains(named), "{variables:?}: {output}");
    }
}

#[tokio::test]
async fn every_login_of_the_variables_is_taken_by_a_server_that_needs_it() {
    let check = async |nats: NatsServer, variables: &[(&str, &str)]| {
        let process = start(&nats, variables);
        let line = process.wait_for_line("ready", PROCESS_TIMEOUT).await;
        line.unwrap_or_else(|error| panic!("{variables:?}: {error}"));
    };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let user = "authorization { user: ada, password: s3cret }";
    let variables = [("NATS_USER", "ada"), ("NATS_PASSWORD", "s3cret")];
    check(nats_with(user).await, &variables).await;
    for variable in ["NATS_TOKEN", "NATS_USER"] {
        let nats = nats_with("authorization { token: s3cret }").await;
        check(nats, &[(variable, "s3cret")]).await;
    }
    let users = format!("authorization {{ users = [ {{ nkey: {NKEY} }} ] }}");
    let seed = write("user.nk", &format!("{NKEY_SEED}\n"));
    check(nats_with(&users).await, &[("NATS_NKEY", &seed)]).await;
    let operator = Operator::new();
    let credentials = write("user.creds", &operator.credentials());
    let nats = nats_with(&operator.config()).await;
    check(nats, &[("NATS_CREDS", &credentials)]).await;
    let [certificate, key] = ["server.pem", "server-key.pem"].map(file);
    let nats = nats_with_tls(&format!(", verify: true, ca_file: {certificate:?}")).await;
    let [certificate, key] = [certificate.to_str().unwrap(), key.to_str().unwrap()];
    let pair = [("NATS_CERT", certificate), ("NATS_KEY", key)];
    check(nats, &[&[("NATS_CA", certificate)], &pair[..]].concat()).await;
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
    let certificate = file("server.pem");
    let certificate = certificate.to_str().unwrap();
    let named = format!("cannot read `{path}`, which NATS_KEY names");
    let pair = [("NATS_CERT", certificate), ("NATS_KEY", path)];
    check(&nats, &pair, &[&named]).await;
    let empty = [("NATS_CA", "/dev/null")];
    check(&nats, &empty, &["`/dev/null`", "no certificate"]).await;
}

/// The seed or the credentials themselves, in place of the path of their file.
#[tokio::test]
async fn a_login_in_place_of_its_path_is_in_no_error() {
    let nats = NatsServer::start().await.unwrap();
    let credentials = Operator::new().credentials();
    let jwt = credentials.lines().nth(1).unwrap();
    let key = std::fs::read_to_string(file("server-key.pem")).unwrap();
    let certificate = file("server.pem");
    let pair = ("NATS_CERT", certificate.to_str().unwrap());
    let logins = [
        ("NATS_NKEY", NKEY_SEED),
        ("NATS_CREDS", NKEY_SEED),
        ("NATS_CREDS", &credentials),
        ("NATS_CREDS", jwt),
        ("NATS_KEY", &key),
    ];
    for (name, login) in logins {
        let mut variables = vec![(name, login)];
        variables.extend((name == "NATS_KEY").then_some(pair));
        let mut process = start(&nats, &variables);
        let status = process.wait(PROCESS_TIMEOUT).await.unwrap();
        let output = process.output();
        assert!(!status.success(), "{name}: {output}");
        let named = format!("{name} has what belongs into a file");
        assert!(output.contains(&named), "{name}: {output}");
        for part in login.lines().filter(|line| line.len() > 20) {
            let is_heading = part.starts_with("---");
            assert!(is_heading || !output.contains(part), "{name}: {output}");
        }
        let options = ConnectOptions::new().credentials_file(login);
        let connecting = Bus::connect_with(options, nats.url());
        let error = format!("{:?}", connecting.await.unwrap_err());
        assert!(error.contains("is no path"), "{error}");
        assert!(!error.contains(&login[5..25]), "{error}");
    }
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
    let [certificate, key] = ["server.pem", "server-key.pem"].map(file);
    let [certificate, key] = [certificate.to_str().unwrap(), key.to_str().unwrap()];
    let named = ["does not serve TLS", "`NATS_CA`"];
    check(&nats, &[("NATS_CA", certificate)], &named).await;
    let pair = [("NATS_CERT", certificate), ("NATS_KEY", key)];
    check(&nats, &pair, &named).await;
}
