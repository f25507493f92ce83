//! A service written with nats-py, which has no schema: a dynamic client calls it with bytes.

use std::time::Duration;

use micro_runtime::{Bus, Code, Reason};
use micro_testkit::NatsServer;

use crate::script::Script;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_py_service_is_called_with_bytes() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let _service = Script::file("foreign_service.py").ready(&nats).await;

    let client = bus.dynamic("calculator-py").await.unwrap();
    assert!(client.methods().is_empty());
    let names = client.endpoints().map(|endpoint| endpoint.name.clone());
    assert_eq!(names.collect::<Vec<_>>(), ["add", "divide"]);

    let reply = client.call_raw("add", r#"{"a": 1, "b": 2}"#).await.unwrap();
    assert_eq!(&reply.message[..], br#"{"sum": 3}"#);
    let call = client.call_raw("py.calculator.add", r#"{"a": 2, "b": 2}"#);
    let reply = call.timeout(Duration::from_secs(3)).await.unwrap();
    assert_eq!(&reply.message[..], br#"{"sum": 4}"#);

    let status = client
        .call_raw("divide", r#"{"a": 1, "b": 0}"#)
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "division by zero")
    );
    let status = client.call_raw("root", "").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("add, divide"), "{status}");

    let status = client.call("add", "{}").await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NotAService));
    assert!(status.message().contains("call_raw"), "{status}");
}
