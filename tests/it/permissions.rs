//! The permission table of docs/PROTOCOL.md: it is sufficient, and each of its lines is necessary.

use std::time::Duration;

use micro_runtime::{Bus, ConnectOptions, ErrorKind, RunningServer, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use tracing::Level;

use crate::log_lines::{LogLine, LogLines};
use crate::until::until;

/// Subscribe permissions of a service, each with a part of the subject that the error must name without it.
const SUBSCRIBE: [(&str, &str); 6] = [
    ("behavior.v1.Behavior.* q", "behavior.v1.Behavior.Echo"),
    ("behavior.v1.Behavior._i.*.>", "behavior.v1.Behavior._i."),
    ("$SRV.*", "$SRV."),
    ("$SRV.*.behavior-v1-Behavior", ".behavior-v1-Behavior`"),
    ("$SRV.*.behavior-v1-Behavior.*", ".behavior-v1-Behavior."),
    ("_INBOX.service.>", "_INBOX.service."),
];
/// Publish permissions of a service; the last two are for announcements and for a warning, and optional.
const PUBLISH: [&str; 5] = [
    "_INBOX.>",
    "_R_.>",
    "_INBOX.service.>",
    "$SRV._EVENT.behavior-v1-Behavior.*",
    "$JS.API.STREAM.NAMES",
];

fn config(subscribe: &[&str], publish: &[&str]) -> String {
    let list = |subjects: &[&str]| {
        let quoted = subjects.iter().map(|subject| format!("\"{subject}\""));
        quoted.collect::<Vec<_>>().join(", ")
    };
    format!(
        r#"authorization {{ users = [
          {{ user: service, password: s, permissions: {{
              subscribe: {{ allow: [{}] }}, publish: {{ allow: [{}] }} }} }}
          {{ user: client, password: c, permissions: {{
              subscribe: {{ allow: ["_INBOX.client.>"] }},
              publish: {{ allow: ["behavior.v1.Behavior.>"] }} }} }}
        ] }}
"#,
        list(subscribe),
        list(publish)
    )
}

async fn bus(nats: &NatsServer, user: &str, password: &str) -> Bus {
    let options = ConnectOptions::new()
        .user_and_password(user, password)
        .inbox_prefix(format!("_INBOX.{user}"));
    Bus::connect_with(options, nats.url()).await.unwrap()
}

/// Starts the service; an unlimited wait for a missing permission fails the test.
async fn start(bus: &Bus) -> Result<RunningServer, micro_runtime::Error> {
    let server = Server::new(bus).add(BehaviorServer::new(BehaviorHandler::default()));
    within(Duration::from_secs(60), server.start()).await
}

#[tokio::test]
async fn the_permission_table_is_sufficient() {
    let subscribe = SUBSCRIBE.map(|(subject, _)| subject);
    let nats = NatsServer::builder()
        .config(&config(&subscribe, &PUBLISH))
        .start()
        .await
        .unwrap();
    let service_bus = bus(&nats, "service", "s").await;
    let server = start(&service_bus).await.unwrap();
    let client: BehaviorClient = bus(&nats, "client", "c").await.client();
    client.echo(Blob::default()).await.unwrap();
    server.shutdown().await.unwrap();
}

/// Watches then notice starts and stops by their pings only, and streams that store calls are not warned of. The log of
/// the program has none of it; that of NATS has one line for each start.
#[tokio::test]
async fn a_server_without_the_optional_permissions_serves_and_logs_no_warning() {
    let (log, _guard) = LogLines::start();
    let subscribe = SUBSCRIBE.map(|(subject, _)| subject);
    let nats = NatsServer::builder()
        .config(&config(&subscribe, &PUBLISH[..3]))
        .start()
        .await
        .unwrap();
    let service_bus = bus(&nats, "service", "s").await;
    let mut server = start(&service_bus).await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_millis(300), server.stopped()).await;
    assert!(stopped.is_err(), "{stopped:?}");
    let client: BehaviorClient = bus(&nats, "client", "c").await.client();
    client.echo(Blob::default()).await.unwrap();
    until(|| nats.log().contains("$JS.API.STREAM.NAMES")).await;
    server.shutdown().await.unwrap();
    let lines = log.matching(|line| line.level <= Level::WARN);
    assert!(lines.is_empty(), "{lines:?}");
    // The errors have arrived: their lines are those of async-nats, which `async_nats=warn` leaves out.
    let refused = |line: &LogLine| line.text.contains("Permissions Violation");
    assert!(!log.matching(refused).is_empty());
}

#[tokio::test]
async fn a_missing_permission_is_an_error_that_names_the_subject() {
    for (missing, (line, named)) in SUBSCRIBE.iter().enumerate() {
        let mut subscribe = SUBSCRIBE.map(|(subject, _)| subject).to_vec();
        subscribe.remove(missing);
        let line = format!("`subscribe: \"{line}\"`");
        check_start_fails(&subscribe, &PUBLISH, &[named, &line]).await;
    }
    // Without a publish permission for its own inbox the server cannot check that it is reachable.
    let subscribe = SUBSCRIBE.map(|(subject, _)| subject);
    let named = ["_INBOX.service.", "`publish: \"_INBOX.service.>\"`"];
    check_start_fails(&subscribe, &["_R_.>", "_INBOX.client.>"], &named).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_permission_stops_the_server() {
    let allowed = SUBSCRIBE.map(|(subject, _)| subject);
    let nats = NatsServer::builder().config(&config(&allowed, &PUBLISH));
    let mut nats = nats.start().await.unwrap();
    let port = nats.port();
    let bus = bus(&nats, "service", "s").await;
    let mut server = start(&bus).await.unwrap();
    nats.kill().unwrap();
    drop(nats);
    // The same nats-server comes back with one permission less.
    let _nats = NatsServer::builder()
        .config(&config(&allowed[1..], &PUBLISH))
        .port(port)
        .start()
        .await
        .unwrap();
    let stopped = within(Duration::from_secs(60), server.stopped()).await;
    let error = stopped.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    assert!(
        error.to_string().contains("behavior.v1.Behavior."),
        "{error}"
    );
}

/// Checks that a start fails with one sentence on the cause, which names all of `named`.
async fn check_start_fails(subscribe: &[&str], publish: &[&str], named: &[&str]) {
    let nats = NatsServer::builder()
        .config(&config(subscribe, publish))
        .start()
        .await
        .unwrap();
    let error = start(&bus(&nats, "service", "s").await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    let text = error.to_string();
    for named in named {
        assert!(text.contains(named), "{text} does not name {named}");
    }
    assert_eq!(text.matches("does not let").count(), 1, "{text}");
}
