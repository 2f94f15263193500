"""Reads how far a database's tables are, without changing anything."""

import asyncio
import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from iskra.session_store.upgrade import HEAD, VERSION_QUERY
from iskra.settings import Settings
from iskra_sdk.errors import ConfigurationError, StoreUnavailableError


@dataclass(frozen=True, slots=True)
class Revisions:
    """Where a database is, and where it should be.

    Attributes:
        current: Revisions of all branches, comma-separated; empty for a database that is yet to be made.
        head: The kernel's newest revision.
    """

    current: str
    head: str

    @property
    def is_current(self) -> bool:
        """Whether the kernel's tables are up to date."""
        return self.head in self.current.split(", ")


def read_revisions(settings: Settings) -> Revisions:
    """Return the revisions of the configured database.

    Raises:
        StoreUnavailableError: It cannot be read.
        ConfigurationError: Its driver is missing.
    """
    if settings.database_url is not None:
        found = asyncio.run(_postgres(settings.database_url.get_secret_value()))
    else:
        found = _sqlite(settings.data_dir / "iskra.db")
    return Revisions(", ".join(sorted(found)), HEAD)


def _sqlite(file: Path) -> list[str]:
    if not file.exists():
        return []
    try:
        with contextlib.closing(
            sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
        ) as connection:
            with contextlib.suppress(sqlite3.OperationalError):
                return [row[0] for row in connection.execute(VERSION_QUERY)]
            # No such table: look whether the file is a database at all.
            connection.execute("SELECT count(*) FROM sqlite_master")
            return []
    except sqlite3.Error as exc:
        raise StoreUnavailableError(
            f"The database {file} cannot be read: {exc}.", mend="Restore it from a backup, or move it away."
        ) from exc


async def _postgres(url: str) -> list[str]:
    try:
        import asyncpg
    except ImportError as exc:
        raise ConfigurationError(
            "PostgreSQL needs the driver asyncpg, which is not installed.", mend="pip install 'iskra[postgres]'"
        ) from exc
    try:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            return [row[0] for row in await connection.fetch(VERSION_QUERY)]
        except asyncpg.UndefinedTableError:
            return []
        finally:
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as exc:
        # The address holds a password, so it is not shown.
        raise StoreUnavailableError(
            f"The PostgreSQL database cannot be reached: {type(exc).__name__}.",
            mend="Check `database_url` and the server.",
        ) from exc
