"""Probes that look at the load, and at what the server has of it."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any, Literal

from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.files.extension import Arm
from iskra_chaos.experiments.files.tolerance import find
from iskra_chaos.experiments.load import LoadRun
from iskra_chaos.experiments.run_context import RunContext
from iskra_chaos.experiments.samples import ArmSamples, compare
from iskra_chaos.experiments.statistics import rule_of_three
from iskra_sdk.errors import IskraError

_READS = 8
"""Sessions that are read at the same time."""


def requests_of_arm(run_context: RunContext, arm: Arm = "experiment") -> int:
    """Return how many requests of the load have ended."""
    return load_of(run_context).arms[arm].requests


def error_rate(run_context: RunContext, arm: Arm = "experiment") -> float:
    """Return the share of failed requests, in [0, 1]."""
    return samples_of(run_context, arm).error_rate.estimate


def error_rate_upper_bound(run_context: RunContext, arm: Arm = "experiment") -> float:
    """Return the upper end of the error rate's 95 % interval."""
    return samples_of(run_context, arm).error_rate.high


def failures_besides(run_context: RunContext, reasons: Sequence[str] = (), arm: Arm = "experiment") -> dict[str, Any]:
    """Return how many requests failed for other reasons than these.

    The result is ``{"status": n, "reasons": {...}}`` with all reasons; an integer tolerance looks at ``status``.

    Args:
        run_context: Given by the runner.
        reasons: Codes of errors that are in order, e.g. ``stream_interrupted``.
        arm: Whose requests are counted.
    """
    seen = samples_of(run_context, arm).reasons
    others = sum(count for reason, count in seen.items() if reason not in reasons)
    return {"status": others, "reasons": dict(sorted(seen.items()))}


def p99(run_context: RunContext, arm: Arm = "experiment") -> float:
    """Return the 99th percentile of the latency in seconds."""
    value = samples_of(run_context, arm).latency(0.99)
    return value if value is not None else 0.0


def longest_latency(run_context: RunContext, arm: Arm = "experiment") -> float:
    """Return the latency of the slowest request in seconds."""
    return max(samples_of(run_context, arm).seconds)


def mean_latency(run_context: RunContext, arm: Arm = "experiment") -> float:
    """Return the mean latency in seconds."""
    samples = samples_of(run_context, arm)
    return sum(samples.seconds) / samples.requests


def p99_ratio(run_context: RunContext, bound: Literal["low", "estimate", "high"] = "estimate") -> float:
    """Return the experiment arm's 99th percentile by the control arm's, or an end of its bootstrap interval."""
    comparison = compare(load_of(run_context).arms)
    if comparison is None:
        raise ActivityError("One of the arms has no requests, so there is nothing to compare.")
    return float(getattr(comparison.ratio, bound))


def acknowledged_messages(run_context: RunContext) -> int:
    """Return how many requests of the load the server has answered with success."""
    return sum(len(messages) for messages in load_of(run_context).acknowledged.values())


async def lost_messages(run_context: RunContext, path: str = "", at: str = "$[*]") -> dict[str, Any]:
    """Return how many acknowledged messages the server does not have.

    The result is ``{"status": lost, "acknowledged": n, "upper_bound": share, "examples": [...]}``; ``upper_bound`` is
    the largest share that may still be lost at 95 % when none was (rule of three). An integer tolerance is compared
    with ``status``.

    Args:
        run_context: Given by the runner.
        path: A route that lists what was received; without one the messages of the load's sessions are read.
        at: Where the answer of that route has the ``${message}`` of each request.
    """
    # Taken down first: what is acknowledged while the server is being read is not looked for.
    sent = [message for messages in load_of(run_context).acknowledged.values() for message in messages]
    counts = Counter(await _received(run_context, path, at))
    lost = [message for message in sent if not counts[message]]
    bound = len(lost) / len(sent) if lost else rule_of_three(len(sent))
    return {"status": len(lost), "acknowledged": len(sent), "upper_bound": bound, "examples": lost[:10]}


async def duplicated_messages(run_context: RunContext, path: str = "", at: str = "$[*]") -> int:
    """Return how many acknowledged messages the server has more than once; arguments as in ``lost_messages``."""
    return (await lost_and_doubled(run_context, path, at))[1]


async def lost_and_doubled(
    run_context: RunContext, path: str = "", at: str = "$[*]", reader: "MessageReader | None" = None
) -> tuple[int, int]:
    """Return how many acknowledged messages the server does not have, and how many it has more than once.

    A ``reader`` that is given again goes on where it stopped.
    """
    sent = [message for messages in load_of(run_context).acknowledged.values() for message in messages]
    counts = Counter(await _received(run_context, path, at, reader))
    return sum(not counts[message] for message in sent), sum(counts[message] > 1 for message in sent)


async def misplaced_messages(run_context: RunContext, path: str = "", at: str = "$[*]") -> int:
    """Return how many acknowledged messages the server has before an earlier one of their session.

    The first place of each counts. Arguments as in ``lost_messages``.
    """
    places: dict[str, int] = {}
    for place, message in enumerate(await _received(run_context, path, at)):
        places.setdefault(message, place)
    orders = (
        [places[message] for message in sent if message in places]
        for sent in load_of(run_context).acknowledged.values()
    )
    return sum(later < earlier for order in orders for earlier, later in pairwise(order))


async def _received(run_context: RunContext, path: str, at: str, reader: "MessageReader | None" = None) -> list[str]:
    """Return what the server has, in its order; the messages of other sessions may stand between."""
    if not path:
        return await (reader or MessageReader(run_context)).words()
    answer = await run_context.client.request("GET", path)
    return [str(item) for item in find(at, answer)]


class MessageReader:
    """Reads what users wrote in the sessions of the load, each message once.

    Args:
        run_context: Of a run whose load has begun.
    """

    def __init__(self, run_context: RunContext) -> None:
        self._messages = run_context.client.sessions
        self._is_name = load_of(run_context).is_name
        self._names: dict[str, set[str]] = {}
        self._words: dict[str, list[str]] = {session: [] for session in load_of(run_context).sessions}
        self._after = dict.fromkeys(self._words, 0)

    async def words(self) -> list[str]:
        """Read what is new and return the words of all messages, session by session, in their order.

        A message's name is somewhere in its text, as a word of its own.
        """
        gate = asyncio.Semaphore(_READS)
        async with asyncio.TaskGroup() as group:
            for session in self._words:
                group.create_task(self._read(session, gate))
        return [word for words in self._words.values() for word in words]

    async def names_in(self, turns: Collection[str]) -> set[str]:
        """Read what is new and return the ``${message}`` of the requests that some turns answered."""
        await self.words()
        return {name for turn in turns for name in self._names.get(turn, ())}

    async def _read(self, session: str, gate: asyncio.Semaphore) -> None:
        async with gate:
            while page := await self._messages.messages(session, after=self._after[session]):
                for entry in page:
                    if entry.message.get("role") == "user":
                        words = dict.fromkeys(str(entry.message.get("content", "")).split())
                        self._words[session] += words
                        self._names.setdefault(entry.turn_id or "", set()).update(filter(self._is_name, words))
                self._after[session] = max(entry.position for entry in page)


async def sessions_that_do_not_go_on(
    run_context: RunContext, text: str = "Say yes.", model: str | None = None, timeout: float = 30.0
) -> dict[str, Any]:
    """Ask in every session of the load, and return in how many of them no answer came.

    The result is ``{"status": n, "reasons": {...}}``.
    """
    reasons: Counter[str] = Counter()
    for session in load_of(run_context).sessions:
        try:
            async with asyncio.timeout(timeout):
                await run_context.client.ask(text, session, model)
        except TimeoutError:
            reasons["timeout"] += 1
        except IskraError as exc:
            reasons[exc.code] += 1
    return {"status": sum(reasons.values()), "reasons": dict(reasons)}


async def server_started_during_load(run_context: RunContext) -> bool:
    """Return whether the server that answers now has started since the load began, by its own uptime."""
    load = load_of(run_context)
    try:
        status = await run_context.client.request("GET", "/api/v1/status")
    except IskraError as exc:
        raise ActivityError(f"The server does not tell how long it has been up: {exc.message}") from exc
    return float(status["uptime"]) < load.age


async def wait_for_load(run_context: RunContext) -> int:
    """Wait until the load has ended and return how many requests it sent."""
    load = load_of(run_context)
    await load.wait()
    return sum(samples.requests for samples in load.arms.values())


async def wait_for_requests(run_context: RunContext, times: int, arm: Arm = "experiment", every: float = 0.05) -> int:
    """Wait until so many requests of the load have ended; the activity's timeout bounds it."""
    load = load_of(run_context)
    while (ended := load.arms[arm].requests) < times and not load.is_finished:  # noqa: ASYNC110 - no event for a count
        await asyncio.sleep(every)
    return ended


async def end_load(run_context: RunContext) -> int:
    """Let the load's clients finish what they wait for, and return how many requests were sent."""
    load_of(run_context).stop()
    return await wait_for_load(run_context)


async def make_sandboxes(run_context: RunContext) -> int:
    """Mark the sessions of the load as sandboxes, where tools may lie, and return how many there are."""
    sessions = load_of(run_context).sessions
    for session in sessions:
        await run_context.client.request("PUT", f"/api/v1/chaos/sessions/{session}", {"sandbox": True})
    return len(sessions)


def load_of(run_context: RunContext) -> LoadRun:
    """Return the load of the run.

    Raises:
        ActivityError: There is none yet.
    """
    if run_context.load is None:
        raise ActivityError("There is no load yet. Probes of the load belong into the method or into `expect`.")
    return run_context.load


def samples_of(run_context: RunContext, arm: Arm) -> ArmSamples:
    """Return what the clients of an arm saw.

    Raises:
        ActivityError: Nothing yet.
    """
    samples = load_of(run_context).arms.get(arm)
    if samples is None or not samples.requests:
        raise ActivityError(f"The arm {arm!r} has no requests yet.")
    return samples
