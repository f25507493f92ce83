//! Causes for which no server takes a connection: each is named in the error, with what to do.

use std::time::Duration;

use micro_runtime::{Bus, ConnectOptions, ErrorKind};
use micro_testkit::{NatsServer, within};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::tls::{file, nats_with_tls};
use crate::log_lines::LogLines;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);

/// Checks that a connect fails, and that its error names all of these.
async fn check(options: ConnectOptions, url: &str, named: &[&str]) {
    let connecting = Bus::connect_with(options, url);
    let error = within(LIMIT, connecting).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    let text = error.to_string();
    for named in named {
        assert!(text.contains(named), "`{text}` does not name `{named}`");
    }
    let asks = text.contains("is a nats-server running there?");
    assert_eq!(asks, named.contains(&"nothing listens there"), "{text}");
}

async fn nats_with(config: &str) -> NatsServer {
    NatsServer::builder().config(config).start().await.unwrap()
}

#[tokio::test]
async fn a_login_that_is_refused() {
    let ways = [
        "refuses the login",
        "none was given",
        "NATS_USER",
        "NATS_TOKEN",
        "NATS_CREDS",
        "Bus::from_env",
    ];
    let wrong = |what| ["refuses the login", what, "wrong"];
    let (user, token_itself) = (wrong("user and password"), wrong("the token"));
    let users = nats_with("authorization { users = [{ user: ada, password: s3cret }] }").await;
    let address = users.url();
    let named = [&[address.as_str()], &ways[..]].concat();
    check(ConnectOptions::new(), &users.url(), &named).await;
    check(ConnectOptions::new(), &users.url_as("ada", "wrong"), &user).await;
    let user_alone = users.url().replace("nats://", "nats://ada@");
    let token = ["refuses the login", "a user without a password"];
    check(ConnectOptions::new(), &user_alone, &token).await;
    let options = ConnectOptions::new().user_and_password("eve", "s3cret");
    check(options, &users.url(), &user).await;
    let token = nats_with("authorization { token: s3cret }").await;
    check(ConnectOptions::new(), &token.url(), &ways).await;
    let options = ConnectOptions::new().token("wrong");
    check(options, &token.url(), &token_itself).await;
}

#[tokio::test]
async fn an_inbox_prefix_that_is_a_pattern() {
    let nats = NatsServer::start().await.unwrap();
    for prefix in [
        "_INBOX.client.>",
        "_INBOX.client.*",
        "_INBOX.client.",
        "_INBOX client",
    ] {
        let options = ConnectOptions::new().inbox_prefix(prefix);
        let connecting = Bus::connect_with(options, nats.url());
        let error = within(LIMIT, connecting).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("`{prefix}`")), "{text}");
        assert!(text.contains("NATS_INBOX_PREFIX"), "{text}");
    }
}

#[tokio::test]
async fn no_server_and_no_host() {
    let refused = ["nothing listens there", "nats://127.0.0.1:1"];
    check(ConnectOptions::new(), "nats://127.0.0.1:1", &refused).await;
    let unknown = [
        "the name of the host cannot be resolved",
        "nats://no-such-host.invalid:4222",
    ];
    check(
        ConnectOptions::new(),
        "nats://ada:s@no-such-host.invalid:4222",
        &unknown,
    )
    .await;
    // The port that is not written.
    check(ConnectOptions::new(), "no-such-host.invalid", &unknown).await;
}

/// A server of another protocol: sends this to each connection, and closes it unless it is empty.
async fn other_server(sent: &'static str) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            if sent.is_empty() {
                open.push(stream);
            }
        }
    });
    (url, serving)
}

#[tokio::test]
async fn another_program_than_a_nats_server() {
    let no_nats = ["no nats-server", "4222"];
    for sent in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "+OK\r\n",
    ] {
        let (url, serving) = other_server(sent).await;
        check(ConnectOptions::new(), &url, &no_nats).await;
        serving.abort();
    }
    // It waits for the client to begin, as an HTTP server does.
    let (url, serving) = other_server("").await;
    let soon = ConnectOptions::new().connection_timeout(Duration::from_millis(200));
    check(
        soon,
        &url,
        &["nothing replied in time", "no nats-server", "8222"],
    )
    .await;
    serving.abort();
}

#[tokio::test]
async fn limits_of_connections() {
    let nats = nats_with("max_connections: 1").await;
    let _first = Bus::connect(nats.url()).await.unwrap();
    check(
        ConnectOptions::new(),
        &nats.url(),
        &["`max_connections` is reached"],
    )
    .await;

    let nats = nats_with(
        "accounts { A { users = [{ user: ada, password: s }], limits { max_connections: 1 } } }",
    )
    .await;
    let url = nats.url_as("ada", "s");
    let _first = Bus::connect(&url).await.unwrap();
    check(
        ConnectOptions::new(),
        &url,
        &["the account of this login", "limit"],
    )
    .await;
}

#[tokio::test]
async fn certificates_and_servers_without_tls() {
    let nats = nats_with_tls("").await;
    let tls_url = nats.url().replace("nats://", "tls://");
    for url in [nats.url(), tls_url.clone()] {
        let named = [
            "an issuer that is not known",
            "NATS_CA",
            "root_certificates",
        ];
        check(ConnectOptions::new(), &url, &named).await;
        let trusting = ConnectOptions::new().root_certificates(file("server.pem"));
        within(LIMIT, Bus::connect_with(trusting, url))
            .await
            .unwrap();
    }
    let no_file = ConnectOptions::new().root_certificates(file("no-such.pem"));
    let named = ["No such file", "NATS_CA", "root_certificates"];
    check(no_file, &nats.url(), &named).await;
    let other_name = tls_url.replace("127.0.0.1", "localhost");
    let trusting = ConnectOptions::new().root_certificates(file("server.pem"));
    let named = ["the TLS certificate of the server is refused"];
    check(trusting, &other_name, &named).await;

    let ca = file("server.pem");
    let nats = nats_with_tls(&format!(", verify: true, ca_file: {ca:?}")).await;
    let trusting = ConnectOptions::new().root_certificates(file("server.pem"));
    let named = [
        "certificate of this client",
        "NATS_CERT",
        "ConnectOptions::client_certificate",
    ];
    check(trusting, &nats.url(), &named).await;

    let plain = NatsServer::start().await.unwrap();
    let url = plain.url().replace("nats://", "tls://");
    check(
        ConnectOptions::new(),
        &url,
        &["does not serve TLS", "nats://"],
    )
    .await;
}

/// A program that goes on while NATS is away reads one line of it in 30 s, and none of an end that it asked for.
#[tokio::test]
async fn attempts_that_fail_are_logged_once_and_an_end_in_order_is_not() {
    let (log, guard) = LogLines::start();
    let mut nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    nats.kill().unwrap();
    until(|| bus.nats().is_none()).await;
    // async-nats logs each attempt.
    let attempts = || {
        log.matching(|line| {
            line.text.contains("attempting connection")
                || line.text.contains("connecting to server")
        })
        .len()
    };
    let before = attempts();
    until(|| attempts() > before + 5).await;
    let lines = log.of_runtime();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].text.contains("is lost"), "{lines:?}");
    assert!(lines[1].text.contains("cannot be reached"), "{lines:?}");
    let address = nats.url();
    assert!(
        lines.iter().all(|line| line.text.contains(&address)),
        "{lines:?}"
    );
    // Another cause is a line of its own at once.
    let users = "authorization { users = [{ user: ada, password: s3cret }] }";
    nats.set_config(users).unwrap();
    nats.restart().await.unwrap();
    until(|| log.has_warning("none was given")).await;
    assert_eq!(log.of_runtime().len(), 3, "{:?}", log.of_runtime());
    drop((bus, guard));

    let nats = NatsServer::start().await.unwrap();
    for _ in 0..20 {
        let (log, _guard) = LogLines::start();
        let bus = Bus::connect(nats.url()).await.unwrap();
        drop(bus);
        let is_closed = || {
            !log.matching(|line| line.text.contains("is closed"))
                .is_empty()
        };
        until(is_closed).await;
        let lines = log.of_runtime();
        assert!(lines.is_empty(), "{lines:?}");
    }
}
