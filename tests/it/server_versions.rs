//! Versions of nats-server: an older one is refused at the first connect, and named in a warning after a reconnect.

use std::time::Duration;

use micro_runtime::{Bus, ErrorKind, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::log_lines::LogLines;
use crate::polling::wait_until_served;
use crate::until::until;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A server that says in INFO that it is of another version, and replies to PING; it does nothing else.
struct FakeServer {
    listener: TcpListener,
}

impl FakeServer {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    fn url(&self) -> String {
        let port = self.listener.local_addr().unwrap().port();
        format!("nats://127.0.0.1:{port}")
    }

    /// Accepts one connection as a server of `version`, and serves it until a line begins with `last`.
    async fn serve(&self, version: &str, last: &str) -> TcpStream {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let info = format!(
            "INFO {{\"server_id\":\"f\",\"server_name\":\"fake\",\"version\":\"{version}\",\"proto\":1,\
             \"headers\":true,\"max_payload\":1048576}}\r\n"
        );
        stream.write_all(info.as_bytes()).await.unwrap();
        let mut reader = BufReader::new(&mut stream);
        let mut line = String::new();
        while reader.read_line(&mut line).await.unwrap() > 0 {
            if line.starts_with("PING") {
                reader.write_all(b"PONG\r\n").await.unwrap();
            }
            if line.starts_with(last) {
                break;
            }
            line.clear();
        }
        stream
    }
}

#[tokio::test]
async fn an_older_server_is_refused_by_name_at_the_first_connect() {
    let server = FakeServer::new().await;
    for version in ["2.10.29", "2.9.25", "1.4.1"] {
        let connecting = async { Bus::connect(server.url()).await.unwrap_err() };
        let (error, _stream) = within(TIMEOUT, async {
            tokio::join!(connecting, server.serve(version, "PING"))
        })
        .await;
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        let expected =
            format!("nats-server {version} (`fake`) is too old: 2.11 or later is needed");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[tokio::test]
async fn an_older_server_is_refused_on_a_connection_of_the_user() {
    let server = FakeServer::new().await;
    let (client, _stream) = within(TIMEOUT, async {
        tokio::join!(
            async_nats::connect(server.url()),
            server.serve("2.10.29", "PING")
        )
    })
    .await;
    let error = Bus::from_nats(client.unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert!(error.to_string().contains("2.10.29"), "{error}");
}

#[tokio::test]
async fn a_reconnect_to_an_older_server_warns_and_keeps_the_connection() {
    let (log, _guard) = LogLines::start();
    let server = FakeServer::new().await;
    let connecting = Bus::connect(server.url());
    let (bus, first) = within(TIMEOUT, async {
        tokio::join!(connecting, server.serve("2.15.1", "SUB"))
    })
    .await;
    let bus = bus.unwrap();
    assert!(!log.has_warning("too old"));
    drop(first);
    expect_warning_and_use(&bus, &server, &log).await;
}

/// The bus is made before there is a connection, so that nothing can be refused.
#[tokio::test]
async fn an_older_server_that_is_found_in_the_background_is_named_in_a_warning() {
    let (log, _guard) = LogLines::start();
    let server = FakeServer::new().await;
    let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
    let client = options.connect(server.url()).await.unwrap();
    let bus = Bus::from_nats(client).await.unwrap();
    expect_warning_and_use(&bus, &server, &log).await;
}

#[tokio::test]
async fn the_server_of_the_tests_is_not_refused() {
    let nats = NatsServer::start().await.unwrap();
    Bus::connect(nats.url()).await.unwrap();
}

#[tokio::test]
#[ignore = "slow: cargo xtask test --slow nats-versions"]
async fn a_real_server_that_is_too_old_is_refused_and_warned_of_after_a_reconnect() {
    let (log, _guard) = LogLines::start();
    let old = NatsServer::builder().release("2.10.26").start();
    let (old, mut new) = (old.await.unwrap(), NatsServer::start().await.unwrap());
    let error = Bus::connect(old.url()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert!(
        error.to_string().starts_with("nats-server 2.10.26 (`"),
        "{error}"
    );
    // As in a cluster of which one part is not upgraded yet.
    let urls = format!("{},{}", new.url(), old.url());
    let bus = Bus::connect(urls).await.unwrap();
    let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
    let _server = server.start().await.unwrap();
    new.kill().unwrap();
    until(|| log.has_warning("nats-server 2.10.26 (`")).await;
    wait_until_served(&bus.client()).await;
}

/// Lets an older server serve the bus, which warns of it and uses it.
async fn expect_warning_and_use(bus: &Bus, server: &FakeServer, log: &LogLines) {
    let publishing = async {
        until(|| log.has_warning("nats-server 2.10.29 (`fake`) is too old")).await;
        bus.publish_raw("evt.after", "still here").await.unwrap();
    };
    within(TIMEOUT, async {
        tokio::join!(publishing, server.serve("2.10.29", "PUB evt.after"))
    })
    .await;
}
