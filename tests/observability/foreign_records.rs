//! Warnings of records of discovery that cannot be read whole.

use futures_util::StreamExt as _;
use micro_runtime::Bus;
use micro_testkit::NatsServer;

use crate::round_trip::round_trip;
use crate::trace_log::TraceLog;

/// Message of the warning.
const WARNING: &str = "a record of discovery has a field that cannot be read; it is left out";

/// Replies of two peers to each INFO: one with a label that is no text, and one that is no record at all.
const REPLIES: [&str; 2] = [
    r#"{"type":"io.nats.micro.v1.info_response","name":"calc","id":"1","version":"1.0.0",
        "metadata":{"limits":{"rate":5},"zone":null,"shard":7},"endpoints":null}"#,
    r#"{"stream":"ALL","seq":1}"#,
];

/// Checks that each invalid field of a service is logged once, with service and field, however often it is seen.
pub(crate) async fn check_warnings(log: &TraceLog) {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let peer = async_nats::connect(nats.url()).await.unwrap();
    let mut queries = peer.subscribe("$SRV.INFO.calc").await.unwrap();
    round_trip(&peer).await;
    let peer = tokio::spawn(async move {
        while let Some(query) = queries.next().await {
            let reply = query.reply.unwrap();
            for record in REPLIES.into_iter().rev() {
                let sent = peer.publish(reply.clone(), record.into());
                sent.await.unwrap();
            }
        }
    });
    log.clear();
    for _ in 0..3 {
        let found = bus.discovery().get("calc").expected(1).await.unwrap();
        let labels = found[0]
            .metadata
            .iter()
            .map(|(key, value)| (&**key, &**value));
        assert_eq!(labels.collect::<Vec<_>>(), [("shard", "7"), ("zone", "")]);
    }
    let warnings = log.events(WARNING);
    let fields = warnings.iter().map(|event| {
        let field = |name: &str| event.get(name).unwrap().replace('"', "");
        (field("service"), field("field"), field("found"))
    });
    let mut fields = fields.collect::<Vec<_>>();
    fields.sort();
    let expected = [
        ("calc", "metadata.limits", "an object"),
        ("calc", "type", "another record than the one asked for"),
    ];
    let expected =
        expected.map(|(service, field, found)| (service.into(), field.into(), found.into()));
    assert_eq!(fields, expected);
    peer.abort();
}
