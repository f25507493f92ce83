//! Records as JSON: the bytes that are written, and the variants that other libraries write.

use super::*;
use crate::wire::golden::example;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    owned.collect()
}

#[test]
fn a_ping_has_the_bytes_of_adr_32() {
    let ping = Instance {
        name: "greeter-v1-Greeter".into(),
        id: "a1".into(),
        version: "1.2.3".into(),
        metadata: labels(&[("micro.wire", "2")]),
    };
    let json = write(&ping);
    example("ping_response").check(None, &json);
    assert_eq!(read(&json), Ok((ping.clone(), Vec::new())));
    assert_eq!(read::<Info>(&json).unwrap_err().field, "type");
    let event = LifecycleEvent::new(EventKind::Started, &ping);
    example("instance_started").check(None, &write(&event));
    assert_eq!(event.into_instance(), ping);
}

#[test]
fn required_fields_are_written_even_if_they_are_empty() {
    let stats = Stats {
        endpoints: vec![EndpointStats::default()],
        ..Stats::default()
    };
    let json = String::from_utf8(write(&stats)).unwrap();
    assert_eq!(
        json,
        r#"{"type":"io.nats.micro.v1.stats_response","name":"","id":"","version":"","metadata":{},"started":"","endpoints":[{"name":"","subject":"","queue_group":"","num_requests":0,"num_errors":0,"last_error":"","processing_time":0,"average_processing_time":0}]}"#
    );
}

#[test]
fn missing_fields_and_nulls_of_other_libraries_are_read() {
    let json = r#"{"type":"io.nats.micro.v1.stats_response","name":"a","id":"1","version":"0.1.0",
        "metadata":null,"started":"2026-11-22T20:14:07Z","endpoints":[{"name":"e","subject":"s",
        "num_requests":2,"num_errors":0,"last_error":null,"processing_time":1500.5,
        "average_processing_time":750,"data":{"anything":1}}]}"#;
    let (stats, invalid_fields) = read::<Stats>(json.as_bytes()).unwrap();
    assert_eq!(invalid_fields, []);
    assert_eq!(stats.metadata, Labels::new());
    let endpoint = &stats.endpoints[0];
    assert_eq!(endpoint.last_error, "");
    assert_eq!(endpoint.data, None);
    assert!(endpoint.processing_time >= Duration::from_nanos(1500));
    let json = r#"{"type":"io.nats.micro.v1.info_response","name":"a","id":"1","version":"0.1.0"}"#;
    assert_eq!(read::<Info>(json.as_bytes()).unwrap().0.endpoints, []);
    read::<Instance>(b"{}").unwrap_err();
    read::<Instance>(b"").unwrap_err();
}
