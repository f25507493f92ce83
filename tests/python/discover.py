"""Reads the discovery records of a Rust service with the classes of nats.micro."""

import asyncio
import json
import os

import nats
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats

NAME = "behavior-v1-Behavior"


async def query(nc, verb, record):
    reply = await nc.request(f"$SRV.{verb}.{NAME}", b"{}", timeout=5)
    assert reply.headers is None, reply.headers
    return record.from_dict(json.loads(reply.data))


async def main():
    nc = await nats.connect(os.environ["NATS_URL"])
    await nc.request("behavior.v1.Behavior.Echo", b"\x0a\x02hi", timeout=5)

    ping = await query(nc, "PING", ServicePing)
    assert (ping.name, ping.id, ping.version) == (NAME, "a1", "0.1.0"), ping
    assert ping.metadata["micro.service"] == "behavior.v1.Behavior", ping.metadata

    info = await query(nc, "INFO", ServiceInfo)
    assert info.description == "Does on demand whatever a service may do.", info
    echo = info.endpoints[0]
    assert (echo.name, echo.queue_group) == ("Echo", "q"), echo
    # Tools call endpoints by their subject in INFO.
    reply = await nc.request(echo.subject, b"\x0a\x02hi", timeout=5)
    assert reply.data == b"\x0a\x02hi", reply.data

    stats = await query(nc, "STATS", ServiceStats)
    echo = stats.endpoints[0]
    assert (echo.num_requests, echo.num_errors, echo.last_error) == (2, 0, ""), echo
    assert echo.processing_time > 0 and echo.average_processing_time > 0, echo
    assert echo.data["in_flight"] == 0, echo.data
    assert stats.started.year >= 2024, stats.started

    await nc.close()
    print("ok")


asyncio.run(main())
