"""Probes that look at the server from outside."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.files.tolerance import find
from iskra_chaos.experiments.run_context import RunContext
from iskra_sdk.errors import IskraError, NotFoundError


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


async def wait(seconds: float) -> float:
    """Do nothing for some seconds."""
    await asyncio.sleep(seconds)
    return seconds
