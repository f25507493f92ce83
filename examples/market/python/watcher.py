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
    """Counts each event once, though a delivery may come twice, and over its own death.

    What is counted is on the disk before it is acknowledged: one line for each event.
    """

    def __init__(self, path):
        self.trades = 0
        self.ticks = 0
        self.last = None
        self._all_up_to = 0  # every number up to this one was seen
        self._beyond = set()
        self._file = open(path, "a+", newline="\n")
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind("\n") + 1]
        self._file.truncate(len(whole))
        for line in whole.splitlines():
            sequence, kind = line.split(" ")
            self._count(int(sequence), kind)

    def _count(self, sequence, kind):
        if sequence <= self._all_up_to or sequence in self._beyond:
            return False
        self._beyond.add(sequence)
        while self._all_up_to + 1 in self._beyond:
            self._all_up_to += 1
            self._beyond.remove(self._all_up_to)
        if kind == "trade":
            self.trades += 1
        else:
            self.ticks += 1
        return True

    def take(self, message):
        sequence = message.metadata.sequence.stream
        kind = message.subject.split(".")[2]
        event = (Trade if kind == "trade" else Tick).FromString(message.data)
        if not self._count(sequence, kind):
            return
        self._file.write(f"{sequence} {kind}\n")
        if kind == "trade":
            self.last = event
            side = "buys" if event.side == 1 else "sells"
            print(event.venue, event.symbol, side, event.amount, "at", event.price)

    def keep(self):
        self._file.flush()


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
            await handle(await subscription.fetch(500, timeout=1), seen)
        except (nats.errors.Error, asyncio.TimeoutError):
            await asyncio.sleep(0.05)  # nothing there, or no server: what was not acknowledged returns


async def handle(messages, seen):
    good = []
    for message in messages:
        try:
            seen.take(message)
            good.append(message)
        except DecodeError as error:
            print("not an event:", message.subject, error, file=sys.stderr)
            await message.term()
    seen.keep()
    for message in good:
        await message.ack()


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
    stop, seen = asyncio.Event(), Seen(os.environ.get("MARKET_SEEN", "python.seen"))
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
