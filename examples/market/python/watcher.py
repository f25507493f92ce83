"""Reads every trade and tick of the market, prints the trades, and says what it has seen.

Nothing here knows of Rust: the payloads are bare protobuf, the consumer is a durable pull consumer
of JetStream, and the service is an ADR-32 service that answers on its plain subject.
"""

import asyncio
import os
import signal
import sys
import threading

import nats
import nats.micro
from google.protobuf.message import DecodeError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from messages import SeenReply, SeenRequest, Tick, Trade

STREAM = "MARKET"
DURABLE = "python"


class Seen:
    """Counts each event once, though a delivery may come twice."""

    def __init__(self):
        self.trades = 0
        self.ticks = 0
        self.last = None
        self._all_up_to = 0  # every number up to this one was seen
        self._beyond = set()

    def is_new(self, sequence):
        if sequence <= self._all_up_to or sequence in self._beyond:
            return False
        self._beyond.add(sequence)
        while self._all_up_to + 1 in self._beyond:
            self._all_up_to += 1
            self._beyond.remove(self._all_up_to)
        return True

    def take(self, subject, payload):
        if subject.startswith("evt.market.trade."):
            self.last = Trade.FromString(payload)
            self.trades += 1
            side = "buys" if self.last.side == 1 else "sells"
            print(self.last.venue, self.last.symbol, side, self.last.amount, "at", self.last.price)
        else:
            Tick.FromString(payload)
            self.ticks += 1


async def watch(js, seen, stop):
    config = ConsumerConfig(
        durable_name=DURABLE,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=5,
        max_ack_pending=4096,
    )
    await js.add_consumer(STREAM, config)
    subscription = await js.pull_subscribe_bind(consumer=DURABLE, stream=STREAM)
    print("ready", flush=True)
    while not stop.is_set():
        try:
            for message in await subscription.fetch(500, timeout=1):
                await handle(message, seen)
        except (nats.errors.Error, asyncio.TimeoutError):
            await asyncio.sleep(0.05)  # nothing there, or no server: what was not acknowledged returns


async def handle(message, seen):
    try:
        if seen.is_new(message.metadata.sequence.stream):
            seen.take(message.subject, message.data)
        await message.ack()
    except DecodeError as error:
        print("not an event:", message.subject, error, file=sys.stderr)
        await message.term()


async def serve(nc, seen):
    async def answer(request):
        SeenRequest.FromString(request.data)
        reply = SeenReply(trades=seen.trades, ticks=seen.ticks, last=seen.last)
        await request.respond(reply.SerializeToString())

    service = await nats.micro.add_service(
        nc, name="market-v1-Watcher", version="0.1.0", description="Has seen the market, in Python"
    )
    await service.add_endpoint(name="Seen", subject="market.v1.Watcher.Seen", handler=answer)


def stop_when_asked(stop):
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if "--tied" in sys.argv:  # ends with whoever started it

        def wait():
            sys.stdin.read()
            loop.call_soon_threadsafe(stop.set)

        threading.Thread(target=wait, daemon=True).start()


async def main():
    stop, seen = asyncio.Event(), Seen()
    stop_when_asked(stop)
    nc = await nats.connect(
        os.environ.get("NATS_URL", "nats://127.0.0.1:4222").split(","),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.25,
    )
    await serve(nc, seen)
    await watch(nc.jetstream(), seen, stop)
    await nc.flush()  # the last acknowledgments
    await nc.close()


asyncio.run(main())
