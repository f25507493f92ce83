//! Schemas above the maximum message size, schemas that change, and the permissions to read them.

use micro_runtime::codegen::prost::Message as _;
use micro_runtime::codegen::prost_types::FileDescriptorSet;
use micro_runtime::codegen::{Endpoint, ServiceClient};
use micro_runtime::descriptor::ServiceDescriptor;
use micro_runtime::{Bus, ClientOptions, Code, ConnectOptions, Context, Server, Service, Status};
use micro_testkit::NatsServer;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use micro_tests::greeter::{GreeterClient, GreeterServer};
use micro_tests::wide::{WideClient, Word};

use super::schema_responder::respond_with_schema;
use crate::greeter::English;

/// Handler of `wide.v1.Wide` whose methods return their request.
struct EchoEveryMethod;

impl Service for EchoEveryMethod {
    const SERVICE: &'static ServiceDescriptor = <WideClient as ServiceClient>::SERVICE;

    fn endpoints(self) -> Vec<Endpoint> {
        let echo = |_: Context, word: Word| async move { Ok::<_, Status>(word) };
        let methods = Self::SERVICE.methods.iter();
        methods
            .map(|method| Endpoint::unary(method, &[], echo))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_above_max_payload_is_read() {
    let nats = NatsServer::builder().max_payload(64 * 1024);
    let nats = nats.start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus)
        .add(EchoEveryMethod)
        .start()
        .await
        .unwrap();
    let length = EchoEveryMethod::SERVICE.file_descriptor_set.len();
    assert!(length > 64 * 1024, "{length}");
    let other = Bus::connect(nats.url()).await.unwrap();
    let client = other.dynamic("wide.v1.Wide").await.unwrap();
    assert_eq!(client.methods().len(), 200);
    for n in [0, 99, 199] {
        let request = r#"{"letter":"LETTER_WITH_A_LONG_NAME_7"}"#;
        let reply = client.call(&format!("Method{n}"), request).await.unwrap();
        assert_eq!(reply.text().unwrap(), request);
    }
    server.shutdown().await.unwrap();
}

/// Returns the greeter's schema with another name for `SayHello`.
fn schema_with_renamed_method() -> Vec<u8> {
    let set = <GreeterClient as ServiceClient>::SERVICE.file_descriptor_set;
    let mut set = FileDescriptorSet::decode(set).unwrap();
    let services = set.file.iter_mut().flat_map(|file| &mut file.service);
    for method in services.flat_map(|service| &mut service.method) {
        method.name = Some("Greet".to_owned());
    }
    set.encode_to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_reads_a_changed_schema() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus).add(GreeterServer::new(English));
    let server = server.start().await.unwrap();
    let client = bus.dynamic("greeter.v1.Greeter").await.unwrap();
    assert_eq!(client.methods()[0].name, "SayHello");
    server.shutdown().await.unwrap();

    let plain_client = async_nats::connect(nats.url()).await.unwrap();
    let _responder = respond_with_schema(
        &plain_client,
        "greeter.v1.Greeter",
        schema_with_renamed_method(),
    )
    .await;
    let status = client.call("SayHello", "{}").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let client = client.refresh().await.unwrap();
    assert_eq!(client.methods()[0].name, "Greet");
    let status = client.call("SayHello", "{}").await.unwrap_err();
    assert!(status.message().contains("it has: Greet"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_no_instance_announces_is_rejected() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    // Schemas are cached per process: a service without a cached one, so that discovery is queried.
    let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
    let _server = server.start().await.unwrap();
    let plain_client = async_nats::connect(nats.url()).await.unwrap();
    let _responder = respond_with_schema(
        &plain_client,
        "other.v1.Other",
        schema_with_renamed_method(),
    )
    .await;
    let options = ClientOptions::new().subject_base("other.v1.Other");
    let found = bus.dynamic_with("behavior.v1.Behavior", options).await;
    let status = found.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss, "{status}");
    assert!(
        status.message().contains("which no instance announces"),
        "{status}"
    );
}

/// The permission to call a service is sufficient to read its schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_discovery_permission_reads_the_schema() {
    let config = r#"authorization { users = [
      { user: service, password: s }
      { user: client, password: c, permissions: {
          subscribe: { allow: ["_INBOX.client.>"] }, publish: { allow: ["greeter.v1.Greeter.>"] } } }
    ] }
"#;
    let nats = NatsServer::builder().config(config).start().await.unwrap();
    let connect = async |user: &str, password: &str| {
        let options = ConnectOptions::new()
            .user_and_password(user, password)
            .inbox_prefix(format!("_INBOX.{user}"));
        Bus::connect_with(options, nats.url()).await.unwrap()
    };
    let bus = connect("service", "s").await;
    let server = Server::new(&bus).add(GreeterServer::new(English));
    let _server = server.start().await.unwrap();
    let bus = connect("client", "c").await;
    let client = bus.dynamic("greeter.v1.Greeter").await.unwrap();
    let reply = client.call("SayHello", r#"{"name":"Ada"}"#).await.unwrap();
    assert_eq!(reply.text().unwrap(), r#"{"message":"Hello, Ada!"}"#);
    let status = client.call_raw("SayHello", "").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}
