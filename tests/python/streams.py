"""Reads a server stream without frames, with plain nats-py."""

import asyncio
import os

import nats


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])
    replies = await nc.subscribe(inbox := nc.new_inbox())

    # CountRequest { messages: 3, size: 2 }; the items are { number: 0.., data: 07 07 }.
    await nc.publish("streams.v1.Streams.Count", b"\x08\x03\x10\x02", reply=inbox)
    items = []
    while "Micro-Status" not in ((reply := await replies.next_msg(timeout=5)).headers or {}):
        items.append(reply.data)
    assert reply.headers["Micro-Status"] == "0", reply.headers
    assert reply.headers["sent"] == "3", reply.headers
    data = b"\x12\x02\x07\x07"
    assert items == [data, b"\x08\x01" + data, b"\x08\x02" + data], items

    await nc.close()
    print("ok")


asyncio.run(main())
