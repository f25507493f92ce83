"""Serves two methods of a service for a Rust client."""

import asyncio
import os

import nats
from golden import Example

SERVICE = "behavior.v1.Behavior"


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])

    async def echo(request):
        text = request.data[2:] + b" from python"
        await request.respond(b"\x0a" + bytes([len(text)]) + text)

    async def fill(request):
        failure = Example("failure_of_adr_32")
        await nc.publish(request.reply, failure.payload, headers=failure.headers)

    await nc.subscribe(f"{SERVICE}.Echo", queue="q", cb=echo)
    await nc.subscribe(f"{SERVICE}.Fill", queue="q", cb=fill)
    await nc.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
