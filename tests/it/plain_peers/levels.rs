//! Calls of a peer that serves its methods alone, or those and `$SRV`, and the errors that state it.

use async_nats::Message;
use futures_util::StreamExt as _;
use micro_runtime::discovery::Info;
use micro_runtime::{
    Bus, ClientOptions, Code, Reason, Server, Service as _, ServiceOptions, Status,
};
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::streams::{StreamsClient, StreamsServer};
use micro_tests::{BehaviorHandler, StreamsHandler};
use serde_json::{Value, json};

use super::plain_service::{MAX_PAYLOAD, serve, small_messages};
use crate::carriers::{Carrier, on_both_carriers};
use crate::layered::with_and_without_layer;
use crate::round_trip::round_trip;

const BEHAVIOR: &str = "behavior.v1.Behavior";
const STREAMS: &str = "streams.v1.Streams";

/// Replies to each request on `subject` with `payload`.
async fn reply(carrier: &Carrier, subject: &str, payload: Vec<u8>) {
    let bus = carrier.another_bus().await;
    let nats = bus.nats().unwrap().clone();
    let mut requests = nats.subscribe(subject.to_owned()).await.unwrap();
    round_trip(&nats).await;
    tokio::spawn(async move {
        let _bus = bus;
        while let Some(Message { reply, .. }) = requests.next().await {
            let sent = nats.publish(reply.unwrap(), payload.clone().into());
            sent.await.unwrap();
        }
    });
}

/// INFO of a service that is not built on this library, with one endpoint for each method.
fn info(service: &str, metadata: &Value, methods: &[&str]) -> Vec<u8> {
    let endpoint = |method: &&str| json!({"name": method, "subject": format!("{service}.{method}"), "queue_group": "q", "metadata": null});
    let info = json!({
        "type": "io.nats.micro.v1.info_response",
        "name": service.replace('.', "-"),
        "id": "plain1",
        "version": "1.0.0",
        "description": "",
        "metadata": metadata,
        "endpoints": methods.iter().map(endpoint).collect::<Vec<_>>(),
    });
    info.to_string().into()
}

#[track_caller]
fn check(status: &Status, code: Code, reason: Reason, parts: &[&str]) {
    assert_eq!(
        (status.code(), status.reason()),
        (code, Some(reason)),
        "{status}"
    );
    for part in parts {
        assert!(status.message().contains(part), "`{part}` in {status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_serves_its_methods_alone_is_not_called_gone() {
    let carrier = small_messages().await;
    let runs = serve(&carrier, "behavior.v1.Behavior.Echo", |_: Blob| {
        b"\x0a\x02hi".to_vec()
    })
    .await;
    for options in with_and_without_layer(&ClientOptions::new()) {
        let client: BehaviorClient = carrier.bus.client_with(options.clone());
        client.echo(Blob::default()).await.unwrap();
        let status = client.echo(Blob::default()).to_all().await.err().unwrap();
        let parts = ["`_i._all`", "none runs", "of its methods alone"];
        check(&status, Code::Unavailable, Reason::NoResponders, &parts);
        let one: BehaviorClient = carrier.bus.client_with(options.clone().instance("plain1"));
        let large = Blob {
            data: vec![1; 2 * MAX_PAYLOAD],
        };
        let streams: StreamsClient = carrier.bus.client_with(options.instance("plain1"));
        for status in [
            one.echo(Blob::default()).await.unwrap_err(),
            one.echo(large).await.unwrap_err(),
            streams.collect().open().await.err().unwrap(),
        ] {
            let parts = [
                "`plain1`",
                "under `_i`",
                "it has stopped",
                "of its methods alone",
            ];
            check(&status, Code::Unavailable, Reason::NoResponders, &parts);
        }
    }
    assert_eq!(runs.load(std::sync::atomic::Ordering::SeqCst), 2);
    // It has neither INFO nor a schema.
    let status = carrier.bus.dynamic(BEHAVIOR).await.unwrap_err();
    let parts = ["or none that replies to `_schema`"];
    check(&status, Code::Unavailable, Reason::NoResponders, &parts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_adr_32_is_called_with_what_fits_and_nothing_else_is_sent() {
    let carrier = small_messages().await;
    let runs = serve(&carrier, "behavior.v1.Behavior.Echo", |_: Blob| {
        b"\x0a\x02hi".to_vec()
    })
    .await;
    let record = info(BEHAVIOR, &json!({"empty": null, "shard": 7}), &["Echo"]);
    reply(&carrier, "$SRV.INFO.behavior-v1-Behavior", record.clone()).await;
    reply(&carrier, "$SRV.INFO.behavior-v1-Behavior.plain1", record).await;
    for options in with_and_without_layer(&ClientOptions::new()) {
        let bus: &Bus = &carrier.bus;
        let client = bus.dynamic_with(BEHAVIOR, options.clone()).await.unwrap();
        assert_eq!(
            client.call_raw("Echo", "").await.unwrap().message,
            "\x0a\x02hi"
        );
        let status = client
            .call_raw("Echo", vec![0; 2 * MAX_PAYLOAD])
            .await
            .unwrap_err();
        let parts = [
            "8192 bytes",
            "4096 bytes",
            "no `micro.wire`",
            "nothing was sent",
        ];
        check(&status, Code::Unimplemented, Reason::NotAService, &parts);
        let one = bus.dynamic_with(BEHAVIOR, options.instance("plain1"));
        let parts = ["`plain1` of `behavior-v1-Behavior`", "not under `_i`"];
        check(
            &one.await.unwrap_err(),
            Code::Unimplemented,
            Reason::NotAService,
            &parts,
        );
    }
    assert_eq!(runs.load(std::sync::atomic::Ordering::SeqCst), 2);
    let found = carrier
        .bus
        .discovery()
        .get(BEHAVIOR)
        .expected(1)
        .await
        .unwrap();
    assert_eq!(found[0].metadata["empty"], "");
    assert_eq!(found[0].metadata["shard"], "7");
    let status = ClientOptions::new().instance_of(&found[0]).unwrap_err();
    check(
        &status,
        Code::Unimplemented,
        Reason::NotAService,
        &["`plain1`"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_a_schema_and_no_streams_gets_no_opening() {
    let carrier = small_messages().await;
    let schema = StreamsServer::<StreamsHandler>::SERVICE.file_descriptor_set;
    let metadata = json!({"micro.service": STREAMS});
    let record = info(STREAMS, &metadata, &["Count", "Collect", "Echo", "Repeat"]);
    reply(&carrier, "$SRV.INFO.streams-v1-Streams", record).await;
    reply(&carrier, "streams.v1.Streams.Repeat", b"\x08\x07".to_vec()).await;
    let mut requests = carrier
        .bus
        .nats()
        .unwrap()
        .subscribe("streams.v1.Streams.*")
        .await
        .unwrap();
    // A schema above 4 KiB, in one message of another bus's nats-server: here it is offered by no one.
    let small = schema.len() < MAX_PAYLOAD;
    assert!(small, "the schema takes {} bytes", schema.len());
    reply(&carrier, "streams.v1.Streams._schema", schema.to_vec()).await;
    let client = carrier.bus.dynamic(STREAMS).await.unwrap();
    let reply = client.call("Repeat", "{}").await.unwrap();
    assert_eq!(reply.json().unwrap(), json!({"number": "7"}));
    let large = json!({"data": "A".repeat(2 * MAX_PAYLOAD)});
    for status in [
        client.call("Count", "{}").stream().await.err().unwrap(),
        client.call_streaming("Collect").open().await.err().unwrap(),
        client.call_streaming("Echo").open().await.err().unwrap(),
        client.call("Repeat", large).await.unwrap_err(),
    ] {
        let parts = ["no `micro.wire`", "nothing was sent"];
        check(&status, Code::Unimplemented, Reason::NotAService, &parts);
    }
    // The request for the schema, and the only call.
    for subject in ["streams.v1.Streams._schema", "streams.v1.Streams.Repeat"] {
        assert_eq!(requests.next().await.unwrap().subject.as_str(), subject);
    }
    carrier
        .bus
        .nats()
        .unwrap()
        .publish("streams.v1.Streams.end", "".into())
        .await
        .unwrap();
    let next = requests.next().await.unwrap();
    assert_eq!(next.subject.as_str(), "streams.v1.Streams.end");
}

on_both_carriers! {
    a_record_of_discovery_names_the_instance_to_call
}

async fn a_record_of_discovery_names_the_instance_to_call(carrier: Carrier) {
    let mut servers = Vec::new();
    for id in ["a", "b"] {
        let bus = carrier.another_bus().await;
        let options = ServiceOptions::new().instance(id);
        let handler = BehaviorServer::new(BehaviorHandler::on(&bus));
        let server = Server::new(&bus).add_with(handler, options);
        servers.push(server.start().await.unwrap());
    }
    let discovery = carrier.bus.discovery();
    let found = discovery.get(BEHAVIOR).expected(2).await.unwrap();
    let record: &Info = found.iter().find(|info| info.id == "b").unwrap();
    let options = ClientOptions::new().instance_of(record).unwrap();
    let client: BehaviorClient = carrier.bus.client_with(options.clone());
    let dynamic = carrier.bus.dynamic_with(BEHAVIOR, options).await.unwrap();
    for _ in 0..10 {
        client.echo(Blob::default()).await.unwrap();
        dynamic.call("Echo", "{}").await.unwrap();
        // Bytes to one instance go to that instance, too.
        dynamic.call_raw("Echo", "").await.unwrap();
    }
    let stats = discovery.stats().of(BEHAVIOR).expected(2).await.unwrap();
    for stats in stats {
        let echo = stats.endpoints.iter().find(|one| one.name == "Echo");
        let expected = if stats.id == "b" { 30 } else { 0 };
        assert_eq!(echo.unwrap().num_requests, expected, "{}", stats.id);
    }
}
