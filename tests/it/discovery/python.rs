//! Python's `nats.micro` reads our records and serves what our discovery lists; and the lines of the
//! README that do it by hand.

use std::time::Duration;

use micro_runtime::discovery::{Change, Departure};
use micro_runtime::{Bus, Context, Server, ServiceOptions, Status};
use micro_testkit::{NatsServer, Process, python, within, workspace_root};
use micro_tests::Behaving;
use micro_tests::behavior::BehaviorServer;
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

const PATIENCE: Duration = Duration::from_secs(60);

fn script(name: &str, nats: &NatsServer) -> Process {
    let mut command = python().unwrap();
    command.arg(workspace_root().join("tests/python").join(name));
    command.env("NATS_URL", nats.url());
    Process::spawn(command).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_micro_reads_our_records() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let options = ServiceOptions::new().instance("a1");
    let server = Server::new(&bus).add_with(BehaviorServer::new(Behaving::default()), options);
    let _server = server.start().await.unwrap();
    let mut reader = script("discover.py", &nats);
    let status = reader.wait(PATIENCE).await.unwrap();
    assert!(status.success(), "{}", reader.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_nats_micro_is_found() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let discovery = bus.discovery();
    let interval = Duration::from_millis(300);
    let watch = discovery.watch().interval(interval);
    let mut watch = watch.start().await.unwrap();
    let mut service = script("micro_service.py", &nats);
    service.wait_for_line("ready", PATIENCE).await.unwrap();
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

struct English;

impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply {
            message: format!("Hello, {}!", request.name),
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_the_readme_ping_and_describe() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus).add(GreeterServer::new(English));
    let server = server.start().await.unwrap();
    let mut command = python().unwrap();
    command.args(["-c", &lines()]).env("NATS_URL", nats.url());
    let mut process = Process::spawn(command).unwrap();
    let status = process.wait(PATIENCE).await.unwrap();
    let output = process.output();
    assert!(status.success(), "{output}");
    for said in [
        &*format!("greeter-v1-Greeter {}", server.instances()[0]),
        "SayHello greeter.v1.Greeter.SayHello greeter.v1.HelloRequest",
        "SayHello 0",
    ] {
        assert!(output.contains(said), "{output}");
    }
}

/// The block of the README that asks `$SRV`, as a program.
fn lines() -> String {
    let readme = std::fs::read_to_string(workspace_root().join("README.md")).unwrap();
    let mut blocks = readme.split("```python\n").skip(1);
    let block = blocks.find(|block| block.contains("$SRV.PING")).unwrap();
    let block = block.split("```").next().unwrap();
    let body = block.lines().map(|line| format!("    {line}\n"));
    let connect = "import asyncio, json, nats, os\nasync def main():\n    nc = await nats.connect(os.environ['NATS_URL'])\n";
    let body = body.collect::<String>();
    format!("{connect}{body}    await nc.close()\nasyncio.run(main())\n")
}
