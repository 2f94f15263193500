"""Many WebSocket clients that lose their connections at once and take up where they were."""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from pydantic_core import from_json, to_json
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from iskra_chaos.experiments.errors import ActivityError
from iskra_sdk.client import AsyncIskraClient, ReconnectPolicy
from iskra_sdk.client.reconnect import Backoff
from iskra_sdk.errors import IskraError
from iskra_sdk.event import EPHEMERAL, TURN_ENDED

_MOST_CLIENTS = 2000
_HANDSHAKES = 64  # at the same time; a burst of more is refused by the listen queue of small machines
_TENTH = 0.1  # seconds of the window in which reconnects are counted


@dataclass(slots=True)
class StormClient:
    """Follows one session over as many connections as it takes.

    Attributes:
        session: Which one.
        cursor: Number of the last event; what a new connection resumes from.
        received: How often each durable event came.
        resumed: Seconds from each loss to the moment at which the session was followed again.
        attempts: When it tried to connect again, by the monotonic clock.
    """

    session: str
    cursor: int = 0
    received: Counter[int] = field(default_factory=Counter)
    resumed: list[float] = field(default_factory=list)
    attempts: list[float] = field(default_factory=list)
    is_following: asyncio.Event = field(default_factory=asyncio.Event)
    lost_at: float | None = None

    @property
    def losses(self) -> int:
        """How often the connection was lost."""
        return len(self.resumed) + (self.lost_at is not None)

    async def run(self, url: str, headers: dict[str, str], gate: asyncio.Semaphore) -> None:
        """Follow until cancelled."""
        backoff = Backoff(ReconnectPolicy(), url)
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                await self._follow(url, headers, gate, backoff)
            if self.is_following.is_set():
                self.is_following.clear()
                self.lost_at = monotonic()
            await asyncio.sleep(backoff.delay(None))
            if self.lost_at is not None:
                self.attempts.append(monotonic())

    async def _follow(self, url: str, headers: dict[str, str], gate: asyncio.Semaphore, backoff: Backoff) -> None:
        async with gate:
            connection = await connect(url, additional_headers=headers, open_timeout=30, proxy=None, compression=None)
        async with connection:
            await connection.send(_text({"type": "subscribe", "session_id": self.session, "after": self.cursor}))
            async for message in connection:
                document = from_json(message)
                if document["type"] == "subscribed":
                    backoff.progressed()
                    self.is_following.set()
                    if self.lost_at is not None:
                        self.resumed.append(monotonic() - self.lost_at)
                        self.lost_at = None
                elif document["type"] == "event":
                    self._take(document["event"])

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] not in EPHEMERAL:
            self.received[event["seq"]] += 1
        self.cursor = max(self.cursor, event["seq"])


async def storm(
    client: AsyncIskraClient,
    headers: dict[str, str],
    *,
    clients: int,
    sessions: int,
    turns: int,
    text: str,
    model: str | None,
    settle: float,
    within: float,
) -> dict[str, Any]:
    """Let clients follow sessions while turns run in them, and return how they got over losing their connections.

    Args:
        client: Makes the sessions and the turns.
        headers: Of each handshake.
        clients: How many, spread evenly over the sessions.
        sessions: How many.
        turns: Of each session, one after the other.
        text: Of each message.
        model: Who answers.
        settle: Seconds between the last connection and the first turn.
        within: Seconds after the last turn until every client must have every event.

    Raises:
        ActivityError: The sessions could not be made, or the clients not connected.
    """
    if not 1 <= sessions <= clients <= _MOST_CLIENTS:
        raise ActivityError(f"A storm has 1 to {_MOST_CLIENTS} clients, and no more sessions than clients.")
    ids = [(await client.sessions.create("chaos storm")).id for _ in range(sessions)]
    crowd = [StormClient(ids[number % sessions]) for number in range(clients)]
    url = f"{client.url.replace('http', 'ws', 1)}/api/v1/ws"
    gate = asyncio.Semaphore(_HANDSHAKES)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run(url, headers, gate)) for each in crowd]
        try:
            async with asyncio.timeout(120):
                for each in crowd:
                    await each.is_following.wait()
            await asyncio.sleep(settle)
            failed_turns = sum(await asyncio.gather(*(_talk(client, session, turns, text, model) for session in ids)))
            wanted = {session: await _durable_events(client, session) for session in ids}
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await _until_all_have(crowd, wanted)
        except TimeoutError as exc:
            raise ActivityError("The clients could not all connect within two minutes.") from exc
        finally:
            for task in tasks:
                task.cancel()
    return {**_figures(crowd, wanted), "failed_turns": failed_turns}


async def _talk(client: AsyncIskraClient, session: str, turns: int, text: str, model: str | None) -> int:
    failed = 0
    for _ in range(turns):
        try:
            await client.ask(text, session, model)
        except IskraError:
            failed += 1
    return failed


async def _durable_events(client: AsyncIskraClient, session: str) -> frozenset[int]:
    """Return the numbers of the events that the log of a session keeps."""
    running = len(await client.turns.list(session))
    found: set[int] = set()
    if running:
        async for event in client.events(session):
            if event.is_durable:
                found.add(event.seq)
            running -= event.type in TURN_ENDED
            if not running:
                break
    return frozenset(found)


async def _until_all_have(crowd: Sequence[StormClient], wanted: Mapping[str, frozenset[int]]) -> None:
    # Whatever changes, changes in a hundred places, so it is looked at again and again.
    while any(_missing(each, wanted) or not each.is_following.is_set() for each in crowd):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def _missing(each: StormClient, wanted: Mapping[str, frozenset[int]]) -> int:
    return len(wanted[each.session] - each.received.keys())


def _figures(crowd: Sequence[StormClient], wanted: Mapping[str, frozenset[int]]) -> dict[str, Any]:
    resumed = [seconds for each in crowd for seconds in each.resumed]
    attempts = sorted(moment for each in crowd for moment in each.attempts)
    busiest = max((bisect_left(attempts, at + _TENTH) - place for place, at in enumerate(attempts)), default=0)
    return {
        "clients": len(crowd),
        "losses": sum(each.losses for each in crowd),
        "clients_hit": sum(each.losses > 0 for each in crowd),
        "not_resumed": sum(not each.is_following.is_set() for each in crowd),
        "gaps": sum(_missing(each, wanted) for each in crowd),
        "doubles": sum(count - 1 for each in crowd for count in each.received.values()),
        "slowest_resume": round(max(resumed, default=0.0), 3),
        "mean_resume": round(sum(resumed) / len(resumed), 3) if resumed else 0.0,
        "reconnects": len(attempts),
        "busiest_tenth": round(busiest / len(attempts), 3) if attempts else 0.0,
        "events": sum(len(numbers) for numbers in wanted.values()),
    }


def _text(document: dict[str, Any]) -> str:
    return to_json(document).decode()
