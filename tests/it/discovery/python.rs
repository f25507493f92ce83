//! Python's `nats.micro` reads our records and serves what our discovery lists; and the lines of the
//! README that do it by hand.

use std::time::Duration;

use micro_runtime::discovery::{Change, Departure};
use micro_runtime::{Bus, Server, ServiceOptions};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;

use crate::script::{PATIENCE, Script, serve_greeter};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_micro_reads_our_records() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let options = ServiceOptions::new().instance("a1");
    let server =
        Server::new(&bus).add_with(BehaviorServer::new(BehaviorHandler::default()), options);
    let _server = server.start().await.unwrap();
    Script::file("discover.py").run(&nats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_nats_micro_is_found() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let discovery = bus.discovery();
    let interval = Duration::from_millis(300);
    let watch = discovery.watch().interval(interval);
    let mut watch = watch.start().await.unwrap();
    let mut service = Script::file("micro_service.py").ready(&nats).await;
    let call = bus.nats().unwrap().request("py.echo", "hi".into());
    assert_eq!(&call.await.unwrap().payload[..], b"hi");

    let found = discovery.list().expect(1).await.unwrap();
    let info = &found[0];
    assert_eq!((&*info.name, &*info.version), ("echo-py", "2.1.0"));
    assert_eq!(info.description, "Echoes, in Python");
    assert_eq!(info.metadata["zone"], "eu-west-1");
    let endpoint = &info.endpoints[0];
    assert_eq!((&*endpoint.name, &*endpoint.subject), ("echo", "py.echo"));
    assert_eq!(endpoint.metadata["format"], "bytes");
    let stats = discovery.stats().of("echo-py").expect(1).await.unwrap();
    assert_eq!(stats[0].endpoints[0].num_requests, 1);
    assert_eq!(stats[0].endpoints[0].data, None);
    assert_eq!(stats[0].data, None);

    // It announces nothing; pings find it, and miss it.
    let came = within(PATIENCE, watch.change()).await.unwrap();
    assert!(
        matches!(&came, Change::Came(one) if one.id == info.id),
        "{came:?}"
    );
    service.kill().unwrap();
    let left = within(PATIENCE, watch.change()).await.unwrap();
    assert_eq!(left, Change::Left(came.instance().clone(), Departure::Died));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_the_readme_ping_and_describe() {
    let nats = NatsServer::start().await.unwrap();
    let server = serve_greeter(&nats).await;
    let output = Script::in_readme("$SRV.PING").run(&nats).await;
    for said in [
        &*format!("greeter-v1-Greeter {}", server.instances()[0]),
        "SayHello greeter.v1.Greeter.SayHello greeter.v1.HelloRequest",
        "SayHello 0",
    ] {
        assert!(output.contains(said), "{output}");
    }
}
