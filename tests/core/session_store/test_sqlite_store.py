import asyncio
import os
import random
import sqlite3
import stat
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iskra.session_store import open_store, sqlite_store
from iskra_sdk.errors import DataDirectoryError, StoreUnavailableError
from iskra_sdk.ids import SessionId
from iskra_sdk.principal import SYSTEM
from iskra_sdk.session_store import AppendMessage, CreateSession, SessionStore
from iskra_sdk.testing.store_conformance import ANNA, fails, make_message, make_session

HERE = Path(__file__).parent


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SessionStore]:
    store = await open_store(data_dir=tmp_path)
    yield store
    await store.close()


# Killed ----------------------------------------------------------------------------------------------------------


def append_and_kill(data_dir: Path, number: int, wanted: int) -> dict[str, list[int]]:
    """Let a process append until it has acknowledged so much, kill it, and return what it acknowledged."""
    command = [sys.executable, str(HERE / "appending_process.py"), str(data_dir), str(number)]
    acknowledged: dict[str, list[int]] = defaultdict(list)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            if count == wanted:
                process.kill()
            if line.endswith("\n"):
                session_id, position = line.split()
                acknowledged[session_id].append(int(position))
    assert acknowledged, "the process ended before it did anything"
    return acknowledged


async def test_a_killed_server_has_lost_nothing_it_acknowledged(tmp_path: Path) -> None:
    acknowledged: dict[str, list[int]] = defaultdict(list)
    for number in range(5):
        wanted = random.randrange(1, 400)
        for session_id, positions in (await asyncio.to_thread(append_and_kill, tmp_path, number, wanted)).items():
            acknowledged[session_id] += positions
        store = await open_store(data_dir=tmp_path)
        for session_id, expected in acknowledged.items():
            messages = await store.messages(SYSTEM, SessionId(session_id), limit=100_000)
            events = await store.events(SYSTEM, SessionId(session_id), limit=100_000)
            kept = [message.position for message in messages]
            assert not set(expected) - set(kept)
            assert kept == [event.seq for event in events], "a change was made by halves"
            assert (await store.session(SYSTEM, SessionId(session_id))).reserved_seq == kept[-1]
        await store.close()
        with sqlite3.connect(tmp_path / "iskra.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()


# Disk and directory ----------------------------------------------------------------------------------------------


@contextmanager
def small_file_system(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory, or skip the test where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def run_full_disk_process(*arguments: object) -> str:
    command = [sys.executable, str(HERE / "full_disk_process.py"), *map(str, arguments)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_a_full_disk_refuses_writes_serves_reads_and_heals(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "disk", "size=2m") as disk:
        filler = disk / "filler"
        filler.write_bytes(bytes(1_000_000))
        assert (await run_full_disk_process(disk / "data", "tmpfs", filler)) == "ok\n"


async def test_a_limit_on_file_sizes_is_told_as_a_full_disk(tmp_path: Path) -> None:
    assert (await run_full_disk_process(tmp_path, "limit")) == "ok\n"


async def test_a_read_only_directory_is_refused(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "disk", "size=1m,ro") as disk:
        error = await fails(DataDirectoryError, open_store(data_dir=disk / "data"))
        assert "Read-only" in error.message
        assert "--data-dir" in error.mend


async def test_a_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for data_dir in (file, file / "below"):
        error = await fails(DataDirectoryError, open_store(data_dir=data_dir))
        assert str(data_dir) in error.message


async def test_a_second_server_is_told_who_holds_the_directory(store: SessionStore, tmp_path: Path) -> None:
    error = await fails(DataDirectoryError, open_store(data_dir=tmp_path))
    assert f"process {os.getpid()}" in error.message
    assert error.facts == {"pid": os.getpid()}
    await store.close()
    await (await open_store(data_dir=tmp_path)).close()


async def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path / "data")
    await store.check()
    files = [tmp_path / "data", *(tmp_path / "data").iterdir()]
    assert len(files) >= 4  # the directory, the lock, the database and its log
    assert not [file for file in files if stat.S_IMODE(file.stat().st_mode) & 0o077]
    await store.close()


async def test_a_damaged_database_is_reported_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "iskra.db").write_bytes(b"this is no database " * 1000)
    error = await fails(StoreUnavailableError, open_store(data_dir=tmp_path))
    assert "damaged" in error.message
    assert "backup" in error.mend
    (tmp_path / "iskra.db").unlink()
    await (await open_store(data_dir=tmp_path)).close()  # the failed start has let go of the directory


async def test_a_database_that_another_program_locks_is_unavailable_for_writing_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_BUSY_TIMEOUT", 0.05)
    store = await open_store(data_dir=tmp_path)
    session = make_session()
    await store.apply([CreateSession(session)])
    other = sqlite3.connect(tmp_path / "iskra.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    error = await fails(StoreUnavailableError, store.apply([AppendMessage(make_message(session, 1))]))
    assert "locked" in error.message
    assert error.retry_after
    await fails(StoreUnavailableError, store.check())
    assert await store.messages(ANNA, session.id) == []
    other.execute("ROLLBACK")
    other.close()
    await store.apply([AppendMessage(make_message(session, 1))])
    await store.check()
    assert len(await store.messages(ANNA, session.id)) == 1
    await store.close()


# Group commit ----------------------------------------------------------------------------------------------------


async def test_waiting_changes_share_a_commit(store: SessionStore) -> None:
    session = make_session()
    await store.apply([CreateSession(session)])
    seen: set[int] = set()

    async def watch() -> None:
        while 500 not in seen:
            seen.add(len(await store.messages(ANNA, session.id)))

    await asyncio.gather(watch(), *(store.apply([AppendMessage(make_message(session, n))]) for n in range(1, 501)))
    assert seen <= {0, 500}, "changes that waited together were committed apart"


async def test_a_change_larger_than_a_commit_is_made_whole(store: SessionStore) -> None:
    session = make_session()
    await store.apply([CreateSession(session), *(AppendMessage(make_message(session, n)) for n in range(1, 3001))])
    assert len(await store.messages(ANNA, session.id, limit=5000)) == 3000


async def test_a_value_no_database_can_hold_fails_alone(store: SessionStore) -> None:
    session = make_session()
    await store.apply([CreateSession(session)])
    outcomes = await asyncio.gather(
        store.apply([AppendMessage(make_message(session, 1))]),
        store.apply([AppendMessage(make_message(session, 2**70))]),
        store.apply([AppendMessage(make_message(session, 2))]),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), OverflowError, type(None)]
    assert [message.position for message in await store.messages(ANNA, session.id)] == [1, 2]


async def test_closing_finishes_what_was_asked_for(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    session = make_session()
    await store.apply([CreateSession(session)])
    appends = [asyncio.ensure_future(store.apply([AppendMessage(make_message(session, n))])) for n in range(1, 101)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*appends)
    store = await open_store(data_dir=tmp_path)
    assert len(await store.messages(ANNA, session.id)) == 100
    await store.close()
