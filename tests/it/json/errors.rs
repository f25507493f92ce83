//! Errors in JSON: invalid requests, and statuses as `google.rpc.Status`.

use micro_runtime::codegen::Endpoint;
use micro_runtime::descriptor::ServiceDescriptor;
use micro_runtime::descriptor::{MethodDescriptor, MethodKind};
use micro_runtime::{Bus, Context, Server};
use micro_runtime::{Service, Status};
use micro_tests::json::Everything;
use serde_json::json;

use super::fixture::{JsonFixture, header, text, value};
use crate::golden::example;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_request_names_field_and_position() {
    let fixture = JsonFixture::start().await;
    let deep = format!("{}{}", r#"{"inner":"#.repeat(200), "{}");
    let cases: &[(&[u8], &[&str])] = &[
        (b"", &["EOF", "line 1 column 0"]),
        (b"[]", &["json.v1.Everything", "line 1"]),
        (b"{\"number\":1", &["EOF", "line 1 column 11"]),
        (b"{} {}", &["trailing characters", "line 1 column 4"]),
        (
            b"{\n \"nope\": 1}",
            &["`nope`", "unrecognized field", "line 2 column 7"],
        ),
        (
            b"{\"inner\":{\"nope\":1}}",
            &["`inner.nope`", "line 1 column"],
        ),
        (
            b"{\"parts\":[{},{\"number\":\"x\"}]}",
            &["`parts[1].number`", "line 1 column 26"],
        ),
        (
            b"{\"number\":2147483648}",
            &["`number`", "line 1 column 20"],
        ),
        (b"{\"number\":1.5}", &["`number`", "integer"]),
        (b"{\"text\":7}", &["`text`", "string"]),
        (b"{\"text\":\"\xff\"}", &["`text`", "line 1 column"]),
        (b"{\"data\":\"!\"}", &["`data`"]),
        (b"{\"color\":\"COLOR_BLUE\"}", &["`color`", "COLOR_BLUE"]),
        (b"{\"at\":\"yesterday\"}", &["`at`"]),
        (
            b"{\"any\":{\"@type\":\"type.googleapis.com/no.Body\"}}",
            &["no.Body"],
        ),
        (b"{\"left\":\"a\",\"right\":1}", &["line 1"]),
        (deep.as_bytes(), &["recursion limit", "line 1 column"]),
    ];
    let mut wrong = Vec::new();
    for (request, words) in cases {
        let request = String::from_utf8_lossy(request);
        let bytes = cases
            .iter()
            .find(|c| String::from_utf8_lossy(c.0) == request);
        let reply = fixture.call("Show", bytes.unwrap().0).await;
        let failure = value(&reply);
        let message = failure["message"].as_str().unwrap_or_default();
        if header(&reply, "Micro-Status") != Some("3")
            || failure["code"] != 3
            || !words.iter().all(|word| message.contains(word))
        {
            let short = request.chars().take(80).collect::<String>();
            wrong.push(format!("{short}\n  -> {}", text(&reply)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_google_rpc_status_in_json() {
    let fixture = JsonFixture::start().await;
    let reply = fixture
        .call("Fail", r#"{"code":5,"text":"no \"way\""}"#)
        .await;
    assert_eq!(text(&reply), r#"{"code":5,"message":"no \"way\""}"#);
    assert_eq!(header(&reply, "Content-Type"), Some("application/json"));
    assert_eq!(header(&reply, "Micro-Status"), Some("5"));
    assert_eq!(header(&reply, "Nats-Service-Error-Code"), Some("404"));
    assert_eq!(header(&reply, "Nats-Service-Error"), Some("no \"way\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_detail_is_base64() {
    let fixture = JsonFixture::start().await;
    let reply = fixture
        .call("Fail", r#"{"code":3,"hasDetails":true}"#)
        .await;
    let expected = json!({
        "code": 3,
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{ "field": "text", "description": "too dull" }],
            },
            { "@type": "type.googleapis.com/nobody.knows.This", "value": "AQID" },
        ],
    });
    assert_eq!(value(&reply), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_runtime_is_google_rpc_status_in_json() {
    let fixture = JsonFixture::start().await;
    let reply = fixture.call("Show", "nonsense").await;
    let detail = &value(&reply)["details"][0];
    assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
    assert_eq!(detail["reason"], "UNDECODABLE");
    assert_eq!(detail["domain"], "micro.v1");
    let mut headers = async_nats::HeaderMap::new();
    headers.append("Content-Type", "application/json");
    headers.append("Micro-Timeout", "soon");
    let request = fixture
        .client
        .request_with_headers("json.v1.Mirror.Show", headers, "{}".into());
    let reply = request.await.unwrap();
    assert_eq!(value(&reply)["code"], 3, "{}", text(&reply));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_an_unknown_method_fails_in_json() {
    let fixture = JsonFixture::start().await;
    let id = fixture.server.instances()[0].clone();
    for target in [id.as_str(), "_all"] {
        let subject = format!("json.v1.Mirror._i.{target}.Nope");
        let reply = fixture.request(&subject, "{}").await;
        assert_eq!(header(&reply, "Content-Type"), Some("application/json"));
        let failure = value(&reply);
        assert_eq!(failure["code"], 12, "{target}: {failure}");
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains("`Nope`"), "{target}: {message}");
        let responder = (target == "_all").then_some(id.as_str());
        assert_eq!(header(&reply, "Micro-Instance"), responder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_above_max_payload_is_offered_as_a_stream() {
    let fixture = JsonFixture::start().await;
    let reply = fixture.call("Fill", r#"{"letters":2000000}"#).await;
    assert_eq!(header(&reply, "Nats-Service-Error-Code"), Some("413"));
    let offer = header(&reply, "Micro-Stream").unwrap();
    assert!(offer.starts_with("v=2;u=1;l=20"), "{offer}");
}

/// Checks the examples of docs/golden.json.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_of_the_protocol_document_are_exact() {
    let fixture = JsonFixture::start().await;
    for (request, reply) in [
        ("json_request", "json_reply"),
        ("json_request_with_a_flaw", "json_failure"),
    ] {
        let request = example(request);
        let call = fixture.client.request_with_headers(
            request.subject("json.v1.Mirror"),
            request.headers(),
            request.payload(),
        );
        example(reply).check(&call.await.unwrap());
    }
}

/// A service without descriptors, which only hand-written code can have.
struct Undescribed;

impl Service for Undescribed {
    const SERVICE: &'static ServiceDescriptor = &ServiceDescriptor::new(
        "json.v1.Undescribed",
        "json.v1",
        "Undescribed",
        &[MethodDescriptor::new(
            "json.v1.Undescribed.Show",
            "Show",
            MethodKind::Unary,
            "json.v1.Everything",
            "json.v1.Everything",
        )],
    );

    fn endpoints(self) -> Vec<Endpoint> {
        let show = |_: Context, request: Everything| async move { Ok::<_, Status>(request) };
        vec![Endpoint::unary(&Self::SERVICE.methods[0], &[], show)]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_descriptors_rejects_json() {
    let fixture = JsonFixture::start().await;
    let bus = Bus::connect(fixture.nats.url()).await.unwrap();
    let _server = Server::new(&bus).add(Undescribed).start().await.unwrap();
    let reply = fixture.request("json.v1.Undescribed.Show", "{}").await;
    assert_eq!(header(&reply, "Micro-Status"), Some("12"));
    let error = header(&reply, "Nats-Service-Error").unwrap();
    let expected =
        "json.v1.Undescribed cannot be called in JSON, only in protobuf: it has no descriptors";
    assert_eq!(error, expected);
}
