"""Calls a Rust service with plain `nc.request` and protobuf messages without headers."""

import asyncio
import os

import nats
from nats.errors import NoRespondersError

SERVICE = "behavior.v1.Behavior"


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])

    # Blob { data: "hi" }: field 1, two bytes; request and reply have no headers.
    reply = await nc.request(f"{SERVICE}.Echo", b"\x0a\x02hi", timeout=5)
    assert reply.data == b"\x0a\x02hi", reply.data
    assert reply.headers is None, reply.headers

    # FailRequest { code: 5, text: "no way" }
    reply = await nc.request(f"{SERVICE}.Fail", b"\x08\x05\x12\x06no way", timeout=5)
    assert reply.headers["Micro-Status"] == "5", reply.headers
    assert reply.headers["Nats-Service-Error-Code"] == "404", reply.headers
    assert reply.headers["Nats-Service-Error"] == "no way", reply.headers
    assert reply.data == b"\x08\x05\x12\x06no way", reply.data

    try:
        await nc.request(f"{SERVICE}.Nope", b"", timeout=5)
        raise AssertionError("Nope has a responder")
    except NoRespondersError:
        pass

    await nc.close()
    print("ok")


asyncio.run(main())
