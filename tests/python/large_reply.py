"""Takes replies that do not fit into one NATS message by hand, with plain nats-py."""

import asyncio
import os

import nats

SERVICE = "behavior.v1.Behavior"
END = 2


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """Yields number and value of each field of a protobuf message: a number, or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        value, at = varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        yield key >> 3, value


def frame(message):
    """Returns the micro.v1.Frame of a frame, of the service, which begins with the byte 0f."""
    assert message.data[0] == 0x0F, message.data
    return message.data[1:]


async def request(nc, method, payload):
    reply = await nc.request(f"{SERVICE}.{method}", payload, timeout=5)
    if not reply.headers or "Micro-Stream" not in reply.headers:
        return reply.data
    # The reply is too large for one message, an error for those who do not know better.
    assert reply.headers["Micro-Status"] == "8", reply.headers
    assert reply.headers["Nats-Service-Error-Code"] == "413", reply.headers
    assert reply.headers["Micro-Stream"].startswith("v=2;u=1;"), reply.headers
    accept = dict(fields(frame(reply)))
    up = f"{SERVICE}._i.{accept[8].decode()}._up.{accept[9].decode()}"
    # nc.request takes one reply alone, so the parts go to a subscription of their own. The grant: 1 message, 16 MiB.
    parts = await nc.subscribe(inbox := nc.new_inbox())
    await nc.publish(up, b"\x07\x28\x01\x30\x80\x80\x80\x08", reply=inbox)
    message, flags = b"", 0
    while not flags & END:
        part = list(fields(frame(await parts.next_msg(timeout=5))))
        message += b"".join(value for number, value in part if number == 2)
        flags = dict(part).get(3, 0)
        assert 7 not in dict(part), part
    await parts.unsubscribe()
    return message


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])
    # FillRequest { bytes: 10 }, and 100,000, which is far above the server's limit of 4 KiB.
    assert await request(nc, "Fill", b"\x08\x0a") == b"\x0a\x0a" + b"x" * 10
    assert await request(nc, "Fill", b"\x08\xa0\x8d\x06") == b"\x0a\xa0\x8d\x06" + b"x" * 100_000
    schema = await request(nc, "_schema", b"")
    assert len(schema) > 4096 and b"behavior.proto" in schema, len(schema)
    await nc.close()
    print("ok")


asyncio.run(main())
