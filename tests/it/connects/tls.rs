//! TLS by the options: certificates that are trusted and shown, and where the handshake begins.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use micro_runtime::{Bus, ConnectOptions, ConnectionState};
use micro_testkit::{NatsServer, within, workspace_root};

use super::logins::check_works;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn file(name: &str) -> PathBuf {
    workspace_root().join("tests/it/connects").join(name)
}

/// Starts a server with `server.pem`, and these lines in its block `tls`.
pub(super) async fn nats_with_tls(more: &str) -> NatsServer {
    let [certificate, key] = ["server.pem", "server-key.pem"].map(file);
    let config = format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} {more} }}");
    NatsServer::builder().config(&config).start().await.unwrap()
}

/// Checks that a server with these lines takes connections with these options, and none without the last of them.
async fn check(more: &str, lacking: ConnectOptions, option: fn(ConnectOptions) -> ConnectOptions) {
    let nats = nats_with_tls(more).await;
    // A handshake that waits for the other side ends by the timeout.
    let lacking = lacking.connection_timeout(Duration::from_millis(500));
    let refused = Bus::connect_with(lacking.clone(), nats.url());
    within(LIMIT, refused).await.unwrap_err();
    let options = option(lacking).connection_timeout(LIMIT);
    for url in [nats.url(), nats.url().replace("nats://", "tls://")] {
        check_works(Bus::connect_with(options.clone(), url)).await;
    }
}

#[tokio::test]
async fn the_options_that_a_server_with_tls_needs() {
    let new = ConnectOptions::new;
    let trusting = || new().root_certificates(file("server.pem"));
    let ca = file("server.pem");
    let verifies = format!(", verify: true, ca_file: {ca:?}");
    check("", new(), |options| {
        options.root_certificates(file("server.pem"))
    })
    .await;
    check(&verifies, trusting(), |options| {
        options.client_certificate(file("server.pem"), file("server-key.pem"))
    })
    .await;
    check(
        ", handshake_first: true",
        trusting(),
        ConnectOptions::tls_first,
    )
    .await;
}

/// A server without TLS, or a peer that takes its place, gets no login.
#[tokio::test]
async fn required_tls_is_no_connection_in_the_clear() {
    let nats = NatsServer::start().await.unwrap();
    let options = ConnectOptions::new().require_tls();
    let error = within(LIMIT, Bus::connect_with(options, nats.url()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("does not serve TLS"), "{error}");
}

/// The files are read at each connect, so that certificates that are renewed need no restart.
#[tokio::test]
async fn files_of_tls_are_read_at_each_connect() {
    let ca = file("server.pem");
    let mut nats = nats_with_tls(&format!(", verify: true, ca_file: {ca:?}")).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let names = ["server.pem", "server-key.pem"];
    let write = || {
        for name in names {
            fs::copy(file(name), path(name)).unwrap();
        }
    };
    write();
    let options = ConnectOptions::new()
        .root_certificates(path("server.pem"))
        .client_certificate(path("server.pem"), path("server-key.pem"))
        .max_reconnect_delay(Duration::from_millis(50));
    let bus = check_works(Bus::connect_with(options, nats.url())).await;
    nats.kill().unwrap();
    until(|| bus.state() == ConnectionState::Disconnected).await;
    for name in names {
        fs::remove_file(path(name)).unwrap();
    }
    nats.restart().await.unwrap();
    until(|| nats.log().contains("TLS handshake error")).await;
    write();
    until(|| bus.state() == ConnectionState::Connected).await;
}
