//! The programs of `tests/python` and `tests/foreign` as commands.

use std::path::PathBuf;
use std::process::Command;

use micro_testkit::{NatsServer, Process, python, workspace_root};

use crate::script::SCRIPT_TIMEOUT;

/// Language of a program, whose tools `cargo xtask test --full` prepares; Python's are there in the first tier.
#[derive(Clone, Copy, Debug)]
pub(super) enum Language {
    Python,
    /// Python with betterproto in place of protobuf, of which there is the service alone.
    Betterproto,
    Go,
    Java,
    TypeScript,
}

/// Program that each language has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Program {
    /// A service that subscribes to the subjects of methods.
    Service,
    /// A service by the services library of the language's NATS client.
    MicroService,
    Caller,
    /// A caller that takes a large reply in parts.
    LargeReply,
}

impl Language {
    /// Starts a program, and waits until it has printed that it is ready.
    pub(super) async fn start(self, program: Program, nats: &NatsServer) -> Process {
        let process = self.spawn(program, nats);
        let ready = process.wait_for_line("ready", SCRIPT_TIMEOUT).await;
        ready.unwrap();
        process
    }

    /// Runs a program, which must exit with code 0.
    pub(super) async fn run(self, program: Program, nats: &NatsServer) {
        let mut process = self.spawn(program, nats);
        let status = process.wait(SCRIPT_TIMEOUT).await.unwrap();
        assert!(status.success(), "{self:?}: {}", process.output());
    }

    fn spawn(self, program: Program, nats: &NatsServer) -> Process {
        let mut command = self.command(program);
        command.env("NATS_URL", nats.url());
        Process::spawn(command).unwrap()
    }

    fn command(self, program: Program) -> Command {
        match self {
            Self::Python | Self::Betterproto => {
                let mut command = python().unwrap();
                if matches!(self, Self::Betterproto) {
                    command.env("MESSAGES", "betterproto");
                }
                let name = match program {
                    Program::Service => "plain_service.py",
                    Program::MicroService => "plain_micro_service.py",
                    Program::Caller => "plain_caller.py",
                    Program::LargeReply => "large_reply.py",
                };
                command.arg(workspace_root().join("tests/python").join(name));
                command
            }
            Self::Go => Command::new(prepared("FOREIGN_GO").join(program.name())),
            Self::Java => {
                let class = match program {
                    Program::Service => "PlainService",
                    Program::MicroService => "PlainMicroService",
                    Program::Caller => "PlainCaller",
                    Program::LargeReply => "LargeReply",
                };
                let mut command = Command::new("java");
                command.arg("-cp").arg(prepared("FOREIGN_JAVA")).arg(class);
                command
            }
            Self::TypeScript => {
                let mut command = Command::new("node");
                let file = format!("{}.js", program.name());
                command.arg(prepared("FOREIGN_TYPESCRIPT").join(file));
                command
            }
        }
    }
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::MicroService => "micro_service",
            Self::Caller => "caller",
            Self::LargeReply => "large_reply",
        }
    }
}

/// Returns what the suite `foreign` has prepared for a language.
fn prepared(variable: &str) -> PathBuf {
    let Some(prepared) = std::env::var_os(variable) else {
        panic!("`{variable}` is not set: run `cargo xtask test --slow foreign`, which sets it");
    };
    prepared.into()
}
