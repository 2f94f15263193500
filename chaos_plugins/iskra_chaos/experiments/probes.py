"""Probes and actions for experiment files: ``{"type": "python", "module": "iskra_chaos.experiments.probes", ...}``.

Everything here gets what it looks at from the runner, by the parameter ``run_context``, which a file does not give.
"""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.extension import Arm, FaultSpec
from iskra_chaos.experiments.journal import Journal
from iskra_chaos.experiments.load import LoadRun
from iskra_chaos.experiments.pairwise_faults import PairwiseFaults
from iskra_chaos.experiments.run_context import RunContext
from iskra_chaos.experiments.samples import ArmSamples, compare
from iskra_chaos.experiments.statistics import rule_of_three
from iskra_chaos.experiments.tolerance import find
from iskra_sdk.errors import IskraError, NotFoundError

__all__ = [
    "acknowledged_messages",
    "chat_turn_completes",
    "database_is_intact",
    "duplicated_messages",
    "end_load",
    "error_rate",
    "error_rate_upper_bound",
    "failures_besides",
    "fault_applied",
    "fault_observed",
    "fault_requested",
    "lost_messages",
    "make_sandboxes",
    "mean_latency",
    "misplaced_messages",
    "p99",
    "p99_ratio",
    "pairwise_faults",
    "requests_of_arm",
    "retries_per_request",
    "seconds_until",
    "seconds_until_no_fault",
    "server_answers",
    "server_is_ready",
    "sessions_created",
    "sessions_that_do_not_go_on",
    "value_at",
    "verdict_of",
    "wait",
    "wait_for_load",
    "wait_for_observed_fault",
    "wait_for_requests",
    "websocket_storm",
]


async def server_answers(run_context: RunContext, path: str = "/health") -> bool:
    """Return whether the server answers a GET of ``path`` with success."""
    try:
        await run_context.client.request("GET", path)
    except IskraError:
        return False
    return True


async def server_is_ready(run_context: RunContext) -> bool:
    """Return whether the server and what it depends on say that they are ready."""
    try:
        health = await run_context.client.ready()
    except IskraError:
        return False
    return health.status in ("ok", "ready", "degraded")


async def chat_turn_completes(
    run_context: RunContext,
    text: str = "Say yes.",
    model: str | None = None,
    contains: str = "",
    timeout: float = 30.0,
) -> bool:
    """Ask in a new session and return whether the turn completes with the expected answer; one that fails is an error.

    Args:
        run_context: Given by the runner.
        text: The message.
        model: Who answers.
        contains: What the answer must hold.
        timeout: Seconds.
    """
    client = run_context.client
    try:
        async with asyncio.timeout(timeout):
            session = await client.sessions.create("chaos probe")
            answer = await client.ask(text, session, model)
            await client.sessions.delete(session)
    except TimeoutError as exc:
        raise ActivityError(f"The turn did not complete within {timeout:g} s.") from exc
    except IskraError as exc:
        raise ActivityError(f"The turn failed: {exc.message}") from exc
    return bool(answer.strip()) and contains in answer


async def value_at(run_context: RunContext, path: str, at: str) -> Any:
    """GET ``path`` from the server and return the first thing that the JSONPath ``at`` selects."""
    found = find(at, await run_context.client.request("GET", path))
    if not found:
        raise ActivityError(f"There is nothing at {at!r} in the answer of {path!r}.")
    return found[0]


def requests_of_arm(run_context: RunContext, arm: Arm = "experiment") -> int:
    """Return how many requests of the load have ended."""
    return _load(run_context).arms[arm].requests


def error_rate(run_context: RunContext, arm: Arm = "experiment") -> float:
    """Return the share of failed requests, in [0, 1]."""
    return _samples(run_context, arm).error_rate.estimate


def error_rate_upper_bound(run_context: RunContext, arm: Arm = "experiment") -> float:
    """Return the upper end of the error rate's 95 % interval."""
    return _samples(run_context, arm).error_rate.high


def failures_besides(run_context: RunContext, reasons: Sequence[str] = (), arm: Arm = "experiment") -> dict[str, Any]:
    """Return how many requests failed for other reasons than these.

    The result is ``{"status": n, "reasons": {...}}`` with all reasons; an integer tolerance looks at ``status``.

    Args:
        run_context: Given by the runner.
        reasons: Codes of errors that are in order, e.g. ``stream_interrupted``.
        arm: Whose requests are counted.
    """
    seen = _samples(run_context, arm).reasons
    others = sum(count for reason, count in seen.items() if reason not in reasons)
    return {"status": others, "reasons": dict(sorted(seen.items()))}


def retries_per_request(run_context: RunContext, fault: str) -> float:
    """Return how many attempts beyond the first the requests of the experiment arm took, on average.

    Args:
        run_context: Given by the runner.
        fault: The outermost fault at the point that every attempt passes.
    """
    requests = _samples(run_context, "experiment").requests
    return max(0.0, _counted(run_context, fault, "requested") / requests - 1.0)


def p99(run_context: RunContext, arm: Arm = "experiment") -> float:
    """Return the 99th percentile of the latency in seconds."""
    value = _samples(run_context, arm).latency(0.99)
    return value if value is not None else 0.0


def mean_latency(run_context: RunContext, arm: Arm = "experiment") -> float:
    """Return the mean latency in seconds."""
    samples = _samples(run_context, arm)
    return sum(samples.seconds) / samples.requests


def p99_ratio(run_context: RunContext, bound: Literal["low", "estimate", "high"] = "estimate") -> float:
    """Return the experiment arm's 99th percentile by the control arm's, or an end of its bootstrap interval."""
    comparison = compare(_load(run_context).arms)
    if comparison is None:
        raise ActivityError("One of the arms has no requests, so there is nothing to compare.")
    return float(getattr(comparison.ratio, bound))


def acknowledged_messages(run_context: RunContext) -> int:
    """Return how many requests of the load the server has answered with success."""
    return sum(len(messages) for messages in _load(run_context).acknowledged.values())


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
    sent = [message for messages in _load(run_context).acknowledged.values() for message in messages]
    counts = Counter(await _received(run_context, path, at))
    lost = [message for message in sent if not counts[message]]
    bound = len(lost) / len(sent) if lost else rule_of_three(len(sent))
    return {"status": len(lost), "acknowledged": len(sent), "upper_bound": bound, "examples": lost[:10]}


async def duplicated_messages(run_context: RunContext, path: str = "", at: str = "$[*]") -> int:
    """Return how many acknowledged messages the server has more than once; arguments as in ``lost_messages``."""
    sent = [message for messages in _load(run_context).acknowledged.values() for message in messages]
    counts = Counter(await _received(run_context, path, at))
    return sum(counts[message] > 1 for message in sent)


async def misplaced_messages(run_context: RunContext, path: str = "", at: str = "$[*]") -> int:
    """Return how many acknowledged messages the server has before an earlier one of their session; the first place of
    each counts. Arguments as in ``lost_messages``."""
    places: dict[str, int] = {}
    for place, message in enumerate(await _received(run_context, path, at)):
        places.setdefault(message, place)
    orders = (
        [places[message] for message in sent if message in places] for sent in _load(run_context).acknowledged.values()
    )
    return sum(later < earlier for order in orders for earlier, later in pairwise(order))


async def _received(run_context: RunContext, path: str, at: str) -> list[str]:
    """Return what the server has, in its order; the messages of other sessions may stand between."""
    load = _load(run_context)
    sent = {message for messages in load.acknowledged.values() for message in messages}
    if path:
        answer = await run_context.client.request("GET", path)
        return [str(item) for item in find(at, answer)]
    texts: list[str] = []
    for session in load.sessions:
        after = 0
        while page := await run_context.client.sessions.messages(session, after=after):
            texts += [str(entry.message.get("content", "")) for entry in page if entry.message.get("role") == "user"]
            after = max(entry.position for entry in page)
    # A message's name is somewhere in its text, as a word of its own.
    return [word for text in texts for word in set(text.split()) & sent]


def fault_observed(run_context: RunContext, name: str = "") -> int:
    """Return how often the effect of a fault, or of all, was seen to reach a caller."""
    return _counted(run_context, name, "observed")


def fault_applied(run_context: RunContext, name: str = "") -> int:
    """Return how often a fault, or all of them, fired."""
    return _counted(run_context, name, "applied")


def fault_requested(run_context: RunContext, name: str = "") -> int:
    """Return how many calls passed the point of a fault, or of all, while it was there."""
    return _counted(run_context, name, "requested")


def _counted(run_context: RunContext, name: str, counter: str) -> int:
    if name and name not in run_context.faults:
        raise ActivityError(f"The experiment has no fault {name!r}.")
    leases = [run_context.faults[name]] if name else list(run_context.faults.values())
    return sum(int(getattr(lease, counter)) for lease in leases)


async def wait(seconds: float) -> float:
    """Do nothing for some seconds."""
    await asyncio.sleep(seconds)
    return seconds


async def wait_for_load(run_context: RunContext) -> int:
    """Wait until the load has ended and return how many requests it sent."""
    load = _load(run_context)
    await load.wait()
    return sum(samples.requests for samples in load.arms.values())


async def end_load(run_context: RunContext) -> int:
    """Let the load's clients finish what they wait for, and return how many requests were sent."""
    _load(run_context).stop()
    return await wait_for_load(run_context)


async def seconds_until(
    run_context: RunContext, path: str, at: str, is_one_of: Sequence[Any], within: float = 60.0, every: float = 0.05
) -> float:
    """GET ``path`` until what ``at`` selects is one of some values, and return how long that took, in seconds.

    A server that does not answer is asked again.

    Raises:
        ActivityError: It did not come within ``within`` seconds.
    """
    began = time.monotonic()
    last: object = "nothing"
    while (elapsed := time.monotonic() - began) <= within:
        try:
            last = await value_at(run_context, path, at)
        except IskraError as exc:
            last = exc.message
        if last in is_one_of:
            return elapsed
        await asyncio.sleep(every)
    raise ActivityError(f"{path!r} did not show {list(is_one_of)!r} within {within:g} s, but {last!r}.")


async def seconds_until_no_fault(run_context: RunContext, within: float = 30.0, every: float = 0.05) -> float:
    """Wait until the server has no active fault, of anybody, and return how long that took, in seconds.

    Raises:
        ActivityError: There still is one after ``within`` seconds.
    """
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) <= within:
        listed = (await run_context.client.request("GET", "/api/v1/chaos/faults"))["faults"]
        if all(fault["state"] != "active" for fault in listed):
            return elapsed
        await asyncio.sleep(every)
    raise ActivityError(f"The server still has faults after {within:g} s.")


async def wait_for_requests(run_context: RunContext, times: int, arm: Arm = "experiment", every: float = 0.05) -> int:
    """Wait until so many requests of the load have ended; the activity's timeout bounds it."""
    load = _load(run_context)
    while (ended := load.arms[arm].requests) < times and not load.is_finished:  # noqa: ASYNC110 - no event for a count
        await asyncio.sleep(every)
    return ended


async def sessions_that_do_not_go_on(
    run_context: RunContext, text: str = "Say yes.", model: str | None = None, timeout: float = 30.0
) -> dict[str, Any]:
    """Ask in every session of the load, and return in how many of them no answer came.

    The result is ``{"status": n, "reasons": {...}}``.
    """
    reasons: Counter[str] = Counter()
    for session in _load(run_context).sessions:
        try:
            async with asyncio.timeout(timeout):
                await run_context.client.ask(text, session, model)
        except TimeoutError:
            reasons["timeout"] += 1
        except IskraError as exc:
            reasons[exc.code] += 1
    return {"status": sum(reasons.values()), "reasons": dict(reasons)}


async def sessions_created(run_context: RunContext, times: int, refusals: Sequence[str] = ()) -> dict[str, Any]:
    """Write again and again: create sessions, and look afterwards which of them are there.

    The result is ``{"status": broken, "written": n, "refused": {...}, "lost": n}``, where ``broken`` counts sessions
    that were acknowledged and are not there, and refusals for another reason than those given.

    Args:
        run_context: Given by the runner.
        times: How many.
        refusals: Codes of errors that are in order.
    """
    client, refused = run_context.client, Counter[str]()
    written: list[str] = []
    for number in range(times):
        try:
            written.append((await client.sessions.create(f"chaos write {number}")).id)
        except IskraError as exc:
            refused[exc.code] += 1
    lost = 0
    for session in written:
        try:
            await client.sessions.get(session)
        except NotFoundError:
            lost += 1
    unnamed = sum(count for reason, count in refused.items() if reason not in refusals)
    return {"status": lost + unnamed, "written": len(written), "refused": dict(refused), "lost": lost}


def database_is_intact(path: str) -> bool:
    """Return whether a SQLite database passes its integrity check and the check of its foreign keys.

    Raises:
        ActivityError: It cannot be read.
    """
    file = Path(path).expanduser()
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as database:
            checked = database.execute("PRAGMA integrity_check").fetchall()
            return checked == [("ok",)] and not database.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.Error as exc:
        raise ActivityError(f"The database {file} cannot be checked: {exc}.") from exc


def verdict_of(journal: str) -> str:
    """Return the verdict in the journal of another run."""
    return Journal.read(Path(journal)).verdict


async def pairwise_faults(
    run_context: RunContext,
    faults: Sequence[Mapping[str, Any]],
    size: int = 4,
    seconds: float = 5.0,
    seed: int = 0,
    model: str | None = None,
    folder: str = "",
) -> dict[str, Any]:
    """Let every pair of some faults act together under the load, and look after each round what is broken.

    What is looked at: turns complete again within 10 s, every failed request has a typed error, and of the acknowledged
    messages none is lost or doubled. The result is ``{"pairwise": {...}}`` with ``rounds``, ``pairs``, ``observed`` by
    fault, faults that were ``unseen``, and ``broken``: the smallest experiments that showed something.

    Args:
        run_context: Given by the runner.
        faults: As in the extension's ``faults``; without times of their own.
        size: Faults of one round.
        seconds: Of one round.
        seed: Decides which faults act in which round.
        model: Who answers.
        folder: Where experiments that reproduce what broke are written; none by default.
    """
    lost = doubled = 0

    async def look() -> list[str]:
        nonlocal lost, doubled
        found = []
        try:
            await _turn_completes_again(run_context, model)
        except ActivityError as exc:
            found.append(exc.message)
        lost_before, lost = lost, (await lost_messages(run_context))["status"]
        doubled_before, doubled = doubled, await duplicated_messages(run_context)
        if lost > lost_before:
            found.append(f"{lost - lost_before} acknowledged messages are lost")
        if doubled > doubled_before:
            found.append(f"{doubled - doubled_before} messages are there twice")
        return found

    specs = [FaultSpec.model_validate(fault) for fault in faults]
    if len(specs) < 2 or size < 2:
        raise ActivityError("Pairs need at least two faults, and rounds of at least two.")
    pairs = PairwiseFaults(run_context, look, seconds)
    return {"pairwise": await pairs.run(specs, size, seed, Path(folder) if folder else None)}


async def _turn_completes_again(run_context: RunContext, model: str | None, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while True:
        try:
            await chat_turn_completes(run_context, model=model)
        except ActivityError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.25)
        else:
            return


async def websocket_storm(
    run_context: RunContext,
    clients: int = 1000,
    sessions: int = 10,
    turns: int = 20,
    text: str = "Say yes.",
    model: str | None = None,
    settle: float = 0.0,
    within: float = 30.0,
) -> dict[str, Any]:
    """Let WebSocket clients follow sessions while turns run in them; the faults are those of the experiment.

    The result is ``{"storm": {...}}`` with ``losses`` of connections, ``clients_hit``, ``not_resumed``, ``gaps`` and
    ``doubles`` in the events that came, ``slowest_resume`` and ``mean_resume`` in seconds from the loss, ``reconnects``
    and ``busiest_tenth``: the largest share of them within a tenth of a second.

    Args:
        run_context: Given by the runner.
        clients: How many.
        sessions: How many, which the clients share.
        turns: Of each session.
        text: Of each message.
        model: Who answers.
        settle: Seconds between the last connection and the first turn; a server may slow down whoever sends much.
        within: Seconds after the last turn until every client must have everything.
    """
    from iskra_chaos.experiments.socket_storm import storm

    figures = await storm(
        run_context.client,
        dict(run_context.headers),
        clients=clients,
        sessions=sessions,
        turns=turns,
        text=text,
        model=model,
        settle=settle,
        within=within,
    )
    return {"storm": figures}


async def make_sandboxes(run_context: RunContext) -> int:
    """Mark the sessions of the load as sandboxes, where tools may lie, and return how many there are."""
    sessions = _load(run_context).sessions
    for session in sessions:
        await run_context.client.request("PUT", f"/api/v1/chaos/sessions/{session}", {"sandbox": True})
    return len(sessions)


async def wait_for_observed_fault(run_context: RunContext, name: str = "", times: int = 1, every: float = 0.2) -> int:
    """Wait until a fault was observed so often; heartbeats bring the counts. The activity's timeout bounds it."""
    # The counts come from another machine, so there is no event to wait for.
    while (seen := _counted(run_context, name, "observed")) < times:  # noqa: ASYNC110
        await asyncio.sleep(every)
    return seen


def _load(run_context: RunContext) -> LoadRun:
    if run_context.load is None:
        raise ActivityError("There is no load yet. Probes of the load belong into the method or into `expect`.")
    return run_context.load


def _samples(run_context: RunContext, arm: Arm) -> ArmSamples:
    samples = _load(run_context).arms.get(arm)
    if samples is None or not samples.requests:
        raise ActivityError(f"The arm {arm!r} has no requests yet.")
    return samples
