"""A nats.micro service, for the discovery of a Rust program."""

import asyncio
import os

import nats
from nats.micro import add_service


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])
    service = await add_service(
        nc,
        name="echo-py",
        version="2.1.0",
        description="Echoes, in Python",
        metadata={"zone": "eu-west-1"},
    )

    async def echo(request):
        await request.respond(request.data)

    await service.add_endpoint(
        name="echo", subject="py.echo", handler=echo, metadata={"format": "bytes"}
    )
    await nc.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
