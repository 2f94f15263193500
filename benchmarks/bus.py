"""Measures the in-process event bus beside blinker and a bare dict of handlers.

Run: ``python benchmarks/bus.py [--runs 5] [--events 50000]``; blinker is needed for this benchmark only.
The cases alternate within a run, so that other load on the machine hits all of them. A figure counts until the handler
has handled the last event.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import blinker

from iskra.event_bus import InProcessEventBus
from iskra.interceptors import Points
from iskra_sdk.event import Event
from iskra_sdk.event_bus import EventHandler
from iskra_sdk.ids import SessionId
from table import Row, show

EVENT = Event("message.delta", {"text": "x" * 20}, session_id=SessionId("s" * 26))
BURST = 256


class Counter:
    """An asynchronous handler that counts."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, event: object) -> None:
        self.count += 1


async def bare_dict(events: int) -> None:
    counter = Counter()
    table: dict[str, list[Callable[[object], Awaitable[None]]]] = {EVENT.type: [counter]}
    for _ in range(events):
        for handler in table[EVENT.type]:
            await handler(EVENT)
    assert counter.count == events


async def blinker_async(events: int) -> None:
    counter = Counter()

    async def receive(sender: object, event: object = None) -> None:
        await counter(event)

    signal = blinker.Signal()
    signal.connect(receive, weak=False)
    for _ in range(events):
        await signal.send_async("bench", event=EVENT)
    assert counter.count == events


async def iskra_handler(events: int) -> None:
    counter = Counter()
    bus = InProcessEventBus(Points())
    registration = bus.on(EventHandler("message.*", counter), "bench")
    for number in range(events):
        await bus.publish(EVENT)
        if number % BURST == BURST - 1:
            await asyncio.sleep(0)  # lets the handler's task run, as any publisher that waits for something does
    registration()
    await registration.wait()
    assert counter.count == events
    await bus.aclose()


async def iskra_subscription(events: int) -> None:
    bus = InProcessEventBus(Points())
    count = 0
    async with bus.subscribe("*", topic=EVENT.topic) as subscription:
        for number in range(events):
            await bus.publish(EVENT)
            if number % BURST == BURST - 1:
                count += len(await subscription.batch())
        if count < events:
            count += len(await subscription.batch())
    assert count == events


async def iskra_nobody(events: int) -> None:
    bus = InProcessEventBus(Points())
    for _ in range(events):
        await bus.publish(EVENT)


OURS = "iskra bus, 1 event handler"

CASES: dict[str, Callable[[int], Awaitable[None]]] = {
    "bare dict, awaited handler": bare_dict,
    "blinker send_async, 1 handler": blinker_async,
    OURS: iskra_handler,
    "iskra bus, 1 subscription read in batches": iskra_subscription,
    "iskra bus, nobody listens": iskra_nobody,
}


async def measure(runs: int, events: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(runs):
        for name, case in CASES.items():
            began = time.perf_counter()
            await case(events)
            rates[name].append(events / (time.perf_counter() - began))
    return rates


async def run(runs: int, events: int = 50_000) -> list[Row]:
    """Measure our bus beside blinker and beside awaiting handlers in a dict."""
    rates = {name: statistics.median(values) for name, values in (await measure(runs, events)).items()}
    blinker, bare = rates["blinker send_async, 1 handler"], rates["bare dict, awaited handler"]
    rows = [Row("13", "our bus, 1 handler, beside a bare dict", rates[OURS], bare, "1/s", 0.3, 0.5, "more")]
    for name, rate in rates.items():
        if name.startswith("iskra"):
            label = name.replace("iskra bus", "our bus") + ", beside blinker"
            rows.append(Row("13" if name == OURS else "", label, rate, blinker, "1/s", 0.7, 1.0, "more"))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=50_000)
    arguments = parser.parse_args()
    show("Event bus", asyncio.run(run(arguments.runs, arguments.events)))


if __name__ == "__main__":
    main()
