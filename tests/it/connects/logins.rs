//! Logins: from a URL, from options, from both; none is logged.

use std::time::Duration;

use micro_runtime::{Bus, ConnectOptions, ErrorKind};
use micro_testkit::{NatsServer, within};

use crate::log_lines::LogLines;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);
/// The user `a@b` with a password of signs that separate parts of a URL, and the same as it stands in one.
const USERS: &str = r#"authorization { users = [
    { user: "a@b", password: "p,q:/%s3cret" }
    { user: other, password: s3cret2 }
] }"#;
const IN_URL: &str = "a%40b:p%2Cq%3A%2F%25s3cret";

/// The pair that the documentation of NATS has.
pub(super) const NKEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
pub(super) const NKEY_SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

pub(super) async fn nats_with(config: &str) -> NatsServer {
    NatsServer::builder().config(config).start().await.unwrap()
}

/// Connects, and publishes a message that arrives.
pub(super) async fn check_works(
    connecting: impl Future<Output = Result<Bus, micro_runtime::Error>>,
) -> Bus {
    let bus = within(LIMIT, connecting).await.unwrap();
    let mut events = bus.subscribe_raw("evt.login").open().await.unwrap();
    bus.publish_raw("evt.login", "here").await.unwrap();
    let event = within(LIMIT, events.next()).await.unwrap();
    assert_eq!(event.payload, "here");
    bus
}

#[tokio::test]
async fn the_login_of_a_url_is_used_with_all_of_its_servers() {
    let nats = nats_with(USERS).await;
    let port = nats.port();
    for url in [
        format!("nats://{IN_URL}@127.0.0.1:{port}"),
        format!("{IN_URL}@127.0.0.1:{port}"),
        // The login of the other server, which is away.
        format!("nats://{IN_URL}@127.0.0.1:1,nats://127.0.0.1:{port}"),
        format!("nats://127.0.0.1:{port}, nats://{IN_URL}@127.0.0.1:1"),
    ] {
        check_works(Bus::connect(&url)).await;
    }
    let differ = format!("nats://{IN_URL}@127.0.0.1:{port},nats://other:s3cret2@127.0.0.1:{port}");
    let error = Bus::connect(differ).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn a_token_of_a_url_is_used() {
    let nats = nats_with(r#"authorization { token: "t,s3cret" }"#).await;
    let url = format!("nats://t%2Cs3cret@127.0.0.1:{}", nats.port());
    check_works(Bus::connect(url)).await;
}

#[tokio::test]
async fn a_login_of_a_url_goes_before_user_and_password_of_the_options() {
    let nats = nats_with(USERS).await;
    let options = |user: &str, password: &str| {
        ConnectOptions::new()
            .name("logins")
            .user_and_password(user, password)
    };
    let url = |login: &str| format!("nats://{login}@127.0.0.1:{}", nats.port());
    check_works(Bus::connect_with(options("other", "s3cret2"), nats.url())).await;
    check_works(Bus::connect_with(options("other", "wrong"), url(IN_URL))).await;
    let connecting = Bus::connect_with(options("other", "s3cret2"), url("other:wrong"));
    let error = within(LIMIT, connecting).await.unwrap_err();
    assert!(error.to_string().contains("refuses the login"), "{error}");
}

#[tokio::test]
async fn an_nkey_of_the_options_goes_before_the_login_of_a_url() {
    let users = format!(
        "authorization {{ users = [ {{ nkey: {NKEY} }}, {{ user: other, password: s3cret2 }} ] }}"
    );
    let nats = nats_with(&users).await;
    let options = ConnectOptions::new().nkey(NKEY_SEED);
    check_works(Bus::connect_with(options, nats.url_as("other", "wrong"))).await;
}

#[tokio::test]
async fn a_reconnect_logs_in_again() {
    let mut nats = nats_with(USERS).await;
    let bus = check_works(Bus::connect(format!(
        "nats://{IN_URL}@127.0.0.1:{}",
        nats.port()
    )))
    .await;
    let mut events = bus.subscribe_raw("evt.again").open().await.unwrap();
    nats.kill().unwrap();
    until(|| bus.nats().is_none()).await;
    nats.restart().await.unwrap();
    until(|| bus.nats().is_some()).await;
    bus.publish_raw("evt.again", "here").await.unwrap();
    within(LIMIT, events.next()).await.unwrap();
}

/// Of any crate, at any level: async-nats logs the URLs that it gets.
#[tokio::test]
async fn no_login_is_logged_or_printed() {
    let (log, _guard) = LogLines::start();
    let nats = nats_with(USERS).await;
    for login in [IN_URL, "a%40b:s3cret", "s3cret"] {
        let url = format!("nats://{login}@127.0.0.1:{}", nats.port());
        match Bus::connect(&url).await {
            Ok(bus) => {
                assert!(!format!("{bus:?}").contains("s3cret"));
                let pool = bus.nats().unwrap().server_pool().await.unwrap();
                assert!(!format!("{pool:?}").contains("s3cret"), "{pool:?}");
            }
            Err(error) => assert!(
                !format!("{error} {error:?}").contains("s3cret"),
                "{error:?}"
            ),
        }
    }
    let lines = log.matching(|line| line.target.starts_with("async_nats"));
    assert!(lines.len() > 5, "{lines:?}");
    let lines = log.matching(|line| {
        line.text.contains("s3cret") || line.text.contains("p%2Cq") || line.text.contains("p,q")
    });
    assert!(lines.is_empty(), "{lines:?}");
}
