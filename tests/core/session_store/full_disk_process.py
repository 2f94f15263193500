"""Fills the space a store may use and checks what it does then; says ``ok`` at the end.

``python full_disk_process.py DATA_DIR limit`` bounds the size of files. ``… tmpfs FILLER`` expects a small file system
with a file that takes most of it, and removes that file to make space.
"""

import asyncio
import itertools
import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from iskra.session_store import open_store
from iskra_sdk.errors import StorageFullError
from iskra_sdk.ids import MessageId, SessionId
from iskra_sdk.message import Message
from iskra_sdk.principal import SYSTEM
from iskra_sdk.session_store import AppendMessage, CreateSession, Session, SessionStore, StoredMessage
from iskra_sdk.testing.store_conformance import fails

SESSION = SessionId("ses_1")
NOW = datetime.now(UTC)


def message(number: int) -> AppendMessage:
    return AppendMessage(StoredMessage(MessageId(f"m{number}"), SESSION, number, Message.user("x" * 4000), NOW))


async def fill(store: SessionStore) -> list[int]:
    acknowledged: list[int] = []
    for start in itertools.count(1, 8):
        numbers = range(start, start + 8)
        outcomes = await asyncio.gather(*(store.apply([message(n)]) for n in numbers), return_exceptions=True)
        acknowledged += [n for n, outcome in zip(numbers, outcomes, strict=True) if outcome is None]
        failures = [outcome for outcome in outcomes if outcome is not None]
        if failures:
            assert all(isinstance(failure, StorageFullError) for failure in failures), failures
            return acknowledged
    raise AssertionError


async def main(data_dir: Path, kind: str, make_space: Callable[[], None]) -> None:
    store = await open_store(data_dir=data_dir)
    await store.apply([CreateSession(Session(SESSION, "anna", NOW, NOW))])
    if kind == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    acknowledged = await fill(store)
    assert acknowledged
    for _ in range(3):
        await fails(StorageFullError, store.apply([message(n) for n in range(900_000, 900_400)]))
        await fails(StorageFullError, store.apply([message(n) for n in range(910_000, 910_400)]))
        found = [stored.position for stored in await store.messages(SYSTEM, SESSION)]
        assert found == acknowledged, (found, acknowledged)
    make_space()
    await store.check()
    await store.apply([message(999_999)])
    found = [stored.position for stored in await store.messages(SYSTEM, SESSION)]
    assert found == [*acknowledged, 999_999]
    await store.close()
    print("ok")


def lift_limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


if sys.argv[2] == "limit":
    asyncio.run(main(Path(sys.argv[1]), "limit", lift_limit))
else:
    asyncio.run(main(Path(sys.argv[1]), "tmpfs", Path(sys.argv[3]).unlink))
