//! Starts, restarts and failures of a real nats-server, which `cargo xtask nats` fetches.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::time::Duration;

use micro_testkit::{NatsServer, within};

/// Limit for an event that must occur.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns the first line of a server, or the error of the connection.
fn greeting(server: &NatsServer) -> Result<String, std::io::Error> {
    let stream = TcpStream::connect(("127.0.0.1", server.port()))?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

#[tokio::test]
async fn a_killed_server_restarts_on_its_port() {
    let mut server = within(LIMIT, NatsServer::start()).await.unwrap();
    let (url, pid) = (server.url(), server.pid());
    assert!(greeting(&server).unwrap().starts_with("INFO "));

    server.kill().unwrap();
    assert!(greeting(&server).is_err(), "the killed server responds");
    assert_eq!(server.pid(), None);

    within(LIMIT, server.restart()).await.unwrap();
    assert!(greeting(&server).unwrap().starts_with("INFO "));
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);

    server.stop().unwrap();
    assert!(greeting(&server).is_err(), "the stopped server responds");
    assert!(server.log().contains("Server Exiting"), "{}", server.log());
}

#[test]
fn blocking_servers_run_in_parallel() {
    let mut servers: Vec<_> = (0..4)
        .map(|_| NatsServer::start_blocking().unwrap())
        .collect();
    let mut ports: Vec<_> = servers.iter().map(NatsServer::port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 4);
    servers[0].restart_blocking().unwrap();
    for server in &servers {
        assert!(greeting(server).unwrap().starts_with("INFO "));
    }
}

#[tokio::test]
async fn options_reach_the_server() {
    let server = NatsServer::builder()
        .config(r#"authorization { user: "ada", password: "secret" }"#)
        .max_payload(4096)
        .jetstream()
        .arg("-D")
        .start()
        .await
        .unwrap();
    let info = greeting(&server).unwrap();
    for part in [
        r#""auth_required":true"#,
        r#""max_payload":4096"#,
        r#""jetstream":true"#,
    ] {
        assert!(info.contains(part), "{part} is not in {info}");
    }
    assert!(
        server
            .url_as("ada", "secret")
            .starts_with("nats://ada:secret@127.0.0.1:")
    );
    assert!(server.log().contains("[DBG]"), "{}", server.log());
}

#[tokio::test]
async fn a_paused_server_accepts_connections_and_sends_nothing() {
    let mut server = NatsServer::start().await.unwrap();
    server.pause().unwrap();
    let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let mut line = String::new();
    assert!(
        BufReader::new(&stream).read_line(&mut line).is_err(),
        "{line}"
    );
    server.resume().unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert!(line.starts_with("INFO "), "{line}");
    server.pause().unwrap();
    server.stop().unwrap();
}

#[tokio::test]
async fn a_failed_start_shows_configuration_and_log() {
    let broken = NatsServer::builder()
        .config("authorization { users = [")
        .start()
        .await;
    let error = broken.unwrap_err().to_string();
    assert!(
        error.starts_with("nats-server did not start and ended with exit"),
        "{error}"
    );
    assert!(error.contains("    authorization { users = [\n"), "{error}");
    assert!(
        error.contains("    nats-server: Parse error on line 2"),
        "{error}"
    );
}

#[tokio::test]
async fn a_taken_port_is_an_error_at_start() {
    let first = NatsServer::start().await.unwrap();
    let error = NatsServer::builder()
        .port(first.port())
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("address already in use"), "{error}");
}
