//! Acknowledgments that do not reach JetStream stop their consumer, and are named.

use std::time::Duration;

use async_nats::jetstream;
use micro_runtime::jetstream::Durable;
use micro_runtime::{Bus, ConnectOptions, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::market::Trade;

use super::market::{TIMEOUT, market_stream, publish_trades};
use super::recorder::Recorder;
use crate::until::until;

/// JetStream is that of another account. Its API is imported, and its acknowledgments only with `imports`.
fn config(imports: &str) -> String {
    format!(
        r#"accounts {{
  OWNER: {{ jetstream: enabled, users: [ {{ user: owner, password: owner }} ]
    exports: [ {{ service: "$JS.API.>", response_type: Stream }}, {{ service: "$JS.ACK.>" }}, {{ service: "attempts.>" }} ] }}
  USER: {{ users: [ {{ user: user, password: user }} ]
    imports: [ {{ service: {{ account: OWNER, subject: "$JS.API.>" }} }}, {{ service: {{ account: OWNER, subject: "attempts.>" }} }} {imports} ] }}
}}
"#
    )
}

async fn connect(nats: &NatsServer, user: &str) -> Bus {
    let options = ConnectOptions::new().user_and_password(user, user);
    Bus::connect_with(options, nats.url()).await.unwrap()
}

async fn unacknowledged(bus: &Bus) -> usize {
    let context = jetstream::new(bus.nats().unwrap().clone());
    let stream = context.get_stream("MARKET").await.unwrap();
    let info = stream.consumer_info("recorder").await.unwrap();
    info.num_ack_pending
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgments_that_nothing_takes_stop_the_consumer_until_they_are_imported() {
    within(TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().config(&config(""));
        let mut nats = nats.start().await.unwrap();
        let owner = connect(&nats, "owner").await;
        owner.declare(&market_stream()).await.unwrap();
        publish_trades(&owner, 1..=3).await;
        let user = connect(&nats, "user").await;
        let recorder = Recorder::succeeding();
        let durable = Durable::named("recorder")
            .ack_wait(Duration::from_secs(1))
            .without_dead_letters();
        let server = Server::new(&user).subscribe::<Trade>(recorder.clone(), durable);
        let server = server.start().await.unwrap();
        until(|| server.events()[0].refused > 0).await;
        let status = server.events().remove(0).last_error.unwrap().to_string();
        assert!(status.contains("`$JS.ACK.MARKET.recorder."), "{status}");
        assert!(
            status.contains("import `$JS.ACK.MARKET.recorder.>`"),
            "{status}"
        );

        let imports = r#", { service: { account: OWNER, subject: "$JS.ACK.>" } }"#;
        nats.reload(&config(imports)).unwrap();
        publish_trades(&owner, 4..=6).await;
        recorder
            .wait_for(|recorder| recorder.succeeded() == [1, 2, 3, 4, 5, 6])
            .await;
        while unacknowledged(&owner).await > 0 {
            tokio::task::yield_now().await;
        }
        server.shutdown().await.unwrap();
    })
    .await;
}
