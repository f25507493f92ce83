//! Discovery between Rust and Python's `nats.micro`, in both directions, and the Python code of the README.

use std::time::Duration;

use micro_runtime::discovery::{Change, Departure};
use micro_runtime::{Bus, Server, ServiceOptions};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;

use crate::greeter::serve_greeter;
use crate::script::{SCRIPT_TIMEOUT, Script};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_micro_reads_the_records_of_a_rust_service() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let options = ServiceOptions::new().instance("a1");
    let server =
        Server::new(&bus).add_with(BehaviorServer::new(BehaviorHandler::default()), options);
    let _server = server.start().await.unwrap();
    Script::file("discover.py").run(&nats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_micro_service_is_discovered() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let discovery = bus.discovery();
    let interval = Duration::from_millis(300);
    let watch = discovery.watch().interval(interval);
    let mut watch = watch.open().await.unwrap();
    let mut service = Script::file("micro_service.py").ready(&nats).await;
    let client = bus.nats().unwrap();
    let call = client.request("py.echo", "hi".into());
    assert_eq!(&call.await.unwrap().payload[..], b"hi");

    let found = discovery.list().expected(1).await.unwrap();
    let info = &found[0];
    assert_eq!((&*info.name, &*info.version), ("echo-py", "2.1.0"));
    assert_eq!(info.description, "Echoes, in Python");
    assert_eq!(info.metadata["zone"], "eu-west-1");
    let endpoint = &info.endpoints[0];
    assert_eq!((&*endpoint.name, &*endpoint.subject), ("echo", "py.echo"));
    assert_eq!(endpoint.metadata["format"], "bytes");
    let stats = discovery.stats().of("echo-py").expected(1).await.unwrap();
    assert_eq!(stats[0].endpoints[0].num_requests, 1);
    assert_eq!(stats[0].endpoints[0].data, None);
    assert_eq!(stats[0].data, None);

    // It announces neither its start nor its end: pings notice both.
    let joined = within(SCRIPT_TIMEOUT, watch.next()).await.unwrap();
    assert!(
        matches!(&joined, Change::Joined(instance) if instance.id == info.id),
        "{joined:?}"
    );
    service.kill().unwrap();
    let left = within(SCRIPT_TIMEOUT, watch.next()).await.unwrap();
    assert_eq!(
        left,
        Change::Left(joined.instance().clone(), Departure::Died)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_code_of_the_readme_queries_instances() {
    let nats = NatsServer::start().await.unwrap();
    let server = serve_greeter(&nats).await;
    let output = Script::in_readme("$SRV.PING").run(&nats).await;
    for line in [
        &*format!("greeter-v1-Greeter {}", server.instances()[0]),
        "SayHello greeter.v1.Greeter.SayHello greeter.v1.HelloRequest",
        "SayHello 0",
    ] {
        assert!(output.contains(line), "{output}");
    }
}
