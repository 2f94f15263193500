import asyncio
import importlib.util
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from iskra.session_store import open_store, postgres_store
from iskra_sdk.errors import ConfigurationError, DataDirectoryError, IskraError, StoreUnavailableError
from iskra_sdk.session_store import AppendMessage, CreateSession, DeleteSession, SessionStore
from iskra_sdk.testing.store_conformance import ANNA, fails, make_message, make_session
from postgres_cluster import PostgresCluster

pytestmark = pytest.mark.xdist_group("postgres")

T = TypeVar("T")

PATIENCE = 10.0


@pytest.fixture
def url(postgres: PostgresCluster) -> str:
    return postgres.url()


@pytest.fixture
async def store(tmp_path: Path, url: str) -> AsyncIterator[SessionStore]:
    store = await open_store(data_dir=tmp_path, database_url=url)
    yield store
    await store.close()


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_store, "_CONNECT_TIMEOUT", 0.4)
    monkeypatch.setattr(postgres_store, "_COMMAND_TIMEOUT", 0.4)


def backends(postgres: PostgresCluster) -> list[psutil.Process]:
    """Return the server processes that serve connections of stores."""
    children = psutil.Process(postgres.process.pid).children()
    return [child for child in children if " [local] " in " ".join(child.cmdline())]


@contextmanager
def stopped(postgres: PostgresCluster) -> Iterator[None]:
    """Keep all processes of the server from running, as if it hung."""
    processes = [psutil.Process(postgres.process.pid), *psutil.Process(postgres.process.pid).children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(processes):
            process.resume()


async def eventually(attempt: Callable[[], Awaitable[T]], error: type[IskraError] = StoreUnavailableError) -> T:
    """Return what the first attempt that succeeds returns; attempts fail only with ``error``."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await attempt()
            except error:
                continue


async def test_a_second_server_is_kept_from_the_database(store: SessionStore, tmp_path: Path, url: str) -> None:
    error = await fails(DataDirectoryError, open_store(data_dir=tmp_path / "other", database_url=url))
    assert "another server" in error.message
    await store.close()
    await (await open_store(data_dir=tmp_path / "other", database_url=url)).close()


async def test_a_second_server_is_kept_from_the_data_directory(store: SessionStore, tmp_path: Path) -> None:
    error = await fails(DataDirectoryError, open_store(data_dir=tmp_path))
    assert str(os.getpid()) in error.message


async def test_broken_connections_are_replaced(store: SessionStore, postgres: PostgresCluster) -> None:
    session = make_session()
    await store.apply([CreateSession(session)])
    assert await store.messages(ANNA, session.id) == []
    processes = backends(postgres)
    assert processes
    for process in processes:
        process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(psutil.wait_procs, processes, PATIENCE)
    await eventually(lambda: store.apply([AppendMessage(make_message(session, 1))]))
    found = await eventually(lambda: store.messages(ANNA, session.id))
    assert [message.position for message in found] == [1]
    await store.apply([DeleteSession(session.id)])


@pytest.mark.usefixtures("short_timeouts")
async def test_a_server_that_hangs_is_unavailable_in_time_and_used_again_afterwards(
    tmp_path: Path, url: str, postgres: PostgresCluster
) -> None:
    store = await open_store(data_dir=tmp_path, database_url=url)
    session = make_session()
    await store.apply([CreateSession(session)])
    with stopped(postgres):
        start = time.monotonic()
        outcomes = await asyncio.gather(
            *(store.apply([AppendMessage(make_message(session, n))]) for n in range(1, 21)),
            *(store.messages(ANNA, session.id) for _ in range(20)),
            store.check(),
            return_exceptions=True,
        )
        assert all(isinstance(outcome, StoreUnavailableError) for outcome in outcomes), outcomes
        await fails(StoreUnavailableError, store.check())
        # Three waits of 0.4 s each at most; without deadlines it would wait as long as the server is stopped.
        assert time.monotonic() - start < 30
    await eventually(lambda: store.check())
    await store.apply([AppendMessage(make_message(session, 100))])
    # What was told to have failed was not acknowledged; the server may have made it all the same, but only whole.
    kept = [message.position for message in await store.messages(ANNA, session.id)]
    assert kept in ([100], [*range(1, 21), 100])
    await store.apply([DeleteSession(session.id)])
    await store.close()


@pytest.mark.usefixtures("short_timeouts")
async def test_closing_does_not_wait_for_a_server_that_hangs(
    tmp_path: Path, url: str, postgres: PostgresCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "_CLOSE_TIMEOUT", 0.3)
    store = await open_store(data_dir=tmp_path, database_url=url)
    with stopped(postgres):
        async with asyncio.timeout(PATIENCE):
            await store.close()
    # Until the server has noticed that the connection is gone, the database counts as used.
    again = await eventually(lambda: open_store(data_dir=tmp_path, database_url=url), DataDirectoryError)
    await again.close()


async def test_a_cancelled_read_leaves_nothing_to_the_next(store: SessionStore) -> None:
    session = make_session()
    await store.apply([CreateSession(session), *(AppendMessage(make_message(session, n)) for n in range(1, 501))])
    for ticks in range(12):
        read = asyncio.ensure_future(store.messages(ANNA, session.id))
        for _ in range(ticks):
            await asyncio.sleep(0)
        read.cancel()
        await asyncio.gather(read, return_exceptions=True)
        assert (await store.session(ANNA, session.id)).id == session.id
    await store.apply([DeleteSession(session.id)])


@pytest.mark.parametrize(
    ("database_url", "error"),
    [
        ("postgresql://nobody:secret@/postgres?host={folder}", ConfigurationError),
        ("postgresql:///absent?host={folder}&user=postgres", ConfigurationError),
        ("postgresql:///postgres?host=/nowhere&user=postgres&password=secret", StoreUnavailableError),
        ("postgresql://u:secret@127.0.0.1:1/postgres", StoreUnavailableError),
        ("postgresql://u:secret@[/postgres", ConfigurationError),
    ],
)
async def test_a_database_that_cannot_be_opened_is_told_without_its_password(
    tmp_path: Path, postgres: PostgresCluster, database_url: str, error: type[IskraError]
) -> None:
    given = database_url.format(folder=postgres.folder)
    told = await fails(error, open_store(data_dir=tmp_path, database_url=given))
    assert told.mend
    assert "secret" not in str(told)


async def test_a_missing_driver_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    error = await fails(ConfigurationError, open_store(data_dir=tmp_path, database_url="postgresql://u@h/x"))
    assert "iskra[postgres]" in error.mend
