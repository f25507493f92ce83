//! The canonical JSON of every field type: accepted input, and the output.

use super::fixture::{JsonFixture, header, text};

/// Requests, each with the reply of a service that returns its request.
pub(super) const FORMS: &[(&str, &str)] = &[
    ("{}", "{}"),
    (" { \"number\" : 7 }\n", r#"{"number":7}"#),
    (r#"{"number":0,"text":"","isTrue":false}"#, "{}"),
    // Integers of 64 bits are written as strings, and read as strings or numbers.
    (
        r#"{"large":-9223372036854775808,"larger":"18446744073709551615"}"#,
        r#"{"large":"-9223372036854775808","larger":"18446744073709551615"}"#,
    ),
    (
        r#"{"number":"12","large":3.0}"#,
        r#"{"number":12,"large":"3"}"#,
    ),
    (
        r#"{"real":1.5,"smallReal":1.1}"#,
        r#"{"real":1.5,"smallReal":1.1}"#,
    ),
    (
        r#"{"real":"Infinity","smallReal":"NaN"}"#,
        r#"{"real":"Infinity","smallReal":"NaN"}"#,
    ),
    (r#"{"real":"-Infinity"}"#, r#"{"real":"-Infinity"}"#),
    // Both names of a field are read, and its JSON name is written.
    (r#"{"is_true":true}"#, r#"{"isTrue":true}"#),
    (r#"{"calledSo":"a"}"#, r#"{"calledSo":"a"}"#),
    (r#"{"named":"a"}"#, r#"{"calledSo":"a"}"#),
    (
        r#"{"text":"é ☺ \u0001 \" \\"}"#,
        r#"{"text":"é ☺ \u0001 \" \\"}"#,
    ),
    // base64: both alphabets are read, with or without padding, and the standard one is written.
    (r#"{"data":"+/+/AA=="}"#, r#"{"data":"+/+/AA=="}"#),
    (r#"{"data":"-_-_AA"}"#, r#"{"data":"+/+/AA=="}"#),
    (
        r#"{"color":"COLOR_RED","colors":["COLOR_UNSPECIFIED",1]}"#,
        r#"{"color":"COLOR_RED","colors":["COLOR_UNSPECIFIED","COLOR_RED"]}"#,
    ),
    (r#"{"color":7}"#, r#"{"color":7}"#),
    (r#"{"counts":{"a":"1"}}"#, r#"{"counts":{"a":"1"}}"#),
    (
        r#"{"byNumber":{"-3":{"text":"x"}}}"#,
        r#"{"byNumber":{"-3":{"text":"x"}}}"#,
    ),
    (r#"{"right":"0"}"#, r#"{"right":"0"}"#),
    (r#"{"maybe":0}"#, r#"{"maybe":0}"#),
    // null means that a field is absent, except for `Value`.
    (
        r#"{"text":null,"inner":null,"parts":null,"value":null}"#,
        r#"{"value":null}"#,
    ),
    (
        r#"{"at":"2024-02-29T12:00:00.010+02:00"}"#,
        r#"{"at":"2024-02-29T10:00:00.010Z"}"#,
    ),
    (
        r#"{"at":"1970-01-01T00:00:00Z"}"#,
        r#"{"at":"1970-01-01T00:00:00Z"}"#,
    ),
    (r#"{"took":"1.5s"}"#, r#"{"took":"1.500s"}"#),
    (r#"{"took":"-0.000000001s"}"#, r#"{"took":"-0.000000001s"}"#),
    (r#"{"mask":"a.bC,d"}"#, r#"{"mask":"a.bC,d"}"#),
    (
        r#"{"object":{"a":[1,null,{"b":true}]},"list":["x"],"value":1.5}"#,
        r#"{"object":{"a":[1.0,null,{"b":true}]},"value":1.5,"list":["x"]}"#,
    ),
    (
        r#"{"any":{"@type":"type.googleapis.com/json.v1.Size","letters":3}}"#,
        r#"{"any":{"@type":"type.googleapis.com/json.v1.Size","letters":3}}"#,
    ),
    (
        r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}"#,
        r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}"#,
    ),
    (r#"{"empty":{}}"#, r#"{"empty":{}}"#),
    (
        r#"{"wrappedLarge":"5","wrappedText":"","wrappedData":"AA==","wrappedBool":false}"#,
        r#"{"wrappedLarge":"5","wrappedText":"","wrappedData":"AA==","wrappedBool":false}"#,
    ),
    (
        r#"{"parts":[{},{"text":"b"}]}"#,
        r#"{"parts":[{},{"text":"b"}]}"#,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_has_its_canonical_form() {
    let fixture = JsonFixture::start().await;
    let mut wrong = Vec::new();
    for (given, expected) in FORMS {
        let reply = fixture.call("Show", *given).await;
        assert_eq!(header(&reply, "Content-Type"), Some("application/json"));
        if header(&reply, "Micro-Status").is_some() || text(&reply) != *expected {
            wrong.push(format!("{given}\n  -> {}", text(&reply)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_type_ignores_case_and_parameters() {
    let fixture = JsonFixture::start().await;
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let mut headers = async_nats::HeaderMap::new();
        headers.append("Content-Type", content_type);
        headers.append("echo", "7");
        let request =
            fixture
                .client
                .request_with_headers("json.v1.Mirror.Show", headers, "{}".into());
        let reply = request.await.unwrap();
        assert_eq!((text(&reply), header(&reply, "echo")), ("{}", Some("7")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_content_type_is_protobuf() {
    let fixture = JsonFixture::start().await;
    let reply = fixture
        .client
        .request("json.v1.Mirror.Show", vec![8, 7].into());
    let reply = reply.await.unwrap();
    assert_eq!((&reply.payload[..], reply.headers), (&[8, 7][..], None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_can_be_called_in_json() {
    let fixture = JsonFixture::start().await;
    let base = format!("json.v1.Mirror._i.{}", fixture.server.instances()[0]);
    let reply = fixture
        .request(&format!("{base}.Show"), r#"{"number":7}"#)
        .await;
    assert_eq!(text(&reply), r#"{"number":7}"#);
    let reply = fixture.request(&format!("{base}.Nope"), "{}").await;
    assert_eq!(header(&reply, "Micro-Status"), Some("12"));
    assert!(
        text(&reply).contains("has no method `Nope`"),
        "{}",
        text(&reply)
    );
}
