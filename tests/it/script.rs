//! Python programs that run against a nats-server: the files of `tests/python`, and code of the README.

use std::process::Command;
use std::time::Duration;

use micro_testkit::{NatsServer, Process, python, workspace_root};

/// Limit for a program to start, or to run to its end.
pub(crate) const SCRIPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Command of a Python program.
pub(crate) struct Script(Command);

impl Script {
    /// Returns the program of a file in `tests/python`.
    pub(crate) fn file(name: &str) -> Self {
        let mut command = python().unwrap();
        command.arg(workspace_root().join("tests/python").join(name));
        Self(command)
    }

    /// Returns a program of the first Python code block of the README that contains `text`, with a
    /// connection `nc` around it.
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

    /// Starts the program, and waits until it has printed that it is ready.
    pub(crate) async fn ready(self, nats: &NatsServer) -> Process {
        let process = self.start(nats);
        process
            .wait_for_line("ready", SCRIPT_TIMEOUT)
            .await
            .unwrap();
        process
    }

    /// Runs the program, which must exit with code 0, and returns its output.
    pub(crate) async fn run(self, nats: &NatsServer) -> String {
        let mut process = self.start(nats);
        let status = process.wait(SCRIPT_TIMEOUT).await.unwrap();
        assert!(status.success(), "{}", process.output());
        process.output()
    }

    fn start(mut self, nats: &NatsServer) -> Process {
        self.0.env("NATS_URL", nats.url());
        Process::spawn(self.0).unwrap()
    }
}
