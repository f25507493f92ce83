//! Python on the other side: Google's own JSON agrees with ours, and the lines of the README work.

use std::time::Duration;

use micro_runtime::{Bus, Context, Server, Status};
use micro_testkit::{NatsServer, Process, python, workspace_root};
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

use super::bench;
use super::golden::FORMS;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn googles_own_json_agrees() {
    let bench = bench().await;
    let forms = FORMS.iter().map(|(given, _)| *given).collect::<Vec<_>>();
    let mut command = python().unwrap();
    command.arg(workspace_root().join("tests/python/json_mirror.py"));
    command.env("NATS_URL", bench.nats.url());
    command.env("FORMS", serde_json::to_string(&forms).unwrap());
    let mut process = Process::spawn(command).unwrap();
    let status = process.wait(PATIENCE).await.unwrap();
    assert!(status.success(), "{}", process.output());
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
async fn the_lines_of_the_readme_call_in_json() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus).add(GreeterServer::new(English));
    let _server = server.start().await.unwrap();
    let mut command = python().unwrap();
    command.args(["-c", &lines()]).env("NATS_URL", nats.url());
    let mut process = Process::spawn(command).unwrap();
    let status = process.wait(PATIENCE).await.unwrap();
    let output = process.output();
    assert!(status.success(), "{output}");
    for said in [
        "Hello, Ada!",
        "the request is not a greeter.v1.HelloRequest in JSON: `nam`: unrecognized field",
        "greeter.proto",
    ] {
        assert!(output.contains(said), "{output}");
    }
}

/// The block of the README that speaks JSON, as a program.
fn lines() -> String {
    let readme = std::fs::read_to_string(workspace_root().join("README.md")).unwrap();
    let mut blocks = readme.split("```python\n").skip(1);
    let block = blocks
        .find(|block| block.contains("application/json"))
        .unwrap();
    let block = block.split("```").next().unwrap();
    let body = block.lines().map(|line| format!("    {line}\n"));
    let connect = "import asyncio, json, nats, os\nasync def main():\n    nc = await nats.connect(os.environ['NATS_URL'])\n";
    let body = body.collect::<String>();
    format!("{connect}{body}    await nc.close()\nasyncio.run(main())\n")
}
