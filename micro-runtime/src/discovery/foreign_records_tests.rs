//! Records as the clients of the NATS organization write them, and what is left out of those that break ADR-32.

use super::*;

/// Records of one library: PING, INFO and STATS of a service with one endpoint.
struct Library {
    name: &'static str,
    ping: &'static str,
    info: &'static str,
    stats: &'static str,
    /// Value of the label `empty` of the service, which its user has set to an empty text.
    has_empty_label: bool,
    queue_group: &'static str,
}

const LIBRARIES: [Library; 4] = [
    Library {
        name: "nats.go",
        ping: r#"{"name":"calc","id":"VYnQ4cQ6","version":"1.2.3","metadata":{"empty":"","zone":"a"},
            "type":"io.nats.micro.v1.ping_response"}"#,
        // An endpoint without metadata has null, and so has one that was never called no last error.
        info: r#"{"name":"calc","id":"VYnQ4cQ6","version":"1.2.3","metadata":{"empty":"","zone":"a"},
            "type":"io.nats.micro.v1.info_response","description":"","endpoints":[
            {"name":"add","subject":"calc.add","queue_group":"q","metadata":null}]}"#,
        stats: r#"{"name":"calc","id":"VYnQ4cQ6","version":"1.2.3","metadata":{"empty":"","zone":"a"},
            "type":"io.nats.micro.v1.stats_response","started":"2026-11-22T20:14:07.123456789Z","endpoints":[
            {"name":"add","subject":"calc.add","queue_group":"q","num_requests":3,"num_errors":1,
            "last_error":"400:bad","processing_time":3000,"average_processing_time":1000}]}"#,
        has_empty_label: true,
        queue_group: "q",
    },
    Library {
        name: "jnats",
        ping: r#"{"id":"VYnQ4cQ6","name":"calc","version":"1.2.3","type":"io.nats.micro.v1.ping_response",
            "metadata":{"empty":null,"zone":"a"}}"#,
        // Empty texts are left out, and those of a map are null.
        info: r#"{"id":"VYnQ4cQ6","name":"calc","version":"1.2.3","type":"io.nats.micro.v1.info_response",
            "metadata":{"empty":null,"zone":"a"},"endpoints":[{"name":"add","subject":"calc.add","queue_group":"q"}]}"#,
        // `started` of an endpoint is jnats's own.
        stats: r#"{"id":"VYnQ4cQ6","name":"calc","version":"1.2.3","type":"io.nats.micro.v1.stats_response",
            "metadata":{"empty":null,"zone":"a"},"started":"2026-11-22T20:14:07.123456789Z","endpoints":[
            {"name":"add","subject":"calc.add","queue_group":"q","num_requests":3,"num_errors":1,
            "processing_time":3000,"average_processing_time":1000,"last_error":"400:bad","data":"{\"hits\":3}",
            "started":"2026-11-22T20:14:07.123456789Z"}]}"#,
        has_empty_label: true,
        queue_group: "q",
    },
    Library {
        name: "nats.js",
        // Nothing checks that labels are texts.
        ping: r#"{"type":"io.nats.micro.v1.ping_response","name":"calc","id":"VYnQ4cQ6","version":"1.2.3",
            "metadata":{"empty":"","zone":"a","shard":7,"canary":true,"ratio":0.5}}"#,
        info: r#"{"type":"io.nats.micro.v1.info_response","name":"calc","id":"VYnQ4cQ6","version":"1.2.3",
            "description":"","metadata":{"empty":"","zone":"a","shard":7,"canary":true,"ratio":0.5},"endpoints":[
            {"subject":"calc.add","name":"add","queue_group":""}]}"#,
        // A last error is there once there was one; times are milliseconds in nanoseconds.
        stats: r#"{"type":"io.nats.micro.v1.stats_response","name":"calc","id":"VYnQ4cQ6","version":"1.2.3",
            "started":"2026-11-22T20:14:07.123Z","metadata":{"empty":"","zone":"a"},"endpoints":[{"name":"add",
            "subject":"calc.add","average_processing_time":1000.0,"num_errors":1.0,"processing_time":3000,
            "num_requests":3,"queue_group":"","last_error":"400:bad"}]}"#,
        has_empty_label: true,
        queue_group: "",
    },
    Library {
        name: "nats-py",
        ping: r#"{"type": "io.nats.micro.v1.ping_response", "id": "VYnQ4cQ6", "name": "calc", "version": "1.2.3",
            "metadata": {"zone": "a"}}"#,
        info: r#"{"type": "io.nats.micro.v1.info_response", "id": "VYnQ4cQ6", "name": "calc", "version": "1.2.3",
            "description": null, "endpoints": [{"name": "add", "subject": "calc.add", "queue_group": "q",
            "metadata": null}], "metadata": {"zone": "a"}}"#,
        stats: r#"{"type": "io.nats.micro.v1.stats_response", "name": "calc", "id": "VYnQ4cQ6", "version": "1.2.3",
            "started": "2026-11-22T20:14:07.123Z", "endpoints": [{"name": "add", "subject": "calc.add",
            "queue_group": "q", "num_requests": 3, "num_errors": 1, "last_error": "400:bad",
            "processing_time": 3000, "average_processing_time": 1000, "data": null}], "metadata": {"zone": "a"}}"#,
        has_empty_label: false,
        queue_group: "q",
    },
];

#[test]
fn records_of_every_library_are_read_whole() {
    fn read_whole<R: JsonRecord>(library: &Library, json: &str) -> R {
        let (record, invalid_fields) = read::<R>(json.as_bytes()).unwrap();
        assert_eq!(invalid_fields, [], "{}", library.name);
        assert_eq!(record.instance(), ("calc", "VYnQ4cQ6"), "{}", library.name);
        let labels = record.metadata();
        assert_eq!(labels["zone"], "a", "{}", library.name);
        let empty = labels.get("empty").map(String::as_str);
        assert_eq!(
            empty,
            library.has_empty_label.then_some(""),
            "{}",
            library.name
        );
        record
    }
    for library in &LIBRARIES {
        let ping = read_whole::<Instance>(library, library.ping);
        assert_eq!(ping.version, "1.2.3");
        let info = read_whole::<Info>(library, library.info);
        let endpoint = &info.endpoints[0];
        assert_eq!((&*endpoint.name, &*endpoint.subject), ("add", "calc.add"));
        assert_eq!(
            endpoint.queue_group, library.queue_group,
            "{}",
            library.name
        );
        assert!(endpoint.metadata.is_empty());
        let stats = read_whole::<Stats>(library, library.stats);
        let endpoint = &stats.endpoints[0];
        assert_eq!((endpoint.num_requests, endpoint.num_errors), (3, 1));
        assert_eq!(endpoint.last_error, "400:bad");
        assert_eq!(endpoint.average_processing_time, Duration::from_nanos(1000));
        assert!(stats.started.starts_with("2026-11-22T20:14:07"));
        assert_eq!(endpoint.queue_group, library.queue_group);
    }
    let (ping, _) = read::<Instance>(LIBRARIES[2].ping.as_bytes()).unwrap();
    let labels = ["shard", "canary", "ratio"].map(|key| &*ping.metadata[key]);
    assert_eq!(labels, ["7", "true", "0.5"]);
}

#[test]
fn what_cannot_be_read_is_left_out_alone_and_named() {
    let check = |fields: &str, expected: &[(&str, &str)]| {
        let json = format!(
            r#"{{"type":"io.nats.micro.v1.stats_response","name":"calc","id":"1","version":"0.1.0",{fields}}}"#
        );
        let (stats, invalid_fields) = read::<Stats>(json.as_bytes()).unwrap();
        let found = invalid_fields.iter().map(|one| (&*one.field, one.found));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{fields}");
        assert!(invalid_fields.iter().all(|one| one.service == "calc"));
        stats
    };
    let stats = check(
        r#""metadata":{"a":{"b":1},"c":["d"],"e":"f"}"#,
        &[("metadata.a", "an object"), ("metadata.c", "an array")],
    );
    assert_eq!(
        stats.metadata.into_iter().collect::<Vec<_>>(),
        [("e".into(), "f".into())]
    );
    check(r#""metadata":["zone"]"#, &[("metadata", "an array")]);
    check(r#""metadata":"zone""#, &[("metadata", "a text")]);
    check(
        r#""metadata":null,"started":null,"endpoints":null,"data":null"#,
        &[],
    );
    check(r#""endpoints":{"add":1}"#, &[("endpoints", "an object")]);
    let stats = check(
        r#""version":3,"started":1795378447,"unknown":{"a":[]}"#,
        &[],
    );
    assert_eq!((&*stats.version, &*stats.started), ("3", "1795378447"));
    check(
        r#""endpoints":[{"name":"a","subject":"s","num_errors":"+2"}]"#,
        &[("endpoints[0].num_errors", "a text")],
    );
    let stats = check(
        r#""endpoints":["add",{"name":"a","subject":"s","last_error":{"message":"x"},"num_requests":-1,
            "num_errors":"2","queue_group":null,"metadata":{"k":null},"processing_time":"x"},{"name":"b"},
            {"name":[],"subject":"s"}]"#,
        &[
            ("endpoints[0]", "a text"),
            ("endpoints[1].last_error", "an object"),
            ("endpoints[1].num_requests", "a number out of range"),
            ("endpoints[1].processing_time", "a text"),
            ("endpoints[2]", "an endpoint without a name or a subject"),
            ("endpoints[3].name", "an array"),
            ("endpoints[3]", "an endpoint without a name or a subject"),
        ],
    );
    assert_eq!(stats.endpoints.len(), 1);
    assert_eq!(stats.endpoints[0].num_errors, 2);
    assert_eq!(stats.endpoints[0].queue_group, "");
}

#[test]
fn what_is_no_record_is_named_with_the_reason() {
    let check = |json: &str, service: &str, field: &str| {
        let invalid_field = read::<Info>(json.as_bytes()).unwrap_err();
        assert_eq!(
            (&*invalid_field.service, &*invalid_field.field),
            (service, field),
            "{json}"
        );
    };
    check("", "", "");
    check("[]", "", "");
    check("not JSON", "", "");
    // A JetStream stream over `$SRV.>` acknowledges the query.
    check(r#"{"stream":"ALL","seq":1}"#, "", "type");
    let kind = r#""type":"io.nats.micro.v1.info_response""#;
    check(
        r#"{"type":"io.nats.micro.v1.ping_response","name":"calc","id":"1"}"#,
        "calc",
        "type",
    );
    check(r#"{"type":7,"name":"calc","id":"1"}"#, "calc", "type");
    check(&format!(r#"{{{kind},"name":"calc"}}"#), "calc", "id");
    check(
        &format!(r#"{{{kind},"name":"calc","id":null}}"#),
        "calc",
        "id",
    );
    check(&format!(r#"{{{kind},"id":"1"}}"#), "", "name");
    check(&format!(r#"{{{kind},"name":{{}},"id":"1"}}"#), "", "name");
    let invalid_field =
        read_event(br#"{"type":"micro.v1.other","name":"a","id":"1"}"#).unwrap_err();
    assert_eq!(invalid_field.field, "type");
    let event = br#"{"type":"micro.v1.instance_started","name":"a","id":1,"metadata":{"k":null}}"#;
    let (event, invalid_fields) = read_event(event).unwrap();
    assert_eq!((&*event.id, invalid_fields.len()), ("1", 0));
    assert_eq!(event.metadata["k"], "");
}
