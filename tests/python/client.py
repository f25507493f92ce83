"""Calls a Rust service with plain `nc.request` and protobuf messages without headers."""

import asyncio
import os

import nats
from golden import Example
from nats.errors import NoRespondersError

SERVICE = "behavior.v1.Behavior"


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])

    # Blob { data: "hi" }: field 1, two bytes; request and reply have no headers.
    request = Example("unary_request")
    reply = await nc.request(request.at(SERVICE), request.payload, timeout=5)
    assert reply.headers is None, reply.headers
    Example("unary_reply").check(reply)

    # FailRequest { code: 5, text: "no account 7" }; the handler adds a header of its own.
    fail = b"\x08\x05\x12\x0cno account 7"
    reply = await nc.request(f"{SERVICE}.Fail", fail, timeout=5)
    Example("failure_of_a_handler").check(reply, other_headers=["failed-by"])

    try:
        await nc.request(f"{SERVICE}.Nope", b"", timeout=5)
        raise AssertionError("Nope has a responder")
    except NoRespondersError:
        pass

    await nc.close()
    print("ok")


asyncio.run(main())
