"""A nats.micro service with JSON messages and without a schema, for a dynamic client to call."""

import asyncio
import json
import os

import nats
from nats.micro import add_service


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])
    service = await add_service(nc, name="calculator-py", version="1.0.0", description="Counts")

    async def add(request):
        numbers = json.loads(request.data)
        await request.respond(json.dumps({"sum": numbers["a"] + numbers["b"]}).encode())

    async def divide(request):
        numbers = json.loads(request.data)
        if numbers["b"] == 0:
            return await request.respond_error("400", "division by zero")
        await request.respond(json.dumps({"quotient": numbers["a"] / numbers["b"]}).encode())

    await service.add_endpoint(name="add", subject="py.calculator.add", handler=add)
    await service.add_endpoint(name="divide", subject="py.calculator.divide", handler=divide)
    await nc.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
