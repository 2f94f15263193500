"""Awaited message appends, beside the fastest group commit we could write by hand.

``python benchmarks/store.py [--postgres URL] [--runs 5]``. All cases run in alternation in one process; medians.
"""

import argparse
import asyncio
import queue
import resource
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from iskra.session_store import open_store
from iskra_sdk.ids import MessageId, SessionId
from iskra_sdk.message import Message
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import AppendMessage, CreateSession, DeleteSession, Session, SessionStore, StoredMessage
from table import Row, show

TEXT = "x" * 420  # with its envelope about 500 bytes
OWNER = Principal("bench")


@dataclass(frozen=True)
class Speed:
    """Appends per second, and microseconds of CPU per append."""

    rate: float
    cpu: float


async def timed(count: int, work: Callable[[], Awaitable[None]]) -> Speed:
    """Run ``work``, which makes ``count`` appends."""
    cpu, start = _cpu(), time.perf_counter()
    await work()
    seconds = time.perf_counter() - start
    return Speed(count / seconds, (_cpu() - cpu) / count * 1e6)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# SQLite ----------------------------------------------------------------------------------------------------------

_TABLE = """
CREATE TABLE message(id INTEGER PRIMARY KEY, session_id VARCHAR(40) NOT NULL, seq INTEGER NOT NULL,
    role VARCHAR(16), content TEXT, created_at DOUBLE PRECISION);
CREATE INDEX message_by_session ON message(session_id, seq);
"""
_INSERT = "INSERT INTO message(session_id, seq, role, content, created_at) VALUES (?, ?, ?, ?, ?)"


async def sqlite_floor(folder: Path, tasks: int, appends: int) -> Speed:
    """One thread commits whatever has queued up; nothing is checked, nothing is encoded."""
    loop = asyncio.get_running_loop()
    waiting: queue.SimpleQueue[tuple[tuple[object, ...], asyncio.Future[None]] | None] = queue.SimpleQueue()

    def finish(futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            future.set_result(None)

    def write() -> None:
        connection = sqlite3.connect(folder / f"floor{time.monotonic_ns()}.db", isolation_level=None)
        connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {_TABLE}")
        while (first := waiting.get()) is not None:
            batch = [first]
            while len(batch) < 512:
                try:
                    item = waiting.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    waiting.put(None)
                    break
                batch.append(item)
            connection.execute("BEGIN")
            connection.executemany(_INSERT, [row for row, _ in batch])
            connection.execute("COMMIT")
            loop.call_soon_threadsafe(finish, [future for _, future in batch])
        connection.close()

    async def append(task: int) -> None:
        for number in range(appends):
            future: asyncio.Future[None] = loop.create_future()
            row = (f"session-{task % 50:030d}", task * 1000 + number, "assistant", TEXT, 1.7e9 + number)
            waiting.put((row, future))
            await future

    async def work() -> None:
        await asyncio.gather(*(append(task) for task in range(tasks)))

    thread = threading.Thread(target=write)
    thread.start()
    speed = await timed(tasks * appends, work)
    waiting.put(None)
    await asyncio.to_thread(thread.join)
    return speed


async def store_appends(store: SessionStore, tasks: int, appends: int) -> Speed:
    """Tasks that each append to a session of its own and wait for each append."""
    now = datetime.now(UTC)
    ids = [SessionId(f"ses_{task:030d}") for task in range(tasks)]
    await store.apply([CreateSession(Session(session_id, OWNER.id, now, now)) for session_id in ids])

    async def append(session_id: SessionId) -> None:
        for number in range(appends):
            message = StoredMessage(
                id=MessageId(f"msg_{number:020d}"),
                session_id=session_id,
                position=number,
                message=Message({"role": "assistant", "content": TEXT}),
                created_at=now,
            )
            await store.apply([AppendMessage(message)])

    async def work() -> None:
        await asyncio.gather(*(append(session_id) for session_id in ids))

    speed = await timed(tasks * appends, work)
    await store.apply([DeleteSession(session_id) for session_id in ids])
    return speed


async def sqlite_ours(folder: Path, tasks: int, appends: int) -> Speed:
    """The same through the store, encoding included."""
    store = await open_store(data_dir=folder / f"ours{time.monotonic_ns()}")
    try:
        return await store_appends(store, tasks, appends)
    finally:
        await store.close()


# PostgreSQL ------------------------------------------------------------------------------------------------------


async def postgres_floor(url: str, tasks: int, appends: int) -> Speed:
    """A connection per task, a commit per append."""
    import asyncpg

    pool = await asyncpg.create_pool(url, min_size=tasks, max_size=tasks)
    await pool.execute("DROP TABLE IF EXISTS floor")
    await pool.execute(
        "CREATE TABLE floor(id BIGSERIAL PRIMARY KEY, session_id VARCHAR(40), seq BIGINT, role VARCHAR(16), "
        "content TEXT, created_at DOUBLE PRECISION)"
    )
    await pool.execute("CREATE INDEX floor_by_session ON floor(session_id, seq)")
    insert = "INSERT INTO floor(session_id, seq, role, content, created_at) VALUES ($1, $2, $3, $4, $5)"

    async def append(task: int) -> None:
        async with pool.acquire() as connection:
            for number in range(appends):
                await connection.execute(insert, f"session-{task:030d}", number, "assistant", TEXT, 1.7e9)

    async def work() -> None:
        await asyncio.gather(*(append(task) for task in range(tasks)))

    speed = await timed(tasks * appends, work)
    await pool.execute("DROP TABLE floor")
    await pool.close()
    return speed


async def postgres_ours(folder: Path, url: str, tasks: int, appends: int) -> Speed:
    """The same through the store."""
    store = await open_store(data_dir=folder / "postgres", database_url=url)
    try:
        return await store_appends(store, tasks, appends)
    finally:
        await store.close()


# All -------------------------------------------------------------------------------------------------------------


async def compare(
    name: str,
    ours: Callable[[], Awaitable[Speed]],
    floor: Callable[[], Awaitable[Speed]],
    runs: int,
    *,
    goal: str,
    commit: float,
    stretch: float,
) -> Row:
    """Run both in alternation and compare the medians."""
    mine: list[Speed] = []
    theirs: list[Speed] = []
    for _ in range(runs):
        theirs.append(await floor())
        mine.append(await ours())
    rates = [statistics.median(speed.rate for speed in speeds) for speeds in (mine, theirs)]
    return Row(goal, f"awaited appends, {name}", rates[0], rates[1], "1/s", commit, stretch, "more")


async def run(runs: int = 5, postgres: str | None = None) -> list[Row]:
    """Measure everything."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for tasks, appends in ((64, 200), (1, 500)):
            label = f"SQLite, {tasks} task{'s' * (tasks > 1)}"

            async def ours(tasks: int = tasks, appends: int = appends) -> Speed:
                return await sqlite_ours(folder, tasks, appends)

            async def floor(tasks: int = tasks, appends: int = appends) -> Speed:
                return await sqlite_floor(folder, tasks, appends)

            rows.append(await compare(label, ours, floor, runs, goal="15", commit=0.4, stretch=0.7))
        if postgres is not None:
            rows.append(
                await compare(
                    "PostgreSQL, 16 tasks",
                    lambda: postgres_ours(folder, postgres, 16, 250),
                    lambda: postgres_floor(postgres, 16, 250),
                    runs,
                    goal="16",
                    commit=0.7,
                    stretch=1.0,
                )
            )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres", help="postgresql://… of an empty database")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    show("Session store", asyncio.run(run(arguments.runs, arguments.postgres)))


if __name__ == "__main__":
    main()
