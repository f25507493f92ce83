//! Dynamic calls of every method kind, in protobuf and in JSON, on both carriers.

use std::time::Duration;

use micro_runtime::descriptor::{Idempotency, MethodKind};
use micro_runtime::details::BadRequest;
use micro_runtime::prost_reflect::{DynamicMessage, Value as Field};
use micro_runtime::{Bus, ClientOptions, Code, Reason};
use serde_json::json;

use super::mirror_fixture::{MIRROR, start_mirror};
use crate::carriers::{Carrier, on_both_carriers};

on_both_carriers! {
    unary_calls
    messages_are_built_by_field
    server_streaming
    client_and_bidirectional_streaming
    a_failure_keeps_code_message_and_details
    invalid_calls_fail_before_they_are_sent
    methods_are_described_by_the_schema
    one_instance_can_be_called
    large_messages_are_sent_up_to_the_limit
}

/// Runs a check with a client of each format, each with a server of its own.
async fn in_both_formats(bus: &Bus, test: impl AsyncFn(micro_runtime::dynamic::DynamicClient)) {
    for is_json in [false, true] {
        let (server, client) = start_mirror(bus, is_json).await;
        test(client).await;
        server.shutdown().await.unwrap();
    }
}

async fn unary_calls(carrier: Carrier) {
    in_both_formats(&carrier.bus, async |client| {
        let request = json!({ "text": "hi", "large": 7 });
        let reply = client.call("Show", request).await.unwrap();
        assert_eq!(reply.text().unwrap(), r#"{"large":"7","text":"hi"}"#);
        assert_eq!(reply.json().unwrap(), json!({ "text": "hi", "large": "7" }));
        let call = client.call("Show", r#"{"color": "COLOR_RED"}"#);
        let call = call.timeout(Duration::from_secs(3)).header("echo", "e");
        let reply = call.with_metadata().await.unwrap();
        assert_eq!(reply.metadata.get("echo"), Some("e"));
        assert_eq!(reply.message.text().unwrap(), r#"{"color":"COLOR_RED"}"#);
    })
    .await;
}

async fn messages_are_built_by_field(carrier: Carrier) {
    in_both_formats(&carrier.bus, async |client| {
        let mut request = DynamicMessage::new(client.request_type("Show").unwrap());
        request.set_field_by_name("number", Field::I32(7));
        let reply = client.call("Show", request).await.unwrap();
        let number = reply.message().get_field_by_name("number").unwrap();
        assert_eq!(number.as_i32(), Some(7));
        let wrong = DynamicMessage::new(client.request_type("Fill").unwrap());
        let status = client.call("Show", wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("json.v1.Size"), "{status}");
    })
    .await;
}

async fn server_streaming(carrier: Carrier) {
    in_both_formats(&carrier.bus, async |client| {
        let request = json!({ "messages": 3, "letters": 1 });
        let mut replies = client.call("Repeat", request).stream().await.unwrap();
        assert_eq!(replies.metadata().get("kind"), Some("repeat"));
        for number in 0..3 {
            let reply = replies.message().await.unwrap().unwrap();
            let expected = match number {
                0 => json!({ "text": "x" }),
                _ => json!({ "number": number, "text": "x" }),
            };
            assert_eq!(reply.json().unwrap(), expected);
        }
        assert!(replies.message().await.unwrap().is_none());
        assert_eq!(replies.trailers().get("sent"), Some("3"));
        let failing = client.call("Repeat", r#"{"fails": true}"#).stream().await;
        let status = failing.unwrap().message().await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted);
    })
    .await;
}

async fn client_and_bidirectional_streaming(carrier: Carrier) {
    in_both_formats(&carrier.bus, async |client| {
        let (mut sender, reply) = client.call_streaming("Join").open().await.unwrap();
        sender.send(r#"{"text": "a"}"#).await.unwrap();
        let status = sender.send(r#"{"nope": 1}"#).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        sender.send(json!({ "text": "b" })).await.unwrap();
        sender.finish().await.unwrap();
        let reply = reply.reply().await.unwrap();
        assert_eq!(reply.text().unwrap(), r#"{"number":2,"text":"ab"}"#);

        let (mut sender, mut replies) = client.call_streaming("Chat").open().await.unwrap();
        for number in 0..100 {
            sender.send(json!({ "number": number })).await.unwrap();
            let reply = replies.message().await.unwrap().unwrap();
            assert_eq!(reply.json().unwrap(), json!({ "number": number + 1 }));
        }
        sender.finish().await.unwrap();
        assert!(replies.message().await.unwrap().is_none());
    })
    .await;
}

async fn a_failure_keeps_code_message_and_details(carrier: Carrier) {
    in_both_formats(&carrier.bus, async |client| {
        let request = json!({ "code": 9, "text": "no\nway", "hasDetails": true });
        let status = client.call("Fail", request).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::FailedPrecondition, "no\nway")
        );
        let bad: BadRequest = status.detail().unwrap();
        assert_eq!(bad.field_violations[0].description, "too dull");
        assert_eq!(status.details()[1].value, [1, 2, 3]);
        assert_eq!(status.reason(), None);
    })
    .await;
}

async fn invalid_calls_fail_before_they_are_sent(carrier: Carrier) {
    let (_server, client) = start_mirror(&carrier.bus, false).await;
    let fails = async |call: micro_runtime::dynamic::DynamicCall, code: Code, words: &str| {
        let status = call.await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(words), "{status}");
    };
    fails(
        client.call("Nope", "{}"),
        Code::Unimplemented,
        "json.v1.Mirror has no method `Nope`; it has: Show, Fail",
    )
    .await;
    fails(
        client.call("Show", r#"{"inner":{"nope":1}}"#),
        Code::InvalidArgument,
        "`inner.nope`: unrecognized field name 'nope'",
    )
    .await;
    fails(
        client.call("Repeat", "{}"),
        Code::InvalidArgument,
        "call(…).stream()",
    )
    .await;
    fails(
        client.call_streaming("Chat"),
        Code::InvalidArgument,
        "call_streaming(…).open()",
    )
    .await;
    let status = client.call("Show", "{}").stream().await.unwrap_err();
    assert!(status.message().contains("is unary"), "{status}");
    let status = client.call_streaming("Show").open().await.unwrap_err();
    assert!(status.message().contains("is unary"), "{status}");
    for name in ["", "a b", "a.>", "_x"] {
        let status = carrier.bus.dynamic(name).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}");
    }
    let status = carrier.bus.dynamic("unknown.v1.Unknown").await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NoResponders));
    assert!(status.message().contains("unknown.v1.Unknown"), "{status}");
}

async fn methods_are_described_by_the_schema(carrier: Carrier) {
    let (_server, client) = start_mirror(&carrier.bus, false).await;
    let methods = client.methods();
    let names = methods.iter().map(|method| method.name).collect::<Vec<_>>();
    assert_eq!(names, ["Show", "Fail", "Fill", "Repeat", "Join", "Chat"]);
    assert_eq!(methods[0].idempotency, Idempotency::NoSideEffects);
    assert_eq!(methods[1].timeout, Some(Duration::from_secs(7)));
    assert_eq!(methods[3].kind, MethodKind::ServerStreaming);
    assert_eq!(methods[5].kind, MethodKind::Bidirectional);
    assert_eq!(methods[2].input, "json.v1.Size");
    assert_eq!(client.endpoints().count(), 6);
    let again = client.refresh().await.unwrap();
    assert!(std::ptr::eq(again.methods(), methods));
    assert_eq!(again.schema_sha256(), client.schema_sha256());
}

async fn one_instance_can_be_called(carrier: Carrier) {
    let (server, _) = start_mirror(&carrier.bus, false).await;
    let options = ClientOptions::new().instance(&server.instances()[0]);
    let client = carrier.bus.dynamic_with(MIRROR, options).await.unwrap();
    assert!(client.call("Show", "{}").await.is_ok());
    let options = ClientOptions::new().instance("unknown");
    let status = carrier.bus.dynamic_with(MIRROR, options).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

async fn large_messages_are_sent_up_to_the_limit(carrier: Carrier) {
    in_both_formats(&carrier.bus, async |client| {
        let request = json!({ "text": "x".repeat(2_000_000) });
        let reply = client.call("Show", request.clone()).await.unwrap();
        assert!(reply.json().unwrap() == request);
    })
    .await;
    let (_server, client) = start_mirror(&carrier.bus, true).await;
    let request = json!({ "text": "x".repeat(5_000_000) });
    let status = client.call("Show", request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status.message().contains("above the limit of 4194304"),
        "{status}"
    );
}
