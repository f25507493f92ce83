"""A service of nats-py and protobuf, which knows nothing of streams; `runs` is how often its handlers ran.

With `MESSAGES=betterproto` it is a service of nats-py and betterproto.
"""

import asyncio
import os

import nats

if os.environ.get("MESSAGES") == "betterproto":
    from betterproto_messages import BytesValue, DecodeError, Empty, Int32Value, UInt32Value, UInt64Value
else:
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.message import DecodeError
    from google.protobuf.wrappers_pb2 import BytesValue, Int32Value, UInt32Value, UInt64Value

runs = 0


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])

    async def serve(subject, kind, handler):
        async def on_request(message):
            global runs
            try:
                request = kind.FromString(message.data)
            except DecodeError as error:
                headers = {"nats-service-error-code": "400", "nats-service-error": str(error)}
                return await nc.publish(message.reply, headers=headers)
            runs += 1
            reply, headers = await handler(request)
            await nc.publish(message.reply, reply.SerializeToString(), headers=headers)

        await nc.subscribe(subject, queue="q", cb=on_request)

    async def echo(request):
        return request, None

    async def fill(request):
        return BytesValue(value=b"x" * request.value), None

    async def fail(_):
        return Empty(), {"nats-service-error-code": "404", "nats-service-error": "no account 7"}

    async def panic(_):
        return Empty(), {"micro-status": "5"}

    async def wait(request):
        await asyncio.sleep(request.value / 1000)
        return Empty(), None

    async def count(message):
        await nc.publish(message.reply, str(runs).encode())

    # Blob has the form of BytesValue, FillRequest and WaitRequest that of UInt32Value, Item that of UInt64Value.
    await serve("behavior.v1.Behavior.Echo", BytesValue, echo)
    await serve("behavior.v1.Behavior.Fill", UInt32Value, fill)
    await serve("behavior.v1.Behavior.Fail", Int32Value, fail)
    await serve("behavior.v1.Behavior.Panic", BytesValue, panic)
    await serve("behavior.v1.Behavior.Wait", UInt32Value, wait)
    await serve("behavior.v1.Behavior.Nothing", Empty, echo)
    await serve("streams.v1.Streams.*", UInt64Value, echo)
    await nc.subscribe("runs", cb=count)
    await nc.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
