//! The pinned Python packages, imported by a real Python.

use std::time::Duration;

use micro_testkit::{NatsServer, Process, python};

/// Limit for one run of the program.
const LIMIT: Duration = Duration::from_secs(60);

/// Program that calls its own NATS responder with a protobuf message.
const PROGRAM: &str = r#"
import asyncio, sys
import nats
from google.protobuf import __version__, duration_pb2

async def main():
    client = await nats.connect(sys.argv[1])
    async def echo(message):
        await message.respond(message.data)
    await client.subscribe("echo", cb=echo)
    sent = duration_pb2.Duration(seconds=5)
    reply = await client.request("echo", sent.SerializeToString(), timeout=5)
    print(__version__, duration_pb2.Duration.FromString(reply.data).seconds, reply.headers)
    await client.close()

asyncio.run(main())
"#;

#[tokio::test]
async fn the_pinned_packages_work_with_a_server() {
    let server = NatsServer::start().await.unwrap();
    let mut command = python().unwrap();
    command.args(["-c", PROGRAM, &server.url()]);
    let mut process = Process::spawn(command).unwrap();
    let exit = process.wait(LIMIT).await.unwrap();
    assert!(exit.success(), "{}", process.output());
    assert_eq!(process.stdout(), "7.36.2 5 None\n");
}
