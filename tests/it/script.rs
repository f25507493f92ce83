//! Python on the other side of a nats-server: the programs of `tests/python`, and blocks of the README
//! with the service that they call.

use std::process::Command;
use std::time::Duration;

use micro_runtime::{Bus, Context, RunningServer, Server, Status};
use micro_testkit::{NatsServer, Process, python, workspace_root};
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

/// For a program to start, or to run to its end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A program in Python, not started yet.
pub(crate) struct Script(Command);

impl Script {
    /// A file of `tests/python`.
    pub(crate) fn file(name: &str) -> Self {
        let mut command = python().unwrap();
        command.arg(workspace_root().join("tests/python").join(name));
        Self(command)
    }

    /// The first block of the README that contains `text`, with a connection around it.
    pub(crate) fn in_readme(text: &str) -> Self {
        let readme = std::fs::read_to_string(workspace_root().join("README.md")).unwrap();
        let mut blocks = readme
            .split("```python\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap());
        let block = blocks.find(|block| block.contains(text)).unwrap();
        let body = block.lines().map(|line| format!("    {line}\n"));
        let mut command = python().unwrap();
        command.arg("-c").arg(format!(
            "import asyncio, json, nats, os\n\
             async def main():\n    nc = await nats.connect(os.environ['NATS_URL'])\n\
             {}    await nc.close()\n\
             asyncio.run(main())\n",
            body.collect::<String>()
        ));
        Self(command)
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn ready(self, nats: &NatsServer) -> Process {
        let process = self.start(nats);
        process.wait_for_line("ready", PATIENCE).await.unwrap();
        process
    }

    /// Runs it to its end, which must be a good one, and returns what it printed.
    pub(crate) async fn run(self, nats: &NatsServer) -> String {
        let mut process = self.start(nats);
        let status = process.wait(PATIENCE).await.unwrap();
        assert!(status.success(), "{}", process.output());
        process.output()
    }

    fn start(mut self, nats: &NatsServer) -> Process {
        self.0.env("NATS_URL", nats.url());
        Process::spawn(self.0).unwrap()
    }
}

/// The service of the README.
struct English;

impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply {
            message: format!("Hello, {}!", request.name),
        })
    }
}

/// Serves what the blocks of the README call.
pub(crate) async fn serve_greeter(nats: &NatsServer) -> RunningServer {
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus).add(GreeterServer::new(English));
    server.start().await.unwrap()
}
