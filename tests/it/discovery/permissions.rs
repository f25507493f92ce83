//! The permissions of an operator, line by line; those of a service are in `tests/it/permissions.rs`.

use std::time::Duration;

use micro_runtime::{Bus, ConnectOptions, Error, ErrorKind};
use micro_testkit::{NatsServer, within};

use super::handwritten_services::OneGreeter;

/// Subscribe permissions of an operator.
const SUBSCRIBE: [&str; 2] = ["_INBOX.operator.>", "$SRV._EVENT.>"];

/// Connects a service without limits and an operator with these permissions.
async fn connect_operator(subscribe: &[&str], publish: &str) -> (NatsServer, Bus, Bus) {
    let allowed = subscribe.iter().map(|subject| format!("\"{subject}\""));
    let config = format!(
        r#"authorization {{ users = [
          {{ user: service, password: s }}
          {{ user: operator, password: o, permissions: {{
              subscribe: {{ allow: [{}] }}, publish: {{ allow: [{publish}] }} }} }}
        ] }}
"#,
        allowed.collect::<Vec<_>>().join(", ")
    );
    let nats = NatsServer::builder().config(&config).start().await.unwrap();
    let connect = async |user: &str, password: &str| {
        let options = ConnectOptions::new()
            .user_and_password(user, password)
            .inbox_prefix(format!("_INBOX.{user}"));
        Bus::connect_with(options, nats.url()).await.unwrap()
    };
    let (service, operator) = (
        connect("service", "s").await,
        connect("operator", "o").await,
    );
    (nats, service, operator)
}

/// Starts a watch and lists instances as the operator; returns the number of instances.
async fn watch_and_list(subscribe: &[&str], publish: &str) -> Result<usize, Error> {
    let (_nats, service, operator) = connect_operator(subscribe, publish).await;
    let server = micro_runtime::Server::new(&service).add(OneGreeter);
    let _server = server.start().await.unwrap();
    within(Duration::from_secs(20), async {
        let _watch = operator.discovery().watch().open().await?;
        let found = operator.discovery().list().await?;
        Ok(found.len())
    })
    .await
}

#[tokio::test]
async fn the_operator_permissions_are_sufficient() {
    let found = watch_and_list(&SUBSCRIBE, r#""$SRV.>", "_INBOX.operator.>""#).await;
    assert_eq!(found.unwrap(), 1);
}

#[tokio::test]
async fn a_missing_operator_permission_is_named() {
    let check = async |subscribe: &[&str], publish: &str, named: &str| {
        let error = watch_and_list(subscribe, publish).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    };
    let inbox = r#""_INBOX.operator.>""#;
    check(&SUBSCRIBE, inbox, "$SRV.INFO").await;
    check(
        &SUBSCRIBE[..1],
        r#""$SRV.>", "_INBOX.operator.>""#,
        "$SRV._EVENT.>",
    )
    .await;
}
