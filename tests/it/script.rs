//! Python programs that run against a nats-server: the files of `tests/python`, and code of the README.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
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

    /// Returns a program of the first Python code block of the README that contains `text`, with a connection `nc`
    /// unless it makes one, beside the modules that the commands of the README make of its .proto files.
    pub(crate) fn in_readme(text: &str) -> Self {
        Self::of_lines(&readme_block("python", text), "await nc.close()")
    }

    /// Returns the same with the connection of the README for a user with an inbox of its own.
    pub(crate) fn logged_in_readme(text: &str) -> Self {
        let login = readme_block("python", "inbox_prefix=");
        let block = readme_block("python", text);
        let lines = block.replace("nc = await nats.connect()", login.trim());
        Self::of_lines(&lines, "await nc.close()")
    }

    /// Returns the same for a block that serves without an end: it prints that it is ready.
    pub(crate) fn service_in_readme(text: &str) -> Self {
        const END: &str = "await asyncio.Event().wait()";
        let block = readme_block("python", text);
        assert!(block.contains(END), "{block}");
        let ready = format!("await nc.flush(); print('ready'); {END}");
        Self::of_lines(&block.replace(END, &ready), "")
    }

    /// Returns a program of lines that use a connection `nc`; `end` is its last line.
    fn of_lines(lines: &str, end: &str) -> Self {
        const CONNECTING: &str = "nc = await nats.connect(os.environ['NATS_URL'])";
        let lines = lines
            .replace("connect()", "connect(os.environ['NATS_URL'])")
            .replace("\"nats://127.0.0.1:4222\"", "os.environ['NATS_URL']");
        let connecting = match lines.contains("nats.connect(") {
            true => "",
            false => CONNECTING,
        };
        let body = [connecting].into_iter().chain(lines.lines()).chain([end]);
        let body = body.map(|line| format!("    {line}\n"));
        let mut command = python().unwrap();
        let packages = command.get_envs().find(|(name, _)| *name == "PYTHONPATH");
        let mut path = vec![readme_messages().to_owned()];
        path.extend(packages.and_then(|(_, value)| value).map(PathBuf::from));
        command.env("PYTHONPATH", std::env::join_paths(path).unwrap());
        command.arg("-c").arg(format!(
            "import asyncio, json, nats, os\n\
             async def main():\n{}\
             asyncio.run(main())\n",
            body.collect::<String>()
        ));
        Self(command)
    }

    /// Runs the program, which must exit with another code than 0, and returns its output.
    pub(crate) async fn fail(self, nats: &NatsServer) -> String {
        let mut process = self.start(nats);
        let status = process.wait(SCRIPT_TIMEOUT).await.unwrap();
        assert!(!status.success(), "{}", process.output());
        process.output()
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
        // No `__pycache__` of `golden.py` in the sources.
        self.0.env("PYTHONDONTWRITEBYTECODE", "1");
        Process::spawn(self.0).unwrap()
    }
}

/// Returns the first code block of the README in this language that contains `text`.
fn readme_block(language: &str, text: &str) -> String {
    let readme = std::fs::read_to_string(workspace_root().join("README.md")).unwrap();
    let start = format!("```{language}\n");
    let mut blocks = readme
        .split(&start)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let block = blocks.find(|block| block.contains(text));
    block.unwrap().to_owned()
}

/// Returns a folder with the modules that the commands of the README make of its .proto files.
fn readme_messages() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
        let protos = folder.join("proto");
        std::fs::create_dir_all(&protos).unwrap();
        for (name, part) in [("greeter", "service Greeter"), ("market", "message Trade")] {
            let proto = readme_block("proto", part);
            std::fs::write(protos.join(format!("{name}.proto")), proto).unwrap();
        }
        // The clone of this repository.
        let link = folder.join("micro-rs");
        if !link.exists() {
            std::os::unix::fs::symlink(workspace_root(), link).unwrap();
        }
        let commands = readme_protoc_arguments();
        assert_eq!(commands.len(), 2, "{commands:?}");
        for arguments in commands {
            let include = protoc_bin_vendored::include_path().unwrap();
            let protoc = Command::new(protoc_bin_vendored::protoc_bin_path().unwrap())
                .arg(format!("--proto_path={}", include.display()))
                .args(arguments)
                .current_dir(&folder)
                .status();
            assert!(protoc.unwrap().success());
        }
        folder
    });
    &FOLDER
}

/// Returns the arguments of each protoc in the README, which takes its own files of Google from grpcio-tools.
fn readme_protoc_arguments() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(workspace_root().join("README.md")).unwrap();
    let commands = readme
        .lines()
        .filter_map(|line| line.strip_prefix("python3 -m grpc_tools.protoc "));
    commands
        .map(|command| {
            let arguments = command.split('#').next().unwrap_or_default();
            arguments.split_whitespace().map(str::to_owned).collect()
        })
        .collect()
}
