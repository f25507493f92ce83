"""Counts every trade and tick of the market, prints the trades, and serves the counts.

Nothing here depends on Rust: the payloads are bare protobuf, the consumer is a durable pull consumer
of JetStream, and the service is an ADR-32 service that replies on its plain subject.
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

from messages import CountsReply, CountsRequest, Tick, Trade

STREAM = "MARKET"
DURABLE = "python"


class EventCounts:
    """Counts each event once, although an event can be delivered twice.

    The counts survive a restart: each event is a line of a file, written before the event is
    acknowledged.
    """

    def __init__(self, path):
        self.trades = 0
        self.ticks = 0
        self.last_trade = None
        self._contiguous = 0  # every stream sequence up to this one is counted
        self._above = set()  # counted sequences above it
        self._file = open(path, "a+", newline="\n")
        self._file.seek(0)
        text = self._file.read()
        complete = text[: text.rfind("\n") + 1]  # without a line that a kill has cut off
        self._file.truncate(len(complete))
        for line in complete.splitlines():
            sequence, kind = line.split(" ")
            self._count(int(sequence), kind)

    def _count(self, sequence, kind):
        if sequence <= self._contiguous or sequence in self._above:
            return False
        self._above.add(sequence)
        while self._contiguous + 1 in self._above:
            self._contiguous += 1
            self._above.remove(self._contiguous)
        if kind == "trade":
            self.trades += 1
        else:
            self.ticks += 1
        return True

    def add(self, message):
        sequence = message.metadata.sequence.stream
        kind = message.subject.split(".")[2]
        event = (Trade if kind == "trade" else Tick).FromString(message.data)
        if not self._count(sequence, kind):
            return
        self._file.write(f"{sequence} {kind}\n")
        if kind == "trade":
            self.last_trade = event
            side = "buys" if event.side == 1 else "sells"
            print(event.venue, event.symbol, side, event.amount, "at", event.price)

    def flush(self):
        self._file.flush()


async def subscribe(js, counts, stop):
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
            await handle(await subscription.fetch(500, timeout=1), counts)
        except (nats.errors.Error, asyncio.TimeoutError):
            await asyncio.sleep(0.05)  # no event, or no server: unacknowledged events are redelivered


async def handle(messages, counts):
    counted = []
    for message in messages:
        try:
            counts.add(message)
            counted.append(message)
        except DecodeError as error:
            print("not an event:", message.subject, error, file=sys.stderr)
            await message.term()
    counts.flush()
    for message in counted:
        await message.ack()


async def serve(nc, counts):
    async def reply_with_counts(request):
        CountsRequest.FromString(request.data)
        reply = CountsReply(
            trades=counts.trades, ticks=counts.ticks, last_trade=counts.last_trade
        )
        await request.respond(reply.SerializeToString())

    service = await nats.micro.add_service(
        nc, name="market-v1-Watcher", version="0.1.0", description="Counts trades and ticks, in Python"
    )
    await service.add_endpoint(
        name="Counts", subject="market.v1.Watcher.Counts", handler=reply_with_counts
    )


def stop_on_signal(stop):
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if "--exit-on-stdin-eof" in sys.argv:  # ends with the process that started it

        def wait_for_eof():
            sys.stdin.read()
            loop.call_soon_threadsafe(stop.set)

        threading.Thread(target=wait_for_eof, daemon=True).start()


async def main():
    stop = asyncio.Event()
    stop_on_signal(stop)  # before "ready" is printed: no signal is missed after it
    counts = EventCounts(os.environ.get("MARKET_COUNTS", "python.counts"))
    nc = await nats.connect(
        os.environ.get("NATS_URL", "nats://127.0.0.1:4222").split(","),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.25,
    )
    await serve(nc, counts)
    await subscribe(nc.jetstream(), counts, stop)
    await nc.flush()  # the last acknowledgments
    await nc.close()


asyncio.run(main())
