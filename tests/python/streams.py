"""Reads a server stream without frames, with plain nats-py."""

import asyncio
import os

import nats
from golden import Example


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])
    replies = await nc.subscribe(inbox := nc.new_inbox())

    request = Example("by_hand_request")
    await nc.publish(request.at("streams.v1.Streams"), request.payload, reply=inbox)
    for name in ["by_hand_empty_message", "by_hand_message", "by_hand_end"]:
        Example(name).check(await replies.next_msg(timeout=5))

    await nc.close()
    print("ok")


asyncio.run(main())
