"""Probes that look at faults, and let loose many at a time."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.fault_leases import FAULTS
from iskra_chaos.experiments.files.extension import DeclaredFault
from iskra_chaos.experiments.journal import Journal
from iskra_chaos.experiments.load_probes import MessageReader, load_of, lost_and_doubled, samples_of
from iskra_chaos.experiments.pairwise_faults import PairwiseFaults
from iskra_chaos.experiments.run_context import RunContext
from iskra_chaos.experiments.server_probes import chat_turn_completes


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


def retries_per_request(run_context: RunContext, fault: str) -> float:
    """Return how many attempts beyond the first the requests of the experiment arm took, on average.

    Args:
        run_context: Given by the runner.
        fault: The outermost fault at the point that every attempt passes.
    """
    requests = samples_of(run_context, "experiment").requests
    return max(0.0, _counted(run_context, fault, "requested") / requests - 1.0)


async def error_rate_of_hit_requests(run_context: RunContext) -> float:
    """Return the share of failed requests, in [0, 1], among those in whose turn a fault was observed.

    For ``chat`` loads, and faults at model calls and tools that are still active: what the server says of their turns
    is held against the messages of the load's sessions. A request without the expected answer has failed.

    Raises:
        ActivityError: No request was hit, or the server does not know all turns in which the faults were observed.
    """
    turns: set[str] = set()
    for name, lease in run_context.faults.items():
        answer = await run_context.client.request("GET", f"{FAULTS}/{lease.id}/turns")
        if not answer["is_complete"]:
            raise ActivityError(f"The server does not know all turns in which the fault {name!r} was observed.")
        turns.update(answer["turns"])
    hit = await MessageReader(run_context).names_in(turns)
    if not hit:
        raise ActivityError("No request of the load was hit by a fault.")
    answered = {message for messages in load_of(run_context).acknowledged.values() for message in messages}
    return len(hit - answered) / len(hit)


async def wait_for_observed_fault(run_context: RunContext, name: str = "", times: int = 1, every: float = 0.2) -> int:
    """Wait until a fault was observed so often; heartbeats bring the counts. The activity's timeout bounds it."""
    # The counts come from another machine, so there is no event to wait for.
    while (seen := _counted(run_context, name, "observed")) < times:  # noqa: ASYNC110
        await asyncio.sleep(every)
    return seen


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
        before = lost, doubled
        lost, doubled = await lost_and_doubled(run_context, reader=reader)
        if lost > before[0]:
            found.append(f"{lost - before[0]} acknowledged messages are lost")
        if doubled > before[1]:
            found.append(f"{doubled - before[1]} messages are there twice")
        return found

    specs = [DeclaredFault.model_validate(fault) for fault in faults]
    if len(specs) < 2 or size < 2:
        raise ActivityError("Pairs need at least two faults, and rounds of at least two.")
    pairs = PairwiseFaults(run_context, look, seconds)
    reader = MessageReader(run_context)
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
