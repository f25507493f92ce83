//! Schemas that are large, and schemas that change.

use async_nats::Client;
use futures_util::StreamExt as _;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::codegen::prost_types::FileDescriptorSet;
use micro_runtime::codegen::{Endpoint, ServiceClient};
use micro_runtime::{
    Bus, ClientOptions, Code, ConnectOptions, Context, Server, Service, ServiceDescriptor, Status,
};
use micro_testkit::NatsServer;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use micro_tests::greeter::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};
use micro_tests::wide::{WideClient, Word};
use tokio::task::JoinHandle;

struct EveryMethod;

impl Service for EveryMethod {
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
async fn a_schema_above_max_payload_arrives() {
    let nats = NatsServer::builder().max_payload(64 * 1024);
    let nats = nats.start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus).add(EveryMethod).start().await.unwrap();
    let length = EveryMethod::SERVICE.file_descriptor_set.len();
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

struct English;

impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply {
            message: format!("Hello, {}!", request.name),
        })
    }
}

/// Answers `_schema` of a service with these bytes.
pub(super) async fn answer_schema(hand: &Client, service: &str, schema: Vec<u8>) -> JoinHandle<()> {
    let subject = format!("{service}._schema");
    let mut requests = hand.subscribe(subject.clone()).await.unwrap();
    let hand = hand.clone();
    // Our own request proves that the subscription is there.
    let probe = hand.new_inbox();
    let mut probes = hand.subscribe(probe.clone()).await.unwrap();
    hand.publish_with_reply(subject, probe, "".into())
        .await
        .unwrap();
    let answering = hand.clone();
    let task = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                answering
                    .publish(reply, schema.clone().into())
                    .await
                    .unwrap();
            }
        }
    });
    probes.next().await.unwrap();
    task
}

/// The greeter's schema with another word for `SayHello`.
fn renamed() -> Vec<u8> {
    let set = <GreeterClient as ServiceClient>::SERVICE.file_descriptor_set;
    let mut set = FileDescriptorSet::decode(set).unwrap();
    let services = set.file.iter_mut().flat_map(|file| &mut file.service);
    for method in services.flat_map(|service| &mut service.method) {
        method.name = Some("Greet".to_owned());
    }
    set.encode_to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whose_schema_changes() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus).add(GreeterServer::new(English));
    let server = server.start().await.unwrap();
    let client = bus.dynamic("greeter.v1.Greeter").await.unwrap();
    assert_eq!(client.methods()[0].name, "SayHello");
    server.shutdown().await.unwrap();

    let hand = async_nats::connect(nats.url()).await.unwrap();
    let _changed = answer_schema(&hand, "greeter.v1.Greeter", renamed()).await;
    let status = client.call("SayHello", "{}").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let client = client.refresh().await.unwrap();
    assert_eq!(client.methods()[0].name, "Greet");
    let status = client.call("SayHello", "{}").await.unwrap_err();
    assert!(status.message().contains("it has: Greet"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_no_instance_announces_is_refused() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    // A service that no other test finds, since what is announced may be known already.
    let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
    let _server = server.start().await.unwrap();
    let hand = async_nats::connect(nats.url()).await.unwrap();
    let _liar = answer_schema(&hand, "liar.v1.Liar", renamed()).await;
    let options = ClientOptions::new().service_base("liar.v1.Liar");
    let found = bus.dynamic_with("behavior.v1.Behavior", options).await;
    let status = found.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss, "{status}");
    assert!(
        status.message().contains("which no instance announces"),
        "{status}"
    );
}

/// Who may call a service and ask nobody who is there still reads its schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_may_not_ask_for_instances() {
    let config = r#"authorization { users = [
      { user: service, password: s }
      { user: client, password: c, permissions: {
          subscribe: { allow: ["_INBOX.client.>"] }, publish: { allow: ["greeter.v1.Greeter.>"] } } }
    ] }
"#;
    let nats = NatsServer::builder().config(config).start().await.unwrap();
    let connect = async |user: &str, password: &str| {
        let options = ConnectOptions::new()
            .user_and_password(user.into(), password.into())
            .custom_inbox_prefix(format!("_INBOX.{user}"));
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
