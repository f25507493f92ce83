//! The first connection: whether a connect waits for a server that is away, and for how long.

use std::time::Duration;

use micro_runtime::{Bus, ConnectOptions, ErrorKind};
use micro_testkit::{NatsServer, within};

use super::logins::check_works;
use crate::log_lines::LogLines;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);

/// A server whose port is known, and that is away.
async fn nats_away() -> NatsServer {
    let mut nats = NatsServer::start().await.unwrap();
    nats.kill().unwrap();
    nats
}

#[tokio::test]
async fn a_connect_that_waits_for_its_server_finds_it_when_it_comes() {
    let (log, _guard) = LogLines::start();
    let mut nats = nats_away().await;
    let options = ConnectOptions::new().wait_for_server(LIMIT);
    let connecting = tokio::spawn(Bus::connect_with(options, nats.url()));
    until(|| log.has_warning("NATS cannot be reached")).await;
    nats.restart().await.unwrap();
    check_works(async { connecting.await.unwrap() }).await;
}

#[tokio::test]
async fn a_connect_waits_no_longer_than_its_options_state() {
    let nats = nats_away().await;
    for wait in [None, Some(Duration::from_millis(100))] {
        let options = wait.map_or_else(ConnectOptions::new, |wait| {
            ConnectOptions::new().wait_for_server(wait)
        });
        let connecting = Bus::connect_with(options, nats.url());
        let error = within(LIMIT, connecting).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        assert!(
            error.to_string().contains("nothing listens there"),
            "{error}"
        );
    }
}

/// No time makes a wrong password right.
#[tokio::test]
async fn a_connect_does_not_wait_behind_a_login_that_is_refused() {
    let users = "authorization { user: ada, password: s3cret }";
    let nats = NatsServer::builder().config(users).start().await.unwrap();
    let options = ConnectOptions::new()
        .user_and_password("ada", "wrong")
        .wait_for_server(LIMIT * 60);
    let connecting = Bus::connect_with(options, nats.url());
    let error = within(LIMIT, connecting).await.unwrap_err();
    assert!(error.to_string().contains("refuses the login"), "{error}");
}
