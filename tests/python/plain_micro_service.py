"""A service of nats.micro and protobuf, which knows nothing of streams; `runs` is how often its handlers ran."""

import asyncio
import os

import nats
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import BytesValue, Int32Value, UInt32Value, UInt64Value
from nats.micro import add_service

runs = 0


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])
    metadata = {"team": "", "zone": "eu"}
    service = await add_service(nc, name="plain-behavior", version="1.0.0", metadata=metadata)

    async def serve(name, subject, kind, handler):
        async def on_request(request):
            global runs
            try:
                message = kind.FromString(request.data)
            except DecodeError as error:
                return await request.respond_error("400", str(error))
            runs += 1
            await handler(request, message)

        await service.add_endpoint(name=name, subject=subject, handler=on_request)

    async def echo(request, message):
        await request.respond(message.SerializeToString())

    async def fill(request, message):
        await request.respond(BytesValue(value=b"x" * message.value).SerializeToString())

    async def fail(request, _):
        await request.respond_error("404", "no account 7")

    async def panic(request, _):
        await request.respond(b"", headers={"micro-status": "5"})

    async def wait(request, message):
        await asyncio.sleep(message.value / 1000)
        await request.respond(b"")

    async def count(message):
        await nc.publish(message.reply, str(runs).encode())

    await serve("Echo", "behavior.v1.Behavior.Echo", BytesValue, echo)
    await serve("Fill", "behavior.v1.Behavior.Fill", UInt32Value, fill)
    await serve("Fail", "behavior.v1.Behavior.Fail", Int32Value, fail)
    await serve("Panic", "behavior.v1.Behavior.Panic", BytesValue, panic)
    await serve("Wait", "behavior.v1.Behavior.Wait", UInt32Value, wait)
    await serve("Nothing", "behavior.v1.Behavior.Nothing", Empty, echo)
    for method in ["Count", "Collect", "Echo"]:
        await serve(f"Streams{method}", f"streams.v1.Streams.{method}", UInt64Value, echo)
    await nc.subscribe("runs", cb=count)
    await nc.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
