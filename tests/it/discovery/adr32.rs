//! The nine subjects of ADR-32 and the records on them.

use std::time::Duration;

use micro_runtime::{ErrorKind, Server, ServiceOptions};
use micro_testkit::NatsServer;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::handwritten_services::OneGreeter;
use super::plain_client::{plain_client, request_json};
use super::record_schema::violations;
use crate::behavior::requests::millis;
use crate::carriers::{Carrier, on_both_carriers};
use crate::until::until;

on_both_carriers! {
    all_nine_subjects_reply_with_valid_records
    info_has_the_effective_options
    queue_groups_are_set_and_disabled_at_each_level
    queries_get_replies_while_every_permit_is_held
    the_discovery_prefix_is_configurable
    a_stopped_service_does_not_reply
    the_schema_is_the_compiled_descriptor_set
    reserved_metadata_is_rejected
    no_reply_is_sent_to_a_forbidden_subject
}

async fn all_nine_subjects_reply_with_valid_records(carrier: Carrier) {
    let fixture = carrier.serve().await;
    fixture.client.wait(millis(0)).await.unwrap();
    let Some(client) = plain_client(&carrier).await else {
        return;
    };
    let id = &fixture.server.instances()[0];
    for verb in ["PING", "INFO", "STATS"] {
        for tail in [
            String::new(),
            ".behavior-v1-Behavior".into(),
            format!(".behavior-v1-Behavior.{id}"),
        ] {
            let record = request_json(&client, &format!("$SRV.{verb}{tail}")).await;
            assert_eq!(violations(verb, &record), [""; 0], "{record}");
            assert_eq!(record["name"], "behavior-v1-Behavior");
            assert_eq!(record["id"], **id);
        }
    }
    let unknown = client.request("$SRV.PING.behavior-v1-Behavior.unknown", "".into());
    assert!(unknown.await.is_err());
}

async fn info_has_the_effective_options(carrier: Carrier) {
    let options = ServiceOptions::new()
        .instance("a1")
        .metadata("zone", "eu-west-1")
        .method_max_concurrent("Echo", 7)
        .timeout(Duration::from_millis(1500));
    let server = Server::new(&carrier.bus)
        .add_with(BehaviorServer::new(BehaviorHandler::default()), options)
        .start()
        .await
        .unwrap();
    let found = carrier.bus.discovery().list().expected(1).await.unwrap();
    assert_eq!(found, server.info());
    let info = &found[0];
    assert_eq!(info.id, "a1");
    assert_eq!(
        info.description,
        "Does on demand whatever a service may do."
    );
    assert_eq!(info.version, "0.1.0");
    for (key, value) in [
        ("zone", "eu-west-1"),
        ("micro.package", "behavior.v1"),
        ("micro.service", "behavior.v1.Behavior"),
        ("micro.prefix", ""),
        ("micro.wire", "2"),
    ] {
        assert_eq!(info.metadata[key], value, "{key}");
    }
    assert_eq!(info.endpoints.len(), 17);
    let echo = &info.endpoints[0];
    assert_eq!(
        (&*echo.name, &*echo.subject),
        ("Echo", "behavior.v1.Behavior.Echo")
    );
    for (key, value) in [
        ("micro.method", "behavior.v1.Behavior.Echo"),
        ("micro.kind", "unary"),
        ("micro.timeout_ms", "1500"),
        ("micro.idempotency", "unknown"),
        ("micro.request", "behavior.v1.Blob"),
        ("micro.reply", "behavior.v1.Blob"),
        ("micro.max_request_bytes", "4194304"),
        ("micro.max_concurrent", "7"),
    ] {
        assert_eq!(echo.metadata[key], value, "{key}");
    }
    let swap = info.endpoints.iter().find(|e| e.name == "Swap").unwrap();
    assert_eq!(swap.metadata["micro.idempotency"], "no_side_effects");
}

async fn queue_groups_are_set_and_disabled_at_each_level(carrier: Carrier) {
    let check = async |server_level: Option<&str>, options: ServiceOptions, expected: [&str; 2]| {
        let mut server = Server::new(&carrier.bus);
        if let Some(group) = server_level {
            server = server.queue_group(group);
        }
        let service = BehaviorServer::new(BehaviorHandler::default());
        let server = server.add_with(service, options.clone());
        let server = server.start().await.unwrap();
        let info = &server.info()[0];
        let found = [0, 1].map(|at: usize| info.endpoints[at].queue_group.as_str());
        assert_eq!(found, expected, "{server_level:?} {options:?}");
        server.shutdown().await.unwrap();
    };
    let options = ServiceOptions::new;
    check(None, options(), ["q", "q"]).await;
    check(Some("s"), options(), ["s", "s"]).await;
    check(Some("-"), options(), ["", ""]).await;
    check(Some("-"), options().queue_group("a"), ["a", "a"]).await;
    check(Some("s"), options().queue_group("-"), ["", ""]).await;
    let method = options().method_queue_group("Echo", "m");
    check(Some("s"), method, ["m", "s"]).await;
    let method = options().queue_group("a").method_queue_group("Echo", "-");
    check(None, method, ["", "a"]).await;
}

async fn queries_get_replies_while_every_permit_is_held(carrier: Carrier) {
    let fixture = carrier.serve_with(|server| server.max_concurrent(2)).await;
    let call = fixture
        .client
        .wait(millis(60_000))
        .timeout(Duration::from_secs(60));
    let other = fixture
        .client
        .wait(millis(60_000))
        .timeout(Duration::from_secs(60));
    let held = [
        tokio::spawn(async { call.await }),
        tokio::spawn(async { other.await }),
    ];
    until(|| fixture.handler.started() == 2).await;
    let rejected = fixture.client.wait(millis(0)).no_retry().await.unwrap_err();
    assert_eq!(rejected.code(), micro_runtime::Code::ResourceExhausted);
    let discovery = carrier.bus.discovery();
    assert_eq!(
        discovery.list().expected(1).await.unwrap(),
        fixture.server.info()
    );
    let stats = discovery.stats().expected(1).await.unwrap();
    let wait = stats[0]
        .endpoints
        .iter()
        .find(|e| e.name == "Wait")
        .unwrap();
    let data = wait.data.as_ref().unwrap();
    assert_eq!((data.in_flight, data.shed), (2, 1));
    assert_eq!(fixture.handler.started(), 2, "no permit was free");
    held.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn the_discovery_prefix_is_configurable(carrier: Carrier) {
    let _fixture = carrier
        .serve_with(|server| server.discovery_prefix("acme.$SRV"))
        .await;
    let discovery = carrier.bus.discovery();
    assert_eq!(discovery.list().await.unwrap(), []);
    let found = discovery.prefix("acme.$SRV").list().expected(1).await;
    assert_eq!(found.unwrap().len(), 1);
    let server = Server::new(&carrier.bus)
        .discovery_prefix("a b")
        .add(OneGreeter);
    let error = server.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Service);
    let wrong = carrier.bus.discovery().prefix("a.*").list().await;
    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::Configuration);
}

async fn a_stopped_service_does_not_reply(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let discovery = carrier.bus.discovery();
    assert_eq!(discovery.ping().expected(1).await.unwrap().len(), 1);
    fixture.server.shutdown().await.unwrap();
    assert_eq!(discovery.ping().await.unwrap(), []);
}

async fn the_schema_is_the_compiled_descriptor_set(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let Some(client) = plain_client(&carrier).await else {
        return;
    };
    let id = &fixture.server.instances()[0];
    let mut schemas = Vec::new();
    for tail in ["_schema".to_owned(), format!("_i.{id}._schema")] {
        let subject = format!("behavior.v1.Behavior.{tail}");
        let reply = client.request(subject, "".into()).await.unwrap();
        assert!(reply.headers.is_none());
        schemas.push(reply.payload);
    }
    assert_eq!(schemas[0], schemas[1]);
    let digest = Sha256::digest(&schemas[0]);
    let hex = digest.iter().map(|byte| format!("{byte:02x}"));
    let info = &fixture.server.info()[0];
    assert_eq!(info.metadata["micro.schema"], hex.collect::<String>());
    let name = b"behavior.proto";
    assert!(schemas[0].windows(name.len()).any(|part| part == name));
}

async fn reserved_metadata_is_rejected(carrier: Carrier) {
    for key in ["micro.wire", "_nats.x"] {
        let options = ServiceOptions::new().metadata(key, "x");
        let server = Server::new(&carrier.bus).add_with(OneGreeter, options);
        let error = server.start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Service);
        assert!(error.to_string().contains(key), "{error}");
    }
}

/// A plain client gets an error. A client of the protocol reads the header `Micro-Stream` and fetches the
/// schema as a stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_above_max_payload_is_offered_as_a_stream() {
    let nats = NatsServer::builder()
        .max_payload(4096)
        .start()
        .await
        .unwrap();
    let bus = micro_runtime::Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
    let _server = server.start().await.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let reply = client
        .request("behavior.v1.Behavior._schema", "".into())
        .await;
    let headers = reply.unwrap().headers.unwrap();
    assert_eq!(
        headers.get("Nats-Service-Error-Code").unwrap().as_str(),
        "413"
    );
    let offer = headers.get("Micro-Stream").unwrap().as_str();
    assert!(offer.starts_with("v=2;u=1;l="), "{offer}");
}

#[tokio::test]
async fn info_names_the_prefix_of_the_bus() {
    let bus = micro_runtime::Bus::in_process()
        .with_prefix("staging")
        .unwrap();
    let server = Server::new(&bus).add(OneGreeter).start().await.unwrap();
    let info = serde_json::to_value(&server.info()[0]).unwrap();
    assert_eq!(info["metadata"]["micro.prefix"], "staging");
    let subject = &info["endpoints"][0]["subject"];
    assert_eq!(subject, &Value::from("staging.one.v1.Greeter.Greet"));
}

async fn no_reply_is_sent_to_a_forbidden_subject(carrier: Carrier) {
    let _fixture = carrier.serve().await;
    let Some(client) = plain_client(&carrier).await else {
        return;
    };
    let mut forbidden = client.subscribe("admin.>").await.unwrap();
    for subject in [
        "$SRV.PING",
        "$SRV.INFO.behavior-v1-Behavior",
        "$SRV.STATS",
        "behavior.v1.Behavior._health",
        "behavior.v1.Behavior._schema",
        "behavior.v1.Behavior._i._all.Echo",
    ] {
        let publish = client.publish_with_reply(subject, "admin.delete", "".into());
        publish.await.unwrap();
    }
    // The messages of one subject are handled in order: after these replies the requests for records
    // above are done.
    for verb in ["PING", "INFO", "STATS"] {
        request_json(&client, &format!("$SRV.{verb}")).await;
    }
    let short_wait = Duration::from_millis(100);
    let reply =
        tokio::time::timeout(short_wait, futures_util::StreamExt::next(&mut forbidden)).await;
    assert!(reply.is_err(), "{reply:?}");
}
