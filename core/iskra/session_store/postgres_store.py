"""The session store on PostgreSQL: one writing connection with group commit, a pool for reading."""

import asyncio
import contextlib
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import asyncpg

from iskra.interceptors import Points
from iskra.session_store.operations import Operation, Rows, arranged, lookup_after, refusal
from iskra.session_store.sql_store import Decode, Guard, SQLStore
from iskra.session_store.upgrade import HEAD, VERSION_QUERY, run_migrations
from iskra_sdk.clock import Clock
from iskra_sdk.errors import (
    ConfigurationError,
    DataDirectoryError,
    StorageFullError,
    StoreError,
    StoreUnavailableError,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A caller waits at most for the command under way and the connection after it, or for a connection of the pool and a
# command; both together stay below ten seconds.
_CONNECT_TIMEOUT = 3.0
_COMMAND_TIMEOUT = 6.0
_CLOSE_TIMEOUT = 3.0
_MIGRATION_TIMEOUT = 300.0
_POOL_SIZE = 8
_OPERATIONS_PER_COMMIT = 1024
_RETRY_AFTER = 5.0
_LOCK = 0x69736B7261  # "iskra"
_SESSION_SETTINGS = {
    "application_name": "iskra",
    # A connection that a fault of the network cut is forgotten by the server soon, and with it its lock.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class PostgresStore(SQLStore):
    """Keeps everything in a PostgreSQL database; an acknowledged change is committed there."""

    def __init__(
        self,
        writer: "_Writer",
        pool: "asyncpg.Pool[Any]",
        *,
        points: Points | None,
        clock: Clock,
        on_close: Callable[[], None],
    ) -> None:
        super().__init__("postgresql", points=points, clock=clock)
        self._writer = writer
        self._pool = pool
        self._on_close = on_close
        self._is_closed = False
        writer.start({name: statement.sql for name, statement in self._statements.items()})

    @classmethod
    async def open(
        cls, url: str, *, points: Points | None, clock: Clock, on_close: Callable[[], None] = lambda: None
    ) -> "PostgresStore":
        """Lock the database, bring its tables up to date and open it.

        Raises:
            DataDirectoryError: Another server works on the database.
            ConfigurationError: The URL or the rights are wrong, or a newer version wrote the database.
            StoreUnavailableError: The database cannot be reached.
        """
        writer = _Writer(url)
        with _as_store_errors():
            connection = await writer.connect()
            try:
                await _upgrade(url, connection)
                pool = await asyncpg.create_pool(
                    url,
                    min_size=1,
                    max_size=_POOL_SIZE,
                    timeout=_CONNECT_TIMEOUT,
                    command_timeout=_COMMAND_TIMEOUT,
                    server_settings=_SESSION_SETTINGS,
                    reset=_leave_as_it_is,
                )
            except BaseException:
                connection.terminate()
                raise
        store = cls(writer, pool, points=points, clock=clock, on_close=on_close)
        try:
            await store._forget_expired_credentials()
        except StorageFullError:
            pass  # a full disk must not keep the server from starting
        except BaseException:
            await store._let_go()
            raise
        return store

    async def _commit(self, operations: list[Operation]) -> None:
        if operations:
            await self._writer.commit(operations)

    async def _fetch(self, name: str, params: tuple[Any, ...], decode: Decode[T]) -> list[T]:
        async with self._connection() as connection:
            return [decode(row) for row in await connection.fetch(self._statements[name].sql, *params)]

    async def _fetch_owned(self, guard: Guard, name: str, params: tuple[Any, ...], decode: Decode[T]) -> list[T] | None:
        async with self._connection() as connection:
            if not guard.admits(await connection.fetchrow(self._statements[guard.query].sql, *guard.params)):
                return None
            return [decode(row) for row in await connection.fetch(self._statements[name].sql, *params)]

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """Lend a connection of the pool; one that fails or is cut off in the middle of a query is not used again."""
        if self._is_closed:
            raise StoreUnavailableError("The store is closed.")
        with _as_store_errors():
            connection = await self._pool.acquire(timeout=_CONNECT_TIMEOUT)
            try:
                async with asyncio.timeout(_COMMAND_TIMEOUT):
                    yield connection
            except BaseException:
                connection.terminate()
                raise
            finally:
                await self._pool.release(connection)

    @staticmethod
    def _glob(pattern: str) -> str:
        parts = re.split(r"(\*|\?|\[.+?\])", pattern)
        return f"^({''.join(map(_as_regular_expression, parts))})$"

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        await self._let_go()

    async def _let_go(self) -> None:
        try:
            await self._writer.close()
            try:
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    await self._pool.close()
            except _FAILURES:
                self._pool.terminate()
        finally:
            self._on_close()


async def upgrade_postgres(url: str) -> bool:
    """Bring a database up to date without opening it for use; return whether there was anything to do.

    Raises:
        DataDirectoryError: A server works on the database.
        ConfigurationError: The URL or the rights are wrong, or a newer version wrote the database.
        StoreUnavailableError: The database cannot be reached.
    """
    with _as_store_errors():
        connection = await _Writer(url).connect()
        try:
            return await _upgrade(url, connection)
        finally:
            connection.terminate()


async def _upgrade(url: str, connection: Any) -> bool:
    with contextlib.suppress(asyncpg.UndefinedTableError):
        if any(row[0] == HEAD for row in await connection.fetch(VERSION_QUERY)):
            return False
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def create() -> Any:
        return await asyncpg.connect(url, timeout=_CONNECT_TIMEOUT, server_settings=_SESSION_SETTINGS)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=create, poolclass=NullPool)
    try:
        async with asyncio.timeout(_MIGRATION_TIMEOUT), engine.begin() as bound:
            await bound.run_sync(run_migrations)
    finally:
        await engine.dispose()
    return True


async def _leave_as_it_is(connection: object) -> None:
    """Spare a round trip after each read: reads change no setting of their connection."""


def _as_regular_expression(part: str) -> str:
    if part == "*":
        return ".*"
    if part == "?":
        return "."
    if len(part) > 2 and part[0] == "[":
        inside = part[1:-1].replace("\\", "\\\\")
        return f"[^{inside[1:]}]" if inside[0] == "!" else f"[{inside}]"
    return re.sub(r"(\W)", r"\\\1", part)


@contextlib.contextmanager
def _as_store_errors() -> Iterator[None]:
    """Turn failures of the database into errors of the contract."""
    try:
        yield
    except _FAILURES as exc:
        if isinstance(exc, asyncpg.ClientConfigurationError):
            raise ConfigurationError(
                "The database URL cannot be understood.", mend="Write it as `postgresql://user@host:5432/name`."
            ) from exc
        if isinstance(exc, asyncpg.InvalidAuthorizationSpecificationError | asyncpg.InvalidCatalogNameError):
            raise ConfigurationError(
                f"PostgreSQL refused the connection: {exc}.",
                mend="Check user, password and database name in `database_url`.",
            ) from exc
        if isinstance(exc, asyncpg.InsufficientPrivilegeError):
            raise ConfigurationError(
                f"PostgreSQL refused access: {exc}.", mend="Let the user of `database_url` create and change tables."
            ) from exc
        raise _store_error(exc) from exc


def _store_error(exc: Exception) -> StoreError:
    if isinstance(exc, asyncpg.DiskFullError):
        return StorageFullError(
            "The disk of the PostgreSQL server is full; nothing was written.",
            mend="Free some space there; no restart is needed.",
            retry_after=_RETRY_AFTER,
        )
    if isinstance(exc, asyncpg.ReadOnlySQLTransactionError):
        why = "it takes no changes, as a standby does not"
    elif isinstance(exc, TimeoutError):
        why = "it did not answer in time"
    elif isinstance(exc, asyncpg.PostgresError):
        why = f"{exc.sqlstate or 'error'} {exc}"
    else:
        why = str(exc) or type(exc).__name__
    return StoreUnavailableError(
        f"The PostgreSQL database is not available ({why}).",
        mend="Check that the server in `database_url` runs and can be reached.",
        retry_after=_RETRY_AFTER,
    )


# Writing ---------------------------------------------------------------------------------------------------------


class _Pending(NamedTuple):
    operations: list[Operation]
    done: "asyncio.Future[None]"


class _RefusedError(Exception):
    """A statement did not touch the row it should have."""


class _Backend(NamedTuple):
    """A server process; the time tells it from a later one with the same number."""

    pid: int
    started: datetime


class _Writer:
    """The one connection that writes: it commits together whatever is waiting, as the SQLite writer does.

    It also holds the lock that keeps a second server from the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._statements: dict[str, str] = {}
        self._pending: deque[_Pending] = deque()
        self._waiting = asyncio.Event()
        self._is_closed = False
        self._connection: Any = None
        self._backend: _Backend | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, statements: dict[str, str]) -> None:
        self._statements = statements
        self._task = asyncio.create_task(self._run(), name="iskra-store-writer")

    async def commit(self, operations: list[Operation]) -> None:
        if self._is_closed:
            raise StoreUnavailableError("The store is closed.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(operations, done))
        self._waiting.set()
        await done

    async def close(self) -> None:
        self._is_closed = True
        self._waiting.set()
        if self._task is not None:
            await self._task

    async def connect(self) -> Any:
        """Open the connection and take the lock.

        Raises:
            DataDirectoryError: Another server holds the lock.
        """
        connection = await asyncpg.connect(
            self._url,
            timeout=_CONNECT_TIMEOUT,
            command_timeout=_COMMAND_TIMEOUT,
            statement_cache_size=256,
            server_settings=_SESSION_SETTINGS,
        )
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                await self._lock(connection)
                # Acknowledged means on stable storage, whatever the server's default says.
                await connection.execute(
                    "SELECT set_config('synchronous_commit', 'on', false)"
                    " WHERE current_setting('synchronous_commit') = 'off'"
                )
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    async def _lock(self, connection: Any) -> None:
        if self._backend is not None:
            # Our own former connection, if the server has not noticed yet that it broke.
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2",
                *self._backend,
            )
        for _ in range(20):
            if await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                break
            # The lock of a server that has just stopped goes when PostgreSQL notices that its connection is closed.
            await asyncio.sleep(0.1)
        else:
            if self._backend is None:
                raise DataDirectoryError(
                    "The PostgreSQL database is in use by another server.",
                    mend="Stop that server, or give this one a database of its own in `database_url`.",
                )
            raise StoreUnavailableError(
                "Another server took over the PostgreSQL database while it could not be reached.",
                mend="Stop one of the two servers.",
                retry_after=_RETRY_AFTER,
            )
        row = await connection.fetchrow("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        self._backend = _Backend(row[0], row[1])

    async def _run(self) -> None:
        while not (self._is_closed and not self._pending):
            await self._waiting.wait()
            # One pass of the loop, so that everything this pass brings lands in one commit.
            await asyncio.sleep(0)
            self._waiting.clear()
            while batch := self._take():
                await self._write_batch(batch)
        await self._disconnect()

    def _take(self) -> list[_Pending]:
        pending, batch, size = self._pending, [], 0
        while pending and size < _OPERATIONS_PER_COMMIT:
            batch.append(pending.popleft())
            size += len(batch[-1].operations)
        return batch

    async def _write_batch(self, batch: list[_Pending]) -> None:
        failures: dict[int, Exception]
        try:
            if self._connection is None or self._connection.is_closed():
                await self.connect()
            async with asyncio.timeout(_COMMAND_TIMEOUT):
                failures = await self._write(batch)
        except (*_FAILURES, StoreError, DataDirectoryError) as exc:
            logger.error("writing to the database failed", extra={"error": str(exc) or type(exc).__name__})
            if self._connection is not None:
                self._connection.terminate()
            error = exc if isinstance(exc, StoreError) else _store_error(exc)
            batch += self._pending  # they would only wait for the same
            self._pending.clear()
            failures = dict.fromkeys(range(len(batch)), error)
        except Exception as exc:  # whatever it is, those who wait must hear of it, and the next batch gets its chance
            logger.exception("writing to the database failed unexpectedly")
            self._connection.terminate()
            failures = dict.fromkeys(range(len(batch)), exc)
        for position, pending in enumerate(batch):
            if pending.done.done():
                continue
            if (failure := failures.get(position)) is not None:
                pending.done.set_exception(failure)
            else:
                pending.done.set_result(None)

    async def _disconnect(self) -> None:
        if self._connection is None:
            return
        try:
            await self._connection.close(timeout=_CLOSE_TIMEOUT)
        except _FAILURES:
            self._connection.terminate()

    async def _write(self, batch: list[_Pending]) -> dict[int, Exception]:
        """Commit a batch; return the errors of callers that failed alone, by position."""
        connection = self._connection
        try:
            await self._write_together(connection, batch)
        except (
            asyncpg.IntegrityConstraintViolationError,
            asyncpg.DataError,
            asyncpg.ProgramLimitExceededError,
            ValueError,
            OverflowError,
            _RefusedError,
        ):
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK")
            return await self._write_apart(connection, batch)
        return {}

    async def _write_together(self, connection: Any, batch: list[_Pending]) -> None:
        # Many rows are sent in one go: a statement costs a round trip each time.
        steps = list(arranged(operation for pending in batch for operation in pending.operations))
        if len(steps) == 1:
            await _run_step(connection, steps[0])  # a transaction by itself
            return
        await connection.execute("BEGIN")
        for step in steps:
            await _run_step(connection, step)
        await connection.execute("COMMIT")

    async def _write_apart(self, connection: Any, batch: list[_Pending]) -> dict[int, Exception]:
        failures: dict[int, Exception] = {}
        await connection.execute("BEGIN")
        for position, pending in enumerate(batch):
            await connection.execute("SAVEPOINT one")
            failure = await self._try_all(connection, pending.operations)
            if failure is not None:
                failures[position] = failure
                await connection.execute("ROLLBACK TO one")
            await connection.execute("RELEASE one")
        await connection.execute("COMMIT")
        return failures

    async def _try_all(self, connection: Any, operations: Sequence[Operation]) -> Exception | None:
        for operation in operations:
            try:
                await _run_operation(connection, operation)
            except asyncpg.IntegrityConstraintViolationError as exc:
                await connection.execute("ROLLBACK TO one")
                is_orphan = isinstance(exc, asyncpg.ForeignKeyViolationError)
                return await self._refusal(connection, operation, is_orphan=is_orphan)
            except _RefusedError:
                return await self._refusal(connection, operation, is_orphan=False)
            except (asyncpg.DataError, asyncpg.ProgramLimitExceededError, ValueError, OverflowError) as exc:
                return exc
        return None

    async def _refusal(self, connection: Any, operation: Operation, *, is_orphan: bool) -> Exception:
        lookup = lookup_after(operation.change)
        found = lookup and await connection.fetchrow(self._statements[lookup.statement], *lookup.params)
        return refusal(operation.change, found, is_orphan=is_orphan)


async def _run_step(connection: Any, step: Operation | Rows) -> None:
    if isinstance(step, Operation):
        await _run_operation(connection, step)
    else:
        await connection.executemany(step.statement.sql, step.params)


async def _run_operation(connection: Any, operation: Operation) -> None:
    status: str = await connection.execute(operation.statement.sql, *operation.params)
    if operation.statement.is_checked and not status.endswith(" 1"):
        raise _RefusedError
