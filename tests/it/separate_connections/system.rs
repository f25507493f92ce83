//! The connections of a nats-server as its system account sees them, and the end of one of them.

use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use micro_testkit::{NatsServer, within};
use serde_json::{Value, json};

/// Users of two accounts; who does not log in has JetStream.
const CONFIG: &str = r#"
accounts {
  APP { jetstream: enabled, users: [{ user: app, password: app }] }
  SYS { users: [{ user: sys, password: sys }] }
}
system_account: SYS
no_auth_user: app
"#;

/// A client of the system account.
pub(super) struct SystemClient(Client);

/// Starts a nats-server with a system account.
pub(super) async fn start_nats(more: &str) -> (NatsServer, SystemClient) {
    let nats = NatsServer::builder()
        .jetstream()
        .config(CONFIG)
        .config(more);
    let nats = nats.start().await.unwrap();
    let login = ConnectOptions::with_user_and_password("sys".to_owned(), "sys".to_owned());
    let client = login.connect(nats.url()).await.unwrap();
    (nats, SystemClient(client))
}

impl SystemClient {
    /// Returns the names of all connections but the own one, sorted.
    pub(super) async fn names(&self) -> Vec<String> {
        let connections = self.connections().await.1.into_iter();
        let mut names = connections.map(|(name, _)| name).collect::<Vec<_>>();
        names.sort();
        names
    }

    /// Waits until these connections are there, and no others.
    pub(super) async fn until_names(&self, names: &[&str]) {
        let named = async {
            while self.names().await != names {
                tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polling interval
            }
        };
        within(Duration::from_secs(20), named).await;
    }

    /// Ends the connection with this name.
    pub(super) async fn kick(&self, name: &str) {
        let (server, connections) = self.connections().await;
        let found = connections.iter().find(|(found, _)| found == name);
        let id = found.unwrap_or_else(|| panic!("no {name} in {connections:?}"));
        let subject = format!("$SYS.REQ.SERVER.{server}.KICK");
        self.request(subject, &json!({ "cid": id.1 })).await;
    }

    /// Returns the id of the server, and name and id of each connection.
    async fn connections(&self) -> (String, Vec<(String, u64)>) {
        let subject = "$SYS.REQ.SERVER.PING.CONNZ".to_owned();
        let reply = self.request(subject, &json!({})).await;
        let own = self.0.server_info().client_id;
        let connections = reply["data"]["connections"].as_array().unwrap().iter();
        let connections = connections.map(|connection| {
            let name = connection["name"].as_str().unwrap_or_default();
            (name.to_owned(), connection["cid"].as_u64().unwrap())
        });
        let others = connections.filter(|(_, id)| *id != own);
        let server = reply["server"]["id"].as_str().unwrap().to_owned();
        (server, others.collect())
    }

    async fn request(&self, subject: String, request: &Value) -> Value {
        let payload = request.to_string();
        let reply = self.0.request(subject, payload.into()).await;
        serde_json::from_slice(&reply.unwrap().payload).unwrap()
    }
}
