"""Compares the JSON replies of a Rust service with the JSON of google.protobuf for the same message."""

import asyncio
import json
import os

import nats
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

SERVICE = "json.v1.Mirror"


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])
    schema = await nc.request(f"{SERVICE}._schema", b"", timeout=5)
    files = descriptor_pb2.FileDescriptorSet.FromString(schema.data)
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("json.v1.Everything"))

    headers = {"Content-Type": "application/json"}
    for form in json.loads(os.environ["FORMS"]):
        message = json_format.Parse(form, kind(), descriptor_pool=pool)
        expected = json_format.MessageToDict(message, descriptor_pool=pool)
        reply = await nc.request(f"{SERVICE}.Show", form.encode(), timeout=5, headers=headers)
        found = json.loads(reply.data)
        assert found == expected, (form, found, expected)
        # google.protobuf reads the reply as the same message; NaN is the one value not equal to itself.
        again = json_format.Parse(reply.data, kind(), descriptor_pool=pool)
        assert again == message or "NaN" in form, (form, again, message)

    await nc.close()
    print("ok")


asyncio.run(main())
