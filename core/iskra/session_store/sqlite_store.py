"""The session store on SQLite: one writer thread with group commit, a few reader threads."""

import asyncio
import contextlib
import errno
import logging
import os
import queue
import resource
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from iskra.interceptors import Points
from iskra.session_store.operations import Operation, Statement, arranged, lookup_after, refusal
from iskra.session_store.sql_store import Decode, Guard, SQLStore
from iskra_sdk.clock import Clock
from iskra_sdk.errors import DataDirectoryError, IskraError, StorageFullError, StoreError, StoreUnavailableError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_READERS = 2
_BUSY_TIMEOUT = 5.0  # seconds; only other programs can hold the lock, e.g. a backup
_OPERATIONS_PER_COMMIT = 1024
_ROWS_PER_STATEMENT = 64
_CACHED_STATEMENTS = 256
_RETRY_AFTER = 5.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SQLiteStore(SQLStore):
    """Keeps everything in one file; an acknowledged change is on the disk."""

    def __init__(self, file: Path, *, points: Points | None, clock: Clock, on_close: Callable[[], None]) -> None:
        super().__init__("sqlite", points=points, clock=clock)
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        texts = {name: statement.sql for name, statement in self._statements.items()}
        self._writer = _Writer(file, texts, self._loop)
        self._readers = _Readers(file, self._loop)
        self._is_closed = False

    @classmethod
    async def open(
        cls, file: Path, *, points: Points | None, clock: Clock, on_close: Callable[[], None] = lambda: None
    ) -> "SQLiteStore":
        """Open a database that has its tables already."""
        store = cls(file, points=points, clock=clock, on_close=on_close)
        store._writer.start()
        store._readers.start()
        with contextlib.suppress(StorageFullError):  # a full disk must not keep the server from starting
            await store._forget_expired_credentials()
        return store

    def _commit(self, operations: list[Operation]) -> "asyncio.Future[None]":
        return self._writer.commit(operations)

    async def _fetch(self, name: str, params: tuple[Any, ...], decode: Decode[T]) -> list[T]:
        sql = self._statements[name].sql

        def read(connection: sqlite3.Connection) -> list[T]:
            return [decode(row) for row in connection.execute(sql, params).fetchall()]

        return await self._readers.run(read)

    async def _fetch_owned(self, guard: Guard, name: str, params: tuple[Any, ...], decode: Decode[T]) -> list[T] | None:
        owner, sql = self._statements[guard.query].sql, self._statements[name].sql

        def read(connection: sqlite3.Connection) -> list[T] | None:
            if not guard.admits(connection.execute(owner, guard.params).fetchone()):
                return None
            return [decode(row) for row in connection.execute(sql, params).fetchall()]

        return await self._readers.run(read)

    @staticmethod
    def _glob(pattern: str) -> str:
        return pattern.replace("[!", "[^")

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        # The readers first: the last connection to close moves the log into the database.
        await self._readers.close()
        await self._writer.close()
        self._on_close()


# Connections -----------------------------------------------------------------------------------------------------


def connect(file: Path) -> sqlite3.Connection:
    """Open a connection for writing, with transactions under our control.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    connection = sqlite3.connect(
        file,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
    )
    try:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            "wal_autocheckpoint = 4000",  # pages, 16 MB: a checkpoint holds up the commit it happens in
            "journal_size_limit = 67108864",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_reader(file: Path) -> sqlite3.Connection:
    connection = connect(file)
    connection.execute("PRAGMA query_only = ON")
    return connection


def create_file(file: Path) -> None:
    """Make sure that the database file exists and only its owner may read it.

    Raises:
        DataDirectoryError: It cannot be written.
    """
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise DataDirectoryError(
            f"The database {file} cannot be written: {exc.strerror}.",
            mend=f"Give this user the right to write to {file.parent}, or choose another `--data-dir`.",
        ) from exc


def store_error(exc: sqlite3.Error, file: Path) -> StoreError:
    """Return the error to raise for a failure of the database as a whole."""
    primary = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if primary == sqlite3.SQLITE_FULL or (
        primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _is_full(file)
    ):
        return StorageFullError(
            "There is no space left for the database; nothing was written.",
            mend=f"Free some space on the file system of {file.parent}; no restart is needed.",
            retry_after=_RETRY_AFTER,
        )
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreUnavailableError(
            f"The database {file} is damaged ({exc}).",
            mend="Stop the server, keep a copy of the file, and restore a backup or run `sqlite3 iskra.db .recover`.",
        )
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailableError(
            f"The database is locked by another program for longer than {_BUSY_TIMEOUT:.0f} s.",
            mend="Stop the program that writes to the database.",
            retry_after=_RETRY_AFTER,
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreUnavailableError(
            f"The database {file} cannot be written ({exc}).",
            mend=f"Give the server's user the right to write to {file.parent} and to the files in it.",
            retry_after=_RETRY_AFTER,
        )
    return StoreUnavailableError(
        f"The database failed ({exc}).",
        mend=f"Look at the disk that holds {file}.",
        retry_after=_RETRY_AFTER,
    )


def _is_full(file: Path) -> bool:
    """Tell a full disk from a broken one: SQLite reports a quota and a file size limit as input/output errors."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    log = file.with_name(f"{file.name}-wal")
    probe = file.with_name(f"{file.name}-probe")
    try:
        largest = max((path.stat().st_size for path in (file, log) if path.exists()), default=0)
        if limit != resource.RLIM_INFINITY and largest + 65_536 > limit:
            return True
        with probe.open("wb", buffering=0) as target:
            target.write(bytes(65_536))
    except OSError as exc:
        return exc.errno in _FULL
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return False


# Writing ---------------------------------------------------------------------------------------------------------


_Pending = tuple[list[Operation], "asyncio.Future[None]"]


class _RefusedError(Exception):
    """A statement did not touch the row it should have."""


class _Writer:
    """The one thread that writes: it commits together whatever is waiting.

    First everything waiting is tried as one transaction without looking at who asked for what. Only if something in
    it is refused, the transaction is undone and run again with a savepoint per caller, so that a caller whose
    condition does not hold fails alone. Such refusals are rare, and everybody else is spared the savepoints.
    """

    def __init__(self, file: Path, statements: dict[str, str], loop: asyncio.AbstractEventLoop) -> None:
        self._file = file
        self._statements = statements
        self._loop = loop
        self._pending: deque[_Pending] = deque()
        self._signal: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._is_waking = False
        self._is_closed = False
        self._closed: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._run, name="iskra-store-writer", daemon=True)
        self._several_rows: dict[tuple[Statement, int], str] = {}

    def start(self) -> None:
        self._thread.start()

    def commit(self, operations: list[Operation]) -> "asyncio.Future[None]":
        if self._is_closed:
            raise StoreUnavailableError("The store is closed.")
        done: asyncio.Future[None] = self._loop.create_future()
        if not operations:
            done.set_result(None)
            return done
        self._pending.append((operations, done))
        if not self._is_waking:
            # Once per pass of the loop, so that everything this pass brings lands in one commit.
            self._is_waking = True
            self._loop.call_soon(self._wake)
        return done

    def _wake(self) -> None:
        self._is_waking = False
        self._signal.put(False)

    async def close(self) -> None:
        self._is_closed = True
        self._signal.put(True)
        await self._closed
        self._thread.join()

    # In the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        is_last = False
        while not is_last:
            is_last = self._signal.get()
            while batch := self._take():
                try:
                    if connection is None:
                        connection = connect(self._file)
                    failures = self._write(connection, batch)
                except sqlite3.Error as exc:
                    # Before the connection is closed, which would change the files that tell whether the disk is full.
                    failures = dict.fromkeys(range(len(batch)), store_error(exc, self._file))
                    connection = self._recover(connection, exc)
                except Exception as exc:  # whatever it is, those who wait must hear of it
                    logger.exception("writing to the database failed unexpectedly")
                    connection = self._recover(connection, exc)
                    failures = dict.fromkeys(range(len(batch)), exc)
                if not self._report(_resolve, [done for _, done in batch], failures):
                    is_last = True
                    break
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        self._report(_resolve, [self._closed], {})

    def _take(self) -> list[_Pending]:
        pending, batch, size = self._pending, [], 0
        while pending and size < _OPERATIONS_PER_COMMIT:
            batch.append(pending.popleft())
            size += len(batch[-1][0])
        return batch

    def _report(self, callback: Callable[..., None], *args: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is gone, and with it everybody who waited
            return False
        return True

    def _recover(self, connection: sqlite3.Connection | None, exc: Exception) -> sqlite3.Connection | None:
        """Return the connection if it can go on after a failure, or ``None`` to open a new one next time."""
        logger.error("writing to the database failed", extra={"error": str(exc)})
        if connection is None:
            return None
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            primary = getattr(exc, "sqlite_errorcode", 0) & 0xFF
            if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
                return connection
        except sqlite3.Error:
            pass
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        return None

    def _write(self, connection: sqlite3.Connection, batch: list[_Pending]) -> dict[int, Exception]:
        """Commit a batch; return the errors of callers that failed alone, by position.

        Raises:
            sqlite3.Error: Nothing could be committed.
        """
        try:
            self._write_together(connection, batch)
        except (sqlite3.IntegrityError, _RefusedError):
            pass
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as exc:
            if type(exc) is sqlite3.DatabaseError:  # a damaged file; subclasses are about single statements
                raise
        except (OverflowError, ValueError, TypeError):  # a parameter that SQLite cannot take
            pass
        else:
            return {}
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return self._write_apart(connection, batch)

    def _write_together(self, connection: sqlite3.Connection, batch: list[_Pending]) -> None:
        if len(batch) == 1 and len(batch[0][0]) == 1:
            _run_operation(connection, batch[0][0][0])  # a transaction by itself
            return
        connection.execute("BEGIN IMMEDIATE")
        # Many rows in one statement: a statement costs a change of threads each time.
        for step in arranged(operation for operations, _ in batch for operation in operations):
            if isinstance(step, Operation):
                _run_operation(connection, step)
                continue
            for start in range(0, len(step.params), _ROWS_PER_STATEMENT):
                self._append(connection, step.statement, step.params[start : start + _ROWS_PER_STATEMENT])
        connection.execute("COMMIT")

    def _append(self, connection: sqlite3.Connection, statement: Statement, rows: list[tuple[Any, ...]]) -> None:
        sql = self._several_rows.get((statement, len(rows)))
        if sql is None:
            sql = statement.sql + f", {statement.row}" * (len(rows) - 1)
            self._several_rows[statement, len(rows)] = sql
        connection.execute(sql, [value for row in rows for value in row])

    def _write_apart(self, connection: sqlite3.Connection, batch: list[_Pending]) -> dict[int, Exception]:
        failures: dict[int, Exception] = {}
        connection.execute("BEGIN IMMEDIATE")
        for position, (operations, _) in enumerate(batch):
            connection.execute("SAVEPOINT one")
            failure = self._try_all(connection, operations)
            if failure is not None:
                failures[position] = failure
                connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")
        connection.execute("COMMIT")
        return failures

    def _try_all(self, connection: sqlite3.Connection, operations: Sequence[Operation]) -> Exception | None:
        for operation in operations:
            try:
                _run_operation(connection, operation)
            except sqlite3.IntegrityError as exc:
                is_orphan = exc.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
                return self._refusal(connection, operation, is_orphan=is_orphan)
            except _RefusedError:
                return self._refusal(connection, operation, is_orphan=False)
            except (sqlite3.DataError, sqlite3.ProgrammingError, OverflowError, ValueError, TypeError) as exc:
                return exc
        return None

    def _refusal(self, connection: sqlite3.Connection, operation: Operation, *, is_orphan: bool) -> IskraError:
        lookup = lookup_after(operation.change)
        found = lookup and connection.execute(self._statements[lookup.statement], lookup.params).fetchone()
        return refusal(operation.change, found, is_orphan=is_orphan)


def _run_operation(connection: sqlite3.Connection, operation: Operation) -> None:
    cursor = connection.execute(operation.statement.sql, operation.params)
    if operation.statement.is_checked and cursor.rowcount != 1:
        raise _RefusedError


def _resolve(waiting: list["asyncio.Future[None]"], failures: dict[int, Exception]) -> None:
    if failures:
        for position, done in enumerate(waiting):
            if done.done():
                continue
            if (failure := failures.get(position)) is not None:
                done.set_exception(failure)
            else:
                done.set_result(None)
        return
    for done in waiting:
        if not done.done():
            done.set_result(None)


# Reading ---------------------------------------------------------------------------------------------------------


class _Readers:
    """A few threads with a connection each; a read sees everything that was committed before it began."""

    def __init__(self, file: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._file = file
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._is_closed = False
        self._ended: list[asyncio.Future[None]] = [loop.create_future() for _ in range(_READERS)]
        self._threads = [
            threading.Thread(target=self._run, args=(ended,), name=f"iskra-store-reader-{number}", daemon=True)
            for number, ended in enumerate(self._ended)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        if self._is_closed:
            raise StoreUnavailableError("The store is closed.")
        done: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((read, done))
        return await done

    async def close(self) -> None:
        self._is_closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for ended, thread in zip(self._ended, self._threads, strict=True):
            await ended
            thread.join()

    # In the threads ---------------------------------------------------------------------------------------------

    def _run(self, ended: "asyncio.Future[None]") -> None:
        connection: sqlite3.Connection | None = None
        while (job := self._jobs.get()) is not None:
            read, done = job
            if done.cancelled():
                continue
            result: object = None
            failure: Exception | None = None
            try:
                if connection is None:
                    connection = _connect_reader(self._file)
                result = read(connection)
            except sqlite3.Error as exc:
                logger.error("reading from the database failed", extra={"error": str(exc)})
                failure = store_error(exc, self._file)
                if connection is not None:
                    with contextlib.suppress(sqlite3.Error):
                        connection.close()
                    connection = None
            except Exception as exc:
                failure = exc  # such as a row that cannot be decoded
            try:
                self._loop.call_soon_threadsafe(_deliver, done, result, failure)
            except RuntimeError:  # the loop is gone, and with it everybody who waited
                break
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_deliver, ended, None, None)


def _deliver(done: "asyncio.Future[Any]", result: object, failure: Exception | None) -> None:
    if done.done():
        return
    if failure is not None:
        done.set_exception(failure)
    else:
        done.set_result(result)
