"""The session store: where everything durable is kept, on SQLite or PostgreSQL."""

import asyncio
import importlib.util
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from iskra.interceptors import Points
from iskra.session_store.data_lock import DataLock
from iskra.session_store.sqlite_store import SQLiteStore, create_file, store_error
from iskra.session_store.upgrade import upgrade_sqlite
from iskra_sdk.clock import Clock, SystemClock
from iskra_sdk.errors import ConfigurationError
from iskra_sdk.session_store import SessionStore

__all__ = ["open_store", "upgrade"]

_POSTGRES_SCHEMES = ("postgresql://", "postgres://")


async def open_store(
    *, data_dir: Path, database_url: str | None = None, points: Points | None = None, clock: Clock | None = None
) -> SessionStore:
    """Lock the data directory, bring the database up to date and open it.

    Args:
        data_dir: Holds the lock and, without a URL, the SQLite database ``iskra.db``. Made if it is missing.
        database_url: ``postgresql://…``, or ``None`` for SQLite.
        points: Where interceptors of reads and writes are.
        clock: Tells when credentials expire.

    Raises:
        DataDirectoryError: The directory cannot be used, or another server holds it.
        ConfigurationError: The URL is of an unknown kind, a driver is missing, or a newer version wrote the database.
        StoreUnavailableError: The database cannot be reached, or is damaged.
    """
    clock = clock or SystemClock()
    lock = await asyncio.to_thread(DataLock.take, data_dir)
    try:
        if database_url:
            return await _open_postgres(database_url, points, clock, lock)
        file = data_dir / "iskra.db"
        await _upgrade_file(file)
        return await SQLiteStore.open(file, points=points, clock=clock, on_close=lock.release)
    except BaseException:
        lock.release()
        raise


async def upgrade(*, data_dir: Path, database_url: str | None = None) -> bool:
    """Bring the database up to date without opening it for use; return whether there was anything to do.

    Raises:
        DataDirectoryError: The directory cannot be used, or a server is running on it.
        ConfigurationError: A newer version of the server wrote the database.
        StoreUnavailableError: The database cannot be reached, or is damaged.
    """
    lock = await asyncio.to_thread(DataLock.take, data_dir)
    try:
        if database_url:
            _check_url(database_url)
            from iskra.session_store.postgres_store import upgrade_postgres

            return await upgrade_postgres(database_url)
        return await _upgrade_file(data_dir / "iskra.db")
    finally:
        lock.release()


async def _upgrade_file(file: Path) -> bool:
    def run() -> bool:
        create_file(file)
        try:
            return upgrade_sqlite(file)
        except sqlite3.Error as exc:
            raise store_error(exc, file) from exc

    return await asyncio.to_thread(run)


async def _open_postgres(url: str, points: Points | None, clock: Clock, lock: DataLock) -> SessionStore:
    _check_url(url)
    from iskra.session_store.postgres_store import PostgresStore

    return await PostgresStore.open(url, points=points, clock=clock, on_close=lock.release)


def _check_url(url: str) -> None:
    try:
        _ = urlsplit(url).port
    except ValueError as exc:  # not quoted: the URL may hold a password
        raise ConfigurationError(
            "The database URL cannot be understood.", mend="Write it as `postgresql://user@host:5432/name`."
        ) from exc
    if not url.startswith(_POSTGRES_SCHEMES):
        raise ConfigurationError(
            f"The database URL begins with {url.partition('://')[0]!r}, which is no database this server knows.",
            mend="Set `database_url` to `postgresql://user@host/name`, or leave it out for SQLite.",
        )
    if importlib.util.find_spec("asyncpg") is None:
        raise ConfigurationError(
            "The database URL names PostgreSQL, but its driver is not installed.",
            mend="Install it with `pip install 'iskra[postgres]'`, or leave `database_url` out for SQLite.",
        )
