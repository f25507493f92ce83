"""A caller of nats-py and protobuf, which knows nothing of streams and of the headers of a call."""

import asyncio
import os

import nats
from google.protobuf.wrappers_pb2 import BytesValue, UInt32Value

BEHAVIOR = "behavior.v1.Behavior"


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])

    async def call(method, payload=b"", timeout=10, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()} or None
        reply = await nc.request(f"{BEHAVIOR}.{method}", payload, timeout=timeout, headers=headers)
        return (reply.headers or {}).get("Nats-Service-Error-Code"), reply

    blob = BytesValue(value=b"hi").SerializeToString()
    code, reply = await call("Echo", blob)
    assert (code, reply.data, reply.headers) == (None, blob, None), reply
    code, reply = await call("Echo")
    assert (code, reply.data, reply.headers) == (None, b"", None), reply
    code, reply = await call("Nothing")
    assert (code, reply.data, reply.headers) == (None, b"", None), reply

    # FailRequest { code: 5, text: "no account 7" }
    code, reply = await call("Fail", b"\x08\x05\x12\x0cno account 7")
    assert (code, reply.headers["Nats-Service-Error"]) == ("404", "no account 7"), reply
    code, reply = await call("Echo", b"\x07")
    assert code == "400", reply

    # Slow: by the server's own limit, by ours in small letters, and given up here.
    minute = UInt32Value(value=60_000).SerializeToString()
    code, reply = await call("WaitWithTimeout", minute)
    assert code == "504", reply
    code, reply = await call("Wait", minute, micro_timeout="100")
    assert code == "504", reply
    try:
        await call("Wait", UInt32Value(value=300).SerializeToString(), timeout=0.05)
        raise AssertionError("Wait replied at once")
    except nats.errors.TimeoutError:
        pass

    # Large: what fits arrives whole, a reply that does not fit is an error, a request is refused here.
    large = BytesValue(value=b"x" * (nc.max_payload - 100)).SerializeToString()
    code, reply = await call("Echo", large)
    assert (code, reply.data) == (None, large), reply
    code, reply = await call("Fill", UInt32Value(value=2 * nc.max_payload).SerializeToString())
    assert code == "413", reply
    try:
        await call("Echo", b"\x0a" + b"x" * nc.max_payload)
        raise AssertionError("a request of more than max_payload was sent")
    except nats.errors.MaxPayloadError:
        pass

    # Headers as other languages write them.
    code, reply = await call("Echo", b'{"data":"aGk="}', content_type="application/json")
    assert (code, reply.data) == (None, b'{"data":"aGk="}'), reply
    code, reply = await call("Describe", b"", Tenant="acme")
    assert code is None and b"tenant=acme" in reply.data, reply

    # A stream without frames: CountRequest { messages: 3 }, three items and an end.
    replies = await nc.subscribe(inbox := nc.new_inbox())
    await nc.publish("streams.v1.Streams.Count", b"\x08\x03", reply=inbox)
    items = 0
    while "Micro-Status" not in ((reply := await replies.next_msg(timeout=10)).headers or {}):
        items += 1
    assert (items, reply.headers["Micro-Status"]) == (3, "0"), reply

    await nc.close()
    print("ok")


asyncio.run(main())
