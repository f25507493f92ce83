//! Trace headers that are forwarded with nested calls, and those that are too long for it.

use std::time::Duration;

use async_nats::HeaderMap;
use futures_util::StreamExt as _;
use micro_runtime::{Bus, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use prost::Message as _;

use crate::behavior::requests::millis;
use crate::round_trip::round_trip;

/// Names of the trace headers, and the maximum lengths of their values.
const LIMITS: [(&str, usize); 3] = [("traceparent", 128), ("tracestate", 512), ("baggage", 8192)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trace_headers_beyond_their_limits_are_not_forwarded() {
    within(Duration::from_secs(60), async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let service = BehaviorServer::new(BehaviorHandler::on(&bus));
        let _server = Server::new(&bus).add(service).start().await.unwrap();
        let plain = async_nats::connect(nats.url()).await.unwrap();
        let mut nested = plain.subscribe("behavior.v1.Behavior.Wait").await.unwrap();
        round_trip(&plain).await;
        // Makes a call with these headers, and returns the headers of the call that its handler makes.
        let mut relay = async |lengths: [usize; 3], is_upper_case: bool| {
            let mut headers = HeaderMap::new();
            for ((name, _), length) in LIMITS.into_iter().zip(lengths) {
                let name = match is_upper_case {
                    true => name.to_uppercase(),
                    false => name.to_owned(),
                };
                headers.insert(name.as_str(), "x".repeat(length));
            }
            let payload = millis(0).encode_to_vec().into();
            let subject = "behavior.v1.Behavior.Relay";
            let reply = plain.request_with_headers(subject, headers, payload).await;
            // Too long a header is no error: it is not the caller's alone.
            let headers = reply.unwrap().headers.unwrap_or_default();
            assert!(headers.get("Micro-Status").is_none(), "{headers:?}");
            nested.next().await.unwrap().headers.unwrap_or_default()
        };
        let limits = LIMITS.map(|(_, limit)| limit);
        for is_upper_case in [false, true] {
            let forwarded = relay(limits, is_upper_case).await;
            for (name, limit) in LIMITS {
                assert_eq!(forwarded.get(name).unwrap().as_str().len(), limit, "{name}");
            }
        }
        for (index, (name, limit)) in LIMITS.into_iter().enumerate() {
            for length in [limit + 1, 10 * limit, 500_000] {
                let mut lengths = limits;
                lengths[index] = length;
                let forwarded = relay(lengths, false).await;
                assert!(forwarded.get(name).is_none(), "{name} of {length} bytes");
                let others = LIMITS.iter().filter(|(other, _)| *other != name);
                assert!(
                    others
                        .clone()
                        .all(|(other, _)| forwarded.get(*other).is_some())
                );
            }
        }
    })
    .await;
}
